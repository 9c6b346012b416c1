//! An endpoint: one stream of rows.

use super::auth::AUTH_CONFIG;
use super::stream::{DEDUPE, EVENT_TIME, INCREMENTAL, MASKINGS, STATUS_MEANINGS, VALIDATION_RULES};
use super::{COUNT, Choices, Extra, Object, Shape, Text, choices, field, late, positive, whole};

pub(super) static ENDPOINT: Object = Object {
    name: "endpoint",
    description: "One stream of rows, and the requests that read it",
    extra: Extra::Refused,
    fields: &[
        field("name", Shape::Text(Text::StreamName), "Name of the stream").required(),
        field(
            "path",
            Shape::Text(Text::RequestPath),
            "Path behind `base_url`, or a whole URL; a template",
        )
        .required(),
        field("method", Shape::Choice(&METHODS), "HTTP method").default("\"GET\""),
        field(
            "headers",
            Shape::Map(Text::HeaderName, &Shape::Text(Text::Template)),
            "Headers; templates",
        ),
        field(
            "query_params",
            Shape::Map(Text::NonEmpty, &Shape::Text(Text::Template)),
            "Parameters of the query string; templates",
        ),
        field(
            "body_template",
            Shape::Body,
            "Body: a template, or an object whose texts are templates",
        ),
        field("is_active", Shape::Flag, "Whether the stream is read").default("true"),
        field(
            "auth",
            Shape::Choice(&AUTHS),
            "How requests are authenticated",
        )
        .default("\"none\""),
        field(
            "auth_config",
            Shape::ByKind(&AUTH_CONFIG),
            "Settings of `auth`; templates",
        ),
        field(
            "pagination",
            Shape::Choice(&PAGINATIONS),
            "How pages follow each other",
        )
        .default("\"none\""),
        field(
            "pagination_config",
            Shape::Object(&PAGINATION_CONFIG),
            "Settings of `pagination`",
        ),
        field(
            "response_path",
            Shape::Text(Text::JsonPath),
            "Where the rows are in a response; an object there is one row",
        )
        .default("\"$\""),
        field(
            "field_mapping",
            Shape::Map(Text::FieldPath, &Shape::Text(Text::MappingTarget)),
            "Source → column; the source is a key, a dotted path or a JSONPath of the raw row. Without it all fields pass",
        ),
        field(
            "rate_limit_group",
            Shape::Text(Text::NonEmpty),
            "Streams and jobs that name the same group share one rate limit",
        ),
        field(
            "rate_limit_per_second",
            positive(),
            "Requests per second of the group",
        ),
        field(
            "sample_size",
            whole(1, COUNT),
            "Rows that `preview` and schema discovery read",
        )
        .default("100"),
        field(
            "validation_rules",
            Shape::Object(&VALIDATION_RULES),
            "What every row of this stream must satisfy",
        ),
        field(
            "for_each",
            Shape::ForEach,
            "One chain of requests for each value of a list, a range or another stream",
        ),
        field(
            "incremental",
            Shape::Object(&INCREMENTAL),
            "Read only what is new",
        ),
        field(
            "event_time",
            Shape::Object(&EVENT_TIME),
            "For streaming: the watermark",
        ),
        field(
            "dedupe",
            Shape::Object(&DEDUPE),
            "For streaming: the first of equal keys counts",
        ),
        field(
            "masking",
            Shape::Map(Text::FieldPath, &Shape::Choice(&MASKINGS)),
            "Fields that are masked before anything sees them",
        ),
        field(
            "primary_key",
            Shape::OneOrMore(Text::Column),
            "Columns that identify a row",
        ),
        field(
            "write_mode",
            Shape::Choice(&WRITE_MODES),
            "What a load does to the rows that are there",
        )
        .default("\"append\""),
        field(
            "replace_scope",
            Shape::OneOrMore(Text::Column),
            "Partition columns that a replace is limited to",
        ),
        field(
            "allow_empty",
            Shape::Flag,
            "Whether a replace by no rows is allowed",
        )
        .default("false"),
        field(
            "on_status",
            Shape::Map(Text::Status, &Shape::Choice(&STATUS_MEANINGS)),
            "What a status (`404`, `5xx`) means instead of an error",
        ),
    ],
};

static PAGINATION_CONFIG: Object = Object {
    name: "pagination_config",
    description: "Settings of the pagination; numbers may be texts or templates",
    extra: Extra::Refused,
    fields: &[
        field(
            "cursor_param",
            Shape::Text(Text::NonEmpty),
            "Query parameter that a cursor is sent in",
        ),
        field(
            "cursor_path",
            Shape::Text(Text::FieldPath),
            "Where the next cursor is in a response",
        ),
        field(
            "next_url_path",
            Shape::Text(Text::FieldPath),
            "Where the next URL is in a response",
        ),
        field("page_size", late(1), "Rows of a full page"),
        field(
            "max_pages",
            late(1),
            "Most pages of a chain; it is recorded when it cuts one off",
        ),
        field(
            "offset_param",
            Shape::Text(Text::NonEmpty),
            "Query parameter of the offset",
        )
        .default("\"offset\""),
        field(
            "limit_param",
            Shape::Text(Text::NonEmpty),
            "Query parameter of the page size",
        ),
        field(
            "page_param",
            Shape::Text(Text::NonEmpty),
            "Query parameter of the page number",
        )
        .default("\"page\""),
        field("start_page", late(0), "Number of the first page").default("1"),
        field(
            "total_path",
            Shape::Text(Text::FieldPath),
            "Where a response says how many rows there are in all",
        ),
    ],
};

static METHODS: Choices = Choices {
    any_case: true,
    values: &[
        ("GET", "no body"),
        ("POST", "with a body"),
        ("PUT", "with a body"),
        ("PATCH", "with a body"),
        ("DELETE", "rarely of use"),
        ("HEAD", "headers only"),
    ],
};

static AUTHS: Choices = choices(&[
    ("none", "no credentials"),
    ("api_key", "a key in a header or in the query"),
    ("bearer", "a token in the Authorization header"),
    ("basic", "a user name and a password"),
    ("oauth2", "a token from a token server"),
    ("hmac", "a signature of each request"),
]);

static PAGINATIONS: Choices = choices(&[
    ("none", "one request"),
    ("offset", "an offset and a limit"),
    ("page", "the number of a page"),
    ("cursor", "a token or a URL in each response"),
    ("link_header", "the Link header (RFC 8288)"),
    ("next_url", "a URL in each response"),
]);

pub(super) static WRITE_MODES: Choices = choices(&[
    ("append", "rows are added"),
    (
        "replace",
        "the rows of the load take the place of those that are there",
    ),
    ("merge", "rows with the same key are updated, others added"),
]);
