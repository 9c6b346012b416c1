//! References to secrets: `vault://path#key`.

use super::Problem;
use crate::Code;

const SCHEME: &str = "vault://";

/// Whether a text refers to a secret rather than being one.
pub(crate) fn is_secret_reference(text: &str) -> bool {
    text.starts_with(SCHEME)
}

/// A bundle of secrets, or one of its keys.
pub(super) fn check_bundle(text: &str) -> Result<(), Problem> {
    split(text).map(|_| ())
}

/// One secret.
pub(super) fn check_reference(text: &str) -> Result<(), Problem> {
    match split(text)? {
        (_, Some(_)) => Ok(()),
        (path, None) => Err(bad(
            "the reference names a bundle of secrets, and one of its keys is needed",
        )
        .help(format!("write `{SCHEME}{path}#key`"))),
    }
}

fn split(text: &str) -> Result<(&str, Option<&str>), Problem> {
    // The text itself may be a secret that was put in the wrong place: it is never repeated.
    let Some(rest) = text.strip_prefix(SCHEME) else {
        return Err(bad(format!(
            "this is no reference to a secret: it doesn't begin with `{SCHEME}`"
        ))
        .help(format!("write `{SCHEME}path#key`")));
    };
    let (path, key) = match rest.split_once('#') {
        Some((path, key)) => (path, Some(key)),
        None => (rest, None),
    };
    let path_fits = !path.is_empty()
        && path
            .split('/')
            .all(|part| !part.is_empty() && part != ".." && part != ".")
        && !path.contains(char::is_whitespace);
    if !path_fits {
        return Err(
            bad("the path of this reference to a secret is empty or has an empty part")
                .help(format!("write `{SCHEME}team/service#key`")),
        );
    }
    if key.is_some_and(|key| {
        key.is_empty() || key.contains(['#', '/']) || key.contains(char::is_whitespace)
    }) {
        return Err(bad(
            "the key of this reference to a secret is empty or has `#`, `/` or a space in it",
        )
        .help(format!("write `{SCHEME}{path}#key`")));
    }
    Ok((path, key))
}

fn bad(message: impl Into<String>) -> Problem {
    Problem::new(Code::BadSecretReference, message)
}
