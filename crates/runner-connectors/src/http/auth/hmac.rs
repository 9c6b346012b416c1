//! Requests signed with a shared secret: HMAC over a text that the document composes of the request's parts.

use std::collections::BTreeMap;

use ::hmac::{Hmac, Mac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use http::HeaderName;
use runner_core::{Error, ErrorKind, Result};
use runner_plan::template::{CompiledTemplate, Layers, NamedTexts};
use runner_spec::model::{AuthKind, HmacAlgorithm, HmacEncoding};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

use super::super::failure::template_error;
use super::super::request::{PageRequest, header_name};
use super::super::scope::ChainScope;
use super::{add_header, compile, credential};
use crate::scrub::Scrubber;

/// A stream's signature settings.
#[derive(Clone, Debug)]
pub(in crate::http) struct Signature {
    algorithm: HmacAlgorithm,
    encoding: HmacEncoding,
    secret: CompiledTemplate,
    string_to_sign: CompiledTemplate,
    header: HeaderName,
    timestamp_header: Option<HeaderName>,
    /// Which of the timestamps the header carries: the one that is signed.
    timestamp_name: &'static str,
}

/// The timestamps that can be signed; the first is the default.
const TIMESTAMPS: [&str; 3] = ["timestamp", "timestamp_ms", "timestamp_iso"];

impl Signature {
    pub(super) fn compile(auth: &AuthKind) -> Result<Self> {
        let AuthKind::Hmac {
            algorithm,
            secret,
            string_to_sign,
            header,
            timestamp_header,
            encoding,
        } = auth
        else {
            return Err(Error::new(
                ErrorKind::Internal,
                "signature settings of another kind of auth",
            ));
        };
        let string_to_sign = compile("auth_config.string_to_sign", string_to_sign)?;
        let timestamp_name = TIMESTAMPS
            .into_iter()
            .find(|name| {
                string_to_sign
                    .variables()
                    .iter()
                    .any(|variable| variable.name == *name)
            })
            .unwrap_or(TIMESTAMPS[0]);
        Ok(Self {
            algorithm: *algorithm,
            encoding: *encoding,
            secret: compile("auth_config.secret", secret)?,
            string_to_sign,
            header: header_name(header)?,
            timestamp_header: timestamp_header.as_deref().map(header_name).transpose()?,
            timestamp_name,
        })
    }

    pub(super) fn secret(&self) -> &CompiledTemplate {
        &self.secret
    }

    /// Every try is signed anew, so that its timestamp is fresh.
    pub(super) fn sign(
        &self,
        request: &mut PageRequest,
        chain: &ChainScope,
        scrubber: &Scrubber,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let secret = credential(&self.secret, "auth_config.secret", chain, scrubber)?;
        let parts = parts(request, now);
        let names = NamedTexts {
            place: "the request that is signed",
            values: &parts,
        };
        let outer = chain.without_page();
        let text = self
            .string_to_sign
            .render(&Layers(vec![&names, &outer]))
            .map_err(|error| template_error("`auth_config.string_to_sign`", &error))?
            .text;
        let signature = self.digest(secret.expose().as_bytes(), text.as_bytes());
        let signature = match self.encoding {
            HmacEncoding::Hex => hex::encode(signature),
            HmacEncoding::Base64 => STANDARD.encode(signature),
        };
        add_header(request, self.header.clone(), &signature)?;
        if let (Some(header), Some(timestamp)) =
            (&self.timestamp_header, parts.get(self.timestamp_name))
        {
            add_header(request, header.clone(), timestamp)?;
        }
        Ok(())
    }

    fn digest(&self, key: &[u8], text: &[u8]) -> Vec<u8> {
        match self.algorithm {
            HmacAlgorithm::Sha1 => mac::<Hmac<Sha1>>(key, text),
            HmacAlgorithm::Sha256 => mac::<Hmac<Sha256>>(key, text),
            HmacAlgorithm::Sha512 => mac::<Hmac<Sha512>>(key, text),
        }
    }
}

fn mac<M: Mac + ::hmac::digest::KeyInit>(key: &[u8], text: &[u8]) -> Vec<u8> {
    // An HMAC takes keys of any length.
    let Ok(mut mac) = <M as Mac>::new_from_slice(key) else {
        return Vec::new();
    };
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// What a request is made of, under the names that `string_to_sign` uses: as it is sent, encoded.
fn parts(request: &PageRequest, now: DateTime<Utc>) -> BTreeMap<String, String> {
    let body = request.body.as_deref().unwrap_or_default();
    let url = &request.url;
    [
        ("method", request.method.to_string()),
        ("path", url.path().to_owned()),
        ("query", url.query().unwrap_or_default().to_owned()),
        ("host", url.host_str().unwrap_or_default().to_owned()),
        ("url", url.to_string()),
        ("body", String::from_utf8_lossy(body).into_owned()),
        ("body_sha256", hex::encode(Sha256::digest(body))),
        ("timestamp", now.timestamp().to_string()),
        ("timestamp_ms", now.timestamp_millis().to_string()),
        (
            "timestamp_iso",
            now.to_rfc3339_opts(SecondsFormat::Secs, true),
        ),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(algorithm: HmacAlgorithm) -> Signature {
        Signature::compile(&AuthKind::Hmac {
            algorithm,
            secret: "unused".to_owned(),
            string_to_sign: "{{ method }}".to_owned(),
            header: "X-Signature".to_owned(),
            timestamp_header: None,
            encoding: HmacEncoding::Hex,
        })
        .unwrap()
    }

    /// RFC 2202 (SHA-1) and RFC 4231 (SHA-256, SHA-512), test cases 2, 3 (in part) and 6: short keys, and longer ones than a block.
    #[test]
    fn digests_are_those_of_the_published_vectors() {
        let long_key = [0xaa_u8; 131];
        let long_text = b"Test Using Larger Than Block-Size Key - Hash Key First";
        let cases: [(HmacAlgorithm, &[u8], &[u8], &str); 5] = [
            (
                HmacAlgorithm::Sha1,
                b"Jefe",
                b"what do ya want for nothing?",
                "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
            ),
            (
                HmacAlgorithm::Sha256,
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                HmacAlgorithm::Sha512,
                b"Jefe",
                b"what do ya want for nothing?",
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
            ),
            (
                HmacAlgorithm::Sha256,
                &long_key,
                long_text,
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
            (
                HmacAlgorithm::Sha512,
                &long_key,
                long_text,
                "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f3526b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598",
            ),
        ];
        for (algorithm, key, text, expected) in cases {
            assert_eq!(
                hex::encode(signature(algorithm).digest(key, text)),
                expected
            );
        }
    }
}
