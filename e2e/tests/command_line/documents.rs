//! Commands that look at documents only, and command lines that are wrong themselves.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use insta::assert_snapshot;
use runner_e2e::repository;
use runner_spec::{Source, read_value};
use serde_json::Value;

use crate::desk::Desk;

/// Five mistakes of four kinds.
const BAD: &str = r#"version: "1.2"
name: Shop Orders
created_by: tests
provider:
  name: shop
  display_name: Shop
  owner: tests
  provider_type: rest_ap
  tenant_id: acme
  parallelism: "four"
  base_url: https://shop.example
  endpoints:
    - name: orders
      path: /orders
      rate_limit_per_second: fast
  sinks:
    - {type: parquet}
"#;

#[test]
fn validate_reports_every_mistake_of_every_file() -> Result<()> {
    let desk = Desk::new()?;
    desk.write("bad.yaml", BAD)?;
    desk.write("list.yaml", "[]\n")?;
    let files = [
        "validate",
        "missing.yaml",
        "bad.yaml",
        "list.yaml",
        "in",
        "orders.yaml",
    ];
    assert_snapshot!(desk.said(&files)?, @r#"
    exit code: 3
    ----- stdout -----
    error[UIS0302]: `Shop Orders` is no name: a name has small letters, digits, `_` and `-`, and begins with a letter or a digit
     --> bad.yaml:2:7
      |
    2 | name: Shop Orders
      |       ^^^^^^^^^^^ name
      |
      = help: write `shop_orders`

    error[UIS0301]: `rest_ap` is no value of `provider_type`
     --> bad.yaml:8:18
      |
    8 |   provider_type: rest_ap
      |                  ^^^^^^^ provider.provider_type
      |
      = help: did you mean `rest_api`? known are `rest_api`, `graphql`, `websocket`, `webhook`, `file_ftp`, `database`, `kafka` or `s3`

    error[UIS0201]: `parallelism` takes a whole number, and this is the text `four`
      --> bad.yaml:10:16
       |
    10 |   parallelism: "four"
       |                ^^^^^^ provider.parallelism
       |
       = help: write `parallelism: 10`

    error[UIS0201]: `rate_limit_per_second` takes a number, and this is the text `fast`
      --> bad.yaml:15:30
       |
    15 |       rate_limit_per_second: fast
       |                              ^^^^ provider.endpoints[0].rate_limit_per_second
       |
       = help: write `rate_limit_per_second: 0.5`

    error[UIS0202]: this parquet sink has no `table_name`, and rows need a place to go
      --> bad.yaml:17:8
       |
    17 |     - {type: parquet}
       |        ^^^^^^^^^^^^^ provider.sinks[0].table_name
       |
       = help: add `table_name: daily_prices`

    5 errors
    bad.yaml: not valid
    error[UIS0201]: the document takes an object, and this is a list
     --> list.yaml:1:1
      |
    1 | []
      | ^^
      |
      = help: write its fields a line each, as in `version: …`, `name: …`

    1 error
    list.yaml: not valid
    orders.yaml: valid
    ----- stderr -----
    error[not_found]: failed to read the document `missing.yaml`: No such file or directory (os error 2)
    error[spec]: failed to read the document `in`: Is a directory (os error 21)
      help: name a document in it; `in/*.yaml` names all of them
    "#);
    Ok(())
}

#[test]
fn validate_gives_the_same_as_json() -> Result<()> {
    let desk = Desk::new()?;
    desk.write("bad.yaml", BAD)?;
    let outcome = desk
        .call(&[
            "validate",
            "bad.yaml",
            "orders.yaml",
            "missing.yaml",
            "--json",
        ])
        .run()?;
    ensure!(
        outcome.code == Some(3) && outcome.stderr.is_empty(),
        "{}",
        outcome.describe()
    );
    let report = outcome.json()?;
    let found: Vec<String> = report["files"][0]["diagnostics"]
        .as_array()
        .context("no diagnostics")?
        .iter()
        .map(|found| {
            format!(
                "{} {} {}:{}:{} {} — {}",
                text(&found["severity"]),
                text(&found["code"]),
                text(&found["file"]),
                found["line"],
                found["column"],
                text(&found["path"]),
                text(&found["help"]),
            )
        })
        .collect();
    assert_snapshot!(found.join("\n"), @r#"
    error UIS0302 bad.yaml:2:7 name — write `shop_orders`
    error UIS0301 bad.yaml:8:18 provider.provider_type — did you mean `rest_api`? known are `rest_api`, `graphql`, `websocket`, `webhook`, `file_ftp`, `database`, `kafka` or `s3`
    error UIS0201 bad.yaml:10:16 provider.parallelism — write `parallelism: 10`
    error UIS0201 bad.yaml:15:30 provider.endpoints[0].rate_limit_per_second — write `rate_limit_per_second: 0.5`
    error UIS0202 bad.yaml:17:8 provider.sinks[0].table_name — add `table_name: daily_prices`
    "#);
    assert_snapshot!(serde_json::to_string_pretty(&report["files"][2])?, @r#"
    {
      "diagnostics": [],
      "error": {
        "help": null,
        "kind": "not_found",
        "message": "failed to read the document `missing.yaml`: No such file or directory (os error 2)"
      },
      "file": "missing.yaml",
      "success": false,
      "valid": false
    }
    "#);
    assert_eq!(
        (
            &report["valid"],
            &report["files"][0]["valid"],
            &report["files"][1]["valid"]
        ),
        (&Value::Bool(false), &Value::Bool(false), &Value::Bool(true))
    );
    let missing = desk.call(&["validate", "missing.yaml"]).run()?;
    assert_eq!(missing.code, Some(16), "{}", missing.describe());
    Ok(())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[test]
fn explain_knows_codes_and_what_was_meant() -> Result<()> {
    let desk = Desk::new()?;
    assert_snapshot!(desk.said(&["explain", "uis0203"])?, @r#"
    exit code: 0
    ----- stdout -----
    UIS0203: a key is not known

    Nobody reads this key, so that what it says has no effect. Mostly it is misspelt, or stands one level too high or too low. It is a warning, and an error under `--strict`.

    Wrong:

    ```yaml
    # in an endpoint
    respons_path: $.results[*]
    ```

    Right:

    ```yaml
    # in an endpoint
    response_path: $.results[*]
    ```
    "#);
    assert_snapshot!(desk.said(&["explain", "UIS0999"])?, @r#"
    exit code: 16
    ----- stderr -----
    error[not_found]: there is no diagnostic `UIS0999`
      help: did you mean `UIS0109`? `explain` alone lists the codes, and `explain sql` what portable SQL has
    "#);
    assert_snapshot!(desk.said(&["explain", "wat", "--json"])?, @r#"
    exit code: 16
    ----- stdout -----
    {
      "error": {
        "help": "`explain` alone lists the codes, and `explain sql` what portable SQL has",
        "kind": "not_found",
        "message": "there is no diagnostic `wat`"
      },
      "success": false
    }
    "#);
    let explained = desk.json(&["explain", "0203"])?;
    assert_eq!(
        (text(&explained["code"]), text(&explained["phase"])),
        ("UIS0203", "shape")
    );
    let codes = desk.json(&["explain"])?;
    let codes = codes["codes"].as_array().context("no codes")?.len();
    let lines = desk.call(&["explain"]).succeed()?.stdout.lines().count();
    assert_eq!(codes, lines);
    Ok(())
}

/// The schema that is printed, and not the one of the crate: editors are given this one.
#[test]
fn every_example_meets_the_printed_schema() -> Result<()> {
    let desk = Desk::new()?;
    let schema = desk.call(&["schema"]).succeed()?.json()?;
    assert_eq!(
        text(&schema["$schema"]),
        "https://json-schema.org/draft/2020-12/schema"
    );
    ensure!(jsonschema::meta::is_valid(&schema), "it is no schema");
    let validator = jsonschema::draft202012::new(&schema)?;
    let mut count = 0;
    for entry in fs::read_dir(repository().join("examples"))? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let source = Source::new("example", &fs::read_to_string(&path)?);
        let document = read_value(&source).ok().context("no YAML")?;
        let errors: Vec<String> = validator
            .iter_errors(&document)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        ensure!(errors.is_empty(), "{}: {errors:#?}", path.display());
        count += 1;
    }
    assert!(count >= 12, "{count} examples");
    let bad = serde_json::json!({"name": "x", "provider": {"parallelism": "four"}});
    assert!(!validator.is_valid(&bad));
    Ok(())
}

#[test]
fn completions_are_a_script_of_the_shell() -> Result<()> {
    let desk = Desk::new()?;
    for (shell, part) in [
        ("bash", "complete -F _ingestion__runner"),
        ("zsh", "#compdef ingestion-runner"),
        ("fish", "complete -c ingestion-runner"),
    ] {
        let script = desk.call(&["completions", shell]).succeed()?;
        ensure!(script.stdout.contains(part), "{}", script.describe());
        for command in ["validate", "quarantine", "--strict-connections"] {
            let command = command.trim_start_matches("--");
            ensure!(
                script.stdout.contains(command),
                "`{command}` is not completed by {shell}"
            );
        }
    }
    Ok(())
}

#[test]
fn a_command_line_that_is_wrong_says_what_is_known() -> Result<()> {
    let desk = Desk::new()?;
    let commands = [
        "frobnicate",
        "plna orders.yaml",
        "plan orders.yaml --stict",
        "plan orders.yaml --engine spork",
        "plan orders.yaml --param shop",
        "jobs show",
        "completions powerbash",
    ];
    assert_snapshot!(desk.transcript(&commands)?, @r#"
    $ frobnicate
    exit code: 2
    ----- stderr -----
    error: unrecognized subcommand 'frobnicate'

    Usage: ingestion-runner [OPTIONS] <COMMAND>

    For more information, try '--help'.

    $ plna orders.yaml
    exit code: 2
    ----- stderr -----
    error: unrecognized subcommand 'plna'

      tip: some similar subcommands exist: 'explain', 'plan'

    Usage: ingestion-runner [OPTIONS] <COMMAND>

    For more information, try '--help'.

    $ plan orders.yaml --stict
    exit code: 2
    ----- stderr -----
    error: unexpected argument '--stict' found

      tip: a similar argument exists: '--strict'

    Usage: ingestion-runner plan --strict <FILE>

    For more information, try '--help'.

    $ plan orders.yaml --engine spork
    exit code: 2
    ----- stderr -----
    error: invalid value 'spork' for '--engine <NAME>': engines are embedded, seatunnel, spark, flink

    For more information, try '--help'.

    $ plan orders.yaml --param shop
    exit code: 2
    ----- stderr -----
    error: invalid value 'shop' for '--param <NAME=VALUE>': a parameter is written NAME=VALUE

    For more information, try '--help'.

    $ jobs show
    exit code: 2
    ----- stderr -----
    error: the following required arguments were not provided:
      <ID>

    Usage: ingestion-runner jobs show --data-dir <DIR> <ID>

    For more information, try '--help'.

    $ completions powerbash
    exit code: 2
    ----- stderr -----
    error: invalid value 'powerbash' for '<SHELL>'
      [possible values: bash, elvish, fish, powershell, zsh]

      tip: a similar value exists: 'powershell'

    For more information, try '--help'.
    "#);
    Ok(())
}

#[test]
fn what_is_no_document_is_no_feed() -> Result<()> {
    let desk = Desk::new()?;
    desk.write("text.yaml", "orders of a shop\n")?;
    let commands = [
        "sample missing.yaml",
        "sample order.yaml",
        "sample in",
        "sample text.yaml",
    ];
    assert_snapshot!(desk.transcript(&commands)?, @r#"
    $ sample missing.yaml
    exit code: 16
    ----- stderr -----
    error[not_found]: failed to read the document `missing.yaml`: No such file or directory (os error 2)

    $ sample order.yaml
    exit code: 16
    ----- stderr -----
    error[not_found]: failed to read the document `order.yaml`: No such file or directory (os error 2)
      help: did you mean `orders.yaml`?

    $ sample in
    exit code: 3
    ----- stderr -----
    error[spec]: failed to read the document `in`: Is a directory (os error 21)
      help: name a document in it; `in/*.yaml` names all of them

    $ sample text.yaml
    exit code: 3
    ----- stderr -----
    error[UIS0201]: the document takes an object, and this is the text `orders of a shop`
     --> text.yaml:1:1
      |
    1 | orders of a shop
      | ^^^^^^^^^^^^^^^^
      |
      = help: write its fields a line each, as in `version: …`, `name: …`

    1 error

    error[spec]: the document has 1 error
    "#);
    Ok(())
}

#[test]
fn arguments_are_explained() -> Result<()> {
    let desk = Desk::new()?;
    for (command, arguments) in [
        (&["jobs", "retry"][..], &["<ID>  The job"][..]),
        (
            &["jobs", "abandon"],
            &["<ID>", "--sink <SINK>", "--reason <WHY>    Why"],
        ),
        (
            &["state", "set"],
            &[
                "<FEED>    The feed",
                "<STREAM>  The stream",
                "<CURSOR>  What it has read up to",
            ],
        ),
        (&["state", "reset"], &["[STREAM]  Only this stream"]),
        (
            &["drift", "accept"],
            &["<FEED>  The feed", "--stream <NAME>   Only"],
        ),
        (
            &["quarantine", "show"],
            &["<JOB>  The job", "--limit <N>       At most"],
        ),
        (&["sample"], &["--param <NAME=VALUE>"]),
    ] {
        let help = desk.call(command).arg("--help").succeed()?;
        for argument in arguments {
            ensure!(
                help.stdout.contains(argument),
                "`{argument}` is missing: {}",
                help.describe()
            );
        }
    }
    Ok(())
}
