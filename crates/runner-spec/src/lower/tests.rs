//! Whether lowering reads every field of the table, and reads it right.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use crate::fields::{DOCUMENT, Object, Shape};
use crate::model::{
    AuthKind, ForEach, HmacAlgorithm, Mode, OauthGrant, PropertyType, Spec, StatusMeaning, Version,
};
use crate::{Options, Source, load};

thread_local! {
    static READS: RefCell<BTreeSet<(&'static str, &'static str)>> = const { RefCell::new(BTreeSet::new()) };
}

/// Called by the view for each field that lowering looks at.
pub(super) fn note_read(object: &'static str, field: &'static str) {
    READS.with_borrow_mut(|reads| reads.insert((object, field)));
}

const EVERYTHING: &str = include_str!("../../tests/documents/everything.yaml");

fn spec(text: &str) -> Spec {
    let loaded = load(
        &Source::new("document", text),
        &[],
        &Options { strict: true },
    );
    loaded
        .spec
        .unwrap_or_else(|| panic!("{:#?}", loaded.diagnostics))
}

/// Every object of the table, however deep.
fn objects(object: &'static Object, found: &mut Vec<&'static Object>) {
    if found.iter().any(|other| std::ptr::eq(*other, object)) {
        return;
    }
    found.push(object);
    for field in object.fields {
        match field.shape {
            Shape::Object(inner) | Shape::List(inner) => objects(inner, found),
            Shape::ByKind(by_kind) => by_kind
                .objects
                .iter()
                .for_each(|(_, inner)| objects(inner, found)),
            _ => {}
        }
    }
}

#[test]
fn every_field_of_the_table_reaches_the_model() {
    READS.with_borrow_mut(BTreeSet::clear);
    spec(EVERYTHING);
    // What the provider doesn't say itself is read at the top.
    let plain = EVERYTHING
        .replace("  mode: streaming\n", "")
        .replace("  parallelism: \"{{ config.workers }}\"\n", "");
    let plain = plain
        .replace("      event_time:", "      x:")
        .replace("      dedupe:", "      y:");
    let loaded = load(&Source::new("plain", &plain), &[], &Options::default());
    let provider = loaded.spec.expect("a document").provider;
    assert_eq!(
        (provider.mode, provider.parallelism),
        (Some(Mode::Batch), Some(2))
    );
    let mut all = Vec::new();
    objects(&DOCUMENT, &mut all);
    let reads = READS.with_borrow(Clone::clone);
    // Free settings are kept as they are, and read by whoever needs them.
    let is_kept = |object: &str, field: &str| match object {
        "iceberg_config"
        | "parquet_config"
        | "postgres_config"
        | "clickhouse_config"
        | "kafka_config"
        | "elasticsearch_config" => field != "endpoints",
        // The plan fills with it what others leave open.
        "provider_config" => true,
        "document" => field == "$schema",
        _ => false,
    };
    let forgotten: Vec<(&str, &str)> = all
        .iter()
        .flat_map(|object| object.fields.iter().map(|field| (object.name, field.name)))
        .filter(|(object, field)| !is_kept(object, field) && !reads.contains(&(*object, *field)))
        .collect();
    assert_eq!(forgotten, []);
}

#[test]
fn values_arrive_as_they_were_written() {
    let spec = spec(EVERYTHING);
    assert_eq!(spec.version, Version::V1_2);
    assert_eq!(spec.global.runtime_timeout_minutes, Some(90));
    assert_eq!(spec.global.retry_backoff_seconds, Some(0.5));
    let provider = &spec.provider;
    // The provider's own mode and parallelism win; a template of a setting is the setting.
    assert_eq!(
        (provider.mode, provider.parallelism),
        (Some(Mode::Streaming), Some(8))
    );
    // What `retry_config` leaves open is filled by the plan, from `global_config` before `config.retry`.
    assert_eq!(
        (provider.retry.max_attempts, provider.retry.multiplier),
        (None, Some(2.0))
    );
    assert_eq!(
        provider.retry.retry_on,
        ["503", "5xx", "timeout", "connection"]
    );
    assert_eq!(provider.config["workers"], serde_json::json!(8));
    let first = &provider.endpoints[0];
    assert_eq!(first.method.as_deref(), Some("POST"));
    assert_eq!(first.query_params["n"], "1.50");
    assert_eq!(first.query_params["active"], "true");
    assert_eq!(first.rate_limit_per_second, Some(0.5));
    assert_eq!(
        first.pagination.page_size.as_deref(),
        Some("{{ config.page_size | default(100) }}")
    );
    assert_eq!(
        first.validation_rules.numeric_ranges["value"],
        (Some(-1.0), Some(10.0))
    );
    assert_eq!(first.validation_rules.numeric_ranges["id"], (None, None));
    assert_eq!(first.on_status["404"], StatusMeaning::Skip);
    assert_eq!(first.load.replace_scope, ["time"]);
    assert_eq!(
        first.for_each,
        Some(ForEach::List {
            variable: Some("ticker".into()),
            values: vec!["AAPL".into(), "5".into(), "true".into()]
        })
    );
    let incremental = first.incremental.as_ref().expect("a window");
    let lookback = incremental.lookback.as_deref().unwrap_or_default();
    assert_eq!(crate::parse_duration(lookback), Ok(Duration::from_mins(90)));
}

