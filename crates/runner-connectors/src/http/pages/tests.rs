use proptest::prelude::*;

use runner_plan::model::PagePlacement;

use super::*;

fn offset(page_size: Option<u64>) -> PagePlan {
    PagePlan {
        kind: PageKind::Offset {
            offset_param: "offset".to_owned(),
            limit_param: Some("limit".to_owned()),
        },
        page_size,
        max_pages: None,
        total: None,
        placement: PagePlacement::Query,
    }
}

fn numbered(page_size: Option<u64>) -> PagePlan {
    PagePlan {
        kind: PageKind::Page {
            page_param: "page".to_owned(),
            size_param: None,
            start_page: 1,
        },
        ..offset(page_size)
    }
}

fn cursor(page_size: Option<u64>) -> PagePlan {
    PagePlan {
        kind: PageKind::Cursor {
            cursor_param: Some("cursor".to_owned()),
            size_param: None,
            cursor_path: None,
            next_url_path: None,
        },
        ..offset(page_size)
    }
}

fn single(page_size: Option<u64>) -> PagePlan {
    PagePlan {
        kind: PageKind::None,
        ..offset(page_size)
    }
}

fn paginator(plan: &PagePlan) -> Paginator {
    Paginator::new(plan, "trades", plan.page_size, None)
}

/// An API with this many rows that gives at most `most` a page; reads it to the end.
fn read(mut paginator: Paginator, all: u64, most: u64, total: Option<u64>) -> (u64, Decision) {
    let mut at = paginator.first();
    for _ in 0..10_000 {
        let start = match &at {
            PageCursor::Offset(offset) => *offset,
            PageCursor::Page(page) => (page - 1) * most,
            PageCursor::First => 0,
            PageCursor::Token(token) => token.parse().unwrap(),
            PageCursor::Url(_) | PageCursor::Byte(_) => unreachable!("not asked for here"),
        };
        let rows = all.saturating_sub(start).min(most);
        let hash = if rows == 0 {
            "-".to_owned()
        } else {
            format!("{start}")
        };
        let next = (start + rows < all).then(|| PageCursor::Token((start + rows).to_string()));
        let decision = paginator
            .page(&Page {
                cursor: &at,
                rows,
                hash: &hash,
                next,
                says_more: None,
                total,
            })
            .unwrap();
        match decision.step {
            Step::Next(next) => at = next,
            Step::End(_) => return (paginator.rows(), decision),
        }
    }
    panic!("the paginator does not end")
}

proptest! {
    #[test]
    fn every_kind_reads_every_row_once_whatever_the_sizes(
        all in 0_u64..400,
        size in 1_u64..60,
        is_size_told in any::<bool>(),
        is_total_told in any::<bool>(),
    ) {
        let told = is_size_told.then_some(size);
        let total = is_total_told.then_some(all);
        for plan in [offset(told), numbered(told), cursor(told)] {
            let (rows, decision) = read(paginator(&plan), all, size, total);
            prop_assert_eq!(rows, all, "{:?}", plan);
            let Step::End(end) = decision.step else { unreachable!() };
            prop_assert!(end.is_natural());
            prop_assert!(!decision.warnings.iter().any(|warning| warning.code == "count_off"));
        }
    }

    #[test]
    fn a_page_that_is_capped_below_its_size_does_not_end_a_stream_whose_total_says_more(
        all in 1_u64..400,
        cap in 1_u64..20,
    ) {
        let (rows, _) = read(paginator(&offset(Some(50))), all, cap, Some(all));
        prop_assert_eq!(rows, all);
    }
}

