//! PostgreSQL servers.

use runner_spec::Code;
use runner_spec::model::Settings;
use url::Url;

use super::{Config, Configured, qualified, template};
use crate::environment::ConnectionKind;
use crate::model::Target;
use crate::planner::context::scalar_text;
use crate::planner::findings::Findings;
use crate::planner::storage::is_reference;
use crate::template::Template;

const DEFAULT_PORT: u16 = 5432;
const SSL_MODES: [&str; 5] = ["disable", "prefer", "require", "verify-ca", "verify-full"];

/// How a server is reached; texts may be templates of secrets.
#[derive(Clone, Debug)]
pub(super) struct Server {
    url: Option<Template>,
    host: Template,
    port: u16,
    database: Template,
    user: Template,
    password: Option<Template>,
    ssl_mode: String,
    ssl_root_certificate: Option<String>,
    default_schema: String,
}

impl Server {
    pub(super) fn target(&self, table: &str) -> Target {
        let (schema, table) = qualified(table, std::slice::from_ref(&self.default_schema));
        Target::Postgres {
            url: self.url.clone(),
            host: self.host.clone(),
            port: self.port,
            database: self.database.clone(),
            user: self.user.clone(),
            password: self.password.clone(),
            ssl_mode: self.ssl_mode.clone(),
            ssl_root_certificate: self.ssl_root_certificate.clone(),
            schema: schema.join("."),
            table,
        }
    }
}

pub(super) fn configured(config: &Config<'_>, findings: &mut Findings) -> Configured<Server> {
    let connection = match config.connection(ConnectionKind::Postgres, findings) {
        Configured::Yes(connection) => Some(connection),
        Configured::No => None,
        Configured::Broken => return Configured::Broken,
    };
    if connection.is_none() && !config.has("url") && !config.has("host") {
        return Configured::No;
    }
    let settings = config.merged(connection);
    let url = settings.get("url").and_then(scalar_text);
    // Its parts are known when it is resolved, and to nobody before.
    let whole = url.clone().filter(|url| is_one_secret(url)).map(Template);
    let from_url = match url.as_deref().map(parse_url) {
        None => UrlParts::default(),
        Some(_) if whole.is_some() => UrlParts::default(),
        Some(Some(parts)) => parts,
        Some(None) => {
            malformed(config, findings);
            return Configured::Broken;
        }
    };
    let text = |names: &[&str]| {
        names
            .iter()
            .find_map(|name| settings.get(*name).and_then(scalar_text))
    };
    let ssl_mode = text(&["ssl_mode", "sslmode"])
        .or(from_url.ssl_mode)
        .unwrap_or_else(|| if whole.is_some() { "" } else { "prefer" }.to_owned());
    let is_open = whole.is_some() && ssl_mode.is_empty();
    if !is_open && !SSL_MODES.contains(&ssl_mode.as_str()) {
        findings.error(
            Code::UnsupportedSetting,
            &config.path.key("ssl_mode"),
            format!("`{ssl_mode}` is no way to use TLS"),
            "write `disable`, `prefer`, `require`, `verify-ca` or `verify-full`",
        );
    }
    let otherwise = |text: &str| Template::new(if whole.is_some() { "" } else { text });
    let port = port(config, &settings, findings)
        .or(from_url.port)
        .unwrap_or(if whole.is_some() { 0 } else { DEFAULT_PORT });
    let user = template(&settings, &["user", "username"])
        .or(from_url.user)
        .unwrap_or_else(|| otherwise("postgres"));
    Configured::Yes(Server {
        host: template(&settings, &["host"])
            .or(from_url.host)
            .unwrap_or_else(|| otherwise("localhost")),
        port,
        database: template(&settings, &["database", "dbname"])
            .or(from_url.database)
            .unwrap_or_else(|| {
                if whole.is_some() {
                    otherwise("")
                } else {
                    user.clone()
                }
            }),
        user,
        password: template(&settings, &["password"]).or(from_url.password),
        ssl_mode,
        ssl_root_certificate: text(&["ssl_root_certificate", "sslrootcert"])
            .or(from_url.ssl_root_certificate),
        default_schema: text(&["schema"]).unwrap_or_else(|| "public".to_owned()),
        url: whole,
    })
}

fn port(config: &Config<'_>, settings: &Settings, findings: &mut Findings) -> Option<u16> {
    let text = settings.get("port").and_then(scalar_text)?;
    let path = config.path.key("port");
    let number = config.context.number(Some(&text), &path, findings)?;
    let port = u16::try_from(number).ok();
    if port.is_none() {
        findings.error(
            Code::OutOfRange,
            &path,
            format!("`{number}` is no port"),
            "write a number up to 65535",
        );
    }
    port
}

