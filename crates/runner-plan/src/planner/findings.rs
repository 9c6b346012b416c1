//! Everything that the phases notice, in the order in which they notice it.

use runner_spec::{Code, Diagnostic, FieldPath};

#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<Diagnostic>);

impl Findings {
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        // Two loads of one stream have the same things wrong with them.
        if !self.0.contains(&diagnostic) {
            self.0.push(diagnostic);
        }
    }

    pub(crate) fn error(
        &mut self,
        code: Code,
        path: &FieldPath,
        message: String,
        help: impl Into<String>,
    ) {
        self.push(Diagnostic::error(code, path.clone(), message).help(help));
    }

    pub(crate) fn warning(
        &mut self,
        code: Code,
        path: &FieldPath,
        message: String,
        help: impl Into<String>,
    ) {
        self.push(Diagnostic::warning(code, path.clone(), message).help(help));
    }

    pub(crate) fn hint(&mut self, code: Code, path: &FieldPath, message: String) {
        self.push(Diagnostic::hint(code, path.clone(), message));
    }

    pub(crate) fn into_diagnostics(self) -> Vec<Diagnostic> {
        self.0
    }
}

/// Paths of the document's parts.
pub(crate) mod at {
    use runner_spec::FieldPath;

    pub(crate) fn provider() -> FieldPath {
        FieldPath::root().key("provider")
    }

    pub(crate) fn config() -> FieldPath {
        provider().key("config")
    }

    pub(crate) fn endpoint(index: usize) -> FieldPath {
        provider().key("endpoints").index(index)
    }

    pub(crate) fn transform(index: usize) -> FieldPath {
        provider().key("transforms").index(index)
    }

    pub(crate) fn sink(index: usize) -> FieldPath {
        provider().key("sinks").index(index)
    }
}

/// `` `a`, `b` and `c` ``.
pub(crate) fn list<Name: AsRef<str>>(names: &[Name]) -> String {
    let quoted: Vec<String> = names
        .iter()
        .map(|name| format!("`{}`", name.as_ref()))
        .collect();
    match quoted.split_last() {
        None => "nothing".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, first)) => format!("{} and {last}", first.join(", ")),
    }
}

/// "did you mean" where a known name is near, else the fallback.
pub(crate) fn did_you_mean<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
    fallback: impl Into<String>,
) -> String {
    match runner_spec::nearest(name, known) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => fallback.into(),
    }
}
