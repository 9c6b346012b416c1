//! What becomes of fields that rows don't have, that are named wrongly, or whose names fall together.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use runner_e2e::{Outcome, Runner};
use serde_json::{Value, json};

/// A feed of one file of JSON lines.
struct Feed {
    folder: tempfile::TempDir,
}

impl Feed {
    fn new(rows: &[&str]) -> Result<Self> {
        let feed = Self {
            folder: tempfile::tempdir()?,
        };
        feed.write(rows)?;
        Ok(feed)
    }

    fn write(&self, rows: &[&str]) -> Result<()> {
        Ok(fs::write(
            self.folder.path().join("people.jsonl"),
            rows.join("\n"),
        )?)
    }

    fn runner(&self) -> Result<Runner> {
        Runner::new(&self.folder.path().join("data"))
    }

    fn document(&self, change: impl FnOnce(&mut Value)) -> Result<PathBuf> {
        let mut document = json!({
            "version": "1.2",
            "name": "people",
            "created_by": "shop",
            "provider": {
                "name": "shop",
                "display_name": "Shop",
                "description": "People of a shop",
                "owner": "shop",
                "provider_type": "file_ftp",
                "base_url": format!("file://{}", self.folder.path().display()),
                "tenant_id": "acme",
                "endpoints": [{"name": "people", "path": "/people.jsonl"}],
                "sinks": [{
                    "type": "parquet",
                    "table_name": "people",
                    "config": {"path": self.folder.path().join("table")},
                }],
            },
        });
        change(&mut document);
        let path = self.folder.path().join("people.json");
        fs::write(&path, document.to_string())?;
        Ok(path)
    }

    fn run(&self, change: impl FnOnce(&mut Value)) -> Result<Outcome> {
        let document = self.document(change)?;
        self.runner()?.sample(&document).run()
    }

    /// The rows as they would be loaded by the document that was written last, with the codes of their reasons.
    fn preview(&self) -> Result<Vec<(Value, Vec<String>)>> {
        let document = self.folder.path().join("people.json");
        let arguments = ["preview", &document.to_string_lossy(), "--json"];
        let shown = self.runner()?.command(&arguments).succeed()?.json()?;
        let rows = find(&shown, "rows").and_then(Value::as_array).cloned();
        let rows = rows.with_context(|| format!("no rows in {shown}"))?;
        Ok(rows.iter().map(previewed).collect())
    }

    /// Codes of the reasons of every quarantined row of a job.
    fn quarantined(&self, report: &Value) -> Result<Vec<Value>> {
        let job = report["job_id"].as_str().context("no job")?;
        let shown = self
            .runner()?
            .command(&["quarantine", "show", job, "--json"])
            .succeed()?;
        Ok(shown.json()?["rows"]
            .as_array()
            .cloned()
            .unwrap_or_default())
    }
}

fn previewed(row: &Value) -> (Value, Vec<String>) {
    let reasons = row["reasons"].as_array().into_iter().flatten();
    let codes = reasons.filter_map(|reason| Some(reason["code"].as_str()?.to_owned()));
    let mapped = match &row["mapped"] {
        Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
        other => other.clone(),
    };
    (mapped, codes.collect())
}

/// The first value under a key, wherever it is.
fn find<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Object(fields) => fields
            .get(key)
            .or_else(|| fields.values().find_map(|value| find(value, key))),
        Value::Array(items) => items.iter().find_map(|value| find(value, key)),
        _ => None,
    }
}

fn endpoint(document: &mut Value) -> &mut Value {
    &mut document["provider"]["endpoints"][0]
}

fn counts(report: &Value) -> (u64, u64) {
    let stream = &report["streams"][0];
    let count = |key: &str| stream[key].as_u64().unwrap_or_default();
    (count("rows_loaded"), count("rows_quarantined"))
}

fn warning<'a>(report: &'a Value, code: &str) -> Option<&'a str> {
    let warnings = report["warnings"].as_array()?;
    let found = warnings.iter().find(|warning| warning["code"] == code)?;
    found["message"].as_str()
}

