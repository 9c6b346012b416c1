//! Column names of fields that no mapping names: snake_case, and unique.

/// The field's name in snake_case: words begin at capitals, and everything but letters and digits parts them.
pub(crate) fn snake_case(field: &str) -> String {
    let characters: Vec<char> = field.chars().collect();
    let mut name = String::with_capacity(field.len() + 4);
    for (index, character) in characters.iter().enumerate() {
        if !character.is_alphanumeric() {
            if !name.is_empty() && !name.ends_with('_') {
                name.push('_');
            }
            continue;
        }
        let before = index
            .checked_sub(1)
            .and_then(|before| characters.get(before));
        let after = characters.get(index + 1);
        // `userId` has two words, `HTTPServer` two, `ID` and `x2Y` … one boundary each where small meets capital.
        let begins_word = character.is_uppercase()
            && before.is_some_and(|before| {
                before.is_lowercase()
                    || before.is_numeric()
                    || (before.is_uppercase() && after.is_some_and(|after| after.is_lowercase()))
            });
        if begins_word && !name.ends_with('_') {
            name.push('_');
        }
        name.extend(character.to_lowercase());
    }
    let name = name.trim_end_matches('_');
    match name.chars().next() {
        None => "field".to_owned(),
        Some(first) if first.is_numeric() => format!("_{name}"),
        Some(_) => name.to_owned(),
    }
}

/// The name, or the name with the first number that makes it one of its own.
pub(crate) fn unique(name: String, is_taken: impl Fn(&str) -> bool) -> String {
    if !is_taken(&name) {
        return name;
    }
    (2..=u64::MAX)
        .map(|number| format!("{name}_{number}"))
        .find(|candidate| !is_taken(candidate))
        .unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_snake_cased() {
        for (field, wanted) in [
            ("userId", "user_id"),
            ("UserID", "user_id"),
            ("HTTPServerName", "http_server_name"),
            ("already_snake", "already_snake"),
            ("With Space-and.dots", "with_space_and_dots"),
            ("@odata.etag", "odata_etag"),
            ("x2Y", "x2_y"),
            ("v2", "v2"),
            ("2fast", "_2fast"),
            ("", "field"),
            ("$$", "field"),
            ("Größe", "größe"),
            ("__init__", "init"),
        ] {
            assert_eq!(snake_case(field), wanted, "{field}");
        }
    }

    #[test]
    fn a_taken_name_gets_a_number() {
        let taken = ["a", "a_2"];
        assert_eq!(unique("a".to_owned(), |name| taken.contains(&name)), "a_3");
        assert_eq!(unique("b".to_owned(), |name| taken.contains(&name)), "b");
    }
}
