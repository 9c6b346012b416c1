//! oidc-provider: an OAuth2 authorization server with an API behind it that accepts only its tokens.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{
    free_port, http,
    process::{Process, Signal},
};

/// The one client that the server knows.
pub const CLIENT_ID: &str = "feed";
/// Its secret.
pub const CLIENT_SECRET: &str = "feed-secret-0123456789abcdef0123456789abcdef";

/// A running authorization server; see `e2e/node/oauth2.mjs` for its API.
#[derive(Debug)]
pub struct OauthServer {
    process: Process,
    port: u16,
    refresh_token: String,
}

impl OauthServer {
    /// Starts the server; the access tokens it issues live as long as told, and the API takes its time for a page.
    pub fn start(component: &Path, token_lifetime: Duration, page_delay: Duration) -> Result<Self> {
        let port = free_port()?;
        let folder = tempfile::tempdir()?;
        let mut command = Command::new("node");
        command
            .arg(component.join("oauth2.mjs"))
            .arg(port.to_string());
        command.env("TOKEN_TTL_SECONDS", token_lifetime.as_secs().to_string());
        command.env("PAGE_DELAY_MS", page_delay.as_millis().to_string());
        let mut process = Process::start("oauth2", &mut command, folder, Signal::Terminate)?;
        process.wait_until(|process| started(&process.log()).is_some())?;
        let line = started(&process.log()).context("the server's first line has gone")?;
        let refresh_token = line["refresh_token"]
            .as_str()
            .context("the server issued no refresh token")?
            .to_owned();
        Ok(Self {
            process,
            port,
            refresh_token,
        })
    }

    /// Where it listens: `/token` issues tokens, `/api/items?page=N` needs one.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// A refresh token that is good for one use, as a person's consent would have given it.
    pub fn refresh_token(&self) -> &str {
        &self.refresh_token
    }

    /// What the server counted: tokens `issued`, requests for one `refused`, pages `served`.
    pub fn counters(&self) -> Result<Value> {
        http::request("GET", self.port, "/api/requests", &[], b"")?.json()
    }

    pub fn process(&self) -> &Process {
        &self.process
    }
}

/// The line that the server prints once it listens.
fn started(log: &str) -> Option<Value> {
    log.lines()
        .find(|line| line.starts_with('{'))
        .and_then(|line| serde_json::from_str(line).ok())
}
