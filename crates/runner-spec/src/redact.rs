//! Secrets that were written into a document in plain text: found, masked wherever the text is drawn, and reported.

use std::collections::HashSet;

use crate::source::Source;
use crate::tree::{Node, Span, Value};
use crate::values;

/// Names of settings whose values are secrets.
const SECRET_NAMES: [&str; 17] = [
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "secretkey",
    "privatekey",
    "clientsecret",
    "accesstoken",
    "refreshtoken",
    "authorization",
    "xapikey",
    "secretaccesskey",
    "connectionstring",
];

/// Beginnings of well-known kinds of keys, with the least length of the whole.
const PREFIXES: [(&str, usize); 19] = [
    ("sk_live_", 16),
    ("sk_test_", 16),
    ("rk_live_", 16),
    ("sk-", 32),
    ("ghp_", 36),
    ("gho_", 36),
    ("ghs_", 36),
    ("github_pat_", 30),
    ("glpat-", 20),
    ("xoxb-", 20),
    ("xoxp-", 20),
    ("AKIA", 20),
    ("ASIA", 20),
    ("AIza", 35),
    ("hvs.", 24),
    ("npm_", 36),
    ("pypi-", 40),
    ("eyJ", 60),
    ("-----BEGIN", 40),
];

/// Settings whose keys are names of fields or variables, of which one may well be called `token`.
const NAMES_OF_FIELDS: [&str; 10] = [
    "field_mapping",
    "fieldMapping",
    "masking",
    "validation_rules",
    "validationRules",
    "schema_contract",
    "schemaContract",
    "for_each",
    "forEach",
    "on_status",
];

/// Settings all of whose values are references to secrets, and secrets where they are not.
const REFERENCES: [&str; 3] = ["secrets", "credentials_ref", "credentialsRef"];

/// The most settings on one line that are looked at where the text could not be read.
const MAX_SETTINGS: usize = 64;

/// The places whose text must not be shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Masks {
    spans: HashSet<Span>,
}

impl Masks {
    /// Every secret of a tree.
    pub(crate) fn of(tree: &Node) -> Self {
        let mut masks = Self::default();
        masks.collect(tree, None);
        masks
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.spans.extend(other.spans);
    }

    pub(crate) fn covers(&self, span: Span) -> bool {
        self.spans.contains(&span)
    }

    fn collect(&mut self, node: &Node, key: Option<&str>) {
        match &node.value {
            Value::Object(entries) => {
                let holds_credentials = key == Some("auth_config") || key == Some("authConfig");
                let holds_references = key.is_some_and(|key| REFERENCES.contains(&key));
                for entry in entries
                    .iter()
                    .filter(|entry| !NAMES_OF_FIELDS.contains(&entry.key.as_str()))
                {
                    let is_secret = (holds_credentials && entry.key == "value")
                        || holds_references
                        || REFERENCES.contains(&entry.key.as_str());
                    let is_leaf = !matches!(entry.value.value, Value::Object(_));
                    self.collect(
                        &entry.value,
                        if is_secret && is_leaf {
                            Some("secret")
                        } else {
                            Some(&entry.key)
                        },
                    );
                }
            }
            Value::List(items) => items.iter().for_each(|item| self.collect(item, key)),
            Value::Text(text) => {
                let is_address = key.is_some_and(is_address_name) && has_password(&text.value);
                if is_plain_secret(key, &text.value) || is_address || has_credentials(&text.value) {
                    self.spans.insert(node.span);
                }
            }
            Value::Number(number) => {
                if key.is_some_and(is_secret_name) && number.written.len() >= 4 {
                    self.spans.insert(node.span);
                }
            }
            Value::Null | Value::Boolean(_) => {}
        }
    }
}

/// Whether a text is a secret, by the name of its setting or by its own looks.
pub(crate) fn is_plain_secret(key: Option<&str>, text: &str) -> bool {
    if text.trim().is_empty() || values::is_template(text) || values::is_secret_reference(text) {
        return false;
    }
    key.is_some_and(is_secret_name) || looks_like_key(text)
}

