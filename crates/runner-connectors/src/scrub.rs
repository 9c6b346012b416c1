//! Takes resolved secrets out of texts, in every form in which they occur there, and puts them back where a text is used again.
//!
//! What stands for a secret is `{{secret:REF}}`, and `{{secret:REF|FORM}}` where it was encoded. The forms: plain, percent-encoded
//! (by the several sets that URLs are written with), base64 (standard and URL-safe, padded or not, and as a piece of a longer
//! encoded text such as `user:password`) and JSON-escaped.

mod errors;
mod forms;
mod rows;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use aho_corasick::{AhoCorasick, MatchKind};
use runner_core::{Error, ErrorKind, Result, Secret};

use forms::encoded_forms;

const OPEN: &str = "{{secret:";
const CLOSE: &str = "}}";
/// Stands for the text `{{secret:` itself, so that nobody can plant a placeholder in a text that is restored later.
const LITERAL: &str = "{{secret:|literal}}";
/// What stands behind a text that was cut.
const ELLIPSIS: char = '…';
/// A shorter value is left alone: replacing every `7` of a text hides nothing and destroys the text.
const SHORTEST: usize = 4;

/// Knows the secrets of one run; clones share them.
#[derive(Clone, Default)]
pub struct Scrubber {
    shared: Arc<RwLock<Arc<Known>>>,
}

#[derive(Default)]
struct Known {
    /// Reference → value, as registered.
    secrets: BTreeMap<String, Secret>,
    /// What is looked for: every form of every secret.
    patterns: Vec<String>,
    /// What the patterns are replaced by.
    placeholders: Vec<String>,
    matcher: Option<AhoCorasick>,
}

impl Scrubber {
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on this value, in all its forms, is replaced by `{{secret:REFERENCE}}`.
    pub fn register(&self, reference: &str, secret: &Secret) -> Result<()> {
        if secret.expose().len() < SHORTEST || self.knows(reference, secret) {
            return Ok(());
        }
        let mut known = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        let mut secrets = known.secrets.clone();
        if let Some(old) = secrets.insert(reference.to_owned(), secret.clone()) {
            // A rotated secret is still one: texts written before may hold it.
            let mut name = format!("{reference}|earlier");
            while secrets.contains_key(&name) {
                name.push('+');
            }
            secrets.insert(name, old);
        }
        *known = Arc::new(Known::new(secrets)?);
        Ok(())
    }

    /// Whether there is anything to look for at all.
    pub fn is_empty(&self) -> bool {
        self.known().matcher.is_none()
    }

    /// Whether these bytes hold a secret.
    pub fn finds(&self, bytes: &[u8]) -> bool {
        self.known()
            .matcher
            .as_ref()
            .is_some_and(|matcher| matcher.is_match(bytes))
    }

