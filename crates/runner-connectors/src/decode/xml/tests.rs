use runner_plan::model::{ColumnType as T, DataFormat, RowPath};
use serde_json::json;

use crate::decode::harness::{Case, column, field, steps};
use crate::schema::TypeBinding;

const FEED: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE feed [<!ENTITY x "y">]>
<feed xmlns:m="urn:m"><!-- <entry/> --><title>A &amp; B</title><link rel="next" href="/p?a=1&amp;b=2"/>
  <m:entry id="1" m:nil="false"><name>x &lt; y</name><tag>a</tag><tag>b</tag><price cur="EUR">1.10</price><none/></m:entry>
  <entry id="2"><name><![CDATA[<raw>]]></name><deep><er>1</er></deep><gone m:nil="true"/></entry>
  <entry/>
</feed>
"#;

#[test]
fn elements_become_rows() {
    for push in [0, 1, 3] {
        let mut case = Case::new(DataFormat::Xml)
            .at(&["feed", "entry"])
            .pushes(push);
        case.options.captures = vec![steps(&["feed", "link", "@href"])];
        let decoded = case.decode(FEED.as_bytes()).expect("valid");
        assert_eq!(
            decoded.raw,
            [
                r##"{"@id":"1","name":"x < y","tag":["a","b"],"price":{"@cur":"EUR","#text":"1.10"},"none":null}"##,
                r#"{"@id":"2","name":"<raw>","deep":{"er":"1"},"gone":null}"#,
            ]
        );
        assert_eq!(
            decoded.types(),
            "id: string, name: string, tag: list<string>, price: struct<@cur: string, #text: string>, deep: struct<er: string>"
        );
        // An empty element has nothing that a row could have.
        assert_eq!(decoded.invalid.len(), 1);
        let summary = decoded.summary();
        assert_eq!(summary.captured, [Some(json!("/p?a=1&b=2"))]);
        assert_eq!(summary.envelope["feed.title"], json!("A & B"));
        assert_eq!(summary.rows, 3);
        assert!(summary.rows_found);
    }
}

#[test]
fn texts_are_converted_as_the_contract_says() {
    let mut case = Case::new(DataFormat::Xml)
        .fixed("@id", T::Integer)
        .fixed("price", T::Struct(vec![field("#text", T::Number)]));
    case.schema
        .columns
        .push(column("day", T::Date, TypeBinding::Fixed));
    let decoded = case
        .decode(b"<r><e id='7'><price a='b'>1.5</price><day>2024-01-01</day></e><e id='x'/></r>")
        .expect("valid");
    assert_eq!(
        decoded.rows,
        [r##"{@id: 7, price: {"#text":1.5}, day: "2024-01-01"}"##]
    );
    assert_eq!(decoded.reasons().len(), 1);
}

#[test]
fn documents_that_cannot_be_read_say_why() {
    for (page, wanted) in [
        ("", "the response is empty where XML was expected"),
        ("<a><b>", "the XML ends within a value, after 6 bytes"),
        ("<a><b></a>", "failed to read XML at byte 3: "),
        (
            "<a></b></a>",
            "failed to read XML at byte 3: a tag closes what is not open, near `</b></a>`",
        ),
        (
            "<a/><b/>",
            "failed to read XML at byte 4: something follows the end of the document, near `<b/>`",
        ),
        (
            "<a><b>&evil;</b></a>",
            "failed to read XML at byte 3: the entity `&evil;` is not one of XML's own, near `<b>&evil;</b>`",
        ),
        (
            "<?xml version='1.0' encoding='ISO-8859-1'?><a/>",
            "the text is encoded in ISO-8859-1, and only UTF-8 can be read",
        ),
        (
            "text",
            "failed to read XML at byte 0: text outside of the root element, near `text`",
        ),
    ] {
        let error = Case::new(DataFormat::Xml)
            .decode(page.as_bytes())
            .expect_err(page);
        assert!(error.message().starts_with(wanted), "{page}: {error}");
    }
    let error = Case::new(DataFormat::Xml)
        .decode(b"<a><b>\xff</b></a>")
        .expect_err("not UTF-8");
    assert_eq!(error.message(), "the text is not UTF-8 at byte 6");
    let mut case = Case::new(DataFormat::Xml);
    case.path = RowPath::Query("$..a".to_owned());
    assert!(case.decode(b"<a/>").is_err());
    let decoded = Case::new(DataFormat::Xml)
        .at(&["x", "y"])
        .decode(b"<a><b/></a>")
        .expect("valid XML");
    assert!(!decoded.summary().rows_found);
    let decoded = Case::new(DataFormat::Xml)
        .at(&["a", "y"])
        .decode(b"<a><b/></a>")
        .expect("valid XML");
    assert!(decoded.summary().rows_found);
}
