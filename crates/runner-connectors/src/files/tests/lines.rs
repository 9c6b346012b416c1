//! The line that a row or an error names is the one that `grep -n` shows.

use std::fmt::Write as _;

use runner_core::{ChainKey, Position};
use runner_plan::model::ColumnType;

use super::fixture::{Fixture, Taken, gzip, read, zstd};
use crate::decode::harness::{column, steps};
use crate::files::FileSource;
use crate::schema::TypeBinding;
use crate::source::{ChainRequest, Fetched, Source as _};

/// Rows that each hold a text of their own, some of them bad; lines of every kind between them.
fn csv() -> String {
    let mut text = String::from("id,note\r\n");
    for row in 0..60 {
        match row % 6 {
            0 => writeln!(text, "row{row}x,\"a\nb\r\n,\"\"c\"\r"),
            1 => writeln!(text, "row{row}x,too,many\n\n"),
            2 => writeln!(text, "row{row}x,é\r"),
            3 => writeln!(text, "row{row}x,\"a\"b\nrow{row}y,c"),
            4 => writeln!(text, "row{row}x"),
            _ => writeln!(text, "\"row{row}x\",\"\n\n\""),
        }
        .unwrap();
    }
    text
}

fn json_lines() -> String {
    let mut text = String::from("\n");
    for row in 0..60 {
        match row % 3 {
            0 => writeln!(text, "{{\"id\": \"row{row}x\", \"note\": \"a\\nb\"}}\r"),
            1 => writeln!(text, "not json: row{row}x\n  "),
            _ => writeln!(text, "  {{\"id\": \"row{row}x\""),
        }
        .unwrap();
    }
    text
}

/// A document whose rows stand over several lines, in one with others, and in lines of their own.
fn document() -> String {
    let mut text = String::from("{\n  \"rows\": [");
    for row in 0..60 {
        let comma = if row == 0 { "" } else { "," };
        match row % 3 {
            0 => write!(
                text,
                "{comma}\n\n    {{\n\"id\": \"row{row}x\",\n\"n\": {row}}}"
            ),
            1 => write!(text, "{comma} {{\"id\": \"row{row}x\", \"n\": \"bad\"}}"),
            _ => write!(text, "{comma}\n    {{\"id\": \"row{row}x\", \"n\": {row}}}"),
        }
        .unwrap();
    }
    text + "\n]}\n"
}

/// What `grep -n` says of the first line that holds this.
fn grep(text: &str, wanted: &str) -> Option<u64> {
    let at = text.split('\n').position(|line| line.contains(wanted))?;
    Some(at as u64 + 1)
}

fn marker(raw: &str) -> &str {
    let start = raw.find("row").unwrap();
    let length = raw[start..].find(['x', 'y']).unwrap();
    &raw[start..=start + length]
}

async fn check(taken: &Taken, text: &str, what: &str) -> usize {
    let lines = taken.lines().await;
    for (raw, line) in &lines {
        assert_eq!(*line, begins(text, marker(raw)), "{what}: {raw}");
    }
    lines.len()
}

/// The line in which the row of this marker begins: an object's bracket may stand before it.
fn begins(text: &str, marker: &str) -> Option<u64> {
    let found = text.split('\n').take_while(|line| !line.contains(marker));
    let line = grep(text, marker)?;
    Some(if found.last()?.ends_with('{') {
        line - 1
    } else {
        line
    })
}

