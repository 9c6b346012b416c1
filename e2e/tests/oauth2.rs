//! Tokens from a certified OAuth2 server: client credentials, and refresh tokens that are good for one use.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use runner_e2e::{
    Outcome, Runner,
    provision::{NODE_SERVERS, READERS},
    readers::{Question, Readers},
    repository, require,
    servers::{CLIENT_SECRET, OauthServer},
    write_secrets,
};
use serde_json::{Value, json};

const ITEMS: u64 = 6;

fn run(server: &OauthServer, folder: &Path, grant: &str) -> Result<Outcome> {
    let overlay = folder.join("overlay.json");
    let sinks = json!([{"type": "parquet", "table_name": "items", "config": {"path": folder.join("items")}}]);
    let provider =
        json!({"base_url": server.url(), "config": {"issuer": server.url()}, "sinks": sinks});
    fs::write(&overlay, json!({ "provider": provider }).to_string())?;
    Runner::new(&folder.join("data"))?
        .sample(&repository().join(format!("e2e/documents/oauth2-{grant}.yaml")))
        .option("--overlay", &overlay)
        .option("--secrets", folder.join("secrets.json"))
        .run()
}

fn keep(folder: &Path, keys: &Value) -> Result<()> {
    write_secrets(
        &folder.join("secrets.json"),
        &json!({ "tests/oauth2": keys }),
    )
}

fn items(python: &Path, folder: &Path) -> Result<u64> {
    let pattern = folder.join("items/**/*.parquet");
    Ok(Readers::new(python)
        .parquet(&pattern.to_string_lossy(), &Question::default())?
        .rows)
}

#[test]
fn client_credentials_are_exchanged_for_a_token_and_a_wrong_secret_is_an_auth_error() -> Result<()>
{
    let (Some(component), Some(python)) = (require(&NODE_SERVERS), require(&READERS)) else {
        return Ok(());
    };
    let server = OauthServer::start(&component, Duration::from_mins(1), Duration::ZERO)?;
    let folder = tempfile::tempdir()?;

    keep(folder.path(), &json!({"client_secret": "not-the-secret"}))?;
    let refused = run(&server, folder.path(), "client_credentials")?;
    assert_eq!(
        refused.json()?["error"]["kind"],
        "auth",
        "{}",
        refused.describe()
    );
    assert!(
        !refused.describe().contains("not-the-secret"),
        "a secret is in the output"
    );
    assert_eq!(items(&python, folder.path())?, 0);

    keep(folder.path(), &json!({"client_secret": CLIENT_SECRET}))?;
    let loaded = run(&server, folder.path(), "client_credentials")?;
    assert_eq!(loaded.code, Some(0), "{}", loaded.describe());
    assert!(
        !loaded.describe().contains(CLIENT_SECRET),
        "a secret is in the output"
    );
    assert_eq!(items(&python, folder.path())?, ITEMS);
    assert_eq!(
        server.counters()?["issued"],
        1,
        "one token serves all pages"
    );
    Ok(())
}

#[test]
fn a_rotated_refresh_token_is_written_back_so_that_the_next_run_has_it() -> Result<()> {
    let (Some(component), Some(_)) = (require(&NODE_SERVERS), require(&READERS)) else {
        return Ok(());
    };
    let server = OauthServer::start(&component, Duration::from_mins(1), Duration::ZERO)?;
    let folder = tempfile::tempdir()?;
    let first = server.refresh_token();
    keep(
        folder.path(),
        &json!({"client_secret": CLIENT_SECRET, "refresh_token": first}),
    )?;
    for attempt in 1..=3 {
        let outcome = run(&server, folder.path(), "refresh_token")?;
        assert_eq!(
            outcome.code,
            Some(0),
            "run {attempt}: {}",
            outcome.describe()
        );
    }
    let stored: Value = serde_json::from_slice(&fs::read(folder.path().join("secrets.json"))?)?;
    let token = stored["tests/oauth2"]["refresh_token"]
        .as_str()
        .context("the token has gone")?;
    assert_ne!(
        token, first,
        "the token that was used up still stands in the file"
    );
    assert_eq!(server.counters()?["refused"], 0);
    Ok(())
}

#[test]
fn a_token_that_expires_on_the_way_is_renewed() -> Result<()> {
    let (Some(component), Some(python)) = (require(&NODE_SERVERS), require(&READERS)) else {
        return Ok(());
    };
    // A page takes longer than a token lives: each finds the token of the one before expired.
    let server = OauthServer::start(&component, Duration::from_secs(2), Duration::from_secs(3))?;
    let folder = tempfile::tempdir()?;
    keep(folder.path(), &json!({"client_secret": CLIENT_SECRET}))?;
    let outcome = run(&server, folder.path(), "client_credentials")?;
    assert_eq!(outcome.code, Some(0), "{}", outcome.describe());
    assert_eq!(items(&python, folder.path())?, ITEMS);
    assert!(
        server.counters()?["issued"].as_u64() > Some(2),
        "{}",
        server.counters()?
    );
    Ok(())
}
