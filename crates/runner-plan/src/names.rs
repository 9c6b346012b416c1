//! How fields become columns, and streams become tables, when nobody names them.

/// The column that a field becomes where no mapping names it: `openPrice` → `open_price`, `Created At` → `created_at`.
/// The same in every place where a raw field meets a column.
pub fn snake_case(field: &str) -> String {
    let mut column = String::with_capacity(field.len() + 4);
    let characters: Vec<char> = field.chars().collect();
    for (index, character) in characters.iter().copied().enumerate() {
        if !(character.is_alphanumeric() || character == '_') {
            if !column.is_empty() && !column.ends_with('_') {
                column.push('_');
            }
            continue;
        }
        let previous = index.checked_sub(1).and_then(|index| characters.get(index));
        let next = characters.get(index + 1);
        let begins_word = character.is_uppercase()
            && previous.is_some_and(|previous| {
                // `openPrice`, `v2Id`, and the `R` of `HTTPResponse`.
                previous.is_lowercase()
                    || previous.is_numeric()
                    || (previous.is_uppercase() && next.is_some_and(|next| next.is_lowercase()))
            });
        if begins_word && !column.ends_with('_') {
            column.push('_');
        }
        column.extend(character.to_lowercase());
    }
    let trimmed = column.trim_end_matches('_');
    // A field that is named `_` or `id_` keeps what little it has.
    let column = if field.ends_with('_') || trimmed.is_empty() {
        column.clone()
    } else {
        trimmed.to_owned()
    };
    if column.is_empty() {
        "field".to_owned()
    } else {
        column
    }
}

/// The table of a stream that has none of its own.
pub fn table_name(stream: &str) -> String {
    stream
        .chars()
        .map(|character| {
            if character.is_alphanumeric() || character == '_' {
                character
            } else {
                '_'
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_snake_cased() {
        for (field, column) in [
            ("id", "id"),
            ("openPrice", "open_price"),
            ("OpenPrice", "open_price"),
            ("HTTPResponse", "http_response"),
            ("userID", "user_id"),
            ("v2Id", "v2_id"),
            ("already_snake", "already_snake"),
            ("Created At", "created_at"),
            ("a-b.c", "a_b_c"),
            ("@type", "type"),
            ("_id", "_id"),
            ("id_", "id_"),
            ("_", "_"),
            ("o", "o"),
            ("T", "t"),
            ("GrößeÜber", "größe_über"),
            ("%", "field"),
            ("", "field"),
        ] {
            assert_eq!(snake_case(field), column, "{field}");
        }
    }

    #[test]
    fn a_column_stays_itself() {
        for field in ["openPrice", "HTTPResponse", "Created At", "x__y", "_Id"] {
            let column = snake_case(field);
            assert_eq!(snake_case(&column), column, "{field}");
        }
    }
}