fn fixture(name: &str, text: &str) -> Fixture {
    let content = match name.rsplit_once('.') {
        Some((_, "gz")) => gzip(text.as_bytes()),
        Some((_, "zst")) => zstd(text.as_bytes()),
        _ => text.as_bytes().to_vec(),
    };
    let mut fixture = Fixture::new(name).with(name, content);
    if name.contains(".json") && !name.contains(".jsonl") {
        fixture.files.rows = steps(&["rows"]);
        fixture.schema.is_open = false;
        let number = column("n", ColumnType::Integer, TypeBinding::Fixed);
        fixture.schema.columns.push(number);
    }
    fixture
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_name_the_line_in_which_they_begin() {
    let texts = [
        ("a.csv", csv(), 70),
        ("a.jsonl", json_lines(), 60),
        ("a.json", document(), 60),
    ];
    for (name, text, rows) in texts {
        for ending in ["", ".gz", ".zst"] {
            let name = format!("{name}{ending}");
            let mut fixture = fixture(&name, &text);
            let whole = fixture.read().await.unwrap();
            assert!(whole.invalid.len() >= 20, "{name}: {:?}", whole.invalid);
            assert_eq!(check(&whole, &text, &name).await, rows, "{name}");
            for (part, page, batch) in [(100, 60, 1), (150, 1_000, 3), (333, 200, 100)] {
                fixture.parallelism = 3;
                fixture.sizes.part_bytes = Some(part);
                fixture.sizes.page_bytes = Some(page);
                fixture.sizes.batch_rows = Some(batch);
                let cut = fixture.read().await.unwrap();
                let what = format!("{name} in parts of {part} bytes");
                assert_eq!(check(&cut, &text, &what).await, rows, "{what}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resumed_file_has_the_same_lines() {
    for (name, text) in [
        ("a.csv", csv()),
        ("a.jsonl.gz", json_lines()),
        ("a.jsonl", json_lines()),
    ] {
        let mut fixture = fixture(name, &text);
        fixture.sizes.batch_rows = Some(4);
        fixture.sizes.page_bytes = Some(200);
        let source = fixture.source();
        let keys = source.take_up(&source.list().await.unwrap()).await.unwrap();
        let whole = read(&source, keys[0].clone(), None).await.unwrap();
        let all = whole.lines().await;
        let positions: Vec<Position> = whole
            .pages
            .iter()
            .map(|page| page.position.clone())
            .collect();
        assert!(positions.len() > 3);
        for position in positions
            .into_iter()
            .filter(|position| position.end.is_none())
        {
            let rest = read(&source, keys[0].clone(), Some(position.clone()))
                .await
                .unwrap();
            let mut lines = rest.lines().await;
            let mut wanted: Vec<_> = all
                .iter()
                .filter(|row| lines.contains(row))
                .cloned()
                .collect();
            lines.sort();
            wanted.sort();
            assert_eq!(lines, wanted, "{name} from {position:?}");
            let left = all.len() - usize::try_from(position.rows).unwrap();
            assert_eq!(lines.len(), left, "{name} from {position:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_of_a_file_that_has_changed_are_not_guessed() {
    let mut fixture = fixture("a.jsonl", &json_lines());
    fixture.sizes.batch_rows = Some(4);
    fixture.sizes.page_bytes = Some(200);
    let source = fixture.source();
    let keys = source.take_up(&source.list().await.unwrap()).await.unwrap();
    let from = first_page(&source, keys[0].clone()).await;
    let rest = read(&source, keys[0].clone(), Some(from)).await.unwrap();
    fixture.write("a.jsonl", json_lines() + "\n");
    let lines = rest.lines().await;
    assert!(lines.len() > 40);
    assert!(lines.iter().all(|(_, line)| line.is_none()), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_name_the_line_and_in_documents_the_column() {
    let rows = |row: &dyn Fn(usize) -> String| (0..50).map(row).collect::<String>();
    let good = rows(&|row| format!("{row},\"a\n\nb\"\r\n"));
    let plain = rows(&|row| format!("{row},c\n"));
    let broken_quote = format!("id,note\n{good}BROKEN,\"a\n{plain}");
    let items = rows(&|row| format!("  {{\"id\": {row},\n   \"é\": null}},\n"));
    let broken_item = format!("[\n{items}  {{\"é\": 1, \"BROKEN\" 2}}\n]\n");
    let elements = rows(&|row| format!("<row>\n<id>{row}</id>\n</row>\n"));
    let broken_element = format!("<rows>\n{elements}</BROKEN>\n</rows>\n");
    let cases = [
        ("a.csv", broken_quote.as_str(), ""),
        ("a.json", &broken_item, ", column: 21"),
        ("a.xml", &broken_element, ", column: 1"),
    ];
    for (name, text, column) in cases {
        for ending in ["", ".gz"] {
            for batch in [1, 7, 1_000] {
                let name = format!("{name}{ending}");
                let packed = if ending.is_empty() {
                    text.as_bytes().to_vec()
                } else {
                    gzip(text.as_bytes())
                };
                let mut fixture = Fixture::new(&name).with(&name, packed);
                fixture.sizes.batch_rows = Some(batch);
                fixture.sizes.page_bytes = Some(300);
                let error = fixture.fails().await;
                let line = grep(text, "BROKEN").unwrap();
                let wanted = format!("(origin: FOLDER/{name}, line: {line}{column}, ");
                assert!(
                    fixture.shown(&error).contains(&wanted),
                    "{}",
                    fixture.shown(&error)
                );
            }
        }
    }

    // A part, and a run that goes on in the middle, count the lines before them.
    let mut fixture = Fixture::new("a.csv").with("a.csv", &broken_quote);
    fixture.sizes.batch_rows = Some(5);
    fixture.sizes.page_bytes = Some(100);
    fixture.parallelism = 2;
    fixture.sizes.part_bytes = Some(200);
    let line = grep(&broken_quote, "BROKEN").unwrap();
    let taken = fixture.read().await.unwrap();
    assert_eq!(taken.invalid.len(), 1);
    assert!(
        taken.invalid[0].contains(&format!(", line: {line},")),
        "{}",
        taken.invalid[0]
    );

    fixture.parallelism = 1;
    let source = fixture.source();
    let keys = source.take_up(&source.list().await.unwrap()).await.unwrap();
    let from = first_page(&source, keys[0].clone()).await;
    let error = read(&source, keys[0].clone(), Some(from))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains(&format!(", line: {line},")),
        "{error}"
    );
}

/// Where a chain stands behind its first page.
async fn first_page(source: &FileSource, key: ChainKey) -> Position {
    let request = ChainRequest {
        key,
        generation: 0,
        variables: std::collections::BTreeMap::new(),
        window: None,
    };
    let mut chain = source.open(request, None).await.unwrap();
    loop {
        match chain.next().await.unwrap().unwrap() {
            Fetched::PageEnd(page) => return page.position,
            Fetched::Rows(_) => {}
            other => panic!("{other:?}"),
        }
    }
}
