//! What the analysis says of queries: each thing at its place, and what each query yields.

#![expect(
    clippy::unwrap_used,
    reason = "code of tests: a panic is how it says that something is wrong"
)]

use std::fmt::Write as _;

use chrono::DateTime;
use runner_plan::model::{ColumnField, ColumnType};
use runner_spec::{Diagnostic, Place};
use runner_sql::portable::query::Query;
use runner_sql::portable::{Analysis, View, ViewColumn, analyse};

fn view(name: &str, key: &[&str], columns: &[(&str, Option<ColumnType>)]) -> View {
    View {
        name: name.to_owned(),
        columns: columns
            .iter()
            .map(|(name, column_type)| ViewColumn {
                name: (*name).to_owned(),
                column_type: column_type.clone(),
                nullable: true,
            })
            .collect(),
        is_open: false,
        key: key.iter().map(|&name| name.to_owned()).collect(),
    }
}

fn views() -> Vec<View> {
    let cents = ColumnType::Decimal {
        precision: 10,
        scale: 2,
    };
    vec![
        view(
            "trades",
            &["id"],
            &[
                ("id", Some(ColumnType::Integer)),
                ("ticker", Some(ColumnType::String)),
                ("price", Some(ColumnType::Number)),
                ("amount", Some(cents)),
                ("size", Some(ColumnType::Integer)),
                ("at", Some(ColumnType::Timestamp)),
                ("day", Some(ColumnType::Date)),
                ("is_late", Some(ColumnType::Boolean)),
                ("shopId", Some(ColumnType::Integer)),
            ],
        ),
        view(
            "tickers",
            &["ticker"],
            &[
                ("ticker", Some(ColumnType::String)),
                ("name", Some(ColumnType::String)),
                ("id", Some(ColumnType::Integer)),
            ],
        ),
        view(
            "raw",
            &[],
            &[("code", None), ("id", Some(ColumnType::Integer))],
        ),
    ]
}

fn analysed(sql: &str, contract: &[ColumnField]) -> Analysis {
    let views: Vec<View> = views()
        .into_iter()
        .filter(|view| view.name != "raw" || sql.contains("raw"))
        .collect();
    analyse(Query {
        sql,
        path: "provider.transforms[0]",
        views: &views,
        candidates: &["quotes".to_owned()],
        contract,
        now: DateTime::UNIX_EPOCH,
    })
}

/// `code [text that it is about] message (help)`, one a line; hints are left out.
fn said(sql: &str, diagnostics: &[Diagnostic]) -> String {
    let mut text = String::new();
    for found in diagnostics {
        if found.severity == runner_spec::Severity::Hint {
            continue;
        }
        let about = match &found.place {
            Place::Within(range) => &sql[range.clone()],
            _ => "",
        };
        writeln!(
            text,
            "{} [{about}] {} ({})",
            found.code,
            found.message,
            found.help.as_deref().unwrap_or_default()
        )
        .unwrap();
    }
    text
}

