//! The format as data: every object a document can hold, its fields, and what each field takes.
//!
//! One table serves the check of a document, its JSON Schema and the merging of overlays, so that they can't drift apart.

mod auth;
mod document;
mod endpoint;
mod sink;
mod stream;
mod transform;

use crate::names::{nearest, to_camel_case, to_snake_case};

pub(crate) use document::DOCUMENT;

/// An object with named fields.
#[derive(Debug)]
pub(crate) struct Object {
    /// Its name in messages and in the JSON Schema.
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) fields: &'static [Field],
    pub(crate) extra: Extra,
}

/// What keys an object may have beside its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extra {
    /// None: they are mistakes.
    Refused,
    /// Any: they are settings that templates, sources or sinks read.
    Settings,
    /// Those that begin with `x-`, which are a place for anchors.
    Extensions,
}

/// A named field of an object.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    pub(crate) description: &'static str,
    pub(crate) required: bool,
    /// The value that counts where the field is absent, as JSON.
    pub(crate) default: Option<&'static str>,
}

/// What a field takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    Text(Text),
    Flag,
    Whole(Whole),
    Real(Real),
    Choice(&'static Choices),
    /// A list of texts.
    Texts(Text),
    /// One text or a list of them.
    OneOrMore(Text),
    /// A list of objects.
    List(&'static Object),
    Object(&'static Object),
    /// An object whose fields depend on a sibling.
    ByKind(&'static ByKind),
    /// An object with keys of the author's choice.
    Map(Text, &'static Shape),
    /// An object with any keys and values.
    Settings,
    /// The body of a request: a text, or an object or a list whose texts are templates.
    Body,
    /// `[minimum or null, maximum or null]`.
    Range,
    ForEach,
    Contract,
    Version,
}

/// What a text has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Text {
    /// Any text.
    Plain,
    /// Any text but an empty one.
    NonEmpty,
    /// `[a-z0-9][a-z0-9_-]*`.
    Name,
    /// The name of a stream, a transform or a sink: letters, digits, `_` and `-`.
    StreamName,
    /// A template; numbers and booleans are taken as they are written.
    Template,
    /// A template that makes a secret.
    Secret,
    /// The path of a request: a template.
    RequestPath,
    /// An address, or a template of one.
    Url,
    /// An address, a path of the local file system, or a template of one.
    Address,
    Cron,
    TimeZone,
    JsonPath,
    /// A key, a dotted path or a JSONPath.
    FieldPath,
    /// The name of a column.
    Column,
    /// The column that a field is mapped to, or a template that makes one.
    MappingTarget,
    /// `vault://path`, with or without `#key`.
    SecretBundle,
    /// `vault://path#key`.
    SecretReference,
    /// `90s`, `15m`, `1h30m`.
    Duration,
    Timestamp,
    /// Where an incremental stream begins: a time, a number or a template.
    Initial,
    /// A strftime pattern, `epoch_s` or `epoch_ms`.
    TimeFormat,
    TableName,
    /// A column or a transform of one.
    Partition,
    /// `404` or `5xx`.
    Status,
    /// A status, `timeout` or `connection`.
    RetryCause,
    HeaderName,
    /// The name of a variable of templates.
    Variable,
    /// A host, as in `api.example.com` or `*.example.com`.
    Host,
}

/// A whole number. Like every numeric setting it may be written as a text, or as a template of a setting in `config`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whole {
    pub(crate) minimum: i64,
    pub(crate) maximum: i64,
    /// It is needed only when requests are made, so that any template will do.
    pub(crate) late: bool,
}

/// A number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Real {
    pub(crate) minimum: f64,
    pub(crate) maximum: f64,
    /// The minimum itself is not allowed.
    pub(crate) above: bool,
}

/// A closed list of values.
#[derive(Debug)]
pub(crate) struct Choices {
    pub(crate) values: &'static [(&'static str, &'static str)],
    /// Capitals don't matter.
    pub(crate) any_case: bool,
}

/// Objects to choose from by a sibling's value.
#[derive(Debug)]
pub(crate) struct ByKind {
    pub(crate) sibling: &'static str,
    /// The kind where the sibling is absent.
    pub(crate) default: Option<&'static str>,
    pub(crate) objects: &'static [(&'static str, &'static Object)],
}

impl Object {
    /// The field of a key in either spelling.
    pub(crate) fn field(&self, key: &str) -> Option<&'static Field> {
        self.fields
            .iter()
            .find(|field| field.name == key)
            .or_else(|| {
                let snake = to_snake_case(key);
                self.fields
                    .iter()
                    .find(|field| field.name == snake && to_camel_case(field.name) == key)
            })
    }

    /// The field that an unknown key was probably meant to be.
    pub(crate) fn nearest(&self, key: &str) -> Option<&'static str> {
        nearest(key, self.fields.iter().map(|field| field.name))
    }
}

