//! Names: their spellings, and the nearest known one to a misspelt one.

use std::borrow::Cow;

/// The most names that are compared: each comparison takes time, and a document can have thousands of names.
const MAX_CANDIDATES: usize = 1000;

/// The most names that a message lists.
const MAX_LISTED: usize = 40;

/// The candidate that somebody who wrote `name` probably meant, if one is near enough.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = simplify(name);
    if wanted.chars().count() < 2 {
        // Any other letter would be near.
        return None;
    }
    let allowed = (wanted.chars().count() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .take(MAX_CANDIDATES)
        .filter(|candidate| *candidate != name)
        .filter_map(|candidate| {
            let simple = simplify(candidate);
            let distance = distance(&wanted, &simple, allowed)?;
            Some((distance, simple.len().abs_diff(wanted.len()), candidate))
        })
        .min_by_key(|(distance, longer, _)| (*distance, *longer))
        .map(|(_, _, candidate)| candidate)
}

/// Words that other systems use for a value, and the value.
const SYNONYMS: [(&str, &str); 20] = [
    ("upsert", "merge"),
    ("update", "merge"),
    ("overwrite", "replace"),
    ("truncate", "replace"),
    ("insert", "append"),
    ("postgresql", "postgres"),
    ("pg", "postgres"),
    ("elastic", "elasticsearch"),
    ("opensearch", "elasticsearch"),
    ("rest", "rest_api"),
    ("http", "rest_api"),
    ("api", "rest_api"),
    ("file", "file_ftp"),
    ("ftp", "file_ftp"),
    ("oauth", "oauth2"),
    ("token", "bearer"),
    ("link", "link_header"),
    ("ignore", "skip"),
    ("local", "embedded"),
    ("gz", "gzip"),
];

/// The value of a closed list that was probably meant by a word that is none.
pub(crate) fn meant(text: &str, choices: &[&'static str]) -> Option<&'static str> {
    let word = text.trim().to_ascii_lowercase();
    let synonym = SYNONYMS
        .iter()
        .find(|(other, known)| *other == word && choices.contains(known));
    synonym
        .map(|(_, known)| *known)
        .or_else(|| nearest(text, choices.iter().copied()))
}

/// The candidate of which `name` is a typing error, and not merely something alike: for names that may be anything.
pub(crate) fn misspelt<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let wanted = simplify(name);
    let allowed = match wanted.chars().count() {
        0..=4 => return None,
        5..=7 => 1,
        _ => 2,
    };
    candidates.into_iter().find(|candidate| {
        *candidate != name && typing_errors(&wanted, &simplify(candidate), allowed).is_some()
    })
}

/// Typing errors between two names; a name with a part added (`url` for `base_url`, `transformations` for `transforms`) counts as near.
fn distance(wanted: &str, candidate: &str, allowed: usize) -> Option<usize> {
    if wanted == candidate {
        return Some(0);
    }
    let long_enough = wanted.len() >= 4 && candidate.len() >= 4;
    if long_enough && (candidate.contains(singular(wanted)) || wanted.contains(singular(candidate)))
    {
        return Some(1);
    }
    typing_errors(wanted, candidate, allowed)
}

fn singular(name: &str) -> &str {
    name.strip_suffix('s').unwrap_or(name)
}

fn typing_errors(wanted: &str, candidate: &str, allowed: usize) -> Option<usize> {
    // Every character of difference in length is a typing error at least. A character has at most four bytes.
    if wanted.len().abs_diff(candidate.len()) > 4 * allowed {
        return None;
    }
    Some(strsim::damerau_levenshtein(wanted, candidate)).filter(|distance| *distance <= allowed)
}

fn simplify(name: &str) -> String {
    to_snake_case(name)
        .chars()
        .filter(|character| !matches!(character, '_' | '-' | ' '))
        .collect::<String>()
        .to_lowercase()
}

/// `schemaRef` → `schema_ref`; a name without capitals stays.
pub(crate) fn to_snake_case(name: &str) -> Cow<'_, str> {
    if !name.chars().any(|character| character.is_ascii_uppercase()) {
        return Cow::Borrowed(name);
    }
    let mut snake = String::with_capacity(name.len() + 4);
    let mut previous_lower = false;
    for character in name.chars() {
        if character.is_ascii_uppercase() && previous_lower {
            snake.push('_');
        }
        previous_lower = character.is_ascii_lowercase() || character.is_ascii_digit();
        snake.push(character.to_ascii_lowercase());
    }
    Cow::Owned(snake)
}

/// `schema_ref` → `schemaRef`.
pub(crate) fn to_camel_case(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut capital = false;
    for character in name.chars() {
        if character == '_' || character == '-' {
            capital = true;
        } else if capital {
            camel.extend(character.to_uppercase());
            capital = false;
        } else {
            camel.push(character);
        }
    }
    camel
}

/// `` `a`, `b` or `c` ``; of very many only the first.
pub(crate) fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut listed = Vec::new();
    let mut names = names.into_iter().filter(|name| {
        // What is called the same is named once.
        let is_new = !listed.contains(name);
        if is_new && listed.len() < MAX_LISTED {
            listed.push(*name);
        }
        is_new
    });
    let mut quoted: Vec<String> = names
        .by_ref()
        .take(MAX_LISTED)
        .map(|name| format!("`{name}`"))
        .collect();
    let more = names.count();
    if more > 0 {
        quoted.push(format!("{more} more"));
    }
    match quoted.split_last() {
        None => "nothing".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, first)) => format!("{} or {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_the_one_that_was_meant() {
        let known = [
            "path",
            "provider",
            "name",
            "base_url",
            "schedule_cron",
            "response_path",
            "write_mode",
            "transforms",
            "id",
        ];
        for (written, meant) in [
            ("provder", Some("provider")),
            ("nmae", Some("name")),
            ("baseUrl", Some("base_url")),
            ("schedule-cron", Some("schedule_cron")),
            ("cron", Some("schedule_cron")),
            ("responsepath", Some("response_path")),
            ("wriet_mode", Some("write_mode")),
            ("transformations", Some("transforms")),
            ("ix", Some("id")),
            ("x", None),
            ("Response_Path", Some("response_path")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, known), meant, "{written}");
        }
    }

    #[test]
    fn spellings_turn_into_each_other() {
        for (snake, camel) in [
            ("schema_ref", "schemaRef"),
            ("name", "name"),
            ("rate_limit_per_second", "rateLimitPerSecond"),
        ] {
            assert_eq!(to_camel_case(snake), camel);
            assert_eq!(to_snake_case(camel), snake);
        }
        assert_eq!(to_snake_case("baseURL"), "base_url");
    }
}
