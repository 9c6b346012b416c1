//! Pages through the variables of a GraphQL query.

use std::{fs, path::Path};

use anyhow::Result;
use runner_e2e::{
    Runner,
    provision::{NODE_SERVERS, READERS},
    readers::{Question, Readers},
    repository, require,
    servers::GraphqlServer,
};
use serde_json::json;

/// Pages of 100: the last one is half full, or full.
const ROWS: [usize; 2] = [1_050, 1_000];

#[test]
fn every_page_of_a_graphql_query_is_loaded() -> Result<()> {
    let (Some(component), Some(python)) = (require(&NODE_SERVERS), require(&READERS)) else {
        return Ok(());
    };
    for rows in ROWS {
        check(&GraphqlServer::start(&component, rows)?, rows, &python)?;
    }
    Ok(())
}

fn check(server: &GraphqlServer, rows: usize, python: &Path) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let overlay = folder.path().join("overlay.json");
    let readings = folder.path().join("readings");
    let sinks =
        json!([{"type": "parquet", "table_name": "readings", "config": {"path": readings}}]);
    fs::write(
        &overlay,
        json!({"provider": {"base_url": server.url(), "sinks": sinks}}).to_string(),
    )?;
    Runner::new(&folder.path().join("data"))?
        .sample(&repository().join("e2e/documents/graphql.yaml"))
        .option("--overlay", &overlay)
        .succeed()?;
    let question = Question {
        sums: &["reading_id"],
        distinct: Some("reading_id"),
        ..Question::default()
    };
    let tally =
        Readers::new(python).parquet(&format!("{}/**/*.parquet", readings.display()), &question)?;
    let count = u64::try_from(rows)?;
    assert_eq!((tally.rows, tally.distinct), (count, Some(count)));
    assert_eq!(tally.sums["reading_id"], json!(rows * (rows + 1) / 2));
    assert_eq!(tally.columns["taken_at"], "TIMESTAMP WITH TIME ZONE");
    Ok(())
}