impl ByKind {
    pub(crate) fn object(&self, kind: Option<&str>) -> Option<&'static Object> {
        let kind = kind.or(self.default)?;
        self.objects
            .iter()
            .find(|(name, _)| *name == kind)
            .map(|(_, object)| *object)
    }
}

impl Choices {
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.values.iter().map(|(name, _)| *name)
    }

    /// The value as the table spells it.
    pub(crate) fn find(&self, text: &str) -> Option<&'static str> {
        self.names()
            .find(|name| *name == text || (self.any_case && name.eq_ignore_ascii_case(text)))
    }
}

impl Text {
    /// Whether numbers and booleans are taken for the text they are written as.
    pub(crate) fn takes_scalars(self) -> bool {
        matches!(
            self,
            Self::Template
                | Self::Secret
                | Self::Status
                | Self::RetryCause
                | Self::Initial
                | Self::Duration
        )
    }

    /// Whether templates in it are rendered.
    pub(crate) fn is_template(self) -> bool {
        matches!(
            self,
            Self::Template
                | Self::Secret
                | Self::RequestPath
                | Self::Url
                | Self::Address
                | Self::MappingTarget
                | Self::Initial
        )
    }
}

impl Field {
    const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    const fn default(mut self, json: &'static str) -> Self {
        self.default = Some(json);
        self
    }
}

const fn field(name: &'static str, shape: Shape, description: &'static str) -> Field {
    Field {
        name,
        shape,
        description,
        required: false,
        default: None,
    }
}

const fn whole(minimum: i64, maximum: i64) -> Shape {
    Shape::Whole(Whole {
        minimum,
        maximum,
        late: false,
    })
}

const fn late(minimum: i64) -> Shape {
    Shape::Whole(Whole {
        minimum,
        maximum: i64::MAX,
        late: true,
    })
}

const fn real(minimum: f64, maximum: f64) -> Shape {
    Shape::Real(Real {
        minimum,
        maximum,
        above: false,
    })
}

const fn positive() -> Shape {
    Shape::Real(Real {
        minimum: 0.0,
        maximum: f64::MAX,
        above: true,
    })
}

const fn choices(values: &'static [(&'static str, &'static str)]) -> Choices {
    Choices {
        values,
        any_case: false,
    }
}

/// The most that a count can be; nobody means a limit by it.
pub(crate) const COUNT: i64 = u32::MAX as i64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_in_both_spellings_and_no_other() {
        for key in ["schema_ref", "schemaRef"] {
            assert_eq!(
                DOCUMENT.field(key).map(|field| field.name),
                Some("schema_ref"),
                "{key}"
            );
        }
        for key in ["SchemaRef", "schema_Ref", "schemaref", "schema-ref"] {
            assert!(DOCUMENT.field(key).is_none(), "{key}");
        }
        assert_eq!(DOCUMENT.nearest("schema-ref"), Some("schema_ref"));
    }
}
