//! Origins: where credentials may go, and which next URLs are followed.
//!
//! An origin is scheme, host and port. One difference is allowed: a change from `http` to `https` on one host, both on their default
//! ports, stays on the origin. A next URL that says `http` where the API is asked by `https` (a server behind a proxy that doesn't
//! know) is asked by `https`, if neither names a port.

use runner_core::{Error, ErrorKind, Result};
use runner_plan::model::AllowedOrigins;
use url::Url;

/// Whether credentials that `base` gets may also go to `url`.
pub(super) fn is_same_origin(base: &Url, url: &Url) -> bool {
    base.origin() == url.origin()
        || (base.scheme() == "http"
            && url.scheme() == "https"
            && base.host() == url.host()
            && base.port().is_none()
            && url.port().is_none())
}

/// A URL that a response leads to, made absolute.
pub(super) fn resolve(page: &Url, base: &Url, stated: &str) -> Result<Url> {
    let mut url = page.join(stated.trim()).map_err(|cause| {
        Error::new(
            ErrorKind::SourceData,
            "the next URL that the API states is not a URL",
        )
        .with_source(cause)
        .with_help("check `pagination_config.next_url_path`")
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Error::new(
            ErrorKind::SourceData,
            format!(
                "the next URL that the API states has the scheme `{}`",
                url.scheme()
            ),
        )
        .with_help("only `http` and `https` are followed"));
    }
    url.set_fragment(None);
    // Credentials of the API's own making are not used, and not kept either. Neither call fails for an HTTP URL.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let is_downgrade = base.scheme() == "https"
        && url.scheme() == "http"
        && base.host() == url.host()
        && base.port().is_none()
        && url.port().is_none();
    if is_downgrade {
        let _ = url.set_scheme("https");
    }
    Ok(url)
}

/// Whether the document allows this host beside the API's own (`host`, `host:port` or `*.domain`).
pub(super) fn is_allowed(allowed: &AllowedOrigins, url: &Url) -> bool {
    let Some(host) = url.host_str() else {
        return false;
    };
    let port = url.port_or_known_default();
    allowed.hosts.iter().any(|entry| {
        let entry = entry
            .strip_prefix("https://")
            .or_else(|| entry.strip_prefix("http://"))
            .unwrap_or(entry)
            .trim_end_matches('/');
        let (name, entry_port) = match entry.rsplit_once(':') {
            Some((name, digits)) if digits.parse::<u16>().is_ok() => (name, digits.parse().ok()),
            _ => (entry, None),
        };
        let is_port = entry_port.is_none() || entry_port == port;
        let is_host = match name.strip_prefix("*.") {
            Some(domain) => host
                .strip_suffix(domain)
                .is_some_and(|start| start.ends_with('.')),
            None => host.eq_ignore_ascii_case(name),
        };
        is_port && is_host
    })
}

/// Whether a header or parameter of this name is taken for a credential even where no secret is known to be in it.
pub(super) fn is_credential_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_key = name == "key"
        || name.contains("apikey")
        || name.contains("api-key")
        || name.contains("api_key");
    is_key
        || ["auth", "token", "secret", "cookie", "session", "signature", "password", "credential"]
            .iter()
            .any(|part| name.contains(part))
        // Tokens that say where a page is are no credentials.
        && !["page_token", "pagetoken", "next_token", "nexttoken", "page-token"]
            .iter()
            .any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn credentials_stay_on_one_origin() {
        for (base, other, is_same) in [
            ("https://a.example/x", "https://a.example/y?z", true),
            ("https://a.example/x", "https://a.example:443/y", true),
            ("https://a.example/x", "https://a.example:8443/y", false),
            ("https://a.example/x", "http://a.example/y", false),
            ("http://a.example/x", "https://a.example/y", true),
            ("http://a.example:8080/x", "https://a.example/y", false),
            ("http://a.example/x", "https://b.example/y", false),
            ("https://a.example/x", "https://a.example.evil/y", false),
            ("https://a.example/x", "https://sub.a.example/y", false),
        ] {
            assert_eq!(
                is_same_origin(&url(base), &url(other)),
                is_same,
                "{base} {other}"
            );
        }
    }

    #[test]
    fn next_urls_are_made_absolute_and_clean() {
        let base = url("https://a.example/v1/items?limit=5");
        for (stated, expected) in [
            ("?page=2", "https://a.example/v1/items?page=2"),
            ("/v2/items", "https://a.example/v2/items"),
            ("more", "https://a.example/v1/more"),
            ("//b.example/x", "https://b.example/x"),
            ("https://user:pass@a.example/x#part", "https://a.example/x"),
            ("http://a.example/x", "https://a.example/x"),
            ("http://a.example:8080/x", "http://a.example:8080/x"),
            ("http://b.example/x", "http://b.example/x"),
        ] {
            assert_eq!(
                resolve(&base, &base, stated).unwrap().as_str(),
                expected,
                "{stated}"
            );
        }
        for stated in [
            "ftp://a.example/x",
            "javascript:alert(1)",
            "file:///etc/passwd",
            "http://",
        ] {
            assert_eq!(
                resolve(&base, &base, stated).unwrap_err().kind(),
                ErrorKind::SourceData
            );
        }
    }

    #[test]
    fn hosts_are_allowed_by_name_port_or_domain() {
        let allowed = |entry: &str, other: &str| {
            is_allowed(
                &AllowedOrigins {
                    hosts: vec![entry.to_owned()],
                },
                &url(other),
            )
        };
        assert!(allowed("b.example", "https://b.example/x"));
        assert!(allowed("B.example", "https://b.example:8443/x"));
        assert!(allowed("b.example:8443", "https://b.example:8443/x"));
        assert!(!allowed("b.example:8443", "https://b.example/x"));
        assert!(allowed("https://b.example/", "https://b.example/x"));
        assert!(allowed("*.example.org", "https://cdn.example.org/x"));
        assert!(!allowed("*.example.org", "https://example.org/x"));
        assert!(!allowed("*.example.org", "https://evilexample.org/x"));
        assert!(!allowed("b.example", "https://b.example.evil/x"));
    }

    #[test]
    fn names_of_credentials_are_known() {
        for name in [
            "Authorization",
            "X-Api-Key",
            "apiKey",
            "access_token",
            "Cookie",
            "key",
            "X-Signature",
        ] {
            assert!(is_credential_name(name), "{name}");
        }
        for name in ["Accept", "X-Request-Id", "page_token", "limit", "monkey"] {
            assert!(!is_credential_name(name), "{name}");
        }
    }
}
