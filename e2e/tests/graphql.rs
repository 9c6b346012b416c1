//! Pages through the variables of a GraphQL query.

use std::fs;

use anyhow::Result;
use runner_e2e::{
    Runner,
    provision::{NODE_SERVERS, READERS},
    readers::{Question, Readers},
    repository, require,
    servers::GraphqlServer,
};
use serde_json::json;

const ROWS: usize = 1_050;

#[test]
fn every_page_of_a_graphql_query_is_loaded() -> Result<()> {
    let (Some(component), Some(python)) = (require(&NODE_SERVERS), require(&READERS)) else {
        return Ok(());
    };
    let server = GraphqlServer::start(&component, ROWS)?;
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
    let tally = Readers::new(&python)
        .parquet(&format!("{}/**/*.parquet", readings.display()), &question)?;
    assert_eq!((tally.rows, tally.distinct), (1_050, Some(1_050)));
    assert_eq!(tally.sums["reading_id"], json!(1_050 * 1_051 / 2));
    assert_eq!(tally.columns["taken_at"], "TIMESTAMP WITH TIME ZONE");
    Ok(())
}
