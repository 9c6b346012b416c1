//! The written meaning of portable SQL: a page made from the lists that queries are checked against.

use std::fmt::Write as _;

use super::functions::{Function, FunctionKind, functions};
use super::types::{TYPE_NAMES, casts};

/// What is on no list, since it is no function and no cast.
const MEANINGS: &[(&str, &str)] = &[
    (
        "integers",
        "64 bits. `/` truncates toward zero, `%` has the sign of its left side. Nothing wraps: an overflow fails.",
    ),
    (
        "decimals",
        "At most 38 digits. `+` and `-` keep the finer scale and have one digit more; `*` adds digits and scales; `/` has the finer scale of both, at least 6, and rounds half up.",
    ),
    (
        "numbers",
        "Doubles. There is one zero and one NaN, which is equal to itself and last in every order. Division by zero fails.",
    ),
    (
        "literals",
        "`5` is an integer, `1.5` a decimal(2,1). A text next to a date or timestamp is read as one.",
    ),
    (
        "different types",
        "Integer and decimal meet in a decimal, both and number in a number, date and timestamp in a timestamp; `plan` lists every such cast. Anything else needs a cast.",
    ),
    (
        "texts",
        "UTF-8; compared, ordered and grouped by their bytes. `||` joins, and is null where one side is.",
    ),
    (
        "timestamps",
        "UTC, microseconds; finer digits are cut. `timestamp + INTERVAL '1' DAY` moves one.",
    ),
    (
        "nulls",
        "Last in every order unless `NULLS FIRST` is written. `NOT IN (SELECT …)` is refused: write `NOT EXISTS`.",
    ),
    (
        "queries as values",
        "`(SELECT max(price) FROM trades)` is null where it yields no row; it yields one at most by its form: an aggregate without `GROUP BY`, or `LIMIT 1`.",
    ),
    (
        "orders",
        "`LIMIT`, `row_number`, `ntile`, `lag`, `lead`, `first_value`, `last_value`, `nth_value` and running totals over `ROWS` need an order without ties: one that ends with a key.",
    ),
    (
        "failures",
        "A value that overflows, is divided by zero or can't be cast sends its row to the quarantine, where a query ends with work on single rows; inside an aggregate, a join or an order it fails the run. `TRY_CAST` and the `try_` functions are null instead.",
    ),
];

/// The page in Markdown.
pub fn reference() -> String {
    let mut page = String::from(
        "# Portable SQL\n\nWhat a `sql` transform may use. Everything here means the same on every engine; anything else is refused when the plan is made.\n\n\
         A query is one `SELECT`, with `WITH`, `JOIN` (inner, left, right, full, cross, left semi, left anti), `WHERE`, `GROUP BY`, `HAVING`, `UNION`, `EXCEPT`, `INTERSECT`, `ORDER BY`, `LIMIT`, windows, `CASE`, `IN`, `BETWEEN`, `LIKE`, `EXISTS`, and queries of one row as values.\n\n## Meanings\n\n| matter | meaning |\n| --- | --- |\n",
    );
    for (matter, meaning) in MEANINGS {
        row(&mut page, &[matter, meaning]);
    }
    let _ = write!(
        page,
        "\n## Casts\n\nThe types are {TYPE_NAMES}.\n\n| from | to | meaning | can fail |\n| --- | --- | --- | --- |\n"
    );
    for cast in casts() {
        let can_fail = if cast.can_fail { "yes" } else { "no" };
        row(&mut page, &[cast.from, cast.to, cast.meaning, can_fail]);
    }
    for (title, kind) in [
        ("Functions", FunctionKind::Scalar),
        ("Aggregates", FunctionKind::Aggregate),
        ("Window functions", FunctionKind::Window),
    ] {
        let _ = write!(
            page,
            "\n## {title}\n\n| function | meaning |\n| --- | --- |\n"
        );
        for function in functions().iter().filter(|function| function.kind == kind) {
            row(&mut page, &[&signature(function), function.meaning]);
        }
    }
    page
}

fn row(page: &mut String, cells: &[&str]) {
    for cell in cells {
        // A bar would end the cell.
        let _ = write!(page, "| {} ", cell.replace('|', "\\|"));
    }
    page.push_str("|\n");
}

/// `` `substr(string, whole number of at least 1 [, whole number of at least 0])` ``.
fn signature(function: &Function) -> String {
    let least = function.arguments.len() - function.optional;
    let mut text = format!("`{}(", function.name);
    for (index, argument) in function.arguments.iter().enumerate() {
        let is_optional = index >= least;
        if is_optional {
            text.push_str(" [");
        }
        if index > 0 {
            text.push_str(", ");
        }
        text.push_str(&argument.text());
        if is_optional {
            text.push(']');
        }
    }
    if function.repeats {
        text.push_str(", …");
    }
    text.push_str(")`");
    text
}
