//! How a stream's bytes are asked for.

use std::collections::BTreeMap;

use runner_spec::model::{Auth, Settings, StatusMeaning};
use serde::{Deserialize, Serialize};

use crate::template::Template;

/// The kinds of source that can be read in this version; `plan` refuses the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum SourcePlan {
    Http(Box<HttpSource>),
    Files(FileSource),
}

/// An endpoint of an HTTP API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HttpSource {
    pub method: String,
    /// Base URL and path; path variables are percent-encoded when rendered.
    pub url: Template,
    pub headers: Vec<(String, Template)>,
    pub query: Vec<(String, Template)>,
    pub body: Option<Body>,
    /// Strings in it are templates.
    pub auth: Auth,
    pub pages: PagePlan,
    pub rows: RowPath,
    /// Absent: decided by the response's content type.
    pub format: Option<DataFormat>,
    pub text: TextFormat,
    pub on_status: Vec<(String, StatusMeaning)>,
    pub rate_limit: Option<RateLimit>,
    pub retry: RetryPolicy,
    pub chains: Chains,
    /// Every variable that the templates use, and what binds it.
    pub variables: Vec<Variable>,
    pub allowed_origins: AllowedOrigins,
    /// Whether the source states a stable order; offset and page kinds without one are warned of.
    pub stable_order: bool,
}

/// A request body.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    Text(Template),
    /// A JSON value whose strings are templates.
    Json(serde_json::Value),
}

/// Origins beside the base URL's that a next URL may lead to; none of them gets credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowedOrigins {
    pub hosts: Vec<String>,
}

/// Pagination with its end conditions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PagePlan {
    pub kind: PageKind,
    pub page_size: Option<u64>,
    pub max_pages: Option<u64>,
    /// Where the API states its own total.
    pub total: Option<RowPath>,
    /// Where the parameters of a page go.
    #[serde(default)]
    pub placement: PagePlacement,
}

/// Where the parameters of a page and of a window go: an offset, a token, a page size, `from_param`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PagePlacement {
    #[default]
    Query,
    /// Entries of the JSON body's object under these keys (none: of the body itself; `variables` for GraphQL).
    Body(Vec<String>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum PageKind {
    None,
    Offset {
        offset_param: String,
        limit_param: Option<String>,
    },
    Page {
        page_param: String,
        size_param: Option<String>,
        start_page: u64,
    },
    /// With neither path the next page is found by the order that the format's description gives.
    Cursor {
        cursor_param: Option<String>,
        size_param: Option<String>,
        cursor_path: Option<RowPath>,
        next_url_path: Option<RowPath>,
    },
    LinkHeader {
        size_param: Option<String>,
    },
    NextUrl {
        path: Option<RowPath>,
        size_param: Option<String>,
    },
}

/// A path into a document or a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowPath {
    /// Names, indices and `[*]`: decoded while the bytes stream.
    Steps(Vec<RowPathStep>),
    /// Any other JSONPath (RFC 9535): needs the whole document.
    Query(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowPathStep {
    Name(String),
    Index(u64),
    Each,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataFormat {
    Json,
    JsonLines,
    Csv,
    Xml,
    Parquet,
}

/// Settings of the text formats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextFormat {
    pub delimiter: char,
    pub quote: char,
    pub has_header: bool,
    /// Texts that mean null.
    pub nulls: Vec<String>,
}

impl Default for TextFormat {
    fn default() -> Self {
        Self {
            delimiter: ',',
            quote: '"',
            has_header: true,
            nulls: vec![String::new()],
        }
    }
}

/// One token bucket a group and provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RateLimit {
    pub group: String,
    /// Absent: only what the server's answers say.
    pub per_second: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Retries after the first try.
    pub max_retries: u32,
    pub initial_backoff_ms: u64,
    pub max_backoff_ms: u64,
    pub multiplier: f64,
    /// Statuses (`503`, `5xx`) and causes (`timeout`, `connection`).
    pub retry_on: Vec<String>,
}

/// How many request chains the stream has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Chains {
    Single,
    /// One per value.
    Values {
        variable: String,
        values: Vec<String>,
    },
    /// One per number; inclusive at both ends.
    Range {
        variable: String,
        from: i64,
        to: i64,
        step: i64,
    },
    /// One per distinct value of the parent, in first-seen order.
    Parent {
        variable: String,
        stream: String,
        /// Target column of the parent.
        field: String,
        /// The parent's own incremental run bounds the children too.
        incremental: bool,
        /// Further fields of the same row. A chain's value is then the JSON list of all of them, `field` first, and distinct
        /// values are distinct lists.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        more: Vec<ParentField>,
    },
}

/// A further field of a parent's row, and the variable that it binds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentField {
    pub variable: String,
    /// Target column of the parent.
    pub field: String,
}

impl Chains {
    /// Columns of the parent whose values make a chain's value, in their order.
    pub fn parent_columns(&self) -> Vec<&str> {
        match self {
            Self::Single | Self::Values { .. } | Self::Range { .. } => Vec::new(),
            Self::Parent { field, more, .. } => std::iter::once(field)
                .chain(more.iter().map(|further| &further.field))
                .map(String::as_str)
                .collect(),
        }
    }

