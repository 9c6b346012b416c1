//! What is kept of feeds from run to run: cursors, drift, and rows that failed a check.

use anyhow::Result;
use insta::assert_snapshot;

use crate::desk::Desk;

#[test]
fn cursors_are_listed_and_shown() -> Result<()> {
    let desk = Desk::new()?;
    assert_snapshot!(desk.transcript(&["state list", "state show shop-orders"])?, @r#"
    $ state list
    exit code: 0
    ----- stdout -----
    no feed has run here yet

    $ state show shop-orders
    exit code: 16
    ----- stderr -----
    error[not_found]: no feed `shop-orders` has run here
      help: `state list` shows the feeds that have run
    "#);
    desk.call(&["sample", "orders.yaml"]).succeed()?;
    let commands = [
        "state list",
        "state show shop-orders",
        "state show shop-order",
    ];
    assert_snapshot!(desk.transcript(&commands)?, @r#"
    $ state list
    exit code: 0
    ----- stdout -----
    FEED                             TENANT                   RUNS
    shop-orders                      acme                        1

    $ state show shop-orders
    exit code: 0
    ----- stdout -----
    orders [in/orders.jsonl]: 2024-01-02T00:00:00Z (1 row at the boundary)

    $ state show shop-order
    exit code: 16
    ----- stderr -----
    error[not_found]: no feed `shop-order` has run here
      help: did you mean `shop-orders`?
    "#);
    Ok(())
}

#[test]
fn cursors_are_set_and_forgotten() -> Result<()> {
    let desk = Desk::new()?;
    desk.call(&["sample", "orders.yaml"]).succeed()?;
    let commands = [
        "state set shop-orders orders 2023-12-31",
        "state set shop-orders orders 2023-12-31 --value in/orders.jsonl",
        "state show shop-orders",
        "state reset shop-orders ordres",
        "state reset shop-orders orders",
        "state show shop-orders",
        "state reset shop-orders --json",
    ];
    assert_snapshot!(desk.transcript(&commands)?, @r#"
    $ state set shop-orders orders 2023-12-31
    exit code: 16
    ----- stderr -----
    error[not_found]: stream `orders` has a cursor for each file
      help: say which with `--value`; `state show` lists them

    $ state set shop-orders orders 2023-12-31 --value in/orders.jsonl
    exit code: 0
    ----- stderr -----
    cursor of `orders` in `shop-orders` is set

    $ state show shop-orders
    exit code: 0
    ----- stdout -----
    orders [in/orders.jsonl]: 2023-12-31 (0 rows at the boundary)

    $ state reset shop-orders ordres
    exit code: 16
    ----- stderr -----
    error[not_found]: feed `shop-orders` has no stream `ordres`
      help: did you mean `orders`?

    $ state reset shop-orders orders
    exit code: 0
    ----- stderr -----
    forgot 1 cursor and the schema of `orders`: the next run reads it from its beginning

    $ state show shop-orders
    exit code: 0
    ----- stdout -----
    no stream of this feed has a cursor

    $ state reset shop-orders --json
    exit code: 0
    ----- stdout -----
    {
      "cursors_forgotten": 0,
      "feed": {
        "name": "shop-orders",
        "tenant": "acme"
      },
      "stream": null
    }
    "#);
    Ok(())
}

/// A feed whose schema may not change at all, and of whose new row one field is new.
fn drifted() -> Result<Desk> {
    let desk = Desk::new()?;
    desk.write_changed(
        "orders.yaml",
        &[
            ("name: shop-orders", "name: shop-orders\ncompat_mode: FULL"),
            (
                "  sinks:",
                "  slos: {block_on_schema_drift: true}\n  sinks:",
            ),
        ],
    )?;
    desk.call(&["sample", "orders.yaml"]).succeed()?;
    let row = r#"{"id":4,"at":"2024-01-04T00:00:00Z","name":"e","price":4,"note":"new"}"#;
    desk.write("in/orders.jsonl", row)?;
    Ok(desk)
}

#[test]
fn drift_blocks_a_run_and_is_shown() -> Result<()> {
    let desk = drifted()?;
    let commands = [
        "drift show shop-orders",
        "drift accept shop-orders",
        "sample orders.yaml",
        "drift show shop-orders",
    ];
    assert_snapshot!(desk.transcript(&commands)?, @r#"
    $ drift show shop-orders
    exit code: 0
    ----- stdout -----
    no drift is recorded

    $ drift accept shop-orders
    exit code: 16
    ----- stderr -----
    error[not_found]: no run of `shop-orders` is blocked by drift
      help: `drift show shop-orders` tells what changed so far

    $ sample orders.yaml
    exit code: 11
    ----- stdout -----

      orders                                 1 row read, 0 loaded (0 requests, 1 page)

    [job] failed in [seconds] on embedded
    ----- stderr -----
    hint[UIS0620]: the sink names no `path`: the rows go to Parquet files in `data/tables` instead (orders.yaml:28)
    2 hints: `ingestion-runner plan orders.yaml` shows them
    · read orders
    orders: 1 row, 1 page, [size]
    · gates
    error[drift]: the source's schema changed in a way that is not accepted: `orders.note` is new (string); nothing was committed
      help: `drift show shop-orders` tells what changed; after `drift accept shop-orders`, `jobs resume [job]` commits the rows that were read

    $ drift show shop-orders
    exit code: 0
    ----- stdout -----
    [instant]  [job]  orders  blocked
        added    note                             - → string
    "#);
    let shown = desk.json(&["drift", "show", "shop-orders"])?;
    assert_eq!(shown["drift"][0]["decision"], "blocked", "{shown}");
    Ok(())
}

/// The second run already: that a column is known by then is no word of the document.
#[test]
fn a_field_that_passes_through_may_not_change_its_type_unseen() -> Result<()> {
    let desk = Desk::new()?;
    desk.write_changed(
        "orders.yaml",
        &[
            ("name: shop-orders", "name: shop-orders\ncompat_mode: FULL"),
            ("        numeric_ranges: {price: [0, null]}\n", ""),
            ("      price: {type: number}\n", ""),
            (
                "  sinks:",
                "  slos: {block_on_schema_drift: true}\n  sinks:",
            ),
        ],
    )?;
    desk.call(&["sample", "orders.yaml"]).succeed()?;
    let row = r#"{"id":4,"at":"2024-01-04T00:00:00Z","name":"e","price":"much"}"#;
    desk.write("in/orders.jsonl", row)?;
    let blocked = desk.call(&["sample", "orders.yaml"]).run()?;
    assert_eq!(blocked.code, Some(11), "{}", blocked.describe());
    let told = "`orders.price` needs a wider type (string) than its tables can take, which have it as integer or number; nothing was committed";
    assert!(blocked.stderr.contains(told), "{}", blocked.describe());
    Ok(())
}

/// Text for numbers is a widening that loses nothing, but the table that is there can't follow it.
#[test]
fn a_type_that_the_table_cannot_follow_is_drift() -> Result<()> {
    let desk = Desk::new()?;
    desk.write_changed(
        "orders.yaml",
        &[
            ("        numeric_ranges: {price: [0, null]}\n", ""),
            ("      price: {type: number}\n", ""),
            (
                "  sinks:",
                "  slos: {block_on_schema_drift: true}\n  sinks:",
            ),
        ],
    )?;
    desk.call(&["sample", "orders.yaml"]).succeed()?;
    let rows = |first: u32| {
        let row = |id: u32, price: &str| {
            format!(r#"{{"id":{id},"at":"2024-02-01T00:00:{id:02}Z","name":"e","price":{price}}}"#)
        };
        format!("{}\n{}\n", row(first, "3"), row(first + 1, r#""much""#))
    };
    desk.write("in/orders.jsonl", &rows(10))?;
    let blocked = desk.call(&["sample", "orders.yaml"]).run()?;
    assert_eq!(blocked.code, Some(11), "{}", blocked.describe());
    let told = "`orders.price` needs a wider type (integer or string) than its tables can take, which have it as integer or number";
    assert!(blocked.stderr.contains(told), "{}", blocked.describe());
    // Once it is accepted the row that fits is loaded, and the same again is no news.
    desk.call(&["drift", "accept", "shop-orders"]).succeed()?;
    let job = desk.json(&["jobs", "list"])?["jobs"][0]["job_id"].clone();
    let resumed = desk.json(&["jobs", "resume", job.as_str().unwrap_or_default()])?;
    assert_eq!(resumed["streams"][0]["rows_loaded"], 1, "{resumed}");
    desk.write("in/orders.jsonl", &rows(20))?;
    let again = desk.json(&["sample", "orders.yaml"])?;
    assert_eq!(again["streams"][0]["rows_loaded"], 1, "{again}");
    assert_eq!(again["streams"][0]["rows_quarantined"], 1, "{again}");
    Ok(())
}

#[test]
fn drift_that_is_accepted_lets_the_run_go_on() -> Result<()> {
    let desk = drifted()?;
    let blocked = desk.call(&["sample", "orders.yaml"]).run()?;
    assert_eq!(blocked.code, Some(11), "{}", blocked.describe());
    let job = desk.last_job()?;
    let commands = [
        &format!("jobs retry {job}"),
        "drift accept shop-orders --stream order",
        "drift accept shop-orders",
        "drift show shop-orders",
        &format!("jobs resume {job}"),
    ];
    assert_snapshot!(desk.transcript(&commands)?, @r#"
    $ jobs retry [job]
    exit code: 11
    ----- stdout -----

      orders                                 1 row read, 0 loaded (0 requests, 1 page)

    [job] failed in [seconds] on embedded
    ----- stderr -----
    continuing the job [job] (attempt 2)
    · gates
    error[drift]: the source's schema changed in a way that is not accepted: `orders.note` is new (string); nothing was committed
      help: `drift show shop-orders` tells what changed; after `drift accept shop-orders`, `jobs resume [job]` commits the rows that were read

    $ drift accept shop-orders --stream order
    exit code: 16
    ----- stderr -----
    error[not_found]: the blocked run `[job]` has no drift in `order`
      help: it has some in `orders`

    $ drift accept shop-orders
    exit code: 0
    ----- stderr -----
    accepted the schema of orders; `ingestion-runner jobs resume [job]` commits the rows that were read

    $ drift show shop-orders
    exit code: 0
    ----- stdout -----
    [instant]  [job]  orders  accepted_by_operator
        added    note                             - → string

    $ jobs resume [job]
    exit code: 0
    ----- stdout -----

      orders                                 1 row read, 1 loaded (0 requests, 1 page)
      → parquet orders                       1 row, [size] in [folder]/data/tables/orders

    [job] completed in [seconds] on embedded
    ----- stderr -----
    continuing the job [job] (attempt 3)
    · gates
    · prepare
    · commit orders
    "#);
    Ok(())
}

#[test]
fn a_bad_row_is_shown_with_each_reason_once() -> Result<()> {
    let desk = Desk::new()?;
    assert_snapshot!(desk.said(&["quarantine", "list"])?, @r#"
    exit code: 0
    ----- stdout -----
    the quarantine is empty
    "#);
    desk.call(&["sample", "orders.yaml"]).succeed()?;
    let job = desk.last_job()?;
    assert_snapshot!(desk.said(&["quarantine", "show", &job])?, @r#"
    exit code: 0
    ----- stdout -----
    orders  in/orders.jsonl  page 0 row 2 line 3
        required: `id` must be present and not null
        range: `price` must be at least 0, found `-1.0`
        {"id":null,"at":"2024-01-01T12:00:00Z","name":"c","price":-1}
    "#);
    assert_snapshot!(desk.said(&["quarantine", "list"])?, @r#"
    exit code: 0
    ----- stdout -----
    JOB                                      FEED                     STREAM                   ROWS REPLAYED  RUN
    [job]     shop-orders              orders                      1        0  loaded
    "#);
    assert_snapshot!(desk.said(&["quarantine", "show", &job, "--stream", "other"])?, @r#"
    exit code: 0
    ----- stdout -----
    job [job] has no quarantined rows of a stream `other`
    "#);

    // A value of another type is told with its column.
    let row = r#"{"id":"x","at":"2024-02-01T00:00:00Z","name":"f","price":1}"#;
    desk.write("in/orders.jsonl", row)?;
    desk.call(&["sample", "orders.yaml"]).succeed()?;
    assert_snapshot!(desk.said(&["quarantine", "show", &desk.last_job()?])?, @r#"
    exit code: 0
    ----- stdout -----
    orders  in/orders.jsonl  page 0 row 0 line 1
        not_convertible: `id`: `"x"` can't be converted to integer without loss
        {"id":"x","at":"2024-02-01T00:00:00Z","name":"f","price":1}
    "#);
    Ok(())
}