#[test]
fn one_page_only() {
    let cases = [
        (single(None), 100, None, true),
        (single(None), 37, None, false),
        (single(None), 37, Some(false), false),
        (single(None), 37, Some(true), true),
        (single(Some(10)), 10, None, true),
        (single(None), 0, None, false),
        (cursor(Some(10)), 10, None, true),
        (cursor(Some(10)), 9, None, false),
        (cursor(None), 500, None, true),
        (numbered(Some(10)), 9, None, false),
    ];
    for (plan, rows, says_more, is_warned) in cases {
        let mut paginator = paginator(&plan);
        let first = paginator.first();
        let decision = paginator
            .page(&Page {
                cursor: &first,
                rows,
                hash: "h",
                next: None,
                says_more,
                total: None,
            })
            .unwrap();
        let codes: Vec<_> = decision
            .warnings
            .iter()
            .map(|warning| warning.code.as_str())
            .collect();
        let end = if is_warned {
            ChainEnd::FullPage
        } else {
            ChainEnd::Natural
        };
        assert_eq!(decision.step, Step::End(end), "{plan:?} {rows}");
        assert_eq!(
            codes == ["one_page_only"],
            is_warned,
            "{plan:?} {rows} {codes:?}"
        );
    }
}

fn page<'a>(cursor: &'a PageCursor, hash: &'a str, next: Option<&str>) -> Page<'a> {
    Page {
        cursor,
        rows: 10,
        hash,
        next: next.map(|next| PageCursor::Token(next.to_owned())),
        says_more: None,
        total: None,
    }
}

