//! Each patch of `documents/patches.yaml` is laid over the base document, and what is said about it is a snapshot.

use runner_spec::{Options, RenderOptions, Source, load, render};

const BASE: &str = include_str!("documents/base.yaml");

#[test]
fn the_base_document_is_good() {
    let loaded = load(
        &Source::new("base.yaml", BASE),
        &[],
        &Options { strict: true },
    );
    assert_eq!(loaded.diagnostics, []);
}

#[test]
fn patches_are_reported() {
    for patch in include_str!("documents/patches.yaml")
        .split("\n--- ")
        .skip(1)
    {
        let (name, text) = patch.split_once('\n').unwrap_or((patch, ""));
        let overlay = Source::new("patch.yaml", text);
        let loaded = load(
            &Source::new("base.yaml", BASE),
            &[overlay],
            &Options::default(),
        );
        let drawn = render(
            &loaded.diagnostics,
            &loaded.sources,
            RenderOptions {
                width: 100,
                colour: false,
            },
        );
        insta::assert_snapshot!(name, drawn);
    }
}

#[test]
fn strictness_makes_unknown_keys_errors() {
    let overlay = [Source::new("patch.yaml", "provider: {ownr: me}\n")];
    let base = Source::new("base.yaml", BASE);
    assert!(
        load(&base, &overlay, &Options { strict: false })
            .spec
            .is_some()
    );
    assert!(
        load(&base, &overlay, &Options { strict: true })
            .spec
            .is_none()
    );
}
