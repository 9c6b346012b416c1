//! What a check demands, in words that follow the column's name.

use runner_plan::model::CheckKind;

pub(super) fn requirement(kind: &CheckKind) -> String {
    match kind {
        CheckKind::Required => "must be present and not null".to_owned(),
        CheckKind::Range { minimum, maximum } => {
            let words = ends(("at least", *minimum), ("at most", *maximum));
            format!("must be {words}")
        }
        CheckKind::ExclusiveRange { minimum, maximum } => {
            let words = ends(("more than", *minimum), ("less than", *maximum));
            format!("must be {words}")
        }
        CheckKind::MultipleOf(step) => format!("must be a multiple of {step}"),
        CheckKind::Length { minimum, maximum } => {
            let words = ends(("at least", *minimum), ("at most", *maximum));
            format!("must have {words} characters")
        }
        CheckKind::Pattern(pattern) => format!("must match `{pattern}`"),
        CheckKind::Format(format) => format!("must be of the format `{format}`"),
        CheckKind::Enumeration(values) => format!("must be one of {}", list(values)),
        CheckKind::Items {
            minimum: None,
            maximum: None,
            ..
        } => "must have no item twice".to_owned(),
        CheckKind::Items {
            minimum,
            maximum,
            unique,
        } => {
            let words = ends(("at least", *minimum), ("at most", *maximum));
            let repetition = if *unique {
                " and none of them twice"
            } else {
                ""
            };
            format!("must have {words} items{repetition}")
        }
    }
}

fn ends<T: std::fmt::Display>(lower: (&str, Option<T>), upper: (&str, Option<T>)) -> String {
    let words = [lower, upper]
        .into_iter()
        .filter_map(|(word, end)| Some(format!("{word} {}", end?)));
    words.collect::<Vec<_>>().join(" and ")
}

fn list(values: &[serde_json::Value]) -> String {
    const SHOWN: usize = 10;
    let mut text = values
        .iter()
        .take(SHOWN)
        .map(|value| format!("`{value}`"))
        .collect::<Vec<_>>()
        .join(", ");
    if values.len() > SHOWN {
        text = format!("{text} and {} more", values.len() - SHOWN);
    }
    text
}
