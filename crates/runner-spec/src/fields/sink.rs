//! A sink: where rows go. `config` is free; the settings of each type that the runner reads are typed.

use super::endpoint::WRITE_MODES;
use super::{ByKind, Choices, Extra, Field, Object, Shape, Text, choices, field, positive, whole};

pub(super) static SINK: Object = Object {
    name: "sink",
    description: "Where rows go",
    extra: Extra::Refused,
    fields: &[
        field(
            "name",
            Shape::Text(Text::StreamName),
            "Name of the sink in reports",
        ),
        field("type", Shape::Choice(&SINK_TYPES), "Kind of sink").required(),
        field(
            "table_name",
            Shape::Text(Text::TableName),
            "The table: `namespace.table`, `schema.table`, or the name of an index or folder",
        ),
        field(
            "config",
            Shape::ByKind(&SINK_CONFIG),
            "Settings of the sink",
        ),
        field(
            "partition_by",
            Shape::OneOrMore(Text::Partition),
            "Columns, or transforms of one such as `day(event_time)`",
        ),
        field(
            "primary_key",
            Shape::OneOrMore(Text::Column),
            "Columns that identify a row; wins over the endpoint's",
        ),
        field(
            "write_mode",
            Shape::Choice(&WRITE_MODES),
            "What a load does to the rows that are there; wins over the endpoint's",
        ),
        field(
            "replace_scope",
            Shape::OneOrMore(Text::Column),
            "Partition columns that a replace is limited to",
        ),
        field(
            "allow_empty",
            Shape::Flag,
            "Whether a replace by no rows is allowed",
        ),
        field(
            "clickhouse_table",
            Shape::Text(Text::TableName),
            "For clickhouse: the table",
        ),
        field(
            "clickhouse_cluster",
            Shape::Text(Text::NonEmpty),
            "For clickhouse: the cluster",
        ),
        field(
            "kafka_topic",
            Shape::Text(Text::NonEmpty),
            "For kafka: the topic",
        ),
        field(
            "kafka_key_field",
            Shape::Text(Text::Column),
            "For kafka: the column of the message key",
        ),
    ],
};

static SINK_TYPES: Choices = choices(&[
    ("iceberg", "an Iceberg table"),
    ("parquet", "Parquet files"),
    ("postgres", "a PostgreSQL table"),
    ("clickhouse", "a ClickHouse table"),
    ("kafka", "a Kafka topic"),
    ("elasticsearch", "an Elasticsearch index"),
]);

static SINK_CONFIG: ByKind = ByKind {
    sibling: "type",
    default: None,
    objects: &[
        ("iceberg", &ICEBERG),
        ("parquet", &PARQUET),
        ("postgres", &POSTGRES),
        ("clickhouse", &CLICKHOUSE),
        ("kafka", &KAFKA),
        ("elasticsearch", &ELASTICSEARCH),
    ],
};

const ENDPOINTS: Field = field(
    "endpoints",
    Shape::OneOrMore(Text::NonEmpty),
    "The streams that go here, whatever the routing says",
);
const FILE_SIZE: Field = field(
    "target_file_size_mb",
    positive(),
    "Size of the files that are written",
);
const URL: Field = field("url", Shape::Text(Text::Url), "Address of the server");
const HOST: Field = field("host", Shape::Text(Text::NonEmpty), "Host of the server");
const PORT: Field = field("port", whole(1, 65_535), "Port of the server");
const DATABASE: Field = field("database", Shape::Text(Text::NonEmpty), "Database");
const USER: Field = field("user", Shape::Text(Text::Template), "User");
const PASSWORD: Field = field(
    "password",
    Shape::Text(Text::Secret),
    "Password: a template or a `vault://` reference",
);

const COMPRESSION: Field = field(
    "compression",
    Shape::Choice(&COMPRESSIONS),
    "Compression of the files",
);
const CONNECTION: Field = field(
    "connection",
    Shape::Text(Text::NonEmpty),
    "A connection of the runner's configuration",
);
const ENDPOINT: Field = field(
    "endpoint",
    Shape::Text(Text::Url),
    "Address of the object store",
);
const REGION: Field = field(
    "region",
    Shape::Text(Text::NonEmpty),
    "Region of the object store",
);
const ACCESS_KEY_ID: Field = field(
    "access_key_id",
    Shape::Text(Text::Template),
    "Id of the object store's access key",
);
const SECRET_ACCESS_KEY: Field = field(
    "secret_access_key",
    Shape::Text(Text::Secret),
    "The access key itself: a template or a `vault://` reference",
);
const SESSION_TOKEN: Field = field(
    "session_token",
    Shape::Text(Text::Secret),
    "Token of a temporary access key: a template or a `vault://` reference",
);
const PATH_STYLE: Field = field(
    "path_style",
    Shape::Flag,
    "Whether the bucket stands in the path instead of the host",
);
const ALLOW_HTTP: Field = field(
    "allow_http",
    Shape::Flag,
    "Whether the object store may be reached without encryption",
);