#[test]
fn chains_sinks_and_transforms_arrive_as_they_were_written() {
    let spec = spec(EVERYTHING);
    let provider = &spec.provider;
    assert_eq!(
        provider.endpoints[1].for_each,
        Some(ForEach::Range {
            variable: None,
            from: 1,
            to: 9,
            step: 2
        })
    );
    let parent = ForEach::Parent {
        variable: Some("id".into()),
        endpoint: "bearer".into(),
        field: "id".into(),
        incremental: true,
    };
    assert_eq!(provider.endpoints[2].for_each, Some(parent));
    let symbols = ForEach::List {
        variable: None,
        values: vec!["X".into(), "Y".into()],
    };
    assert_eq!(provider.endpoints[3].for_each, Some(symbols));
    let sink = &provider.sinks[0];
    assert_eq!(sink.endpoints, ["api_key"]);
    assert!(!sink.config.contains_key("endpoints"));
    assert_eq!(sink.load.primary_key, ["id"]);
    assert_eq!(
        provider.transforms[0].target_endpoints,
        ["api_key", "bearer"]
    );
    assert_eq!(
        provider.transforms[0].parameters.keys().collect::<Vec<_>>(),
        ["threshold"]
    );
}

#[test]
fn credentials_that_are_left_out_come_from_the_bundle() {
    let spec = spec(EVERYTHING);
    let kinds: Vec<&AuthKind> = spec
        .provider
        .endpoints
        .iter()
        .map(|endpoint| &endpoint.auth.kind)
        .collect();
    let AuthKind::Oauth2 { grant, scopes, .. } = kinds[3] else {
        panic!("{:?}", kinds[3])
    };
    assert_eq!(
        (*grant, scopes.as_slice()),
        (
            OauthGrant::RefreshToken,
            ["read".to_owned(), "write".to_owned()].as_slice()
        )
    );
    let AuthKind::Hmac { algorithm, .. } = kinds[4] else {
        panic!("{:?}", kinds[4])
    };
    assert_eq!(*algorithm, HmacAlgorithm::Sha512);
    let bundled = AuthKind::Basic {
        username: "{{ secrets.username }}".into(),
        password: "{{ secrets.password }}".into(),
    };
    assert_eq!(kinds[5], &bundled);
}

#[test]
fn the_contract_says_what_columns_are() {
    let spec = spec(EVERYTHING);
    let contract = spec.provider.schema_contract.expect("a contract");
    let kind = |name: &str| {
        (
            contract.properties[name].kind,
            contract.properties[name].nullable,
        )
    };
    assert_eq!(kind("id"), (Some(PropertyType::Integer), false));
    assert_eq!(kind("value"), (Some(PropertyType::Number), true));
    assert_eq!(kind("time"), (Some(PropertyType::DateTime), true));
    assert_eq!(kind("day"), (Some(PropertyType::Date), true));
    assert_eq!(kind("side"), (None, true));
    assert!(!contract.additional_properties);
    let nested = &contract.properties["nested"];
    assert!(!nested.properties["a"].nullable);
    assert_eq!(nested.properties["b"].kind, Some(PropertyType::Number));
    assert_eq!(nested.properties["b"].description.as_deref(), Some("Money"));
    assert_eq!(
        contract.properties["mail"].constraints.format.as_deref(),
        Some("email")
    );
    assert_eq!(contract.properties["day"].constraints.format, None);
}

#[test]
fn camel_case_and_json_give_the_same_model() {
    let camel = spec(include_str!("../../tests/documents/camel-case.yaml"));
    assert_eq!(camel.schema_ref.as_deref(), Some("prices-v1"));
    assert_eq!(
        camel.provider.endpoints[0].pagination.page_size.as_deref(),
        Some("100")
    );
    assert_eq!(camel.provider.endpoints[0].load.primary_key, ["id"]);
    assert_eq!(camel.provider.schedule_cron.as_deref(), Some("0 0 6 * * *"));
    let yaml = spec(include_str!("../../tests/documents/base.yaml"));
    let json = crate::read_value(&Source::new(
        "base.yaml",
        include_str!("../../tests/documents/base.yaml"),
    ))
    .expect("a value");
    assert_eq!(spec(&json.to_string()), yaml);
    assert_eq!(
        spec(include_str!("../../tests/documents/unquoted-version.yaml")).version,
        Version::V1_1
    );
}
