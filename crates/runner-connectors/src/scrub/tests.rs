use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::*;

const CANARY: &str = "c4n/ry+ü \"s3cret\"?&=%{}";

fn scrubber(value: &str) -> Scrubber {
    let scrubber = Scrubber::new();
    scrubber
        .register("vault://feeds/polygon#api_key", &Secret::new(value))
        .unwrap();
    scrubber
}

#[test]
fn every_form_is_taken_out_and_put_back() {
    let scrubber = scrubber(CANARY);
    let percent: String = url::form_urlencoded::byte_serialize(CANARY.as_bytes()).collect();
    let mut url = url::Url::parse("https://api.example.org/").unwrap();
    url.query_pairs_mut().append_pair("key", CANARY);
    url.path_segments_mut().unwrap().push(CANARY);
    let texts = [
        CANARY.to_owned(),
        format!("https://api.example.org/v1?key={percent}&limit=5"),
        format!(
            "https://api.example.org/v1?key={}&limit=5",
            percent.to_lowercase()
        ),
        url.to_string(),
        serde_json::json!({"key": CANARY}).to_string(),
        format!("Basic {}", STANDARD.encode(format!("user:{CANARY}"))),
        format!("Basic {}", STANDARD.encode(format!("u:{CANARY}"))),
        format!("Basic {}", STANDARD.encode(format!("us:{CANARY}:and more"))),
        URL_SAFE_NO_PAD.encode(CANARY),
        // As Go, .NET and PHP write JSON, and as CSV and XML are written.
        r#""c4n/ry+\u00FC \u0022s3cret\u0022?\u0026=%{}""#.replace("y+", r"y\u002B"),
        r#""c4n/ry+ü \"s3cret\"?\u0026=%{}""#.to_owned(),
        r#""c4n\/ry+ü \"s3cret\"?&=%{}""#.to_owned(),
        format!("1,\"{}\",2", CANARY.replace('"', "\"\"")),
        "<key>c4n/ry+ü \"s3cret\"?&amp;=%{}</key>".to_owned(),
        "<a key=\"c4n/ry+ü &quot;s3cret&quot;?&amp;=%{}\"/>".to_owned(),
    ];
    for text in texts {
        let hidden = scrubber.scrub(&text);
        assert!(
            hidden.contains("{{secret:vault://feeds/polygon#api_key"),
            "{hidden}"
        );
        assert!(!scrubber.finds(hidden.as_bytes()), "{hidden}");
        assert_eq!(scrubber.restore(&hidden).unwrap(), text);
        assert_eq!(scrubber.hide(&text), hidden);
    }
}

#[test]
fn a_planted_placeholder_is_not_filled_with_a_secret() {
    let scrubber = scrubber("s3cret-value");
    let planted = "https://evil.example/?x={{secret:vault://feeds/polygon#api_key}}";
    let stored = scrubber.scrub(planted);
    assert_eq!(scrubber.restore(&stored).unwrap(), planted);
    assert_eq!(Scrubber::references(&stored), Vec::<String>::new());
}

#[test]
fn a_rotated_secret_is_still_hidden_and_the_new_one_is_put_back() {
    let scrubber = scrubber("old-value-1");
    let stored = scrubber.scrub("token=old-value-1");
    scrubber
        .register("vault://feeds/polygon#api_key", &Secret::new("new-value-2"))
        .unwrap();
    assert!(
        !scrubber
            .hide("a old-value-1 b new-value-2")
            .contains("value")
    );
    assert_eq!(scrubber.restore(&stored).unwrap(), "token=new-value-2");
}

#[test]
fn a_secret_that_nobody_registered_is_an_error_that_names_it() {
    let error = Scrubber::new()
        .restore("a{{secret:vault://x#y|percent}}b")
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Secret);
    assert!(error.message().contains("vault://x#y"), "{error}");
    assert_eq!(
        Scrubber::references("a{{secret:vault://x#y|percent}}b"),
        ["vault://x#y"]
    );
}

#[test]
fn debug_output_names_references_only() {
    assert_eq!(
        format!("{:?}", scrubber("s3cret-value")),
        r#"Scrubber { secrets: ["vault://feeds/polygon#api_key"] }"#
    );
}

proptest! {
    #[test]
    fn scrubbing_hides_and_restoring_gives_the_text_back(
        secret in "\\PC{4,24}",
        before in "\\PC{0,12}",
        after in "\\PC{0,12}",
        form in 0_usize..6,
    ) {
        let scrubber = scrubber(&secret);
        let inner = match form {
            0 => secret.clone(),
            1 => utf8_percent(&secret),
            2 => serde_json::Value::String(secret.clone()).to_string(),
            3 => STANDARD.encode(&secret),
            4 => URL_SAFE_NO_PAD.encode(&secret),
            _ => url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        };
        let text = format!("{before}{inner}{after}");
        let hidden = scrubber.scrub(&text);
        prop_assert!(hidden.contains("{{secret:vault://feeds/polygon#api_key"));
        prop_assert_eq!(scrubber.restore(&hidden).unwrap(), text);
    }
}

fn utf8_percent(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
