//! `plan`, and the ways in which a feed is refused before its first request.

use anyhow::Result;
use insta::assert_snapshot;
use serde_json::json;

use crate::desk::Desk;

#[test]
fn a_plan_says_everything_about_the_run() -> Result<()> {
    let desk = Desk::new()?;
    desk.write_changed(
        "watched.yaml",
        &[("  sinks:", "  slos: {accuracy_threshold: 0.5, freshness_target_minutes: 90, availability_target: 0.995}\n  sinks:")],
    )?;
    assert_snapshot!(desk.said(&["plan", "watched.yaml"])?, @r#"
    exit code: 0
    ----- stdout -----
    Feed shop-orders of tenant acme
      Source      shop (file_ftp), owned by tests
      Engine      the embedded engine: the default of mode batch is SeaTunnel, which is not configured
      Cursor      moves when the rows are committed
      Timeouts    1m for a request, none for the job

    Stream orders
      Files       in/orders.jsonl
      Format      by each file's name
      Parallel    one file at a time
      Rows        the whole answer: each element of a list, or one object
      Window      from the last `at` on
      Columns     id          ← id                                         integer    contract  not null
                  name        ← name                                       string     contract  not null
                  at          ← at                                         timestamp  contract  not null
                  price       ← price                                      number     contract
                  (the rest)  ← every other field, its name in snake_case
      Checks      id     not null  (rule, contract)
                  name   not null  (rule, contract)
                  price  ≥ 0       (rule)
                  at     not null  (contract, cursor)

    Table orders of sink parquet
      From        orders (the declared table)
      Place       Parquet files in data/tables/orders (zstd)
      Instead of  parquet: the sink names no `path`
      Write       append
      Commit      idempotent: readers can see part of a load; a repeat loads nothing twice
      Added       _uis_load_id  the load that brought the row

    Gates, before anything is committed
      Accurate    at least 50% of the rows pass every check, else the run fails
      Drift       a change that BACKWARD doesn't allow fails the run

    Objectives, which the service measures over many runs; a single run isn't checked against them
      Fresh       the newest `at` (the cursor) of the committed rows is at most 1h30m ago, else an alert
      Available   at least 99.5% of the runs of 30 days are good, else an alert
    ----- stderr -----
    hint[UIS0617]: rows of `orders` that turn up behind the cursor are not seen by later runs (watched.yaml:13)
    hint[UIS0620]: the sink names no `path`: the rows go to Parquet files in `data/tables` instead (watched.yaml:27)
    hint[UIS0630]: readers of `parquet` can see part of a load while it commits; a repeat changes nothing (watched.yaml:26)
    "#);
    let output = desk.json(&["plan", "watched.yaml"])?;
    assert_eq!(output["plan"]["feed"], json!("shop-orders"));
    assert_eq!(
        output["plan"]["objectives"]["freshness_target_minutes"],
        json!(90.0)
    );
    assert_eq!(output["diagnostics"][0]["severity"], json!("hint"));
    Ok(())
}

#[test]
fn an_unknown_key_is_a_warning_and_under_strict_a_refusal() -> Result<()> {
    let desk = Desk::new()?;
    desk.write_changed(
        "warned.yaml",
        &[("  owner: tests", "  owner: tests\n  ownr: tests")],
    )?;
    let plan = desk.call(&["plan", "warned.yaml"]).succeed()?;
    assert!(
        plan.stderr.contains("warning[UIS0203]"),
        "{}",
        plan.describe()
    );
    let mut said = String::new();
    for command in ["plan", "sample"] {
        said.push_str(&desk.said(&[command, "warned.yaml", "--strict"])?);
    }
    assert_snapshot!(said, @r#"
    exit code: 3
    ----- stderr -----
    error[UIS0203]: `ownr` is not known in a provider, and has no effect
     --> warned.yaml:8:3
      |
    8 |   ownr: tests
      |   ^^^^ provider.ownr
      |
      = help: did you mean `owner`?

    1 error

    error[spec]: the document has 1 error
    exit code: 3
    ----- stderr -----
    error[UIS0203]: `ownr` is not known in a provider, and has no effect
     --> warned.yaml:8:3
      |
    8 |   ownr: tests
      |   ^^^^ provider.ownr
      |
      = help: did you mean `owner`?

    1 error

    error[spec]: the document has 1 error
    "#);
    assert_snapshot!(desk.said(&["jobs", "list"])?, @r#"
    exit code: 0
    ----- stdout -----
    no job has run here yet
    "#);
    Ok(())
}

#[test]
fn a_feed_that_is_refused_has_all_its_diagnostics_in_the_json() -> Result<()> {
    let desk = Desk::new()?;
    desk.write_changed(
        "warned.yaml",
        &[
            ("  owner: tests", "  owner: tests\n  ownr: tests"),
            ("numeric_ranges", "numeric_range"),
        ],
    )?;
    for command in ["plan", "sample", "preview"] {
        let refused = desk
            .call(&[command, "warned.yaml", "--strict", "--json"])
            .run()?;
        assert_eq!(refused.code, Some(3), "{}", refused.describe());
        let report = refused.json()?;
        assert_eq!(report["success"], json!(false));
        assert_eq!(
            report["error"],
            json!({
                "kind": "spec",
                "message": "the document has 2 errors: `ownr` is not known in a provider, and has no effect (`provider.ownr`)",
                "help": "did you mean `owner`?",
            })
        );
        let found = report["diagnostics"].as_array().map(Vec::len);
        assert_eq!(found, Some(2), "{report}");
    }
    Ok(())
}

#[test]
fn a_connection_that_is_not_configured_is_replaced_or_refused() -> Result<()> {
    let desk = Desk::new()?;
    desk.write_changed(
        "named.yaml",
        &[(
            "{type: parquet, table_name: orders}",
            "{type: parquet, table_name: orders, config: {connection: archive}}",
        )],
    )?;
    assert_snapshot!(desk.said(&["sample", "named.yaml", "--strict-connections"])?, @r#"
    exit code: 3
    ----- stderr -----
    error[UIS0621]: the connection `archive` is not configured
      --> named.yaml:26:64
       |
    26 |     - {type: parquet, table_name: orders, config: {connection: archive}}
       |                                                                ^^^^^^^ provider.sinks[0].config.connection
       |
       = help: add `archive` to `connections` of the runner's configuration, or add `config.path`

    1 error

    error[spec]: the document has 1 error
    "#);
    assert_snapshot!(desk.said(&["plan", "orders.yaml", "--strict-connections"])?, @r#"
    exit code: 3
    ----- stderr -----
    error[UIS0621]: the sink names no `path`
      --> orders.yaml:26:8
       |
    26 |     - {type: parquet, table_name: orders}
       |        ^^^^^^^^^^^^^ provider.sinks[0].config
       |
       = help: add `config.path`, or name one of the `connections` of the runner's configuration: `config: {connection: NAME}`

    1 error

    error[spec]: the document has 1 error
    "#);
    let run = desk.call(&["sample", "named.yaml"]).succeed()?;
    let told = "hint[UIS0620]: the connection `archive` is not configured: the rows go to Parquet files in `data/tables` instead (named.yaml:26)";
    assert!(run.stderr.contains(told), "{}", run.describe());
    Ok(())
}

#[test]
fn an_engine_that_is_not_there_is_refused() -> Result<()> {
    let desk = Desk::new()?;
    assert_snapshot!(desk.said(&["sample", "orders.yaml", "--engine", "spark"])?, @r#"
    exit code: 3
    ----- stderr -----
    error[UIS0801]: this version can't run feeds on Spark yet, which `--engine` asks for
     |
     = help: leave it out, or write `--engine embedded`

    1 error

    error[spec]: the document can't be run in this way
    "#);
    desk.write_changed(
        "spark.yaml",
        &[("name: shop-orders", "name: shop-orders\nruntime: spark")],
    )?;
    let run = desk.call(&["sample", "spark.yaml"]).succeed()?;
    let told = "hint[UIS0803]: Spark is not configured, so the embedded engine runs the feed (spark.yaml:3)";
    assert!(run.stderr.contains(told), "{}", run.describe());
    Ok(())
}

/// An API, of which nothing is known but the document.
const API: &str = r#"version: "1.2"
name: shop-api
created_by: tests
provider:
  name: shop
  display_name: Shop
  owner: tests
  provider_type: rest_api
  tenant_id: acme
  base_url: http://127.0.0.1:9
  config: {shops: [north, south]}
  endpoints:
    - name: orders
      path: /shops/{{ shpo }}/orders
      query_params: {currency: "{{ currency }}"}
      field_mapping: {id: id}
  sinks:
    - {type: parquet, table_name: orders}
"#;

#[test]
fn a_variable_that_nothing_binds_can_be_given() -> Result<()> {
    let desk = Desk::new()?;
    desk.write("api.yaml", API)?;
    assert_snapshot!(desk.said(&["plan", "api.yaml"])?, @r#"
    exit code: 3
    ----- stderr -----
    error[UIS0601]: nothing binds `{{ shpo }}`
      --> api.yaml:14:13
       |
    14 |       path: /shops/{{ shpo }}/orders
       |             ^^^^^^^^^^^^^^^^^^^^^^^^ provider.endpoints[0].path
       |
       = note: looked in the run's parameters, the window, `for_each`, the secrets, the columns of the other endpoints, the lists of `config`, and `run`
       = help: did you mean `shop`? a value of its own is given with `--param shpo=VALUE`

    error[UIS0601]: nothing binds `{{ currency }}`
      --> api.yaml:15:32
       |
    15 |       query_params: {currency: "{{ currency }}"}
       |                                ^^^^^^^^^^^^^^^^ provider.endpoints[0].query_params.currency
       |
       = note: looked in the run's parameters, the window, `for_each`, the secrets, the columns of the other endpoints, the lists of `config`, and `run`
       = help: give it with `--param currency=VALUE`, or list its values in `config.currencys` or in `for_each`

    2 errors

    error[spec]: the document has 2 errors
    "#);
    let given = [
        "plan",
        "api.yaml",
        "--param",
        "shpo=west",
        "--param",
        "currency=EUR",
        "--param",
        "curency=USD",
    ];
    let plan = desk.call(&given).succeed()?;
    let told = "warning[UIS0626]: no template uses the parameter `curency`, which `--param` gives\n |\n = help: did you mean `currency`?";
    assert!(plan.stderr.contains(told), "{}", plan.describe());
    Ok(())
}

#[test]
fn what_the_caller_gives_is_checked_before_the_run() -> Result<()> {
    let desk = Desk::new()?;
    desk.write("api.yaml", API)?;
    let commands = [
        "sample api.yaml --param shpo=west --param currency=EUR --base-url nonsense",
        "sample api.yaml --param shpo=west --param currency=EUR --base-url ftp://host/",
        "sample api.yaml --param shpo=west --param shpo=east",
        "sample orders.yaml --limit 0",
    ];
    assert_snapshot!(desk.transcript(&commands)?, @r#"
    $ sample api.yaml --param shpo=west --param currency=EUR --base-url nonsense
    exit code: 3
    ----- stderr -----
    error[UIS0309]: what `--base-url` gives is no address of an HTTP server
     |
     = help: write it with its scheme and host, as in `http://127.0.0.1:8000`

    1 error

    error[spec]: the document can't be run in this way

    $ sample api.yaml --param shpo=west --param currency=EUR --base-url ftp://host/
    exit code: 3
    ----- stderr -----
    error[UIS0309]: what `--base-url` gives is no address of an HTTP server
     |
     = help: write it with its scheme and host, as in `http://127.0.0.1:8000`

    1 error

    error[spec]: the document can't be run in this way

    $ sample api.yaml --param shpo=west --param shpo=east
    exit code: 3
    ----- stderr -----
    error[spec]: the parameter `shpo` is given twice
      help: leave one `--param shpo=…` out

    $ sample orders.yaml --limit 0
    exit code: 2
    ----- stderr -----
    error: invalid value '0' for '--limit <N>': 0 is not in 1..18446744073709551615

    For more information, try '--help'.
    "#);
    Ok(())
}

#[test]
fn an_overlay_that_is_wrong_says_how_it_would_be_right() -> Result<()> {
    let desk = Desk::new()?;
    let sink = "    - {type: parquet, table_name: orders}\n";
    desk.write_changed("two.yaml", &[(sink, "    - {type: parquet, table_name: orders}\n    - {type: parquet, table_name: copies}\n")])?;
    desk.write(
        "ambiguous.yaml",
        "provider:\n  sinks:\n    parquet: {table_name: others}\n",
    )?;
    desk.write(
        "list.yaml",
        "provider:\n  endpoints:\n    - name: orders\n      sample_size: 5\n",
    )?;
    let mut said = desk.said(&["plan", "two.yaml", "--overlay", "ambiguous.yaml"])?;
    said.push_str(&desk.said(&["plan", "two.yaml", "--overlay", "list.yaml"])?);
    assert_snapshot!(said, @r#"
    exit code: 3
    ----- stderr -----
    error[UIS0207]: `provider.sinks` has 2 elements `parquet`, and this overlay doesn't say which one it changes
     --> ambiguous.yaml:3:5
      |
    3 |     parquet: {table_name: others}
      |     ^^^^^^^ provider.sinks.parquet
      |
      = help: write the position instead of `parquet`: `0` or `1`; or give each a `name` in the document, and write that

    1 error

    error[spec]: the document has 1 error
    exit code: 3
    ----- stderr -----
    error[UIS0202]: `provider.endpoints[0]` has no `path`, which is required
     --> list.yaml:3:7
      |
    3 |     - name: orders
      |       ^^^^^^^^^^^^ provider.endpoints[0].path
      |
      = note: the overlay's list takes the place of the whole `provider.endpoints`; to change one element, write an object with its name, type or position instead: `endpoints: {NAME: {…}}`
      = help: add `path: …` (path behind `base_url`, or a whole URL; a template)

    1 error

    error[spec]: the document has 1 error
    "#);
    Ok(())
}

#[test]
fn a_freshness_field_that_is_no_column_is_told() -> Result<()> {
    let desk = Desk::new()?;
    desk.write_changed(
        "watched.yaml",
        &[(
            "  sinks:",
            "  slos: {freshness_target_minutes: 90, freshness_field: prise}\n  sinks:",
        )],
    )?;
    let plan = desk.call(&["plan", "watched.yaml"]).succeed()?;
    assert_snapshot!(plan.stderr, @r#"
    warning[UIS0632]: `prise` is no column of the loaded rows, so that none of them says how new it is
      --> watched.yaml:25:57
       |
    25 |   slos: {freshness_target_minutes: 90, freshness_field: prise}
       |                                                         ^^^^^ provider.slos.freshness_field
       |
       = help: did you mean `price`?

    1 warning

    hint[UIS0617]: rows of `orders` that turn up behind the cursor are not seen by later runs (watched.yaml:13)
    hint[UIS0620]: the sink names no `path`: the rows go to Parquet files in `data/tables` instead (watched.yaml:27)
    hint[UIS0630]: readers of `parquet` can see part of a load while it commits; a repeat changes nothing (watched.yaml:26)
    "#);
    Ok(())
}