#[test]
fn looping_next() {
    let token = |text: &str| PageCursor::Token(text.to_owned());
    // Its own cursor again.
    let mut own = paginator(&cursor(None));
    own.page(&page(&PageCursor::First, "1", Some("a"))).unwrap();
    let error = own.page(&page(&token("a"), "2", Some("a"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SourceData);
    assert!(error.message().contains("loops"), "{error}");
    // A cursor of two pages ago.
    let mut earlier = paginator(&cursor(None));
    earlier
        .page(&page(&PageCursor::First, "1", Some("a")))
        .unwrap();
    earlier.page(&page(&token("a"), "2", Some("b"))).unwrap();
    earlier
        .page(&page(&token("b"), "3", Some("a")))
        .unwrap_err();
    // New cursors, the same rows.
    let mut same_rows = paginator(&cursor(None));
    same_rows
        .page(&page(&PageCursor::First, "1", Some("a")))
        .unwrap();
    same_rows
        .page(&page(&token("a"), "1", Some("b")))
        .unwrap_err();
    // An API that ignores the offset, or the page number.
    for plan in [
        offset(Some(10)),
        numbered(Some(10)),
        offset(None),
        numbered(None),
    ] {
        let mut counted = paginator(&plan);
        let first = counted.first();
        let Step::Next(second) = counted.page(&page(&first, "1", None)).unwrap().step else {
            panic!("a full page has a next one")
        };
        let error = counted.page(&page(&second, "1", None)).unwrap_err();
        assert!(
            error.help().is_some_and(|help| help.contains("check")),
            "{error:?}"
        );
    }
}

#[test]
fn a_limit_of_pages_cuts_with_a_warning_and_only_where_there_is_more() {
    let plan = PagePlan {
        max_pages: Some(2),
        ..cursor(None)
    };
    let mut cut = paginator(&plan);
    cut.page(&page(&PageCursor::First, "1", Some("a"))).unwrap();
    let at = PageCursor::Token("a".to_owned());
    let decision = cut.clone().page(&page(&at, "2", Some("b"))).unwrap();
    assert_eq!(decision.step, Step::End(ChainEnd::MaxPages));
    assert_eq!(decision.warnings[0].code, "max_pages");
    let decision = cut.page(&page(&at, "2", None)).unwrap();
    assert_eq!(decision.step, Step::End(ChainEnd::Natural));
    assert_eq!(decision.warnings, []);
}

#[test]
fn a_row_limit_ends_a_chain_as_soon_as_it_is_reached() {
    let mut limited = Paginator::new(&offset(Some(10)), "trades", Some(10), Some(15));
    let first = limited.first();
    assert_eq!(limited.ahead(&first, 1), None, "nothing is asked for ahead");
    let Step::Next(second) = limited.page(&page(&first, "1", None)).unwrap().step else {
        panic!("ten of fifteen rows")
    };
    let decision = limited.page(&page(&second, "2", None)).unwrap();
    assert_eq!(decision.step, Step::End(ChainEnd::RowLimit));
}

#[test]
fn pages_ahead_stay_within_total_and_limit() {
    let mut known = paginator(&offset(Some(10)));
    assert_eq!(
        known.ahead(&PageCursor::Offset(0), 1),
        Some(PageCursor::Offset(10))
    );
    known.total = Some(20);
    assert_eq!(
        known.ahead(&PageCursor::Offset(0), 1),
        Some(PageCursor::Offset(10))
    );
    assert_eq!(known.ahead(&PageCursor::Offset(10), 2), None);
    let cut = PagePlan {
        max_pages: Some(1),
        ..numbered(Some(10))
    };
    assert_eq!(paginator(&cut).ahead(&PageCursor::Page(1), 1), None);
    assert_eq!(
        paginator(&cursor(Some(10))).ahead(&PageCursor::First, 1),
        None
    );
    assert_eq!(
        paginator(&offset(None)).ahead(&PageCursor::Offset(0), 1),
        None
    );
}

#[test]
fn a_verified_page_leads_on_without_being_counted_or_called_a_loop() {
    let mut before = paginator(&cursor(None));
    before
        .page(&page(&PageCursor::First, "1", Some("a")))
        .unwrap();
    let position = Position {
        chain: runner_core::ChainKey::default(),
        generation: 0,
        pages: before.pages(),
        rows: before.rows(),
        last_page: PageCursor::First,
        last_page_hash: "1".to_owned(),
        next: Some(PageCursor::Token("a".to_owned())),
        end: None,
        seen: before.seen(),
        sealed_at_ms: 0,
    };
    let mut resumed = paginator(&cursor(None));
    resumed.resume(&position);
    let decision = resumed.verified(&page(&PageCursor::First, "1", Some("a")));
    let at = PageCursor::Token("a".to_owned());
    assert_eq!(decision.step, Step::Next(at.clone()));
    assert_eq!((resumed.pages(), resumed.rows()), (1, 10));
    // The guard still knows what was seen before the crash.
    resumed
        .clone()
        .page(&page(&at, "2", Some("a")))
        .unwrap_err();
    resumed.page(&page(&at, "1", Some("b"))).unwrap_err();
}

#[test]
fn a_count_off_from_the_apis_own_total_is_told() {
    let mut short = paginator(&cursor(None));
    let decision = short
        .page(&Page {
            total: Some(25),
            ..page(&PageCursor::First, "1", None)
        })
        .unwrap();
    let codes: Vec<_> = decision
        .warnings
        .iter()
        .map(|warning| warning.code.as_str())
        .collect();
    assert_eq!(codes, ["one_page_only", "count_off"]);
}

/// A full last page makes one ask for another: whether its absence is the end, the API itself has to have said.
#[test]
fn a_repeated_page_behind_a_stated_end_is_the_end_and_otherwise_a_loop() {
    for (says_more, total, is_end) in [
        (Some(false), None, true),
        (None, Some(20), true),
        (None, None, false),
        (Some(true), None, false),
        (None, Some(21), false),
    ] {
        let mut paginator = paginator(&numbered(Some(10)));
        assert!(!paginator.is_past_the_end());
        for (number, hash) in [(1, "first"), (2, "last")] {
            let says_more = if number == 1 { Some(true) } else { says_more };
            let at = PageCursor::Page(number);
            let page = Page {
                says_more,
                total,
                ..page(&at, hash, None)
            };
            paginator.page(&page).unwrap();
            assert_eq!(paginator.is_past_the_end(), number == 2 && is_end);
        }
        let behind = PageCursor::Page(3);
        let repeated = paginator.page(&Page {
            says_more,
            total,
            ..page(&behind, "last", None)
        });
        match repeated {
            Ok(decision) => {
                assert!(is_end, "{says_more:?} {total:?}");
                assert_eq!(decision.step, Step::End(ChainEnd::Natural));
                assert!(decision.is_repeat);
                assert_eq!((paginator.rows(), decision.warnings.len()), (20, 0));
            }
            Err(error) => {
                assert!(!is_end, "{says_more:?} {total:?}");
                assert!(error.message().contains("loops"), "{error}");
            }
        }
    }
}
