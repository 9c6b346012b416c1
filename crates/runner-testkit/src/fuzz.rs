//! What arbitrary bytes may reach, as functions of bytes: the fuzz targets of `fuzz/` run them for as long as anybody likes, and a
//! bounded property test in every build. None of them may panic, hang or take memory without bound; what they return is not looked at
//! beyond what must always hold.

use bytes::Bytes;
use runner_connectors::decode::{DecodeOptions, PageDecoder};
use runner_connectors::schema::{SchemaVersion, StreamSchema};
use runner_plan::model::{DataFormat, RowPath};
use runner_plan::template::NamedTexts;
use runner_plan::{Template, parse_json_path};
use runner_spec::{Options, RenderOptions, Source};

/// Of a page that is decoded; larger ones would only be slower.
const MOST_BYTES: u64 = 1 << 20;

/// A document: read, checked, and every diagnostic drawn.
pub fn document(bytes: &[u8]) {
    let source = match Source::from_bytes("document.yaml", bytes) {
        Ok(source) => source,
        Err(diagnostic) => {
            assert!(diagnostic.is_error(), "{diagnostic:?}");
            return;
        }
    };
    let loaded = runner_spec::load(&source, &[], &Options { strict: true });
    let shown = runner_spec::render(
        &loaded.diagnostics,
        &loaded.sources,
        RenderOptions::default(),
    );
    let has_errors = loaded
        .diagnostics
        .iter()
        .any(runner_spec::Diagnostic::is_error);
    assert!(
        loaded.spec.is_some() || has_errors,
        "a document that is refused says why"
    );
    assert_eq!(shown.is_empty(), loaded.diagnostics.is_empty());
}

/// A template: compiled, and rendered as a text and as a URL.
pub fn template(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(compiled) = Template::new(text).compile() else {
        return;
    };
    let values = [
        ("ticker".to_owned(), "A/B &é".to_owned()),
        ("from_date".to_owned(), "2026-01-31".to_owned()),
    ]
    .into();
    let scope = NamedTexts {
        values: &values,
        place: "the values",
    };
    // An error is as good as a text.
    let _ = compiled.render(&scope);
    let _ = compiled.render_url(&scope);
    // What is written to be taken literally is.
    let literal = Template::literal(text).compile();
    let rendered = literal.as_ref().map(|literal| literal.render(&scope));
    assert!(
        matches!(&rendered, Ok(Ok(rendered)) if rendered.text == text),
        "{text:?} became {rendered:?}"
    );
}

/// A path, up to the first line feed, in the JSON document that follows.
pub fn json_path(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let (path, body) = text.split_once('\n').unwrap_or((text, "{}"));
    if let Some(path) = parse_json_path(path) {
        decode(DataFormat::Json, &path, body.as_bytes(), usize::MAX);
    }
}

/// A response: its first byte says the format, its second how it is cut into chunks.
pub fn response(bytes: &[u8]) {
    let [format, chunk, body @ ..] = bytes else {
        return;
    };
    let format = match format % 5 {
        0 => DataFormat::Json,
        1 => DataFormat::JsonLines,
        2 => DataFormat::Csv,
        3 => DataFormat::Xml,
        _ => DataFormat::Parquet,
    };
    let rows = RowPath::Steps(Vec::new());
    let whole = decode(format, &rows, body, usize::MAX);
    let cut = decode(format, &rows, body, usize::from(*chunk).max(1));
    // How the network cuts a body changes nothing.
    assert_eq!(whole, cut, "{format:?}");
}

/// Rows that were decoded and rows that could not be; none where the page was refused.
fn decode(format: DataFormat, rows: &RowPath, body: &[u8], chunk: usize) -> Option<(usize, usize)> {
    let schema = StreamSchema::new(SchemaVersion {
        is_open: true,
        ..SchemaVersion::default()
    });
    let options = DecodeOptions {
        max_document_bytes: MOST_BYTES,
        ..DecodeOptions::default()
    };
    let mut decoder = PageDecoder::new(format, rows, schema, options).ok()?;
    let mut counts = (0, 0);
    let mut take = |decoder: &mut PageDecoder| {
        while let Some(rows) = decoder.next_rows().ok()? {
            assert_eq!(rows.batch.num_rows(), rows.numbers.len());
            counts.0 += rows.batch.num_rows();
            counts.1 += rows.invalid.len();
        }
        Some(())
    };
    for piece in body.chunks(chunk.min(body.len()).max(1)) {
        decoder.push(Bytes::copy_from_slice(piece)).ok()?;
        take(&mut decoder)?;
    }
    decoder.end().ok()?;
    take(&mut decoder)?;
    decoder.finish().ok()?;
    Some(counts)
}
