//! What is there where the path of the rows leads nowhere: what was found furthest along it.

use runner_plan::model::RowPathStep;

use super::paths::path_text;

/// How far a path could be followed, and what is there.
#[derive(Debug, Default)]
pub(crate) struct Missed(Option<(usize, String)>);

impl Missed {
    /// A value that is none of the rows, and begins with this byte.
    pub(crate) fn value(&mut self, path: &[RowPathStep], first: u8) {
        let what = match first {
            b'{' => "an object",
            b'[' => "a list",
            b'"' => "a text",
            b'n' => "null",
            b't' | b'f' => "a boolean",
            _ => "a number",
        };
        self.add(path, &format!("is {what}"));
    }

    pub(crate) fn list(&mut self, path: &[RowPathStep], items: u64) {
        self.add(path, &format!("is a list of {items} items"));
    }

    pub(crate) fn object(&mut self, path: &[RowPathStep], keys: &[String]) {
        if keys.is_empty() {
            self.add(path, "is an empty object");
        } else {
            self.add(path, &format!("has the keys `{}`", keys.join("`, `")));
        }
    }

    pub(crate) fn into_text(self) -> Option<String> {
        self.0.map(|(_, text)| text)
    }

    fn add(&mut self, path: &[RowPathStep], there: &str) {
        let depth = path.len();
        if self.0.as_ref().is_none_or(|(known, _)| depth > *known) {
            self.0 = Some((depth, format!("{} {there}", path_text(path))));
        }
    }
}