/// Queries, with a part of what is said of them.
#[rustfmt::skip]
const MISTAKES: &[(&str, &str)] = &[
    ("SELECT id, FROM trades", "UIS0701 [trades]"),
    ("SELECT id FROM trades WHERE (", "UIS0701"),
    ("CREATE TABLE t AS SELECT id FROM trades", "UIS0711"),
    ("SELECT id FROM trades; DROP TABLE trades", "UIS0711"),
    ("", "UIS0701"),
    ("SELECT id FROM trade", "UIS0702 [trade] there is no table `trade` (did you mean `trades`?)"),
    ("SELECT id FROM quotess", "UIS0702 [quotess] there is no table `quotess` (did you mean `quotes`?)"),
    ("SELECT id FROM lake.trades", "UIS0702 [lake.trades]"),
    ("SELECT id FROM read_parquet('x')", "UIS0706"),
    ("SELECT id, prise FROM trades", "UIS0703 [prise] there is no column `prise` (did you mean `price`?)"),
    ("SELECT\n  t.prise AS p\nFROM trades t", "UIS0703 [t.prise]"),
    ("SELECT shopId FROM trades", "UIS0703 [shopId] there is no column `shopid` (write `\"shopId\"`"),
    ("SELECT nvl(price, 0) AS p FROM trades", "UIS0704 [nvl] portable SQL has no function `nvl` (write `coalesce"),
    ("SELECT roundd(price) AS p FROM trades", "UIS0704 [roundd] portable SQL has no function `roundd` (did you mean `round`?)"),
    ("SELECT random() AS r FROM trades", "UIS0704 [random]"),
    ("SELECT ticker + 1 AS n FROM trades", "UIS0705 [ticker] `+` is between numbers, and these are of type string and integer"),
    ("SELECT id FROM trades WHERE ticker = 5", "UIS0705 [ticker] `=` is between values of one type, and these are of type string and integer"),
    ("SELECT id FROM trades WHERE id IN (1, 'a')", "UIS0705"),
    ("SELECT id FROM trades WHERE price BETWEEN 'a' AND 'b'", "UIS0705 [price]"),
    ("SELECT CASE WHEN is_late THEN 1 ELSE 'x' END AS x FROM trades", "UIS0705"),
    ("SELECT coalesce(ticker, 0) AS x FROM trades", "UIS0705"),
    ("SELECT id FROM trades WHERE size", "UIS0705"),
    ("SELECT id FROM trades WHERE at > 'yesterday'", "UIS0705"),
    ("SELECT upper(id) AS u FROM trades", "UIS0705"),
    ("SELECT sum(ticker) AS s FROM trades", "UIS0705"),
    ("SELECT t.id FROM trades t JOIN tickers k ON t.id = k.ticker", "UIS0705"),
    ("SELECT id FROM trades UNION ALL SELECT ticker FROM trades", "UIS0705"),
    ("SELECT CAST(price AS VARCHAR) AS p FROM trades", "UIS0706 [price] portable SQL has no cast from number to string (engines print doubles"),
    ("SELECT CAST(at AS VARCHAR) AS p FROM trades", "UIS0706 [at]"),
    ("SELECT CAST(id AS SMALLINT) AS p FROM trades", "UIS0706"),
    ("SELECT CAST(id AS DECIMAL) AS p FROM trades", "UIS0706"),
    ("SELECT SAFE_CAST(ticker AS BIGINT) AS p FROM trades", "UIS0706"),
    ("SELECT TRY_CAST(price AS VARCHAR) AS p FROM trades", "UIS0706 [price]"),
    ("SELECT try_add(id, ticker) AS p FROM trades", "UIS0705 [ticker] `try_add` takes a numeric"),
    ("SELECT id FROM trades WHERE ticker ILIKE 'a%'", "UIS0706"),
    ("SELECT id FROM trades WHERE id NOT IN (SELECT id FROM tickers)", "UIS0706"),
    ("SELECT (SELECT id FROM tickers) AS m FROM trades", "UIS0706 [id] a query that stands for a value yields one row"),
    ("SELECT id FROM trades WHERE id > (SELECT max(id) FROM tickers GROUP BY ticker)", "UIS0706"),
    ("SELECT (SELECT max(k.id) FROM tickers k WHERE k.id < t.id) AS m FROM trades t", "UIS0706 [SELECT] a query refers to the one around it"),
    ("SELECT id FROM trades WHERE ticker > (SELECT max(id) FROM tickers)", "UIS0705 [ticker]"),
    ("SELECT id, ntile(4) OVER (ORDER BY price) AS n FROM trades", "UIS0710 [price]"),
    ("SELECT greatest(id, size) AS g FROM trades", "UIS0704 [greatest]"),
    ("SELECT count(*) FROM trades", "UIS0706 [count] portable SQL has no names for columns that are computed"),
    ("SELECT ticker, count(*) AS n FROM trades GROUP BY ROLLUP (ticker)", "UIS0704 [ROLLUP]"),
    ("SELECT DISTINCT ON (ticker) id FROM trades", "UIS0706"),
    ("SELECT id | 1 AS x FROM trades", "UIS0706"),
    ("SELECT regexp_like(ticker, '(?=a)') AS x FROM trades", "UIS0706"),
    ("SELECT date_part('week', at) AS x FROM trades", "UIS0705"),
    ("SELECT EXTRACT(dow FROM at) AS x FROM trades", "UIS0706"),
    ("SELECT substr(ticker, -2) AS x FROM trades", "UIS0705"),
    ("SELECT avg(CAST(amount AS DECIMAL(30, 2))) AS x FROM trades", "UIS0705 [amount]"),
    ("WITH RECURSIVE r AS (SELECT id FROM trades) SELECT id FROM r", "UIS0706"),
    ("SELECT id FROM trades NATURAL JOIN tickers", "UIS0706"),
    ("SELECT ticker FROM trades JOIN tickers ON trades.ticker = tickers.ticker", "UIS0708 [ticker]"),
    ("SELECT id FROM trades LIMIT 3", "UIS0710"),
    ("SELECT id, price FROM trades ORDER BY price LIMIT 3", "UIS0710 [LIMIT]"),
    ("SELECT id, row_number() OVER (PARTITION BY ticker ORDER BY price) AS n FROM trades", "UIS0710 [price]"),
    ("SELECT id, lag(price) OVER (ORDER BY at) AS n FROM trades", "UIS0710 [at]"),
    ("SELECT id, sum(size) OVER (ORDER BY at ROWS 3 PRECEDING) AS n FROM trades", "UIS0710 [at]"),
    ("SELECT id, sum(size) OVER (ORDER BY id RANGE BETWEEN 3 PRECEDING AND CURRENT ROW) AS n FROM trades", "UIS0706"),
    ("SELECT t.id, k.id FROM trades t JOIN tickers k ON t.ticker = k.ticker", "UIS0715"),
    ("SELECT code + 1 AS x FROM raw", "UIS0709"),
    ("SELECT cod FROM raw", "UIS0703 [cod]"),
];