    /// The variables of a chain by its value.
    pub fn variables(&self, value: &str) -> BTreeMap<String, String> {
        match self {
            Self::Single => BTreeMap::new(),
            Self::Values { variable, .. } | Self::Range { variable, .. } => {
                BTreeMap::from([(variable.clone(), value.to_owned())])
            }
            Self::Parent { variable, more, .. } => {
                let names =
                    std::iter::once(variable).chain(more.iter().map(|field| &field.variable));
                let values = if more.is_empty() {
                    vec![value.to_owned()]
                } else {
                    split_values(value)
                };
                names.cloned().zip(values).collect()
            }
        }
    }
}

/// One text of the values of one row, or of the names of the columns that they come from: a single one stands for itself.
pub fn join_values<Text: AsRef<str>>(values: &[Text]) -> String {
    match values {
        [single] => single.as_ref().to_owned(),
        several => {
            let texts = several.iter().map(|text| text.as_ref().into());
            serde_json::Value::Array(texts.collect()).to_string()
        }
    }
}

/// The values of a text that [`join_values`] made of several.
pub fn split_values(joined: &str) -> Vec<String> {
    serde_json::from_str(joined).unwrap_or_default()
}

/// A variable of a template, and what binds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    pub name: String,
    pub source: VariableSource,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VariableSource {
    Parameter,
    Window,
    Parent,
    ForEach,
    Secret,
    Config,
    Run,
    /// The page that is asked for (`cursor`, `offset`, `page`, `page_size`): null, or empty text, where there is none yet.
    Page,
}

/// Reading only what is new, or a default window of days.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IncrementalPlan {
    /// Target column; absent for a default window of days.
    pub cursor_field: Option<String>,
    pub initial: Option<String>,
    pub lookback_ms: u64,
    pub settle_ms: u64,
    pub from_param: Option<String>,
    pub to_param: Option<String>,
    pub window: Window,
    pub format: TimeFormat,
}

/// How the time between the cursor and the nominal time is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// From the cursor on, without an upper bound.
    Open,
    /// From the cursor to the nominal time less `settle`, in one piece.
    Whole,
    /// In steps of this many milliseconds.
    Steps { step_ms: u64 },
    /// The default of days back from the nominal time; it reads days again on every run.
    LastDays { days: u32 },
}

/// How a window's bound is written into a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeFormat {
    /// As the cursor came from the source: the date for dates, RFC 3339 for date-times, the number for numbers.
    Natural,
    Date,
    EpochSeconds,
    EpochMillis,
    Strftime(String),
}

/// Files, in a folder or an object store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileSource {
    /// URL of a file, a folder or a glob (`file://`, `s3://`, or a path relative to the working folder).
    pub location: Template,
    /// Name of the connection that holds the object store's settings.
    pub connection: Option<String>,
    /// The object store's settings, the connection's included; strings are templates.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    pub storage: Settings,
    /// Absent: by each file's extension.
    pub format: Option<DataFormat>,
    pub rows: RowPath,
    pub text: TextFormat,
    pub variables: Vec<Variable>,
}

/// What an HMAC's `string_to_sign` may use beside every other name: parts of the request that is signed.
pub const SIGNING_VARIABLES: [&str; 10] = [
    "body",
    "body_sha256",
    "host",
    "method",
    "path",
    "query",
    "timestamp",
    "timestamp_iso",
    "timestamp_ms",
    "url",
];

/// Names under which templates find the page that is asked for, where the stream has pages.
pub const PAGE_VARIABLES: [&str; 4] = ["cursor", "offset", "page", "page_size"];

#[cfg(test)]
mod tests {
    use super::*;

    fn parent(more: Vec<ParentField>) -> Chains {
        Chains::Parent {
            variable: "org".to_owned(),
            stream: "repositories".to_owned(),
            field: "owner".to_owned(),
            incremental: false,
            more,
        }
    }

    #[test]
    fn a_chain_of_one_field_has_its_value_as_it_is() {
        let chains = parent(Vec::new());
        assert_eq!(chains.parent_columns(), ["owner"]);
        let value = join_values(&["[\"odd\"]"]);
        assert_eq!(chains.variables(&value)["org"], "[\"odd\"]");
    }

    #[test]
    fn a_chain_of_several_fields_has_a_list_of_values() {
        let chains = parent(vec![ParentField {
            variable: "repo".to_owned(),
            field: "name".to_owned(),
        }]);
        assert_eq!(chains.parent_columns(), ["owner", "name"]);
        let value = join_values(&["a\"b", "c,d"]);
        let variables = chains.variables(&value);
        assert_eq!(variables["org"], "a\"b");
        assert_eq!(variables["repo"], "c,d");
        assert_ne!(join_values(&["a", "b,c"]), join_values(&["a,b", "c"]));
    }
}
