//! Errors without secrets: the last guard before an error leaves a source.

use runner_core::Error;

use super::Scrubber;

/// The causes of an error, as one text.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Causes(String);

impl Scrubber {
    /// The error, with every secret in its texts hidden; unchanged where there is none.
    pub fn hide_error(&self, error: Error) -> Error {
        let help = error.help().unwrap_or_default();
        let debug = format!("{error:?}");
        let is_clean = [error.chain().as_str(), help, &debug]
            .iter()
            .all(|text| !self.finds_in_text(text));
        if is_clean {
            return error;
        }
        let mut hidden = Error::new(error.kind(), self.hide(error.message()))
            .with_retry(error.retry())
            .with_blame(error.blame());
        if let Some(help) = error.help() {
            hidden = hidden.with_help(self.hide(help));
        }
        for (name, value) in error.context() {
            hidden = hidden.with_context(name, self.hide(value));
        }
        let mut causes = Vec::new();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            causes.push(self.hide(&error.to_string()).into_owned());
            cause = error.source();
        }
        if causes.is_empty() {
            return hidden;
        }
        hidden.with_source(Causes(causes.join(": ")))
    }
}

#[cfg(test)]
mod tests {
    use runner_core::{Blame, ErrorKind, Retry, Secret};

    use super::*;

    #[test]
    fn a_secret_that_was_cut_with_its_text_is_hidden_too() {
        let scrubber = Scrubber::new();
        scrubber
            .register("vault://a#b", &Secret::new("c4nary-value"))
            .unwrap();
        for cut in 4.."c4nary-value".len() {
            let quoted = format!("`{}…` is no number", &"c4nary-value"[..cut]);
            let hidden = scrubber.hide_error(Error::new(ErrorKind::SourceData, quoted));
            assert_eq!(hidden.message(), "`{{secret:vault://a#b}}…` is no number");
        }
        let clean = Error::new(ErrorKind::SourceData, "`c4n…`, … `value…`");
        assert_eq!(scrubber.hide_error(clean).message(), "`c4n…`, … `value…`");
    }

    #[test]
    fn every_text_of_an_error_is_cleaned_and_the_rest_stays() {
        let scrubber = Scrubber::new();
        scrubber
            .register("vault://a#b", &Secret::new("c4nary-value"))
            .unwrap();
        let error = Error::new(ErrorKind::Auth, "the key c4nary-value is refused")
            .with_help("try c4nary-value again")
            .with_context("request", "GET /?key=c4nary-value")
            .with_retry(Retry::WithBackoff)
            .with_blame(Blame::Us)
            .with_source(std::io::Error::other("c4nary-value"));
        let hidden = scrubber.hide_error(error);
        let all = format!("{hidden:?} {} {:?}", hidden.chain(), hidden.help());
        assert!(!all.contains("c4nary"), "{all}");
        assert_eq!(hidden.kind(), ErrorKind::Auth);
        assert_eq!(hidden.retry(), Retry::WithBackoff);
        assert_eq!(hidden.blame(), Blame::Us);
        assert_eq!(
            hidden.message(),
            "the key {{secret:vault://a#b}} is refused"
        );
    }
}
