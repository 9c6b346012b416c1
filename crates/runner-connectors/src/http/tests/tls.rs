//! TLS with authorities and client certificates of the test's own.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::serve::Listener;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use runner_core::ErrorKind;
use runner_spec::model::ClientCertificate;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::fixture::{Fixture, Vault};
use super::server::{Answer, router, rows};
use crate::http::{HttpRegistry, Network};

/// An authority, and what it signed, as PEM.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

struct Signed {
    certificate: String,
    key: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self {
            issuer: CertifiedIssuer::self_signed(parameters, key).unwrap(),
        }
    }

    fn pem(&self) -> String {
        self.issuer.pem()
    }

    fn sign(&self, host: &str) -> Signed {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![host.to_owned()])
            .unwrap()
            .signed_by(&key, &self.issuer)
            .unwrap();
        Signed {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

struct TlsListener {
    inner: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.inner.accept().await.unwrap();
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.inner.local_addr()
    }
}

/// A server with this certificate; it asks for one of this authority's, if there is one.
async fn serve(server: &Signed, clients: Option<&Authority>) -> String {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots
                .add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap())
                .unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let config = builder
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(server.certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(server.key.as_bytes()).unwrap(),
        )
        .unwrap();
    let inner = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = inner.local_addr().unwrap().port();
    let listener = TlsListener {
        inner,
        acceptor: TlsAcceptor::from(Arc::new(config)),
    };
    let router = router(Arc::new(Mutex::new(Vec::new())), |_| {
        Answer::json(&json!({"data": rows(2, 0, 2)}))
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("https://localhost:{port}")
}

fn trusting(url: &str, authority: &Authority) -> Fixture {
    let mut fixture = Fixture::new(url);
    fixture.registry = HttpRegistry::new(Network {
        certificate_authorities: vec![authority.pem()],
        ..Network::default()
    });
    fixture
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_where_it_is_configured() {
    let authority = Authority::new("authority");
    let url = serve(&authority.sign("localhost"), None).await;
    assert_eq!(trusting(&url, &authority).read().await.unwrap().ids, [0, 1]);
    // Or in the document.
    let mut fixture = Fixture::new(&url);
    fixture.http.auth.client_certificate = Some(ClientCertificate {
        ca: Some(authority.pem()),
        ..ClientCertificate::default()
    });
    assert_eq!(fixture.read().await.unwrap().ids, [0, 1]);
}

#[tokio::test]
async fn a_certificate_that_is_wrong_is_one_clear_error() {
    let authority = Authority::new("authority");
    let unknown = serve(&authority.sign("localhost"), None).await;
    let other_host = serve(&authority.sign("elsewhere.example"), None).await;
    for (fixture, text) in [
        (Fixture::new(&unknown), "UnknownIssuer"),
        (trusting(&other_host, &authority), "not valid for name"),
    ] {
        let error = fixture.fails().await;
        assert_eq!(error.kind(), ErrorKind::SourceUnavailable, "{error:?}");
        assert_eq!(error.retry(), runner_core::Retry::Never);
        assert!(error.message().contains("TLS"), "{error}");
        assert!(error.message().contains(text), "{error}");
        assert!(
            error.help().unwrap().contains("certificate")
                || error.help().unwrap().contains("host name")
        );
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_from_a_text_a_file_or_a_secret() {
    let authority = Authority::new("authority");
    let clients = Authority::new("clients");
    let url = serve(&authority.sign("localhost"), Some(&clients)).await;
    let client = clients.sign("client");

    let error = trusting(&url, &authority).fails().await;
    assert_eq!(error.kind(), ErrorKind::Auth, "{error:?}");
    // One of somebody else's.
    let mut foreign = trusting(&url, &authority);
    let stranger = authority.sign("client");
    foreign.http.auth.client_certificate = Some(ClientCertificate {
        certificate: stranger.certificate,
        key: stranger.key,
        ca: None,
    });
    let error = foreign.fails().await;
    assert_eq!(error.kind(), ErrorKind::Auth, "{error:?}");

    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("key.pem");
    std::fs::write(&key_file, &client.key).unwrap();
    for key in [
        client.key.clone(),
        key_file.to_string_lossy().into_owned(),
        "{{ secrets.client_key }}".to_owned(),
    ] {
        let mut fixture = trusting(&url, &authority).secrets(&["secrets.client_key"]);
        fixture.store = Arc::new(Vault::with(&[(
            "vault://feeds/api#client_key",
            &client.key,
        )]));
        fixture.http.auth.client_certificate = Some(ClientCertificate {
            certificate: client.certificate.clone(),
            key,
            ca: None,
        });
        assert_eq!(fixture.read().await.unwrap().ids, [0, 1]);
    }

    let mut missing = trusting(&url, &authority);
    missing.http.auth.client_certificate = Some(ClientCertificate {
        certificate: client.certificate.clone(),
        key: "/nowhere/key.pem".to_owned(),
        ca: None,
    });
    let error = missing.fails().await;
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.message().contains("/nowhere/key.pem"), "{error}");
}
