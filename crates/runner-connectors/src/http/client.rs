//! The HTTP client: one per stream, since client certificates belong to a stream.
//!
//! Redirects are followed by [`super::exchange`], which knows where credentials may go, and bodies are decompressed by
//! [`super::body`], which bounds what comes out of them; the client itself does neither.

use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Identity};
use runner_core::{Error, ErrorKind, Result};
use runner_plan::model::Limits;

use super::network::{Egress, Network};
use super::resolver::GuardedResolver;

/// What a server may ask of the client, and whom the client trusts beside the system's authorities. PEM texts.
#[derive(Default)]
pub(super) struct ClientTls {
    pub(super) certificate: Option<String>,
    pub(super) key: Option<String>,
    pub(super) authority: Option<String>,
}

pub(super) fn build(network: &Network, limits: &Limits, tls: &ClientTls) -> Result<Client> {
    // The client takes the process's provider; where somebody else has installed one already, that one stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .use_rustls_tls()
        .user_agent(&network.user_agent)
        .redirect(Policy::none())
        .referer(false)
        .connect_timeout(Duration::from_millis(limits.connect_timeout_ms))
        .tcp_keepalive(Duration::from_secs(30))
        .http2_adaptive_window(true);
    if let Egress::PublicOnly { .. } = &network.egress {
        builder = builder
            .no_proxy()
            .dns_resolver(Arc::new(GuardedResolver::new(network.egress.clone())));
    }
    for authority in network.certificate_authorities.iter().chain(&tls.authority) {
        for certificate in authorities(authority)? {
            builder = builder.add_root_certificate(certificate);
        }
    }
    if let (Some(certificate), Some(key)) = (&tls.certificate, &tls.key) {
        let pem = format!("{certificate}\n{key}\n");
        let identity = Identity::from_pem(pem.as_bytes()).map_err(|_| {
            // The cause may quote the key.
            Error::new(
                ErrorKind::Auth,
                "the client certificate or its key is not PEM",
            )
            .with_help("give `auth_config.client_certificate` a certificate and its PKCS#8 key, as PEM texts or files")
        })?;
        builder = builder.identity(identity);
    }
    builder.build().map_err(|cause| {
        Error::new(ErrorKind::Config, "failed to set up the HTTP client")
            .with_source(cause.without_url())
            .with_help("check the certificates that are configured")
    })
}

fn authorities(pem: &str) -> Result<Vec<Certificate>> {
    let certificates = Certificate::from_pem_bundle(pem.as_bytes()).unwrap_or_default();
    if certificates.is_empty() {
        return Err(Error::new(
            ErrorKind::Config,
            "a certificate authority is not a PEM certificate",
        )
        .with_help("give the text, or the file, that begins with `-----BEGIN CERTIFICATE-----`"));
    }
    Ok(certificates)
}