    /// The text without secrets, for people: errors, logs, rows.
    pub fn hide<'text>(&self, text: &'text str) -> Cow<'text, str> {
        let known = self.known();
        match &known.matcher {
            Some(matcher) if matcher.is_match(text) || known.is_cut(text) => {
                let hidden = known.replace(matcher, text, ToOwned::to_owned);
                Cow::Owned(known.hide_cut(hidden))
            }
            _ => Cow::Borrowed(text),
        }
    }

    /// Whether a text for people holds a secret, or the beginning of one that was cut.
    fn finds_in_text(&self, text: &str) -> bool {
        self.finds(text.as_bytes()) || self.known().is_cut(text)
    }

    /// The text without secrets, for storing; [`Scrubber::restore`] gives it back as it was.
    pub fn scrub(&self, text: &str) -> String {
        let escape = |text: &str| text.replace(OPEN, LITERAL);
        let known = self.known();
        match &known.matcher {
            Some(matcher) => known.replace(matcher, text, escape),
            None => escape(text),
        }
    }

    /// Puts the secrets back into a scrubbed text. Each has to be registered; one that isn't is an error that names it.
    pub fn restore(&self, text: &str) -> Result<String> {
        let known = self.known();
        let mut restored = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, placeholder, after)) = next_placeholder(rest) {
            restored.push_str(before);
            restored.push_str(&known.value_of(placeholder)?);
            rest = after;
        }
        restored.push_str(rest);
        Ok(restored)
    }

    /// References of the secrets that a scrubbed text needs to be restored.
    pub fn references(text: &str) -> Vec<String> {
        let mut references = Vec::new();
        let mut rest = text;
        while let Some((_, placeholder, after)) = next_placeholder(rest) {
            let reference = placeholder.split('|').next().unwrap_or_default();
            if !reference.is_empty() && !references.iter().any(|known| known == reference) {
                references.push(reference.to_owned());
            }
            rest = after;
        }
        references
    }

    fn knows(&self, reference: &str, secret: &Secret) -> bool {
        self.known().secrets.get(reference) == Some(secret)
    }

    fn known(&self) -> Arc<Known> {
        // The value is replaced as a whole: a panic elsewhere can't leave it half written.
        Arc::clone(&self.shared.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Known {
    fn new(secrets: BTreeMap<String, Secret>) -> Result<Self> {
        let mut patterns: Vec<String> = Vec::new();
        let mut placeholders = Vec::new();
        for (reference, secret) in &secrets {
            for (form, text) in encoded_forms(secret.expose()) {
                if !patterns.contains(&text) {
                    patterns.push(text);
                    placeholders.push(placeholder(reference, form));
                }
            }
        }
        let matcher = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(&patterns)
            .map_err(|cause| {
                Error::new(
                    ErrorKind::Secret,
                    "failed to prepare the search for secrets in texts",
                )
                .with_source(cause)
                .with_help("use fewer or shorter secrets in one document")
            })?;
        Ok(Self {
            secrets,
            patterns,
            placeholders,
            matcher: Some(matcher),
        })
    }

    /// Whether a secret's beginning stands before an ellipsis: a text is shortened before anybody looks for secrets in it.
    fn is_cut(&self, text: &str) -> bool {
        text.match_indices(ELLIPSIS)
            .any(|(end, _)| self.cut_before(&text[..end]).is_some())
    }

    /// The longest beginning of a secret that this text ends with: where it starts, and whose it is.
    fn cut_before(&self, text: &str) -> Option<(usize, &str)> {
        let beginnings = self.patterns.iter().zip(&self.placeholders);
        beginnings
            .filter_map(|(pattern, placeholder)| {
                let ends = pattern.char_indices().map(|(end, _)| end).rev();
                let length = ends
                    .take_while(|end| *end >= SHORTEST)
                    .find(|end| text.ends_with(&pattern[..*end]))?;
                Some((text.len() - length, placeholder.as_str()))
            })
            .min_by_key(|(start, _)| *start)
    }

    fn hide_cut(&self, text: String) -> String {
        if !text.contains(ELLIPSIS) {
            return text;
        }
        let mut hidden = String::with_capacity(text.len());
        let mut pieces = text.split(ELLIPSIS).peekable();
        while let Some(piece) = pieces.next() {
            let is_last = pieces.peek().is_none();
            match self.cut_before(piece).filter(|_| !is_last) {
                Some((start, placeholder)) => {
                    hidden.push_str(&piece[..start]);
                    hidden.push_str(placeholder);
                }
                None => hidden.push_str(piece),
            }
            if !is_last {
                hidden.push(ELLIPSIS);
            }
        }
        hidden
    }

    fn replace(&self, matcher: &AhoCorasick, text: &str, keep: impl Fn(&str) -> String) -> String {
        let mut replaced = String::with_capacity(text.len());
        let mut end = 0;
        for found in matcher.find_iter(text) {
            replaced.push_str(&keep(&text[end..found.start()]));
            replaced.push_str(&self.placeholders[found.pattern().as_usize()]);
            end = found.end();
        }
        replaced.push_str(&keep(&text[end..]));
        replaced
    }

    fn value_of(&self, placeholder: &str) -> Result<String> {
        if placeholder == "|literal" {
            return Ok(OPEN.to_owned());
        }
        let (reference, form) = match placeholder.rsplit_once('|') {
            Some((reference, form)) if !self.secrets.contains_key(placeholder) => (reference, form),
            _ => (placeholder, ""),
        };
        let secret = self.secrets.get(reference).ok_or_else(|| {
            Error::new(
                ErrorKind::Secret,
                format!("failed to put the secret `{reference}` back into a stored position"),
            )
            .with_help("its store no longer has it; the chain that it belongs to is read again")
        })?;
        encoded_forms(secret.expose())
            .into_iter()
            .find_map(|(name, text)| (name == form).then_some(text))
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Secret,
                    format!("the secret `{reference}` has no form `{form}` any more"),
                )
            })
    }
}

fn placeholder(reference: &str, form: &str) -> String {
    let separator = if form.is_empty() { "" } else { "|" };
    format!("{OPEN}{reference}{separator}{form}{CLOSE}")
}

/// What stands before the first placeholder, what is in it, and what follows.
fn next_placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once(OPEN)?;
    let (inside, after) = rest.split_once(CLOSE)?;
    Some((before, inside, after))
}

impl std::fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scrubber")
            .field("secrets", &self.known().secrets.keys())
            .finish()
    }
}

#[cfg(test)]
mod tests;
