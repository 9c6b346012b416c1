//! What a single text has to look like: one check per kind of text, with what is wrong and what to write instead.

mod address;
mod columns;
mod paths;
mod schedule;
mod secrets;
mod templates;
mod times;

use std::ops::Range;

use crate::Code;
use crate::fields::Text;

pub use paths::{is_json_path, parse_json_path};
pub use schedule::{BadSchedule, Schedule};
pub use times::{BadDuration, parse_duration};

pub(crate) use address::{is_local_path, without_credentials};
pub(crate) use secrets::is_secret_reference;
pub(crate) use templates::{Reference, is_template, references, setting};

/// What is wrong with a text.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    /// The bytes of the text that are wrong, where it isn't all of it.
    pub(crate) within: Option<Range<usize>>,
}

impl Problem {
    fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            help: None,
            within: None,
        }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    fn within(mut self, within: Option<Range<usize>>) -> Self {
        self.within = within;
        self
    }
}

/// Checks a text against its kind. Texts that may be templates are checked as such, and further only where they are none.
pub(crate) fn check(kind: Text, text: &str) -> Result<(), Problem> {
    if kind.is_template() && is_template(text) {
        return templates::check(text);
    }
    match kind {
        Text::Plain | Text::Template | Text::Secret => Ok(()),
        Text::NonEmpty | Text::RequestPath | Text::MappingTarget | Text::Initial => not_empty(text),
        Text::Name => columns::check_name(text),
        Text::StreamName => columns::check_stream_name(text),
        Text::Column => columns::check_column(text),
        Text::TableName => columns::check_table_name(text),
        Text::Partition => columns::check_partition(text),
        Text::Variable => columns::check_variable(text),
        Text::Url => address::check_url(text),
        Text::Address => address::check_address(text),
        Text::Host => address::check_host(text),
        Text::HeaderName => address::check_header_name(text),
        Text::Status => address::check_status(text),
        Text::RetryCause => address::check_retry_cause(text),
        Text::Cron => schedule::check_cron(text),
        Text::TimeZone => schedule::check_time_zone(text),
        Text::JsonPath => paths::check_json_path(text),
        Text::FieldPath => paths::check_field_path(text),
        Text::SecretBundle => secrets::check_bundle(text),
        Text::SecretReference => secrets::check_reference(text),
        Text::Duration => times::check_duration(text),
        Text::Timestamp => times::check_timestamp(text),
        Text::TimeFormat => times::check_time_format(text),
    }
}

/// Checks a regular expression.
pub(crate) fn check_regex(pattern: &str) -> Result<(), Problem> {
    let Err(error) = regex::Regex::new(pattern) else {
        return Ok(());
    };
    let text = error.to_string();
    let reason = text
        .lines()
        .last()
        .unwrap_or_default()
        .trim_start_matches("error: ")
        .to_lowercase();
    Err(Problem::new(Code::BadRegex, format!("`{pattern}` is no regular expression: {reason}"))
        .help("the syntax is that of Perl without look-around and backreferences; a literal bracket or dot is written `\\[`, `\\.`"))
}

fn not_empty(text: &str) -> Result<(), Problem> {
    if text.trim().is_empty() {
        Err(Problem::new(Code::EmptyValue, "the text is empty")
            .help("write a value, or leave the field out if it is not required"))
    } else {
        Ok(())
    }
}