/// Fields of a sink that writes files: its own, then those of the files and of where they are.
macro_rules! files_of {
    ($($own:expr),* $(,)?) => {
        &[
            $($own,)*
            COMPRESSION,
            FILE_SIZE,
            ENDPOINT,
            REGION,
            ACCESS_KEY_ID,
            SECRET_ACCESS_KEY,
            SESSION_TOKEN,
            PATH_STYLE,
            ALLOW_HTTP,
            ENDPOINTS,
        ]
    };
}

static ICEBERG: Object = Object {
    name: "iceberg_config",
    description: "Settings of an Iceberg sink; any further ones are passed to its catalog",
    extra: Extra::Settings,
    fields: files_of![
        field(
            "catalog",
            Shape::Text(Text::NonEmpty),
            "A connection of the runner's configuration",
        ),
        field(
            "warehouse",
            Shape::Text(Text::NonEmpty),
            "Where the tables are",
        ),
        field(
            "namespace",
            Shape::Text(Text::NonEmpty),
            "Namespace of a table that names none",
        ),
        field("format-version", whole(1, 3), "Version of the table format").default("2"),
        field(
            "type",
            Shape::Text(Text::NonEmpty),
            "Kind of a catalog that is described here: `rest` or `sqlite`",
        ),
        field("uri", Shape::Text(Text::Url), "Address of the catalog"),
        field(
            "token",
            Shape::Text(Text::Secret),
            "Token of a REST catalog: a template or a `vault://` reference",
        ),
        field(
            "credential",
            Shape::Text(Text::Secret),
            "`client_id:client_secret` of a REST catalog: a template or a `vault://` reference",
        ),
    ],
};

static PARQUET: Object = Object {
    name: "parquet_config",
    description: "Settings of a Parquet sink",
    extra: Extra::Settings,
    fields: files_of![
        field(
            "path",
            Shape::Text(Text::NonEmpty),
            "Folder or object store URL",
        ),
        CONNECTION,
    ],
};

static POSTGRES: Object = Object {
    name: "postgres_config",
    description: "Settings of a PostgreSQL sink",
    extra: Extra::Settings,
    fields: &[
        CONNECTION,
        URL,
        HOST,
        PORT,
        DATABASE,
        USER,
        PASSWORD,
        field(
            "schema",
            Shape::Text(Text::NonEmpty),
            "Schema of a table that names none",
        )
        .default("\"public\""),
        field(
            "ssl_mode",
            Shape::Choice(&SSL_MODES),
            "How the connection is encrypted",
        )
        .default("\"prefer\""),
        field(
            "ssl_root_certificate",
            Shape::Text(Text::NonEmpty),
            "File of the certificates that the server's is checked against",
        ),
        ENDPOINTS,
    ],
};

static CLICKHOUSE: Object = Object {
    name: "clickhouse_config",
    description: "Settings of a ClickHouse sink",
    extra: Extra::Settings,
    fields: &[
        URL,
        HOST,
        PORT,
        DATABASE,
        USER,
        PASSWORD,
        field(
            "cluster",
            Shape::Text(Text::NonEmpty),
            "Cluster: a connection of the runner's configuration",
        ),
        field(
            "merge_tree_settings",
            Shape::Settings,
            "Settings of the table's engine",
        ),
        ENDPOINTS,
    ],
};

static KAFKA: Object = Object {
    name: "kafka_config",
    description: "Settings of a Kafka sink",
    extra: Extra::Settings,
    fields: &[
        field(
            "bootstrap_servers",
            Shape::OneOrMore(Text::NonEmpty),
            "Addresses of brokers",
        ),
        field(
            "serialization",
            Shape::Choice(&SERIALIZATIONS),
            "How rows are written",
        )
        .default("\"json\""),
        field(
            "delivery_semantics",
            Shape::Choice(&DELIVERIES),
            "The guarantee that is asked for",
        ),
        ENDPOINTS,
    ],
};

static ELASTICSEARCH: Object = Object {
    name: "elasticsearch_config",
    description: "Settings of an Elasticsearch sink",
    extra: Extra::Settings,
    fields: &[
        URL,
        field(
            "id_field",
            Shape::Text(Text::Column),
            "The column that is the document's id",
        ),
        USER,
        PASSWORD,
        ENDPOINTS,
    ],
};

static COMPRESSIONS: Choices = Choices {
    any_case: true,
    values: &[
        ("zstd", "Zstandard"),
        ("snappy", "Snappy"),
        ("gzip", "gzip"),
        ("lz4", "LZ4"),
        ("brotli", "Brotli"),
        ("none", "no compression"),
        ("uncompressed", "no compression"),
    ],
};

static SSL_MODES: Choices = choices(&[
    ("disable", "not encrypted"),
    ("prefer", "encrypted where the server can"),
    ("require", "encrypted, whoever the server is"),
    (
        "verify-ca",
        "encrypted, with a certificate of a known authority",
    ),
    ("verify-full", "encrypted, with a certificate of this host"),
]);

static SERIALIZATIONS: Choices =
    choices(&[("json", "JSON"), ("avro", "Avro with a schema registry")]);

static DELIVERIES: Choices = choices(&[
    ("exactly_once", "each row once"),
    ("at_least_once", "each row once or more"),
]);
