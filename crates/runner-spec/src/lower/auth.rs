//! Authentication of the model. What `auth_config` leaves out comes from the provider's bundle of secrets, by its usual name.

use super::view::View;
use crate::model::{Auth, AuthKind, ClientCertificate};

pub(super) fn lower(endpoint: &View<'_>, has_bundle: bool) -> Auth {
    let view = endpoint.object("auth_config");
    let secret = |name: &str| {
        view.text(name)
            .unwrap_or_else(|| from_bundle(name, has_bundle))
    };
    let kind = match endpoint.text_of_choice("auth") {
        Some("api_key") => AuthKind::ApiKey {
            name: view.required("name"),
            location: view.choice("in").unwrap_or_default(),
            value: view
                .text("value")
                .unwrap_or_else(|| from_bundle("api_key", has_bundle)),
        },
        Some("bearer") => AuthKind::Bearer {
            token: secret("token"),
        },
        Some("basic") => AuthKind::Basic {
            username: secret("username"),
            password: secret("password"),
        },
        Some("oauth2") => AuthKind::Oauth2 {
            grant: view.choice("grant").unwrap_or_default(),
            token_url: view.required("token_url"),
            client_id: secret("client_id"),
            client_secret: view
                .text("client_secret")
                .or_else(|| has_bundle.then(|| from_bundle("client_secret", true))),
            refresh_token: view.text("refresh_token").or_else(|| {
                let needed = view.text("grant").as_deref() == Some("refresh_token");
                (needed && has_bundle).then(|| from_bundle("refresh_token", true))
            }),
            scopes: view
                .texts("scopes")
                .iter()
                .flat_map(|scope| scope.split_whitespace())
                .map(str::to_owned)
                .collect(),
            audience: view.text("audience"),
        },
        Some("hmac") => AuthKind::Hmac {
            algorithm: view.choice("algorithm").unwrap_or_default(),
            secret: secret("secret"),
            string_to_sign: view.required("string_to_sign"),
            header: view.required("header"),
            timestamp_header: view.text("timestamp_header"),
            encoding: view.choice("encoding").unwrap_or_default(),
        },
        Some(_) | None => AuthKind::None,
    };
    let certificate = view.object("client_certificate");
    let client_certificate = certificate.is_present().then(|| ClientCertificate {
        certificate: certificate.required("certificate"),
        key: certificate.required("key"),
        ca: certificate.text("ca"),
    });
    Auth {
        kind,
        client_certificate,
    }
}

/// A template of the bundle's key, or nothing where there is no bundle, which is reported elsewhere.
fn from_bundle(key: &str, has_bundle: bool) -> String {
    if has_bundle {
        format!("{{{{ secrets.{key} }}}}")
    } else {
        String::new()
    }
}
