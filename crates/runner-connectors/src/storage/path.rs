//! Local paths as documents write them: plain, or as a `file:` URL.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;

const FILE_SCHEME: &str = "file:";

/// Why a `file:` URL is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoPath {
    #[error("it is a file URL that names a host")]
    Host,
    #[error("it holds percent-encoded bytes that are not UTF-8")]
    Encoding,
}

impl NoPath {
    pub(crate) fn help(self) -> &'static str {
        match self {
            Self::Host => {
                "write `file:///folder/name`, or `file://./folder/name` for a path in the working folder"
            }
            Self::Encoding => "percent-encode the bytes of UTF-8, or write the path as it is",
        }
    }
}

/// The path that a location names on this machine; none for one elsewhere. `file:./x` and `file://./x` are of the working folder, as
/// `./x` is.
pub(crate) fn local_path(location: &str) -> Result<Option<PathBuf>, NoPath> {
    let Some(rest) = location.strip_prefix(FILE_SCHEME) else {
        let is_elsewhere = location.contains("://");
        return Ok((!is_elsewhere).then(|| PathBuf::from(location)));
    };
    let path = match rest.strip_prefix("//") {
        None => rest,
        Some(path) => {
            let path = path.strip_prefix("localhost").unwrap_or(path);
            let is_path = ["/", "./", "../"]
                .iter()
                .any(|begin| path.starts_with(begin));
            if !(is_path || path.is_empty()) {
                return Err(NoPath::Host);
            }
            path
        }
    };
    // A pattern at the root leaves nothing before it.
    let path = if path.is_empty() { "/" } else { path };
    let decoded = percent_decode_str(path)
        .decode_utf8()
        .map_err(|_| NoPath::Encoding)?;
    Ok(Some(PathBuf::from(decoded.as_ref())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_paths_in_each_of_their_spellings() {
        for (location, path) in [
            ("/a/b c", Ok(Some("/a/b c"))),
            ("a%20b", Ok(Some("a%20b"))),
            ("./a", Ok(Some("./a"))),
            ("file:///a/b%20c", Ok(Some("/a/b c"))),
            ("file://localhost/a", Ok(Some("/a"))),
            ("file:/a", Ok(Some("/a"))),
            ("file:a", Ok(Some("a"))),
            ("file:./a", Ok(Some("./a"))),
            ("file://./a", Ok(Some("./a"))),
            ("file://../a", Ok(Some("../a"))),
            ("file://host/a", Err(NoPath::Host)),
            ("file:///%ff", Err(NoPath::Encoding)),
            ("s3://bucket/a", Ok(None)),
        ] {
            let expected = path.map(|path| path.map(PathBuf::from));
            assert_eq!(local_path(location), expected, "{location}");
        }
    }
}
