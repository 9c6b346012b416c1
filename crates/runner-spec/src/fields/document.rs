//! The document, `global_config` and `provider`.

use super::endpoint::ENDPOINT;
use super::sink::SINK;
use super::transform::TRANSFORM;
use super::{COUNT, Choices, Extra, Object, Shape, Text, choices, field, positive, real, whole};

pub(crate) static DOCUMENT: Object = Object {
    name: "document",
    description: "One data feed: where it comes from, how it is read, what its rows must look like and where they go",
    extra: Extra::Extensions,
    fields: &[
        field(
            "version",
            Shape::Version,
            "Version of the format: 1.0, 1.1 or 1.2",
        )
        .default("\"1.1\""),
        field(
            "name",
            Shape::Text(Text::Name),
            "Name of the feed; with the tenant it identifies the feed's state",
        )
        .required(),
        field(
            "description",
            Shape::Text(Text::Plain),
            "What the feed is about",
        ),
        field(
            "created_by",
            Shape::Text(Text::NonEmpty),
            "Who wrote the document",
        )
        .required(),
        field(
            "created_at",
            Shape::Text(Text::Timestamp),
            "When the document was written",
        ),
        field(
            "provider",
            Shape::Object(&PROVIDER),
            "The source, its endpoints and the sinks",
        )
        .required(),
        field(
            "global_config",
            Shape::Object(&GLOBAL_CONFIG),
            "Limits and secrets of the whole feed",
        ),
        field(
            "mode",
            Shape::Choice(&MODES),
            "As in `provider`, whose own value wins",
        ),
        field(
            "parallelism",
            whole(1, COUNT),
            "As in `provider`, whose own value wins",
        ),
        field("runtime", Shape::Choice(&ENGINES), "Asks for an engine"),
        field(
            "schema_ref",
            Shape::Text(Text::NonEmpty),
            "Name of the contract",
        ),
        field(
            "compat_mode",
            Shape::Choice(&COMPATIBILITIES),
            "How the observed schema may change from run to run",
        )
        .default("\"BACKWARD\""),
        field(
            "$schema",
            Shape::Text(Text::Plain),
            "Address of a JSON Schema, for editors",
        ),
    ],
};

static GLOBAL_CONFIG: Object = Object {
    name: "global_config",
    description: "Limits and secrets of the whole feed",
    extra: Extra::Refused,
    fields: &[
        field("timeout_seconds", whole(1, COUNT), "Limits one request"),
        field("runtime_timeout_minutes", whole(1, COUNT), "Limits the job"),
        field(
            "retry_attempts",
            whole(0, 1000),
            "Retries after the first try",
        ),
        field(
            "retry_backoff_seconds",
            real(0.0, 86_400.0),
            "Wait before the first retry",
        ),
        field(
            "secrets",
            Shape::Map(Text::NonEmpty, &Shape::Text(Text::SecretReference)),
            "Secrets by name; templates read them as `{{ secrets.NAME }}`",
        ),
    ],
};

static PROVIDER: Object = Object {
    name: "provider",
    description: "The source, its endpoints, what is done to the rows and where they go",
    extra: Extra::Refused,
    fields: &[
        field("name", Shape::Text(Text::NonEmpty), "Name of the provider").required(),
        field(
            "display_name",
            Shape::Text(Text::Plain),
            "Name of the provider for people",
        ),
        field(
            "description",
            Shape::Text(Text::Plain),
            "What the provider is",
        ),
        field(
            "owner",
            Shape::Text(Text::NonEmpty),
            "Who answers for the feed",
        )
        .required(),
        field(
            "tags",
            Shape::Texts(Text::NonEmpty),
            "Words to find the feed by",
        ),
        field(
            "provider_type",
            Shape::Choice(&PROVIDER_TYPES),
            "Kind of source",
        )
        .required(),
        field(
            "base_url",
            Shape::Text(Text::Address),
            "Address that the endpoints' paths are relative to",
        ),
        field(
            "config",
            Shape::Object(&SETTINGS),
            "Settings of the source; templates read them as `{{ config.a.b }}`",
        ),
        field(
            "credentials_ref",
            Shape::Text(Text::SecretBundle),
            "The secret bundle of this provider",
        ),
        field(
            "schedule_cron",
            Shape::Text(Text::Cron),
            "When the feed runs: 5 fields, or 6 with seconds first; absent: only on request",
        ),
        field(
            "schedule_timezone",
            Shape::Text(Text::TimeZone),
            "Time zone of the schedule, by its IANA name",
        )
        .default("\"UTC\""),
        field(
            "tenant_id",
            Shape::Text(Text::NonEmpty),
            "The tenant that the feed belongs to",
        )
        .required(),
        field(
            "endpoints",
            Shape::List(&ENDPOINT),
            "What is read: one endpoint is one stream",
        ),
        field(
            "transforms",
            Shape::List(&TRANSFORM),
            "What is done to the rows, in order",
        ),
        field("sinks", Shape::List(&SINK), "Where the rows go").required(),
        field(
            "schema_contract",
            Shape::Contract,
            "JSON Schema of the rows: an object with properties and required",
        ),
        field(
            "slos",
            Shape::Object(&SLOS),
            "Thresholds of quality and freshness",
        ),
        field("mode", Shape::Choice(&MODES), "How the feed runs").default("\"batch\""),
        field(
            "parallelism",
            whole(1, COUNT),
            "Concurrent requests or tasks",
        )
        .default("1"),
        field(
            "retry_config",
            Shape::Object(&RETRY),
            "Retries of one request",
        ),
    ],
};