/// Whether a URL has a password before its host, or a secret among its parameters.
pub(crate) fn has_credentials(text: &str) -> bool {
    let password = text.split("://").skip(1).any(|rest| {
        let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
        has_password(authority)
    });
    password
        || text
            .split_once('?')
            .is_some_and(|(_, query)| has_secret_parameter(query))
}

/// `user:password@host`
fn has_password(authority: &str) -> bool {
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    let password = user
        .and_then(|user| user.split_once(':'))
        .map(|(_, password)| password);
    password.is_some_and(|password| !password.is_empty() && !values::is_template(password))
}

/// `limit=5&api_key=…`
fn has_secret_parameter(query: &str) -> bool {
    let mut parameters = query
        .split(['&', '#'])
        .take(MAX_SETTINGS)
        .filter_map(|parameter| parameter.split_once('='));
    parameters.any(|(name, value)| {
        is_secret_name(name) && !value.is_empty() && !values::is_template(value)
    })
}

/// Whether a setting holds an address, which may have credentials even if its scheme was forgotten.
fn is_address_name(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["url", "host", "servers"]
        .iter()
        .any(|end| key.ends_with(end))
}

/// Whether a setting of this name holds a secret.
pub(crate) fn is_secret_name(key: &str) -> bool {
    let name: String = key
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|character| character.to_ascii_lowercase())
        .collect();
    SECRET_NAMES
        .iter()
        .any(|secret| name == *secret || (name.ends_with(secret) && secret.len() >= 8))
        || name.ends_with("password")
}

fn looks_like_key(text: &str) -> bool {
    let text = text
        .trim()
        .trim_start_matches("Bearer ")
        .trim_start_matches("Basic ");
    PREFIXES.iter().any(|(prefix, length)| {
        text.starts_with(prefix)
            && text.len() >= *length
            && (*prefix == "-----BEGIN" || !text.contains(char::is_whitespace))
    }) && (!text.starts_with("-----BEGIN") || text.contains("PRIVATE KEY"))
}

/// The source with secrets replaced by asterisks, byte for byte, so that every position stays.
pub(crate) fn masked(source: &Source, tree: Option<&Node>) -> Source {
    let mut bytes = source.text.clone().into_bytes();
    match tree {
        Some(tree) => Masks::of(tree)
            .spans
            .iter()
            .for_each(|span| mask(&mut bytes, span.range())),
        None => mask_lines(&source.text, &mut bytes),
    }
    Source {
        name: source.name.clone(),
        text: String::from_utf8(bytes).unwrap_or_default(),
    }
}

/// What can be done without a tree: what follows the name of a secret on its line, and URLs with passwords.
fn mask_lines(text: &str, bytes: &mut [u8]) {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        // Of a line with very many of them the rest is no setting that somebody wrote.
        for (at, _) in line.match_indices([':', '=']).take(MAX_SETTINGS) {
            let name = line[..at].trim_end().trim_end_matches(['"', '\'']);
            let is_part =
                |character: char| character.is_alphanumeric() || matches!(character, '_' | '-');
            let name = name
                .rsplit(|character| !is_part(character))
                .next()
                .unwrap_or_default();
            let value = line[at + 1..].trim().trim_matches(['"', '\'', ',', '}']);
            if holds_secret(name, value) {
                mask(bytes, start + at + 1..start + line.len());
                break;
            }
        }
        if has_credentials(line) || line.split([' ', '"', '\'']).any(looks_like_key) {
            mask(bytes, start..start + line.len());
        }
        start += line.len();
    }
}

fn holds_secret(name: &str, value: &str) -> bool {
    let is_secret = is_secret_name(name)
        || (name.ends_with("key") && value.len() >= 16 && !value.contains([' ', ',']));
    is_secret && !values::is_template(value) && !values::is_secret_reference(value)
}

fn mask(bytes: &mut [u8], range: std::ops::Range<usize>) {
    if let Some(bytes) = bytes.get_mut(range) {
        for byte in bytes
            .iter_mut()
            .filter(|byte| !matches!(**byte, b'\n' | b'\r' | b' ' | b'\t' | b'"' | b'\''))
        {
            *byte = b'*';
        }
    }
}
