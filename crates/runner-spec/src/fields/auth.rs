//! `auth_config`, by the kind of `auth`.

use super::{ByKind, Choices, Extra, Field, Object, Shape, Text, choices, field};

pub(super) static AUTH_CONFIG: ByKind = ByKind {
    sibling: "auth",
    default: Some("none"),
    objects: &[
        ("none", &NONE),
        ("api_key", &API_KEY),
        ("bearer", &BEARER),
        ("basic", &BASIC),
        ("oauth2", &OAUTH2),
        ("hmac", &HMAC),
    ],
};

const CERTIFICATE: Field = field(
    "client_certificate",
    Shape::Object(&CLIENT_CERTIFICATE),
    "A certificate that the client shows, beside whatever `auth` does",
);

static CLIENT_CERTIFICATE: Object = Object {
    name: "client_certificate",
    description: "PEM texts, or paths of PEM files",
    extra: Extra::Refused,
    fields: &[
        field(
            "certificate",
            Shape::Text(Text::Template),
            "The certificate, or its chain",
        )
        .required(),
        field("key", Shape::Text(Text::Secret), "Its private key").required(),
        field(
            "ca",
            Shape::Text(Text::Template),
            "What the server's certificate is checked against",
        ),
    ],
};

// Further fields are credentials that nothing sends, which a rule says better than "not known".
static NONE: Object = Object {
    name: "auth_none",
    description: "No credentials",
    extra: Extra::Settings,
    fields: &[CERTIFICATE],
};

// What is not required here comes from the bundle of `credentials_ref` where there is one; lowering asks for it where there is none.
static API_KEY: Object = Object {
    name: "auth_api_key",
    description: "A key in a header or in the query",
    extra: Extra::Refused,
    fields: &[
        field(
            "name",
            Shape::Text(Text::Template),
            "Name of the header or parameter",
        )
        .required(),
        field("in", Shape::Choice(&LOCATIONS), "Where the key is sent").default("\"header\""),
        field(
            "value",
            Shape::Text(Text::Secret),
            "The key; with a `credentials_ref` its `api_key` unless given",
        ),
        CERTIFICATE,
    ],
};

static BEARER: Object = Object {
    name: "auth_bearer",
    description: "A token in the Authorization header",
    extra: Extra::Refused,
    fields: &[
        field(
            "token",
            Shape::Text(Text::Secret),
            "The token; with a `credentials_ref` its `token` unless given",
        ),
        CERTIFICATE,
    ],
};

static BASIC: Object = Object {
    name: "auth_basic",
    description: "A user name and a password",
    extra: Extra::Refused,
    fields: &[
        field(
            "username",
            Shape::Text(Text::Template),
            "The user name; with a `credentials_ref` its `username` unless given",
        ),
        field(
            "password",
            Shape::Text(Text::Secret),
            "The password; with a `credentials_ref` its `password` unless given",
        ),
        CERTIFICATE,
    ],
};

static OAUTH2: Object = Object {
    name: "auth_oauth2",
    description: "A token from a token server",
    extra: Extra::Refused,
    fields: &[
        field(
            "grant",
            Shape::Choice(&GRANTS),
            "How the token is asked for",
        )
        .default("\"client_credentials\""),
        field(
            "token_url",
            Shape::Text(Text::Url),
            "Address of the token server",
        )
        .required(),
        field(
            "client_id",
            Shape::Text(Text::Template),
            "Id of the client; with a `credentials_ref` its `client_id` unless given",
        ),
        field(
            "client_secret",
            Shape::Text(Text::Secret),
            "Secret of the client; with a `credentials_ref` its `client_secret` unless given",
        ),
        field(
            "refresh_token",
            Shape::Text(Text::Secret),
            "For `grant: refresh_token`; with a `credentials_ref` its `refresh_token` unless given",
        ),
        field(
            "scopes",
            Shape::OneOrMore(Text::NonEmpty),
            "Scopes that are asked for",
        ),
        field(
            "audience",
            Shape::Text(Text::Template),
            "Audience that is asked for",
        ),
        CERTIFICATE,
    ],
};

static HMAC: Object = Object {
    name: "auth_hmac",
    description: "A signature of each request",
    extra: Extra::Refused,
    fields: &[
        field(
            "algorithm",
            Shape::Choice(&ALGORITHMS),
            "Hash function of the signature",
        )
        .default("\"sha256\""),
        field(
            "secret",
            Shape::Text(Text::Secret),
            "The key; with a `credentials_ref` its `secret` unless given",
        ),
        field(
            "string_to_sign",
            Shape::Text(Text::Template),
            "What is signed; a template",
        )
        .required(),
        field(
            "header",
            Shape::Text(Text::HeaderName),
            "Header of the signature",
        )
        .required(),
        field(
            "timestamp_header",
            Shape::Text(Text::HeaderName),
            "Header of the time that was signed",
        ),
        field(
            "encoding",
            Shape::Choice(&ENCODINGS),
            "How the signature is written",
        )
        .default("\"hex\""),
        CERTIFICATE,
    ],
};

static LOCATIONS: Choices = choices(&[("header", "in a header"), ("query", "in the query string")]);

static GRANTS: Choices = choices(&[
    ("client_credentials", "with the client's own id and secret"),
    ("refresh_token", "with a refresh token"),
]);

static ALGORITHMS: Choices = Choices {
    any_case: true,
    values: &[
        ("sha256", "HMAC-SHA-256"),
        ("sha512", "HMAC-SHA-512"),
        ("sha1", "HMAC-SHA-1, for old APIs"),
    ],
};

static ENCODINGS: Choices = choices(&[("hex", "hexadecimal digits"), ("base64", "base64")]);