/// Every mistake, with a part of what is said of it.
#[test]
fn a_mistake_is_found_at_its_place() {
    let mut wrong = String::new();
    for &(sql, expected) in MISTAKES {
        let analysis = analysed(sql, &[]);
        let said = said(sql, &analysis.diagnostics);
        if !said.contains(expected) || analysis.relation.is_some() {
            writeln!(wrong, "{sql}\n  wanted {expected}\n  got    {said}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// What is wrong hides nothing else that is.
#[test]
fn all_mistakes_of_a_query_are_found_at_once() {
    let sql = "SELECT t.prise AS p, volum, nvl(size, 0), id + ticker AS n, ticker || 5 AS x, upper(size) AS u \
               FROM trades t JOIN tickers k USING (ticker) WHERE code ILIKE 'a%' AND name = 1 AND rankk(1) > 2";
    let said = said(sql, &analysed(sql, &[]).diagnostics);
    let found: Vec<&str> = said
        .lines()
        .map(|line| &line[..=line.find(']').unwrap()])
        .collect();
    assert_eq!(
        found,
        [
            "UIS0704 [nvl]",
            "UIS0706 [code ILIKE 'a%']",
            "UIS0704 [rankk]",
            "UIS0706 [nvl(size, 0]",
            "UIS0705 [name]",
            "UIS0705 [||]",
            "UIS0703 [t.prise]",
            "UIS0703 [volum]",
            "UIS0708 [id]",
            "UIS0705 [upper]",
        ],
        "{said}"
    );
}

/// Queries, with the columns that they yield; none where an open column decides.
#[rustfmt::skip]
const YIELDS: &[(&str, &str)] = &[
    ("SELECT * FROM tickers", "ticker string, name string, id integer"),
    ("SELECT id / 2 AS half, -size AS minus, price % 2 AS rest FROM trades", "half integer, minus integer, rest number"),
    ("SELECT amount * 2 AS a, amount / 3 AS b, amount + 0.001 AS c, amount * price AS d FROM trades", "a decimal(30,2), b decimal(38,6), c decimal(12,3), d number"),
    ("SELECT sum(size) AS s, avg(size) AS m, sum(amount) AS a, count(*) AS n, count(DISTINCT ticker) AS t FROM trades", "s integer, m number, a decimal(20,2), n integer, t integer"),
    ("SELECT ticker, max(at) AS last, bool_or(is_late) AS late FROM trades GROUP BY ticker HAVING count(*) > 2", "ticker string, last timestamp, late boolean"),
    ("SELECT CAST(ticker AS BIGINT) AS i, CAST(ticker AS DECIMAL(8, 3)) AS d, ticker::date AS x, CAST(size AS VARCHAR) AS s FROM trades", "i integer, d decimal(8,3), x date, s string"),
    ("SELECT upper(trim(ticker)) || '-' || left(ticker, 2) AS t, length(ticker) AS n, position('a' IN ticker) AS p FROM trades", "t string, n integer, p integer"),
    ("SELECT date_trunc('hour', at) AS h, EXTRACT(year FROM at) AS y, date_part('month', day) AS m, at + INTERVAL '1' DAY AS t, now() AS n, current_date AS d FROM trades", "h timestamp, y integer, m integer, t timestamp, n timestamp, d date"),
    ("SELECT id FROM trades WHERE at >= '2024-01-01' AND day = DATE '2024-01-01' AND at < TIMESTAMP '2024-02-01T00:00:00Z'", "id integer"),
    ("SELECT t.id, k.name FROM trades t LEFT JOIN tickers k USING (ticker) WHERE EXISTS (SELECT 1 FROM raw r WHERE r.id = t.id)", "id integer, name string"),
    ("SELECT CASE WHEN is_late THEN 1 ELSE 2.5 END AS c, coalesce(price, 0) AS p, nullif(ticker, '') AS t FROM trades", "c decimal(20,1), p number, t string"),
    ("SELECT id, row_number() OVER (PARTITION BY ticker ORDER BY price, id) AS n, rank() OVER (ORDER BY price) AS r, sum(size) OVER (PARTITION BY ticker) AS s FROM trades", "id integer, n integer, r integer, s integer"),
    ("SELECT id, price FROM trades ORDER BY price DESC, id LIMIT 10 OFFSET 2", "id integer, price number"),
    ("SELECT ticker, count(*) AS n FROM trades GROUP BY ticker ORDER BY n, ticker LIMIT 3", "ticker string, n integer"),
    ("SELECT t.id, row_number() OVER (ORDER BY t.id) AS n FROM trades t JOIN tickers k ON t.ticker = k.ticker", "id integer, n integer"),
    ("SELECT id, price FROM trades UNION ALL SELECT id, id AS price FROM tickers", "id integer, price number"),
    ("SELECT ticker FROM trades EXCEPT SELECT ticker FROM tickers", "ticker string"),
    ("WITH late AS (SELECT id, size FROM trades WHERE is_late), big AS (SELECT id FROM late WHERE size > 5) SELECT id FROM big", "id integer"),
    ("SELECT \"shopId\" AS shop FROM \"trades\"", "shop integer"),
    ("SELECT avg(amount) AS a, avg(amount) OVER (PARTITION BY ticker) AS b FROM trades GROUP BY ticker, amount", "a decimal(38,6), b decimal(38,6)"),
    ("SELECT id, (SELECT max(k.id) FROM tickers k) AS m, (SELECT count(*) FROM tickers k WHERE k.ticker = t.ticker) AS n FROM trades t WHERE size > (SELECT avg(size) FROM trades)", "id integer, m integer, n integer"),
    ("SELECT TRY_CAST(ticker AS BIGINT) AS i, try_divide(size, 0) AS q, try_add(amount, size) AS s, try_multiply(price, size) AS p FROM trades", "i integer, q integer, s decimal(22,2), p number"),
    ("SELECT id, ntile(4) OVER (ORDER BY price, id) AS n, percent_rank() OVER (ORDER BY price) AS p, cume_dist() OVER (ORDER BY price) AS c, nth_value(price, 2) OVER (ORDER BY id) AS v FROM trades", "id integer, n integer, p number, c number, v number"),
    ("SELECT reverse(ticker) AS r, ends_with(ticker, 'x') AS e FROM trades", "r string, e boolean"),
    ("SELECT CAST(code AS BIGINT) AS c FROM raw", ""),
];

/// What is on the list is analysed, and yields columns of these types.
#[test]
fn a_portable_query_yields_columns() {
    let mut wrong = String::new();
    for &(sql, expected) in YIELDS {
        let analysis = analysed(sql, &[]);
        let yields: Vec<String> = analysis
            .relation
            .iter()
            .flat_map(|relation| &relation.columns)
            .map(|column| format!("{} {}", column.name, column.column_type))
            .collect();
        let said = said(sql, &analysis.diagnostics);
        let is_quiet = said.is_empty() != expected.is_empty();
        if yields.join(", ") != expected || !is_quiet {
            writeln!(
                wrong,
                "{sql}\n  yields {}\n  said   {said}",
                yields.join(", ")
            )
            .unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn casts_are_made_explicit_and_listed() {
    let analysis = analysed(
        "SELECT price * size AS v, CAST(ticker AS BIGINT) AS t FROM trades WHERE amount > size AND price > 1",
        &[],
    );
    let casts: Vec<String> = analysis
        .casts
        .iter()
        .map(|cast| {
            let kind = if cast.is_implicit { "made" } else { "written" };
            format!("{} {} -> {} {kind}", cast.expression, cast.from, cast.to)
        })
        .collect();
    assert_eq!(
        casts,
        [
            "trades.amount decimal(10,2) -> decimal(21,2) made",
            "trades.size integer -> decimal(21,2) made",
            "trades.size integer -> number made",
            "trades.ticker string -> integer written",
        ]
    );
}

#[test]
fn the_contract_decides_types_and_misses_columns() {
    let field = |name: &str, column_type, nullable| ColumnField {
        name: name.to_owned(),
        column_type,
        nullable,
    };
    let contract = [
        field("total", ColumnType::Number, false),
        field("ticker", ColumnType::String, true),
    ];
    let sql = "SELECT ticker, sum(size) AS total FROM trades GROUP BY ticker";
    let relation = analysed(sql, &contract).relation.unwrap();
    assert_eq!(
        relation.columns[1],
        field("total", ColumnType::Number, false)
    );

    let sql = "SELECT ticker, sum(size) AS totl FROM trades GROUP BY ticker";
    let missing = analysed(sql, &contract);
    assert!(said(sql, &missing.diagnostics).contains("UIS0713 [] the contract requires `total`"));

    let sql = "SELECT size AS ticker, price AS total FROM trades";
    assert!(analysed(sql, &contract).relation.is_some());
    let sql = "SELECT price AS ticker, price AS total FROM trades";
    let wrong = analysed(sql, &contract);
    assert!(said(sql, &wrong.diagnostics).contains("UIS0713 [ticker] the contract makes `ticker`"));
}

/// Only what can fail for a row, at the end of a query, is set apart.
#[test]
fn row_wise_failures_are_set_apart() {
    for (sql, steps) in [
        ("SELECT id, price FROM trades WHERE id > 5", 0),
        ("SELECT id / size AS x FROM trades", 1),
        ("SELECT id FROM trades WHERE id > 5 AND id / size > 1", 2),
        (
            "SELECT ticker, sum(size) / count(*) AS x FROM trades GROUP BY ticker",
            1,
        ),
        ("SELECT sum(id / size) AS x FROM trades", 0),
        (
            "SELECT try_divide(id, size) AS x, TRY_CAST(ticker AS BIGINT) AS y FROM trades",
            0,
        ),
        (
            "SELECT id / (SELECT max(id) FROM tickers) AS x FROM trades",
            1,
        ),
        (
            "SELECT id FROM trades WHERE id / (SELECT max(id) FROM tickers) > 1",
            3,
        ),
        (
            "SELECT x FROM (SELECT CAST(ticker AS BIGINT) AS x FROM trades) q WHERE x > 1",
            3,
        ),
    ] {
        let relation = analysed(sql, &[]).relation.unwrap();
        // The projection to the types of columns stands at the end of every query.
        let own = relation.steps.len().saturating_sub(1);
        assert_eq!(own, steps, "{sql}\n{:#?}", relation.steps);
    }
}
