//! Servers that refuse what comes too fast: the run waits, goes slower, and still has every row once.

use std::fs;

use anyhow::{Result, ensure};
use runner_e2e::{
    provision::{NGINX, READERS, REST_FRAMEWORKS},
    require,
    servers::{Answered, Nginx, RestApi},
};
use serde_json::{Value, json};

use crate::feed::{Feed, check_asked_once, endpoint, stream, with};

fn refused(answered: &[Answered], path: &str, status: u16) -> usize {
    answered
        .iter()
        .filter(|request| request.target.starts_with(path) && request.status == status)
        .count()
}

#[test]
fn a_throttle_that_says_when_to_come_back_is_waited_for() -> Result<()> {
    let (Some(component), Some(python)) = (require(&REST_FRAMEWORKS), require(&READERS)) else {
        return Ok(());
    };
    let server = RestApi::start(&component, 45, "unused")?;
    let readings = with(
        endpoint("readings", "/throttled/45", "$.results"),
        &json!({"pagination": "page", "pagination_config": {"page_size": 10}}),
    );
    let feed = Feed::new(&server.url(), &[readings])?;
    let report = feed.report()?;
    Feed::check_rows(&feed.tables(&python)?, "readings", 1, 45)?;
    let answered = server.answered();
    check_asked_once(&answered)?;
    let refused = refused(&answered, "/throttled", 429);
    ensure!((1..=2).contains(&refused), "{answered:?}");
    ensure!(
        stream(&report, "readings")?["requests"] == json!(5 + refused),
        "{report}"
    );
    Ok(())
}

/// Two requests a second, and for any other: a status by itself, one with a time to come back, and nginx's own default.
const LIMITS: &str = "\
  limit_req_zone $binary_remote_addr zone=patience:64k rate=2r/s;
  limit_req_zone $binary_remote_addr zone=retry_after:64k rate=2r/s;
  limit_req_zone $binary_remote_addr zone=unavailable:64k rate=2r/s;
";

#[test]
fn limits_of_nginx_slow_a_run_down() -> Result<()> {
    let (Some(component), Some(python)) = (require(&NGINX), require(&READERS)) else {
        return Ok(());
    };
    let pages = tempfile::tempdir()?;
    for page in 1..=4_u64 {
        let rows: Vec<Value> = (page * 2 - 1..=page * 2)
            .map(|id| json!({ "id": id }))
            .collect();
        let next = (page < 4).then(|| format!("{}.json", page + 1));
        let text = json!({"rows": rows, "next": next}).to_string();
        fs::write(pages.path().join(format!("{page}.json")), text)?;
    }
    let root = pages.path().display();
    let server = Nginx::configured(&component, |port| {
        format!(
            "{LIMITS}  server {{\n    listen 127.0.0.1:{port};\n    \
             location /patience/ {{ limit_req zone=patience; limit_req_status 429; alias {root}/; }}\n    \
             location /retry_after/ {{ limit_req zone=retry_after; add_header Retry-After 1 always; alias {root}/; }}\n    \
             location /unavailable/ {{ limit_req zone=unavailable; alias {root}/; }}\n  }}\n"
        )
    })?;
    let streams = ["patience", "retry_after", "unavailable"];
    let endpoints = streams.map(|name| {
        with(
            endpoint(name, &format!("/{name}/1.json"), "$.rows"),
            &json!({"pagination": "next_url", "rate_limit_group": name}),
        )
    });
    let feed = Feed::new(&server.url(), &endpoints)?
        .set("parallelism", json!(3))
        .set("retry_config", json!({"max_attempts": 12}));
    feed.report()?;
    let tables = feed.tables(&python)?;
    let answered = server.answered()?;
    check_asked_once(&answered)?;
    for (name, status) in streams.into_iter().zip([429, 503, 503]) {
        Feed::check_rows(&tables, name, 1, 8)?;
        let refused = refused(&answered, &format!("/{name}/"), status);
        ensure!(refused > 0, "nothing of `{name}` was refused: {answered:?}");
    }
    Ok(())
}
