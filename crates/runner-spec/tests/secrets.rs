//! A secret that was written into a document stands in no diagnostic, however wrong the rest is.

use runner_spec::{Code, Loaded, Options, RenderOptions, Source, load, render};

const CANARY: &str = "c4nary-9f8e7d6c5b";

/// Everything that a caller could show.
fn shown(loaded: &Loaded) -> String {
    let drawn = render(
        &loaded.diagnostics,
        &loaded.sources,
        RenderOptions::default(),
    );
    let lines: Vec<String> = loaded.diagnostics.iter().map(ToString::to_string).collect();
    let json: Vec<String> = loaded
        .diagnostics
        .iter()
        .map(|found| serde_json::to_string(found).unwrap_or_default())
        .collect();
    let sources: Vec<&str> = loaded
        .sources
        .sources()
        .iter()
        .map(|source| source.text.as_str())
        .collect();
    [
        drawn,
        lines.join("\n"),
        json.join("\n"),
        sources.join("\n"),
        format!("{:?}", loaded.sources),
    ]
    .join("\n")
}

#[test]
fn no_secret_anywhere() {
    for text in [
        // Readable documents: by the name of the setting, whatever the rest of its line.
        "provider:\n  endpoints:\n  - auth: bearer\n    auth_config: {token: CANARY, bad: 1}\n",
        "provider:\n  endpoints:\n  - auth: api_key\n    auth_config: {name: [], value: CANARY}\n",
        "provider:\n  endpoints:\n  - auth: basic\n    auth_config:\n      password: [CANARY]\n",
        "provider:\n  endpoints:\n  - auth: bearer\n    auth_config: {token: {nested: 1, password: CANARY}}\n",
        "provider:\n  endpoints:\n  - headers: {Authorization: Bearer CANARY, \"X Y\": 1}\n",
        "provider:\n  endpoints:\n  - query_params: {api_key: CANARY, limit: []}\n",
        "provider:\n  sinks:\n  - {type: postgres, config: {password: CANARY, port: many}}\n",
        "provider:\n  sinks:\n  - {type: postgres, config: {url: \"postgres://me:CANARY@db/x\", port: many}}\n",
        "provider:\n  base_url: https://me:CANARY@example.com\n  provider_type: kafka_api\n",
        "provider:\n  base_url: \"me:CANARY@\"\n",
        "provider:\n  base_url: \"https://me:CANARY@exa mple\"\n  provider_type: rest_api\n",
        "provider:\n  base_url: example.com/?api_key=CANARY\n  provider_type: rest_api\n",
        "provider:\n  endpoints:\n  - {name: [], path: \"/v1?limit=1&token=CANARY\"}\n",
        "provider:\n  credentials_ref: CANARY\n",
        "global_config: {secrets: {anything: CANARY}}\n",
        "global_config: {secrets: {anything: [CANARY]}}\n",
        "provider:\n  config: {client_secret: CANARY, allowed_hosts: 5}\n",
        "provider:\n  config:\n    client_secret: |\n      CANARY\n      CANARY\n",
        "{\"provider\": {\"config\": {\"password\": \"CANARY\"}, \"x\": 1}}",
        // Documents that can't be read: by the line.
        "provider:\n  config:\n    password: CANARY\n   bad: 1\n",
        "provider:\n\tpassword: CANARY\n",
        "password: \"CANARY\n",
        "a: 1\napi_key: CANARY: x\n",
        "global_config:\n  secrets:\n    market_key: \"CANARY\n",
        "{\"a\": 1, \"token\": \"CANARY\" \"b\": 2}",
        "base_url: https://me:CANARY@example.com: x\n",
    ] {
        let text = text.replace("CANARY", CANARY);
        let loaded = load(&Source::new("feed.yaml", &text), &[], &Options::default());
        assert!(!loaded.diagnostics.is_empty(), "{text}");
        let shown = shown(&loaded);
        assert!(!shown.contains(CANARY), "{text}\n{shown}");
    }
}

#[test]
fn secrets_in_overlays_are_masked_even_where_they_are_replaced() {
    let base = Source::new("base.yaml", include_str!("documents/small.yaml"));
    let first = Source::new(
        "first.yaml",
        &format!("provider: {{config: {{password: {CANARY}}}, bad: 1}}\n"),
    );
    let second = Source::new(
        "second.yaml",
        "provider: {config: {password: \"{{ secrets.market_key }}\"}}\n",
    );
    let loaded = load(&base, &[first, second], &Options::default());
    assert!(!shown(&loaded).contains(CANARY));
    assert!(
        !loaded
            .diagnostics
            .iter()
            .any(|found| found.code == Code::PlainTextSecret)
    );
}

#[test]
fn what_looks_like_a_key_is_one_wherever_it_stands() {
    for key in [
        "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
        "ghp_0123456789abcdefghijABCDEFGHIJ012345",
        "AKIAIOSFODNN7EXAMPLE",
        "glpat-0123456789abcdefghij",
    ] {
        let text = ["provider:\n  config: {anything: ", key, "}\n"].concat();
        let loaded = load(&Source::new("feed.yaml", &text), &[], &Options::default());
        assert!(
            loaded
                .diagnostics
                .iter()
                .any(|found| found.code == Code::PlainTextSecret),
            "{key}"
        );
        assert!(!shown(&loaded).contains(key));
    }
}

#[test]
fn names_and_references_are_no_secrets() {
    let text = include_str!("documents/small.yaml").to_owned()
        + "    x-unused: {}\n"
        + "  tags: [token, password]\n";
    let overlay = Source::new(
        "overlay.yaml",
        "provider:\n  config: {token_url: \"https://example.com\", page_token_param: cursor, token: \"vault://a#b\"}\n  endpoints:\n    rows:\n      field_mapping: {password: password_hash, token: token}\n      masking: {password: hash}\n      headers: {Authorization: \"Bearer {{ secrets.market_key }}\"}\n",
    );
    let loaded = load(
        &Source::new("feed.yaml", &text),
        &[overlay],
        &Options::default(),
    );
    assert!(
        !loaded
            .diagnostics
            .iter()
            .any(|found| found.code == Code::PlainTextSecret),
        "{:#?}",
        loaded.diagnostics
    );
}
