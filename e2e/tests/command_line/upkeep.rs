//! Settings, health and retention, and a data folder that can't be used.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use insta::assert_snapshot;
use runner_e2e::{Runner, report_skip};
use serde_json::json;

use crate::desk::{Desk, shown};

#[test]
fn info_says_where_each_setting_came_from() -> Result<()> {
    let desk = Desk::new()?;
    desk.write(
        "runner.yaml",
        "tenant_id: acme\nconnections:\n  lake: {type: postgres, password: hunter2}\n",
    )?;
    let info = desk
        .call(&["info", "--config", "runner.yaml"])
        .env("RUNNER_ID", "runner-1")
        .run()?;
    assert_snapshot!(shown(&info), @r#"
    exit code: 0
    ----- stdout -----
    ingestion-runner [version]

    runner_id              runner-1                           environment RUNNER_ID
    tenant_id              acme                               file runner.yaml
    profile                local                              default
    data_dir               data                               flag
    secrets_file           -                                  default
    job_timeout_seconds    -                                  default
    engine_fallback        true                               default
    supported_engines      -                                  default
    connections            ["lake"]                           file runner.yaml
    engine_configs         []                                 default
    "#);
    let json = desk.json(&["info", "--config", "runner.yaml"])?;
    assert_eq!(
        json["settings"]["tenant_id"],
        json!({"value": "acme", "origin": {"file": "runner.yaml"}})
    );
    for (text, said) in [
        ("tenantid: acme\n", "did you mean `tenant_id`?"),
        (
            "[]\n",
            "the configuration file `wrong.yaml`: it holds no settings",
        ),
    ] {
        desk.write("wrong.yaml", text)?;
        let refused = desk.call(&["info", "--config", "wrong.yaml"]).run()?;
        ensure!(
            refused.code == Some(4) && refused.stderr.contains(said),
            "{}",
            refused.describe()
        );
    }
    Ok(())
}

#[test]
fn health_is_json_with_what_a_monitor_needs() -> Result<()> {
    let desk = Desk::new()?;
    let health = desk.call(&["health"]).succeed()?.json()?;
    let keys: Vec<&str> = health
        .as_object()
        .context("no object")?
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        keys,
        [
            "components",
            "runner_id",
            "status",
            "tenant_id",
            "timestamp"
        ]
    );
    assert_eq!(
        (&health["status"], &health["components"]["store"]["status"]),
        (&json!("healthy"), &json!("healthy"))
    );
    let now = chrono::Utc::now().timestamp_micros();
    let timestamp = health["timestamp"].as_f64().context("no float")?;
    let age = Duration::from_micros(now.unsigned_abs()).as_secs_f64() - timestamp;
    ensure!(
        health["timestamp"].is_f64() && age.abs() < 60.0,
        "{timestamp}"
    );

    desk.write("file", "")?;
    let ill = Runner::new(&desk.folder().join("file"))?
        .command(&["health"])
        .run()?;
    assert_eq!(ill.code, Some(4), "{}", ill.describe());
    let health = ill.json()?;
    assert_eq!(health["status"], json!("unhealthy"));
    let store = serde_json::to_string_pretty(&health["components"]["store"])?;
    assert_snapshot!(store, @r#"
    {
      "error": {
        "help": "choose another folder with `--data-dir`, or let this user write to it",
        "kind": "config",
        "message": "failed to create the data folder `[folder]/file`: File exists (os error 17)"
      },
      "status": "unhealthy"
    }
    "#);
    Ok(())
}

#[test]
fn gc_shows_before_it_takes_away() -> Result<()> {
    let desk = Desk::new()?;
    desk.call(&["sample", "orders.yaml"]).succeed()?;
    let commands = [
        "gc",
        "gc --keep-days 0",
        "gc --keep-days 0 --apply",
        "gc --keep-days 0 --json",
        "jobs list",
        "quarantine list",
    ];
    assert_snapshot!(desk.transcript(&commands)?, @r#"
    $ gc
    exit code: 0
    ----- stdout -----
    nothing has outlived its retention

    $ gc --keep-days 0
    exit code: 0
    ----- stdout -----
    would be taken away: kept rows of 0 jobs, leftovers of 0 jobs, 1 quarantine file, 1 job with their events
    run it with --apply to do so

    $ gc --keep-days 0 --apply
    exit code: 0
    ----- stdout -----
    taken away: kept rows of 0 jobs, leftovers of 0 jobs, 1 quarantine file, 1 job with their events

    $ gc --keep-days 0 --json
    exit code: 0
    ----- stdout -----
    {
      "applied": false,
      "discarded_jobs": [],
      "expired_jobs": [],
      "forgotten_jobs": [],
      "quarantine_files": 0
    }

    $ jobs list
    exit code: 0
    ----- stdout -----
    no job has run here yet

    $ quarantine list
    exit code: 0
    ----- stdout -----
    the quarantine is empty
    "#);
    Ok(())
}

/// Whoever is root may write everywhere: what is read-only for everybody is a mount.
const READ_ONLY: &str =
    "mount --bind \"$1\" \"$1\" && mount -o remount,ro,bind \"$1\"; shift; exec \"$@\"";

fn on_read_only(folder: &Path) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--map-root-user", "--mount", "sh", "-c", READ_ONLY, "sh"])
        .arg(folder);
    command
}

#[test]
fn a_data_folder_that_can_not_be_written_to_is_one_clear_error() -> Result<()> {
    let desk = Desk::new()?;
    let folder = desk.folder().join("data");
    fs::create_dir(&folder)?;
    let tried = on_read_only(&folder)
        .args(["test", "!", "-w"])
        .arg(&folder)
        .output();
    if !tried.is_ok_and(|output| output.status.success()) {
        report_skip("SKIPPED read-only data folder: this kernel lets nobody mount a file system");
        return Ok(());
    }
    let run = desk.call(&["sample", "orders.yaml"]);
    let run = run.command();
    let output = on_read_only(&folder)
        .arg(run.get_program())
        .args(run.get_args())
        .current_dir(desk.folder())
        .output()?;
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert_snapshot!(String::from_utf8_lossy(&output.stderr), @r#"
    error[config]: failed to open the job store `data/jobs.db`: Read-only file system (os error 30)
      help: choose another folder with `--data-dir`, or let this user write to it
    "#);
    assert!(fs::read_dir(&folder)?.next().is_none());
    Ok(())
}
