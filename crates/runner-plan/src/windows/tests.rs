use proptest::prelude::*;

use super::*;

fn incremental(window: Window) -> IncrementalPlan {
    IncrementalPlan {
        cursor_field: Some("at".to_owned()),
        initial: None,
        lookback_ms: 0,
        settle_ms: 0,
        from_param: None,
        to_param: None,
        window,
        format: TimeFormat::Natural,
    }
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

/// Windows as text: `from..to`, an open end being empty.
fn check(
    plan: &IncrementalPlan,
    kind: Option<CursorKind>,
    cursor: Option<&str>,
    nominal: &str,
) -> Vec<String> {
    let inputs = WindowInputs {
        incremental: plan,
        kind,
        cursor,
        nominal_time: time(nominal),
        explicit: None,
    };
    match windows(inputs) {
        Ok(bounds) => bounds
            .into_iter()
            .map(|bounds| {
                format!(
                    "{}..{}",
                    bounds.from.unwrap_or_default(),
                    bounds.to.unwrap_or_default()
                )
            })
            .collect(),
        Err(error) => vec![error.to_string()],
    }
}

const NOON: &str = "2024-03-10T12:00:00Z";

#[test]
fn from_the_cursor_to_the_nominal_time() {
    let mut plan = incremental(Window::Whole);
    assert_eq!(check(&plan, None, None, NOON), ["..2024-03-10T12:00:00Z"]);
    plan.initial = Some("2024-01-01T00:00:00Z".to_owned());
    assert_eq!(
        check(&plan, None, None, NOON),
        ["2024-01-01T00:00:00Z..2024-03-10T12:00:00Z"]
    );
    let cursor = Some("2024-03-10T11:00:00+00:00");
    assert_eq!(
        check(&plan, None, cursor, NOON),
        ["2024-03-10T11:00:00Z..2024-03-10T12:00:00Z"]
    );
    plan.lookback_ms = 3_600_000;
    plan.settle_ms = 600_000;
    assert_eq!(
        check(&plan, None, cursor, NOON),
        ["2024-03-10T10:00:00Z..2024-03-10T11:50:00Z"]
    );
    assert_eq!(
        check(&plan, None, None, NOON),
        ["2024-01-01T00:00:00Z..2024-03-10T11:50:00Z"],
        "initial is not looked back from"
    );
    plan.window = Window::Open;
    assert_eq!(check(&plan, None, cursor, NOON), ["2024-03-10T10:00:00Z.."]);
}

#[test]
fn nothing_new_is_no_window() {
    let plan = incremental(Window::Whole);
    assert!(check(&plan, None, Some("2024-03-10T12:00:00Z"), NOON).is_empty());
    assert!(check(&plan, None, Some("2024-03-11T00:00:00Z"), NOON).is_empty());
    assert!(
        check(&plan, Some(CursorKind::Date), Some("2024-03-10"), NOON).is_empty(),
        "today is not over"
    );
}

#[test]
fn a_cursor_with_an_offset_is_an_instant() {
    // The night in which New York's clocks go forward: 01:30 EST is 30 minutes before 03:00 EDT.
    let mut plan = incremental(Window::Steps { step_ms: 1_800_000 });
    plan.settle_ms = 0;
    assert_eq!(
        check(
            &plan,
            None,
            Some("2024-03-10T01:30:00-05:00"),
            "2024-03-10T07:15:00Z"
        ),
        [
            "2024-03-10T06:30:00Z..2024-03-10T07:00:00Z",
            "2024-03-10T07:00:00Z..2024-03-10T07:15:00Z"
        ]
    );
    // A day is 24 hours of UTC, also on a day that has 23 somewhere.
    plan.window = Window::Steps {
        step_ms: 86_400_000,
    };
    assert_eq!(
        check(
            &plan,
            None,
            Some("2024-03-09T05:00:00Z"),
            "2024-03-11T04:00:00Z"
        ),
        [
            "2024-03-09T05:00:00Z..2024-03-10T05:00:00Z",
            "2024-03-10T05:00:00Z..2024-03-11T04:00:00Z"
        ]
    );
}

#[test]
fn steps_follow_the_cursors_type() {
    let mut plan = incremental(Window::Steps {
        step_ms: 2 * 86_400_000,
    });
    assert_eq!(
        check(&plan, Some(CursorKind::Date), Some("2024-03-05"), NOON),
        [
            "2024-03-05..2024-03-07",
            "2024-03-07..2024-03-09",
            "2024-03-09..2024-03-10"
        ]
    );
    assert_eq!(
        check(&plan, Some(CursorKind::Integer), Some("1709800000"), NOON),
        ["1709800000..1709972800", "1709972800..1710072000"]
    );
    assert_eq!(
        check(&plan, None, Some("1709972800000"), NOON),
        ["1709972800000..1710072000000"]
    );
    assert_eq!(
        check(&plan, None, Some("12345"), NOON),
        ["a cursor of type integer has no `incremental.to_param`: it isn't a time"]
    );
    assert_eq!(
        check(&plan, Some(CursorKind::Text), Some("abc"), NOON),
        ["a cursor of type string has no `incremental.to_param`: it isn't a time"]
    );
    assert_eq!(
        check(&plan, Some(CursorKind::Timestamp), Some("abc"), NOON),
        ["the cursor `abc` is not a point in time such as `2024-01-31T00:00:00Z`"]
    );
    assert_eq!(
        check(&plan, None, None, NOON),
        ["`incremental.window` needs `incremental.initial`: there is no cursor yet to step from"]
    );
    plan.window = Window::Steps { step_ms: 1 };
    assert_eq!(
        check(&plan, None, Some("2024-01-01"), NOON).len(),
        69,
        "days are the smallest step of dates"
    );
    let many = check(&plan, None, Some("2024-01-01T00:00:00Z"), NOON);
    assert!(many[0].contains("more than 100000 windows"), "{many:?}");
}

#[test]
fn an_id_is_read_from_and_has_no_upper_bound() {
    let plan = incremental(Window::Open);
    assert_eq!(
        check(&plan, Some(CursorKind::Integer), Some("12345"), NOON),
        ["12345.."]
    );
    assert_eq!(
        check(&plan, Some(CursorKind::Text), Some("a0b1"), NOON),
        ["a0b1.."]
    );
}

#[test]
fn days_back_from_the_nominal_time() {
    let plan = incremental(Window::LastDays { days: 7 });
    assert_eq!(
        check(&plan, None, None, "2024-03-03T00:00:00Z"),
        ["2024-02-25..2024-03-03"]
    );
}

#[test]
fn an_explicit_window_wins() {
    let explicit = ExplicitWindow {
        from: Some("2020-01-01T00:00:00Z".to_owned()),
        to: Some("2020-01-03T00:00:00Z".to_owned()),
    };
    for (window, expected) in [
        (
            Window::Open,
            vec!["2020-01-01T00:00:00Z..2020-01-03T00:00:00Z"],
        ),
        (
            Window::Whole,
            vec!["2020-01-01T00:00:00Z..2020-01-03T00:00:00Z"],
        ),
        (
            Window::Steps {
                step_ms: 86_400_000,
            },
            vec![
                "2020-01-01T00:00:00Z..2020-01-02T00:00:00Z",
                "2020-01-02T00:00:00Z..2020-01-03T00:00:00Z",
            ],
        ),
        (
            Window::LastDays { days: 7 },
            vec!["2020-01-01T00:00:00Z..2020-01-03T00:00:00Z"],
        ),
    ] {
        let plan = IncrementalPlan {
            lookback_ms: 1_000,
            ..incremental(window)
        };
        let inputs = WindowInputs {
            incremental: &plan,
            kind: None,
            cursor: Some("2024-01-01T00:00:00Z"),
            nominal_time: time(NOON),
            explicit: Some(&explicit),
        };
        let found: Vec<String> = windows(inputs)
            .expect("has windows")
            .into_iter()
            .map(|bounds| {
                format!(
                    "{}..{}",
                    bounds.from.unwrap_or_default(),
                    bounds.to.unwrap_or_default()
                )
            })
            .collect();
        assert_eq!(found, expected, "{window:?}");
    }
}

#[test]
fn a_coarser_format_widens_the_window() {
    let (from, to) = ("2024-03-10T10:20:30.5Z", "2024-03-10T11:20:30.5Z");
    let strftime = |pattern: &str| TimeFormat::Strftime(pattern.to_owned());
    for (format, expected) in [
        (TimeFormat::Natural, [from, to]),
        (TimeFormat::Date, ["2024-03-10", "2024-03-11"]),
        (TimeFormat::EpochSeconds, ["1710066030", "1710069631"]),
        (TimeFormat::EpochMillis, ["1710066030500", "1710069630500"]),
        (strftime("%d/%m/%Y"), ["10/03/2024", "11/03/2024"]),
        (strftime("%Y-%m-%dT%H"), ["2024-03-10T10", "2024-03-10T12"]),
        (strftime("%F %R"), ["2024-03-10 10:20", "2024-03-10 11:21"]),
        (strftime("%s"), ["1710066030", "1710069631"]),
        (
            strftime("%FT%T%.3f"),
            ["2024-03-10T10:20:30.500", "2024-03-10T11:20:30.500"],
        ),
    ] {
        assert_eq!(
            [format_from(from, &format), format_to(to, &format)],
            expected,
            "{format:?}"
        );
    }
    assert_eq!(
        format_to("2024-03-10", &TimeFormat::Date),
        "2024-03-10",
        "a whole day is not widened"
    );
    assert_eq!(format_to("1710066030", &TimeFormat::Date), "2024-03-11");
    assert_eq!(format_from("a0b1", &TimeFormat::Date), "a0b1");
    assert_eq!(format_from("42", &TimeFormat::Date), "42");
}

#[test]
fn variables_of_a_window() {
    let bounds = Bounds {
        from: Some("2024-03-10T10:00:00Z".to_owned()),
        to: Some("2024-03-10T12:00:00Z".to_owned()),
        last_cursor: Some("2024-03-10T10:30:00Z".to_owned()),
    };
    let natural = window_variables(&bounds, &TimeFormat::Natural);
    assert_eq!(natural["from_date"], "2024-03-10");
    assert_eq!(natural["to_date"], "2024-03-11");
    assert_eq!(natural["since"], "2024-03-10T10:00:00Z");
    assert_eq!(natural["until"], "2024-03-10T12:00:00Z");
    assert_eq!(natural["last_cursor"], "2024-03-10T10:30:00Z");
    assert!(natural.keys().eq(WINDOW_VARIABLES));
    let epoch = window_variables(&bounds, &TimeFormat::EpochSeconds);
    assert_eq!(epoch["from_date"], "1710064800");
    assert_eq!(epoch["last_cursor"], "2024-03-10T10:30:00Z");
    assert!(window_variables(&Bounds::default(), &TimeFormat::Natural).is_empty());
}

#[test]
fn kinds_are_guessed_from_values() {
    for (text, kind) in [
        ("12", CursorKind::Integer),
        ("1.5", CursorKind::Number),
        ("2024-01-01", CursorKind::Date),
        ("2024-01-01T00:00:00Z", CursorKind::Timestamp),
        ("2024-01-01 00:00:00", CursorKind::Timestamp),
        ("x1", CursorKind::Text),
        ("NaN", CursorKind::Text),
    ] {
        assert_eq!(CursorKind::guess(text), kind, "{text}");
    }
}

proptest! {
    #[test]
    fn steps_cover_the_window_without_gap_or_overlap(start in 0i64..2_000_000_000, length in 1i64..10_000_000, step in 1_000u64..100_000_000) {
        prop_assume!(length.unsigned_abs() * 1000 / step < 1000);
        let from = DateTime::from_timestamp(start, 0).expect("in range");
        let to = from + TimeDelta::seconds(length);
        let plan = incremental(Window::Steps { step_ms: step });
        let cursor = from.to_rfc3339();
        let found = windows(WindowInputs { incremental: &plan, kind: None, cursor: Some(&cursor), nominal_time: to, explicit: None }).expect("has windows");
        let text = |time: DateTime<Utc>| Some(CursorValue::Timestamp(time).to_string());
        prop_assert_eq!(&found[0].from, &text(from));
        prop_assert_eq!(&found[found.len() - 1].to, &text(to));
        for pair in found.windows(2) {
            prop_assert_eq!(&pair[0].to, &pair[1].from);
        }
    }
}
