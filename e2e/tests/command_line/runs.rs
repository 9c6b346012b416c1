//! What a run tells: rows that it left out, what it warns of, where its hints are, and that it was interrupted.

use std::{process::Child, time::Duration};

use anyhow::{Context as _, Result, ensure};
use insta::assert_snapshot;
use runner_e2e::{GeneratedApi, Outcome, Signal, Size, wait_until};
use serde_json::json;

use crate::desk::{Desk, ROWS};

const CANCELLED: i32 = 130;

#[test]
fn a_run_tells_where_its_rows_went() -> Result<()> {
    let desk = Desk::new()?;
    assert_snapshot!(desk.said(&["sample", "orders.yaml"])?, @r#"
    exit code: 0
    ----- stdout -----

      orders                                3 rows read, 2 loaded, 1 quarantined (0 requests, 1 page)
      → parquet orders                      2 rows, [size] in [folder]/data/tables/orders

    [job] completed in [seconds] on embedded
    ----- stderr -----
    hint[UIS0620]: the sink names no `path`: the rows go to Parquet files in `data/tables` instead (orders.yaml:26)
    2 hints: `ingestion-runner plan orders.yaml` shows them
    · read orders
    orders: 3 rows, 1 page, [size], 1 quarantined
    · gates
    · prepare
    · commit orders
    "#);
    // One new row: the others are before the cursor, or were loaded with it.
    let rows = format!(
        "{ROWS}{}\n",
        r#"{"id":3,"at":"2024-01-03T00:00:00Z","name":"d","price":3}"#
    );
    desk.write("in/orders.jsonl", &rows)?;
    let again = desk.call(&["run", "orders.yaml"]).succeed()?;
    assert_snapshot!(again.stdout, @r#"

      orders                                4 rows read, 1 loaded, 2 outside the window, 1 loaded by an earlier run (0 requests, 1 page)
      → parquet orders                       1 row, [size] in [folder]/data/tables/orders

    [job] completed in [seconds] on embedded
    "#);
    let report = desk.json(&["sample", "orders.yaml"])?;
    assert_snapshot!(serde_json::to_string_pretty(&report)?, @r#"
    {
      "duration_seconds": "[seconds]",
      "engine": "embedded",
      "error": null,
      "job_id": "[job]",
      "partial": false,
      "sinks": [
        {
          "bytes": "[bytes]",
          "load_id": "[job]/parquet:orders",
          "location": "[folder]/data/tables/orders",
          "rows": 0,
          "table": "orders",
          "type": "parquet"
        }
      ],
      "spec_name": "shop-orders",
      "status": "completed",
      "streams": [
        {
          "bytes_read": 238,
          "name": "orders",
          "pages": 1,
          "requests": 0,
          "rows_loaded": 0,
          "rows_outside": 3,
          "rows_quarantined": 0,
          "rows_read": 4,
          "rows_repeated": 1
        }
      ],
      "success": true,
      "warnings": []
    }
    "#);
    Ok(())
}

#[test]
fn what_a_run_warns_of_is_told_at_its_end_and_afterwards() -> Result<()> {
    let desk = Desk::new()?;
    desk.write_changed(
        "warned.yaml",
        &[
            ("      validation_rules:", "      field_mapping: {id: id, name: name, at: at, prise: price}\n      validation_rules:"),
            ("  sinks:", "  slos: {accuracy_threshold: 0.9, block_on_quality_drop: false}\n  sinks:"),
        ],
    )?;
    let run = desk.call(&["sample", "warned.yaml"]).succeed()?;
    assert_snapshot!(run.stdout, @r#"

      orders                                3 rows read, 2 loaded, 1 quarantined (0 requests, 1 page)
      → parquet orders                      2 rows, [size] in [folder]/data/tables/orders
      warning: orders: accuracy of `orders` is 0.6667, below its threshold of 0.9: 2 of 3 rows pass every check
      warning: orders: `prise` is in none of the 3 rows of `orders`, so that `price` is empty; did you mean `price`?

    [job] completed with 2 warnings in [seconds] on embedded
    "#);
    let job = desk.last_job()?;
    assert_snapshot!(desk.said(&["jobs", "show", &job])?, @r#"
    exit code: 0
    ----- stdout -----
    [job]
      feed      acme/shop-orders
      kind      run
      status    completed
      attempt   1
      stream    orders: 3 rows read, 2 passed, 1 quarantined, 1 page
      warning   orders: accuracy of `orders` is 0.6667, below its threshold of 0.9: 2 of 3 rows pass every check
      warning   orders: `prise` is in none of the 3 rows of `orders`, so that `price` is empty; did you mean `price`?
      sink      parquet:orders: 2 rows in [folder]/data/tables/orders
      [time]  claimed (attempt 1)
      [time]  preparing (attempt 1)
      [time]  submitting (attempt 1)
      [time]  submitted (attempt 1)
      [time]  running (attempt 1)
      [time]  gating (attempt 1)
      [time]  gates (attempt 1)
      [time]  committing (attempt 1)
      [time]  committed (attempt 1)
      [time]  completed (attempt 1)
      [time]  discarded (attempt 1)
    "#);
    let other = Desk::new()?;
    other.write(
        "warned.yaml",
        &std::fs::read_to_string(desk.folder().join("warned.yaml"))?,
    )?;
    let report = other.json(&["sample", "warned.yaml"])?;
    let shown = other.json(&["jobs", "show", &other.last_job()?])?;
    assert_eq!(
        report["warnings"].as_array().map(Vec::len),
        Some(2),
        "{report}"
    );
    assert_eq!(report["warnings"], shown["warnings"]);
    Ok(())
}

/// Six chains of one slow request each.
fn slow_feed(desk: &Desk, request: Duration) -> Result<GeneratedApi> {
    let api = GeneratedApi::start(Size {
        first: 1,
        step: 1,
        rows: 1,
        page_rows: 1,
        parents: 6,
        page_delay: request,
    })?;
    let document = json!({
        "version": "1.2", "name": "children", "created_by": "tests",
        "provider": {
            "name": "family", "display_name": "Family", "owner": "tests", "provider_type": "rest_api",
            "tenant_id": "acme", "base_url": api.url(),
            "config": {"numbers": [1, 2, 3, 4, 5, 6], "checkpoint_pages": 1},
            "endpoints": [{"name": "children", "path": "/parents/{{ number }}/children", "response_path": "$.rows"}],
            "sinks": [{"type": "parquet", "table_name": "children"}],
        },
    });
    desk.write("children.json", &document.to_string())?;
    Ok(api)
}

#[test]
fn a_job_that_is_worked_on_is_not_taken_and_can_be_cancelled() -> Result<()> {
    let desk = Desk::new()?;
    let api = slow_feed(&desk, Duration::from_secs(5))?;
    let run = desk.call(&["sample", "children.json"]).spawn()?;
    wait_until("the first request", || Ok(api.requests() >= 1))?;
    let job = desk.last_job()?;
    let commands = [
        "sample children.json",
        &format!("jobs resume {job}"),
        "state reset children",
        "jobs list",
        &format!("jobs cancel {job}"),
    ];
    assert_snapshot!(desk.transcript(&commands)?, @r#"
    $ sample children.json
    exit code: 15
    ----- stderr -----
    hint[UIS0620]: the sink names no `path`: the rows go to Parquet files in `data/tables` instead (children.json:1)
    2 hints: `ingestion-runner plan children.json` shows them
    error[conflict]: another process is working on job `[job]`
      help: wait until it has ended, or stop it with `jobs cancel [job]`

    $ jobs resume [job]
    exit code: 15
    ----- stderr -----
    error[conflict]: another process is working on job `[job]`
      help: wait until it has ended, or stop it with `jobs cancel [job]`

    $ state reset children
    exit code: 15
    ----- stderr -----
    error[conflict]: feed `children` has an unfinished job, `[job]`, that would move its state again
      help: `jobs resume [job]` or `jobs cancel [job]` first

    $ jobs list
    exit code: 0
    ----- stdout -----
    JOB                                    FEED                       KIND   STATUS      CREATED             ERROR
    [job]   children                   run    running     [instant]

    $ jobs cancel [job]
    exit code: 0
    ----- stderr -----
    job [job] is running; its process was asked to stop
    "#);
    let output = run.wait_with_output()?;
    assert_eq!(output.status.code(), Some(CANCELLED));
    let said = String::from_utf8_lossy(&output.stderr);
    let end: Vec<&str> = said.lines().rev().take(2).collect();
    assert_eq!(
        end,
        [
            "  help: what it had read is given up; run the document again to begin anew",
            "error[cancelled]: the job was cancelled",
        ]
    );
    Ok(())
}

/// Presses Ctrl-C once as many requests were made.
fn interrupted(desk: &Desk, api: &GeneratedApi, options: &[&str]) -> Result<Outcome> {
    let mut arguments = vec!["sample", "children.json"];
    arguments.extend(options);
    let run: Child = desk.call(&arguments).spawn()?;
    wait_until("the third request", || Ok(api.requests() >= 3))?;
    Signal::Interrupt.send(run.id())?;
    let output = run.wait_with_output()?;
    Ok(Outcome {
        command: arguments.join(" "),
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

#[test]
fn a_run_that_was_interrupted_says_so_and_goes_on() -> Result<()> {
    let desk = Desk::new()?;
    let api = slow_feed(&desk, Duration::from_millis(600))?;
    let stopped = interrupted(&desk, &api, &["--json"])?;
    assert_eq!(stopped.code, Some(CANCELLED), "{}", stopped.describe());
    let report = stopped.json()?;
    let job = report["job_id"].as_str().context("no job")?;
    assert_eq!(
        (
            &report["success"],
            &report["status"],
            &report["error"]["kind"]
        ),
        (&json!(false), &json!("interrupted"), &json!("cancelled")),
        "{report}"
    );
    assert_eq!(
        report["error"]["help"],
        json!(format!(
            "`ingestion-runner jobs resume {job}` goes on, and so does running the document again"
        ))
    );
    assert_eq!(
        stopped.stderr,
        "stopping at the next page; press Ctrl-C again to stop at once\n"
    );
    let listed = desk.json(&["jobs", "list"])?;
    assert_eq!(listed["jobs"][0]["is_interrupted"], json!(true), "{listed}");

    let resumed = desk.call(&["jobs", "resume", job]).succeed()?;
    ensure!(
        resumed.stderr.contains("6/6 chains"),
        "{}",
        resumed.describe()
    );
    ensure!(
        resumed.stdout.contains("6 rows read, 6 loaded"),
        "{}",
        resumed.describe()
    );
    Ok(())
}

#[test]
fn a_run_that_was_interrupted_tells_people_how_to_go_on() -> Result<()> {
    let desk = Desk::new()?;
    let api = slow_feed(&desk, Duration::from_millis(600))?;
    let stopped = interrupted(&desk, &api, &[])?;
    let end: Vec<&str> = stopped.stderr.lines().rev().take(2).collect();
    let job = desk.last_job()?;
    assert_eq!(
        end,
        [
            format!("  help: `ingestion-runner jobs resume {job}` goes on, and so does running the document again").as_str(),
            "error[cancelled]: the run was interrupted; what it has read is kept",
        ]
    );
    ensure!(
        stopped.stdout.contains(&format!("{job} interrupted in ")),
        "{}",
        stopped.describe()
    );
    let again = desk.call(&["sample", "children.json"]).succeed()?;
    ensure!(
        again
            .stderr
            .contains(&format!("continuing the job {job} (attempt 2)")),
        "{}",
        again.describe()
    );
    Ok(())
}