/// `provider.config` is free; these are the settings that the runner itself reads.
static SETTINGS: Object = Object {
    name: "provider_config",
    description: "Settings of the source; any further ones can be read by templates",
    extra: Extra::Settings,
    fields: &[
        field(
            "retry",
            Shape::Object(&RETRY),
            "Fills what `retry_config` leaves open",
        ),
        field(
            "allowed_hosts",
            Shape::Texts(Text::Host),
            "Hosts that a next URL may lead to beside the one of `base_url`",
        ),
        field(
            "max_document_bytes",
            whole(1, i64::MAX),
            "Limit of a response that has to be read whole",
        )
        .default("67108864"),
        field(
            "lookback_days",
            whole(0, 36_500),
            "Days that `from_date` reaches back where nothing else sets a window",
        )
        .default("7"),
        field(
            "execution_engine",
            Shape::Choice(&ENGINES),
            "Asks for an engine, as `runtime` does",
        ),
        field(
            "interval_seconds",
            positive(),
            "How often a micro_batch feed runs",
        ),
        field(
            "resume_max_age",
            Shape::Text(Text::Duration),
            "How old a checkpoint may be for its chain to be resumed",
        ),
        field(
            "load_columns",
            Shape::Flag,
            "Whether every loaded row carries `_uis_load_id`",
        )
        .default("true"),
        field(
            "stable_order",
            Shape::Flag,
            "Whether the source gives rows in an order that doesn't change between two pages",
        )
        .default("false"),
        field(
            "refresh_token_rotates",
            Shape::Flag,
            "Whether the token server replaces a refresh token when it is used",
        )
        .default("true"),
        field(
            "connect_timeout_seconds",
            whole(1, COUNT),
            "Limits the making of a connection",
        )
        .default("10"),
        field(
            "idle_timeout_seconds",
            whole(1, COUNT),
            "Limits the silence within a response",
        )
        .default("60"),
        field(
            "max_decompression_ratio",
            whole(1, COUNT),
            "How much larger than its compressed form a response may be",
        )
        .default("200"),
        field(
            "checkpoint_interval_seconds",
            whole(1, COUNT),
            "How often a run seals what it has read",
        )
        .default("10"),
        field(
            "checkpoint_pages",
            whole(1, COUNT),
            "After how many pages a run seals what it has read, whatever the time",
        ),
    ],
};

pub(super) static RETRY: Object = Object {
    name: "retry_config",
    description: "Retries of one request",
    extra: Extra::Refused,
    fields: &[
        field(
            "max_attempts",
            whole(1, 1000),
            "Tries in all, the first one included",
        ),
        field(
            "initial_backoff_seconds",
            real(0.0, 86_400.0),
            "Wait before the first retry",
        ),
        field(
            "max_backoff_seconds",
            real(0.0, 86_400.0),
            "Longest wait between two tries",
        ),
        field(
            "multiplier",
            real(1.0, 1000.0),
            "What each wait is longer by",
        ),
        field(
            "retry_on",
            Shape::Texts(Text::RetryCause),
            "Statuses (`503`, `5xx`) and causes (`timeout`, `connection`) that are tried again",
        ),
    ],
};

static SLOS: Object = Object {
    name: "slos",
    description: "Thresholds of quality and freshness",
    extra: Extra::Refused,
    fields: &[
        field(
            "completeness_threshold",
            real(0.0, 1.0),
            "Least share of non-null values of required fields",
        ),
        field(
            "accuracy_threshold",
            real(0.0, 1.0),
            "Least share of rows that pass every check",
        ),
        field(
            "freshness_target_minutes",
            positive(),
            "Greatest age of the newest row",
        ),
        field(
            "freshness_field",
            Shape::Text(Text::Column),
            "The column that says how new a row is",
        ),
        field(
            "availability_target",
            real(0.0, 1.0),
            "Least share of good runs over 30 days",
        ),
        field(
            "block_on_quality_drop",
            Shape::Flag,
            "Whether a missed threshold stops the load",
        )
        .default("true"),
        field(
            "block_on_schema_drift",
            Shape::Flag,
            "Whether schema drift stops the load",
        )
        .default("true"),
    ],
};

static MODES: Choices = choices(&[
    ("batch", "reads what there is, loads it and ends"),
    (
        "micro_batch",
        "one small batch, repeated by schedule or interval",
    ),
    ("streaming", "runs until it is stopped"),
    ("websocket", "reads a WebSocket until it is stopped"),
    ("webhook", "takes what is sent to it until it is stopped"),
    (
        "graphql_subscription",
        "reads a subscription until it is stopped",
    ),
]);

static ENGINES: Choices = choices(&[
    ("embedded", "the engine inside the runner"),
    ("seatunnel", "Apache SeaTunnel"),
    ("spark", "Apache Spark"),
    ("flink", "Apache Flink"),
]);

static COMPATIBILITIES: Choices = Choices {
    any_case: true,
    values: &[
        ("BACKWARD", "new nullable fields and lossless widening"),
        ("FORWARD", "the loss of optional fields"),
        ("FULL", "only what both accept"),
        ("NONE", "anything; changes are recorded"),
    ],
};

static PROVIDER_TYPES: Choices = choices(&[
    ("rest_api", "an HTTP API"),
    ("graphql", "a GraphQL API"),
    ("websocket", "a WebSocket"),
    ("webhook", "requests that are sent to the runner"),
    ("file_ftp", "files in a folder or on an FTP server"),
    ("database", "a database"),
    ("kafka", "Kafka topics"),
    ("s3", "files in an object store"),
]);
