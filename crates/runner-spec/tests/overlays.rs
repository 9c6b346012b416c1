//! Overlays: what is merged, what is replaced, and where findings about it point to.

use runner_spec::{Code, FieldPath, Loaded, Options, Source, load};

const DOCUMENT: &str = include_str!("documents/base.yaml");

fn with(overlays: &[&str]) -> Loaded {
    let overlays: Vec<Source> = overlays
        .iter()
        .enumerate()
        .map(|(index, text)| Source::new(format!("overlay-{index}.yaml"), text))
        .collect();
    load(
        &Source::new("base.yaml", DOCUMENT),
        &overlays,
        &Options::default(),
    )
}

#[test]
fn objects_merge_and_everything_else_replaces() {
    let loaded = with(&[
        "provider:\n  base_url: http://localhost:8000\n  tags: [dev]\n  config: {lookback_days: 1}\n",
    ]);
    let provider = loaded.spec.expect("a document").provider;
    assert_eq!(provider.base_url.as_deref(), Some("http://localhost:8000"));
    assert_eq!(provider.tags, ["dev"]);
    assert_eq!(provider.config["lookback_days"], 1);
    assert_eq!(provider.config["region"]["name"], "us");
}

#[test]
fn null_takes_a_key_away() {
    let loaded = with(&["provider: {schedule_cron: null, schedule_timezone: null, slos: ~}\n"]);
    let provider = loaded.spec.expect("a document").provider;
    assert_eq!(
        (
            provider.schedule_cron,
            provider.schedule_timezone,
            provider.slos
        ),
        (None, None, None)
    );
}

#[test]
fn an_object_over_a_list_changes_elements_by_name() {
    let overlay = "provider:\n  endpoints:\n    daily_aggregates: {rate_limit_per_second: 1}\n    0: {is_active: false}\n  sinks:\n    iceberg: {config: {catalog: dev}, write_mode: append}\n";
    let provider = with(&[overlay]).spec.expect("a document").provider;
    assert_eq!(provider.endpoints.len(), 2);
    assert_eq!(provider.endpoints[1].rate_limit_per_second, Some(1.0));
    assert_eq!(
        provider.endpoints[1].path,
        "/v2/aggs/ticker/{{ ticker }}/range/1/day/{{ from_date }}/{{ to_date }}"
    );
    assert!(!provider.endpoints[0].is_active);
    assert_eq!(provider.sinks[0].config["catalog"], "dev");
    assert_eq!(
        provider.sinks[0].table_name.as_deref(),
        Some("market.daily_prices")
    );
}

#[test]
fn a_list_over_a_list_replaces_it() {
    let provider = with(&["provider:\n  sinks: [{type: parquet, table_name: prices}]\n"])
        .spec
        .expect("a document")
        .provider;
    assert_eq!(provider.sinks.len(), 1);
    assert_eq!(provider.sinks[0].table_name.as_deref(), Some("prices"));
}

#[test]
fn later_overlays_win_and_spellings_are_one_field() {
    let spec = with(&[
        "globalConfig: {timeoutSeconds: 5}\n",
        "global_config: {timeout_seconds: 7}\n",
    ])
    .spec
    .expect("a document");
    assert_eq!(spec.global.timeout_seconds, Some(7));
    assert_eq!(spec.global.secrets.len(), 1);
}

#[test]
fn findings_point_into_the_overlay_that_brought_the_value() {
    let loaded = with(&[
        "provider:\n  parallelism: 0\n  unheard_of: 1\n",
        "provider:\n  endpoints:\n    daily_agregates: {}\n",
    ]);
    let places: Vec<(Code, String, usize)> = loaded
        .diagnostics
        .iter()
        .map(|found| {
            let location = found.location.clone().expect("a place");
            (found.code, location.file, location.line)
        })
        .collect();
    assert_eq!(
        places,
        [
            (Code::OutOfRange, "overlay-0.yaml".to_owned(), 2),
            (Code::UnknownKey, "overlay-0.yaml".to_owned(), 3),
            (Code::OverlayTarget, "overlay-1.yaml".to_owned(), 3),
        ]
    );
    assert_eq!(
        loaded.diagnostics[2].help.as_deref(),
        Some("did you mean `daily_aggregates`?")
    );
    let path: FieldPath = "provider.endpoints[1].rate_limit_per_second"
        .parse()
        .expect("a path");
    assert_eq!(
        loaded.sources.locate(&path).map(|location| location.file),
        Some("base.yaml".to_owned())
    );
}

#[test]
fn an_overlay_that_cannot_be_read_is_reported_and_nothing_else_is_guessed() {
    let loaded = with(&["provider: [\n"]);
    assert!(loaded.spec.is_none());
    assert_eq!(
        loaded
            .diagnostics
            .iter()
            .map(|found| found.code)
            .collect::<Vec<_>>(),
        [Code::UnclosedQuote]
    );
}

#[test]
fn an_overlay_that_could_mean_several_elements_changes_none_and_says_how_to_name_one() {
    let base = DOCUMENT.replace(
        "  sinks:\n",
        "  sinks:\n    - {type: parquet, table_name: one}\n    - {type: parquet, table_name: two}\n",
    );
    let overlaid = |overlay: &str| {
        load(
            &Source::new("base.yaml", base.as_str()),
            &[Source::new("overlay.yaml", overlay)],
            &Options::default(),
        )
    };
    let loaded = overlaid("provider: {sinks: {parquet: {table_name: other}}}\n");
    let found: Vec<_> = loaded
        .diagnostics
        .iter()
        .filter(|found| found.is_error())
        .map(|found| (found.code, found.message.as_str(), found.help.as_deref()))
        .collect();
    assert_eq!(
        found,
        [(
            Code::OverlayTarget,
            "`provider.sinks` has 2 elements `parquet`, and this overlay doesn't say which one it changes",
            Some(
                "write the position instead of `parquet`: `0` or `1`; or give each a `name` in the document, and write that"
            )
        )]
    );
    let spec = overlaid("provider: {sinks: {1: {table_name: other}}}\n").spec;
    let sinks = spec.expect("a document").provider.sinks;
    assert_eq!(sinks[0].table_name.as_deref(), Some("one"));
    assert_eq!(sinks[1].table_name.as_deref(), Some("other"));
}

#[test]
fn what_a_replaced_list_lacks_is_explained_once() {
    let loaded =
        with(&["provider:\n  endpoints:\n    - {name: daily_aggregates}\n    - {method: GET}\n"]);
    let notes: Vec<&str> = loaded
        .diagnostics
        .iter()
        .flat_map(|found| &found.notes)
        .map(String::as_str)
        .collect();
    assert_eq!(
        notes,
        [
            "the overlay's list takes the place of the whole `provider.endpoints`; to change one element, write an object with its name, type or position instead: `endpoints: {NAME: {…}}`"
        ]
    );
}
