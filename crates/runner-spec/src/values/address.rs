//! Addresses and what HTTP knows: URLs, hosts, headers, statuses.

use url::Url;

use super::{Problem, not_empty};
use crate::Code;

/// An absolute URL.
pub(super) fn check_url(text: &str) -> Result<(), Problem> {
    not_empty(text)?;
    if !text.contains("://") {
        return Err(Problem::new(
            Code::BadUrl,
            format!(
                "`{}` is no URL: it has no scheme",
                without_credentials(text)
            ),
        )
        .help(format!(
            "write it in full, as in `https://{}`",
            without_credentials(text.trim_start_matches('/'))
        )));
    }
    parse(text)
}

/// An absolute URL, or a path of the local file system.
pub(super) fn check_address(text: &str) -> Result<(), Problem> {
    not_empty(text)?;
    if is_local_path(text) {
        Ok(())
    } else {
        parse(text)
    }
}

/// Whether an address is a path rather than a URL; which kinds of source take one is decided where the kind is known.
pub(crate) fn is_local_path(text: &str) -> bool {
    !text.contains("://") && !text.starts_with("file:")
}

fn parse(text: &str) -> Result<(), Problem> {
    match Url::parse(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(Problem::new(
            Code::BadUrl,
            format!("`{}` is no URL: {error}", without_credentials(text)),
        )
        .help("a URL is written like `https://api.example.com/v1`")),
    }
}

/// The address without a user name and a password before its host, and without parameters.
pub(crate) fn without_credentials(text: &str) -> String {
    let text = text.split_once('?').map_or(text, |(address, _)| address);
    let authority = text.find("://").map_or(0, |scheme| scheme + 3);
    match text[authority..].rfind('@') {
        Some(at) => format!("{}***{}", &text[..authority], &text[authority + at..]),
        None => text.to_owned(),
    }
}

/// `api.example.com`, `*.example.com`, with or without a port.
pub(super) fn check_host(text: &str) -> Result<(), Problem> {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let (host, port) = match name.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => (host, Some(port)),
        _ => (name, None),
    };
    let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok());
    if port_fits && !host.is_empty() && url::Host::parse(host).is_ok() {
        return Ok(());
    }
    let help = match Url::parse(text).ok().as_ref().and_then(Url::host_str) {
        Some(host) => format!("write `{host}` alone: no scheme and no path"),
        None => "write a host like `files.example.com`, or `*.example.com` for all hosts below it"
            .to_owned(),
    };
    Err(Problem::new(
        Code::BadUrl,
        format!("`{}` is no host", without_credentials(text)),
    )
    .help(help))
}

pub(super) fn check_header_name(text: &str) -> Result<(), Problem> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_token) {
        return Ok(());
    }
    Err(
        Problem::new(Code::BadHeader, format!("`{text}` is no name of a header"))
            .help("names of headers have letters, digits and `-`, as in `X-Api-Key`"),
    )
}

/// `404`, or `5xx` for a class of statuses.
pub(super) fn check_status(text: &str) -> Result<(), Problem> {
    if is_status(text) {
        return Ok(());
    }
    Err(
        Problem::new(Code::BadStatus, format!("`{text}` is no HTTP status"))
            .help("write a status like `404`, or a class of them like `5xx`"),
    )
}

pub(super) fn check_retry_cause(text: &str) -> Result<(), Problem> {
    if is_status(text) || matches!(text, "timeout" | "connection") {
        return Ok(());
    }
    let help = match crate::nearest(text, ["timeout", "connection"]) {
        Some(cause) => format!("did you mean `{cause}`?"),
        None => {
            "write a status like `503`, a class like `5xx`, `timeout` or `connection`".to_owned()
        }
    };
    Err(Problem::new(
        Code::BadStatus,
        format!("`{text}` is nothing that can be tried again on"),
    )
    .help(help))
}

fn is_status(text: &str) -> bool {
    match text.as_bytes() {
        [b'1'..=b'5', rest @ ..] if rest.len() == 2 => {
            rest == b"xx" || rest == b"XX" || rest.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    }
}