#[test]
fn a_field_that_no_row_has_fails_rows_and_not_the_run() -> Result<()> {
    let feed = Feed::new(&[r#"{"id": 1}"#, r#"{"id": 2, "address": {"zip": "1"}}"#])?;
    let ranged = feed.run(|document| {
        endpoint(document)["validation_rules"] = json!({"numeric_ranges": {"prcie": [0, 10]}});
    })?;
    let report = ranged.json()?;
    ensure!(counts(&report) == (2, 0), "{}", ranged.describe());
    let said = warning(&report, "field_not_found").unwrap_or_default();
    ensure!(
        said.starts_with("`prcie` of `validation_rules` is in none of the 2 rows"),
        "{report}"
    );

    let required = feed.run(|document| {
        endpoint(document)["validation_rules"] = json!({"required_fields": ["name"]});
    })?;
    let report = required.json()?;
    ensure!(counts(&report) == (0, 2), "{}", required.describe());
    for row in feed.quarantined(&report)? {
        ensure!(row.to_string().contains("`name` must be present"), "{row}");
    }

    let nested = feed.run(|document| {
        document["provider"]["schema_contract"] = json!({
            "type": "object",
            "properties": {
                "id": {"type": "integer"},
                "address": {"type": "object", "required": ["city"], "properties": {"zip": {"type": "string"}}},
            },
        });
    })?;
    let report = nested.json()?;
    ensure!(counts(&report) == (1, 1), "{}", nested.describe());
    Ok(())
}

#[test]
fn lists_are_checked_whatever_their_items_are() -> Result<()> {
    let feed = Feed::new(&[
        r#"{"id": 1, "tags": ["a", 2], "scores": [5, 6]}"#,
        r#"{"id": 2, "tags": ["a", "b", "c"], "scores": [5]}"#,
        r#"{"id": 3, "tags": ["a", "a"], "scores": []}"#,
        r#"{"id": 4, "tags": [], "scores": [9, 1]}"#,
    ])?;
    let outcome = feed.run(|document| {
        document["provider"]["schema_contract"] = json!({
            "type": "object",
            "properties": {
                "id": {"type": "integer"},
                "tags": {"type": "array", "maxItems": 2, "uniqueItems": true},
                "scores": {"type": "array", "items": {"type": "integer", "minimum": 5}},
            },
        });
    })?;
    let report = outcome.json()?;
    ensure!(counts(&report) == (1, 3), "{}", outcome.describe());
    let text = json!(feed.quarantined(&report)?).to_string();
    ensure!(
        text.contains("`scores[]` must be at least 5, found `1`"),
        "{text}"
    );
    ensure!(
        text.contains("must have at most 2 items and none of them twice"),
        "{text}"
    );
    Ok(())
}

#[test]
fn a_mask_of_a_field_that_is_not_there_stops_the_run() -> Result<()> {
    let feed = Feed::new(&[r#"{"id": 1, "Email": "canary@example.com"}"#])?;
    let mask = |field: &'static str| {
        move |document: &mut Value| endpoint(document)["masking"] = json!({field: "redact"})
    };
    let refused = feed.run(mask("emial"))?;
    let report = refused.json()?;
    ensure!(report["success"] == json!(false), "{}", refused.describe());
    let said = report["error"].to_string();
    ensure!(
        said.contains("`emial` is masked") && said.contains("did you mean `email`?"),
        "{said}"
    );
    let table = feed.folder.path().join("table/people");
    ensure!(
        fs::read_dir(table)?.next().is_none(),
        "something was loaded"
    );

    let masked = feed.run(mask("Email"))?;
    ensure!(counts(&masked.json()?) == (1, 0), "{}", masked.describe());
    // An earlier run had it.
    feed.write(&[r#"{"id": 2}"#])?;
    let without = feed.run(mask("Email"))?;
    ensure!(counts(&without.json()?) == (1, 0), "{}", without.describe());
    Ok(())
}

#[test]
fn a_misspelt_mapping_is_told() -> Result<()> {
    let feed = Feed::new(&[r#"{"id": 1, "Email": "a"}"#, r#"{"id": 2, "Email": "b"}"#])?;
    let map = |document: &mut Value| {
        endpoint(document)["field_mapping"] = json!({"id": "id", "Emial": "email"});
    };
    let outcome = feed.run(map)?;
    let report = outcome.json()?;
    ensure!(counts(&report) == (2, 0), "{}", outcome.describe());
    ensure!(
        warning(&report, "field_not_found")
            == Some(
                "`Emial` is in none of the 2 rows of `people`, so that `email` is empty; did you mean `Email`?"
            ),
        "{report}"
    );
    Ok(())
}

#[test]
fn a_template_is_a_value_on_either_side_of_a_mapping() -> Result<()> {
    let feed = Feed::new(&[r#"{"id": 1}"#])?;
    for mapping in [
        json!({"id": "id", "region": "{{ region }}"}),
        json!({"id": "id", "{{ region }}": "region"}),
    ] {
        let document = feed.document(|document| {
            endpoint(document)["field_mapping"] = mapping.clone();
        })?;
        let arguments = [
            "preview",
            &document.to_string_lossy(),
            "--json",
            "--param",
            "region=north",
        ];
        let shown = feed.runner()?.command(&arguments).succeed()?.json()?;
        let row = find(&shown, "rows").map(|rows| previewed(&rows[0]).0);
        ensure!(
            row == Some(json!({"id": 1, "region": "north"})),
            "{mapping}: {shown}"
        );
    }
    Ok(())
}

#[test]
fn a_row_that_is_no_text_stays_in_the_quarantine() -> Result<()> {
    let feed = Feed::new(&[])?;
    fs::write(
        feed.folder.path().join("people.jsonl"),
        b"{\"id\": 1, \"name\": \"Caf\xe9\"}\n{\"id\": 2, \"name\": \"b\"}\n",
    )?;
    let outcome = feed.run(|_| {})?;
    let report = outcome.json()?;
    ensure!(counts(&report) == (1, 1), "{}", outcome.describe());
    let document = feed.document(|_| {})?;
    let arguments = [
        "quarantine",
        "replay",
        &document.to_string_lossy(),
        "--json",
    ];
    let replayed = feed.runner()?.command(&arguments).run()?;
    let report = replayed.json()?;
    ensure!(counts(&report) == (0, 1), "{}", replayed.describe());
    let rows = feed.quarantined(&report)?;
    ensure!(json!(rows).to_string().contains("invalid_text"), "{rows:?}");
    Ok(())
}

#[test]
fn a_field_keeps_its_column_from_run_to_run() -> Result<()> {
    let feed = Feed::new(&[r#"{"id": 1, "userId": 5, "Total": 10, "total": 20}"#])?;
    let replace = |document: &mut Value| {
        document["provider"]["sinks"][0]["write_mode"] = json!("replace");
    };
    let expected = json!({"id": 1, "user_id": 5, "total": 10, "total_2": 20});
    for rows in [
        r#"{"id": 1, "userId": 5, "Total": 10, "total": 20}"#,
        r#"{"total": 20, "id": 1, "userId": 5, "Total": 10}"#,
        r#"{"total": 20, "Total": 10, "userId": 5, "id": 1}"#,
    ] {
        feed.write(&[rows])?;
        let outcome = feed.run(replace)?;
        let report = outcome.json()?;
        ensure!(counts(&report) == (1, 0), "{}", outcome.describe());
        let said = warning(&report, "fields_collide").unwrap_or_default();
        ensure!(said.contains("`Total`, `total`"), "{}", outcome.describe());
        let shown = feed.preview()?;
        ensure!(shown[0].0 == expected, "{rows}: {shown:?}");
    }
    let document = feed.folder.path().join("people.json");
    let planned = feed
        .runner()?
        .command(&["plan", &document.to_string_lossy()])
        .succeed()?;
    ensure!(
        planned
            .describe()
            .contains("their columns are `total` and `total_2`"),
        "{}",
        planned.describe()
    );
    Ok(())
}

#[test]
fn the_contract_finds_its_fields_by_their_names_in_snake_case() -> Result<()> {
    let feed = Feed::new(&[
        r#"{"id": 1, "userId": 5}"#,
        r#"{"id": 2, "userId": 6, "extraField": true}"#,
    ])?;
    let contract = |document: &mut Value| {
        document["provider"]["schema_contract"] = json!({
            "type": "object",
            "required": ["id", "user_id"],
            "properties": {"id": {"type": "integer"}, "user_id": {"type": "integer"}},
        });
    };
    for _ in 0..2 {
        let outcome = feed.run(contract)?;
        ensure!(counts(&outcome.json()?) == (2, 0), "{}", outcome.describe());
    }
    let rows = feed.preview()?;
    ensure!(
        rows[1].0 == json!({"id": 2, "user_id": 6, "extra_field": true}),
        "{rows:?}"
    );
    // The name itself comes first.
    let feed = Feed::new(&[r#"{"id": 1, "userId": 5, "user_id": 7}"#])?;
    feed.document(contract)?;
    let rows = feed.preview()?;
    ensure!(rows[0].0["user_id"] == json!(7), "{rows:?}");
    Ok(())
}

#[test]
fn a_preview_shows_rows_that_lack_a_required_field() -> Result<()> {
    let feed = Feed::new(&[r#"{"id": 1}"#, r#"{"key": 2}"#])?;
    feed.document(|document| {
        endpoint(document)["field_mapping"] = json!({"key": "id"});
        document["provider"]["schema_contract"] = json!({
            "type": "object",
            "required": ["id"],
            "properties": {"id": {"type": "integer"}},
        });
    })?;
    let rows = feed.preview()?;
    ensure!(
        rows == [
            (json!({"id": null}), vec!["required".to_owned()]),
            (json!({"id": 2}), Vec::new())
        ],
        "{rows:?}"
    );
    Ok(())
}