fn malformed(config: &Config<'_>, findings: &mut Findings) {
    findings.error(
        Code::BadUrl,
        &config.path.key("url"),
        "this is no PostgreSQL URL whose parts can be told apart".to_owned(),
        "write `postgres://user:{{ secrets.PASSWORD }}@host:5432/database`, or `host`, `port`, `database`, `user` and `password`",
    );
}

#[derive(Debug, Default)]
struct UrlParts {
    host: Option<Template>,
    port: Option<u16>,
    database: Option<Template>,
    user: Option<Template>,
    password: Option<Template>,
    ssl_mode: Option<String>,
    ssl_root_certificate: Option<String>,
}

/// Takes a URL apart whose user, password, host or database may be templates.
fn parse_url(text: &str) -> Option<UrlParts> {
    let (marked, templates) = mark_templates(text)?;
    let url = Url::parse(&marked).ok()?;
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return None;
    }
    let put_back = |text: &str| -> Option<Template> {
        let mut decoded = percent_decoded(text)?;
        for (index, template) in templates.iter().enumerate() {
            decoded = decoded.replace(&marker(index), template);
        }
        Some(Template(decoded)).filter(|template| !template.0.is_empty())
    };
    let parameter = |wanted: &str| {
        url.query_pairs()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.into_owned())
    };
    Some(UrlParts {
        host: url.host_str().and_then(put_back),
        port: url.port(),
        database: put_back(url.path().trim_start_matches('/')),
        user: put_back(url.username()),
        password: url.password().and_then(put_back),
        ssl_mode: parameter("sslmode"),
        ssl_root_certificate: parameter("sslrootcert"),
    })
}

/// Whether the text is nothing but one template or one reference: `{{ secrets.PG_URL }}`, `vault://path#key`.
fn is_one_secret(text: &str) -> bool {
    let text = text.trim();
    let inner = text
        .strip_prefix("{{")
        .and_then(|rest| rest.strip_suffix("}}"));
    is_reference(text) || inner.is_some_and(|inner| !inner.contains("}}"))
}

/// Stands for a template while the URL is taken apart; nothing of it means anything in a URL.
fn marker(index: usize) -> String {
    format!("uis-template-{index}-")
}

/// The text with each `{{ … }}` replaced by its marker.
fn mark_templates(text: &str) -> Option<(String, Vec<String>)> {
    let mut marked = String::new();
    let mut templates = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (inner, behind) = after.split_once("}}")?;
        marked.push_str(before);
        marked.push_str(&marker(templates.len()));
        templates.push(format!("{{{{{inner}}}}}"));
        rest = behind;
    }
    marked.push_str(rest);
    Some((marked, templates))
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if let (b'%', [high, low, after @ ..]) = (first, tail) {
            let digits = [*high, *low];
            let digits = std::str::from_utf8(&digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_with_its_templates() {
        let shown = |url: &str| {
            let parts = parse_url(url)?;
            let text = |template: Option<Template>| {
                template.map_or_else(String::new, |template| template.0)
            };
            Some(format!(
                "{}|{}|{}|{}|{}|{}",
                text(parts.user),
                text(parts.password),
                text(parts.host),
                parts.port.map_or_else(String::new, |port| port.to_string()),
                text(parts.database),
                parts.ssl_mode.unwrap_or_default()
            ))
        };
        for (url, is_one) in [
            ("{{ secrets.PG_URL }}", true),
            ("vault://warehouse#url", true),
            ("connection://warehouse#url", true),
            ("postgres://{{ secrets.HOST }}/db", false),
            ("{{ secrets.USER }}:{{ secrets.PASSWORD }}", false),
        ] {
            assert_eq!(is_one_secret(url), is_one, "{url}");
        }
        for (url, expected) in [
            (
                "postgres://loader:p%40ss@db.example.com:6432/market?sslmode=require",
                Some("loader|p@ss|db.example.com|6432|market|require"),
            ),
            (
                "postgresql://{{ secrets.USER }}:{{ secrets['pg-pass'] }}@{{ config.host }}/db",
                Some("{{ secrets.USER }}|{{ secrets['pg-pass'] }}|{{ config.host }}||db|"),
            ),
            ("postgres://localhost", Some("||localhost|||")),
            ("{{ secrets.PG_URL }}", None),
            ("mysql://localhost/db", None),
            ("postgres://{{ broken@host/db", None),
        ] {
            assert_eq!(shown(url).as_deref(), expected, "{url}");
        }
    }
}
