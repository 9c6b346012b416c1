//! `jobs`: what is shown of them, and what can't be done with one.

use anyhow::{Result, ensure};
use insta::assert_snapshot;

use crate::desk::Desk;

#[test]
fn jobs_are_listed_and_shown() -> Result<()> {
    let desk = Desk::new()?;
    assert_snapshot!(desk.said(&["jobs", "list"])?, @r#"
    exit code: 0
    ----- stdout -----
    no job has run here yet
    "#);
    desk.call(&["sample", "orders.yaml"]).succeed()?;
    assert_snapshot!(desk.said(&["jobs", "list"])?, @r#"
    exit code: 0
    ----- stdout -----
    JOB                                    FEED                       KIND   STATUS      CREATED             ERROR
    [job]   shop-orders                run    completed   [instant]
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
    assert_snapshot!(desk.said(&["jobs", "list", "--feed", "other"])?, @r#"
    exit code: 0
    ----- stdout -----
    no job of a feed `other` has run here
    "#);
    Ok(())
}

#[test]
fn a_job_that_is_unknown_is_unknown_to_every_command() -> Result<()> {
    let desk = Desk::new()?;
    desk.call(&["sample", "orders.yaml"]).succeed()?;
    for command in [
        &["jobs", "show", "job-7"][..],
        &["jobs", "resume", "job-7"],
        &["jobs", "retry", "job-7"],
        &["jobs", "cancel", "job-7"],
        &[
            "jobs", "abandon", "job-7", "--sink", "parquet", "--reason", "gone",
        ],
        &["jobs", "replay", "job-7", "--sink", "parquet"],
        &["jobs", "drop", "job-7", "--sink", "parquet"],
        &["quarantine", "show", "job-7"],
    ] {
        let refused = desk.call(command).run()?;
        ensure!(
            refused.code == Some(16) && refused.stdout.is_empty(),
            "{}",
            refused.describe()
        );
        assert_eq!(
            refused.stderr,
            "error[not_found]: there is no job `job-7`\n  help: `jobs list` shows the jobs\n",
            "{}",
            refused.command
        );
    }
    Ok(())
}

#[test]
fn a_job_that_is_completed_has_nothing_left_to_do() -> Result<()> {
    let desk = Desk::new()?;
    desk.call(&["sample", "orders.yaml"]).succeed()?;
    let job = desk.last_job()?;
    let commands = [
        &format!("jobs retry {job}"),
        &format!("jobs resume {job} --json"),
        &format!("jobs abandon {job} --sink parquet --reason gone"),
        &format!("jobs replay {job} --sink parquet"),
        &format!("jobs cancel {job}"),
        &format!("jobs cancel {job} --json"),
    ];
    let commands = commands.map(String::as_str);
    assert_snapshot!(desk.transcript(&commands)?, @r#"
    $ jobs retry [job]
    exit code: 15
    ----- stderr -----
    error[conflict]: job `[job]` is completed: there is nothing left to do
      help: run the document again to load what is new

    $ jobs resume [job] --json
    exit code: 15
    ----- stdout -----
    {
      "error": {
        "help": "run the document again to load what is new",
        "kind": "conflict",
        "message": "job `[job]` is completed: there is nothing left to do"
      },
      "success": false
    }

    $ jobs abandon [job] --sink parquet --reason gone
    exit code: 15
    ----- stderr -----
    error[conflict]: job `[job]` is completed: it can't give up a sink
      help: only a job that waits for a sink has one to give up; `jobs show [job]` tells how this one ended

    $ jobs replay [job] --sink parquet
    exit code: 16
    ----- stderr -----
    error[not_found]: job `[job]` has no rows of `parquet` on hold
      help: rows are on hold where `jobs abandon` gave a sink up, until they are loaded or dropped

    $ jobs cancel [job]
    exit code: 0
    ----- stderr -----
    job [job] is completed already: there is nothing to cancel

    $ jobs cancel [job] --json
    exit code: 0
    ----- stdout -----
    {
      "job_id": "[job]",
      "status": "completed"
    }
    "#);
    Ok(())
}

#[test]
fn a_job_that_a_gate_refused_kept_nothing_to_retry() -> Result<()> {
    let desk = Desk::new()?;
    desk.write_changed(
        "strict.yaml",
        &[("  sinks:", "  slos: {accuracy_threshold: 0.99}\n  sinks:")],
    )?;
    let refused = desk.call(&["sample", "strict.yaml"]).run()?;
    assert_eq!(refused.code, Some(10), "{}", refused.describe());
    let retry = format!("jobs retry {}", desk.last_job()?);
    assert_snapshot!(desk.transcript(&["jobs list", &retry])?, @r#"
    $ jobs list
    exit code: 0
    ----- stdout -----
    JOB                                    FEED                       KIND   STATUS      CREATED             ERROR
    [job]   shop-orders                run    failed      [instant] quality

    $ jobs retry [job]
    exit code: 15
    ----- stderr -----
    error[conflict]: job `[job]` has ended (failed) and kept no rows to go on with
      help: `jobs show [job]` tells why; mend that, and run the document again
    "#);
    Ok(())
}

#[test]
fn a_job_that_waits_for_no_sink_has_none_to_give_up() -> Result<()> {
    let desk = Desk::new()?;
    let died = desk
        .call(&["sample", "orders.yaml"])
        .env("INGESTION_RUNNER_FAULT", "prepare.after")
        .run()?;
    assert_eq!(died.code, None, "{}", died.describe());
    let job = desk.last_job()?;
    let commands = [
        &format!("jobs abandon {job} --sink parquet --reason gone"),
        &format!("jobs cancel {job}"),
        &format!("jobs retry {job}"),
    ];
    let commands = commands.map(String::as_str);
    assert_snapshot!(desk.transcript(&commands)?, @r#"
    $ jobs abandon [job] --sink parquet --reason gone
    exit code: 15
    ----- stderr -----
    error[conflict]: job `[job]` is gating: it can't give up a sink
      help: only a job that waits for a sink has one to give up; `jobs cancel [job]` stops this one

    $ jobs cancel [job]
    exit code: 0
    ----- stderr -----
    job [job] is cancelled

    $ jobs retry [job]
    exit code: 15
    ----- stderr -----
    error[conflict]: job `[job]` was cancelled: what it had read is given up
      help: run the document again: it begins anew
    "#);
    Ok(())
}
