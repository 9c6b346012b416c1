//! Names: of the feed, of streams, tables, columns and partitions.

use super::Problem;
use crate::Code;

/// Transforms of Iceberg partitions that take a column alone.
const PARTITION_TRANSFORMS: [&str; 6] = ["identity", "year", "month", "day", "hour", "void"];
/// Those that take a number first, as in `bucket(16, id)`.
const COUNTED_TRANSFORMS: [&str; 2] = ["bucket", "truncate"];

pub(super) fn check_name(text: &str) -> Result<(), Problem> {
    let fits = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
    let rest = |character: char| fits(character) || matches!(character, '_' | '-');
    if text.starts_with(fits) && text.chars().all(rest) {
        return Ok(());
    }
    Err(bad_name(
        text,
        "small letters, digits, `_` and `-`, and begins with a letter or a digit",
        str::to_ascii_lowercase,
    ))
}

pub(super) fn check_stream_name(text: &str) -> Result<(), Problem> {
    let fits = |character: char| character.is_ascii_alphanumeric() || character == '_';
    if text.starts_with(fits)
        && text
            .chars()
            .all(|character| fits(character) || character == '-')
    {
        return Ok(());
    }
    Err(bad_name(
        text,
        "letters, digits, `_` and `-`, and doesn't begin with `-`: tables and views are named by it",
        str::to_owned,
    ))
}

fn bad_name(text: &str, rule: &str, case: impl Fn(&str) -> String) -> Problem {
    if text.is_empty() {
        return Problem::new(Code::EmptyValue, "the name is empty")
            .help("write a name like `daily_prices`");
    }
    let problem = Problem::new(
        Code::BadName,
        format!("`{text}` is no name: a name has {rule}"),
    );
    let words: Vec<&str> = text
        .split(|character: char| {
            !(character.is_ascii_alphanumeric() || matches!(character, '_' | '-'))
        })
        .collect();
    let suggestion = case(
        &words
            .into_iter()
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join("_"),
    );
    let suggestion = suggestion.trim_start_matches(['-', '_']);
    if suggestion.is_empty() {
        problem
    } else {
        problem.help(format!("write `{suggestion}`"))
    }
}

/// The name of a variable, as templates can say it.
pub(super) fn check_variable(text: &str) -> Result<(), Problem> {
    let starts =
        text.starts_with(|character: char| character.is_ascii_alphabetic() || character == '_');
    if starts
        && text
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || character == '_')
    {
        return Ok(());
    }
    Err(
        Problem::new(Code::BadName, format!("`{text}` is no name of a variable"))
            .help("templates name variables by letters, digits and `_`, as in `{{ ticker }}`"),
    )
}

pub(super) fn check_column(text: &str) -> Result<(), Problem> {
    if text.trim().is_empty() {
        return Err(
            Problem::new(Code::EmptyValue, "the name of a column is empty")
                .help("write the name of a column, or leave the element out"),
        );
    }
    if text.starts_with('$') {
        return Err(Problem::new(
            Code::BadField,
            format!("`{text}` is a path, and a column is named here"),
        )
        .help("write the name that `field_mapping` gives the field"));
    }
    Ok(())
}

/// `table`, `namespace.table`, with no part that could leave its folder.
pub(super) fn check_table_name(text: &str) -> Result<(), Problem> {
    if text.is_empty() {
        return Err(
            Problem::new(Code::EmptyValue, "the name of the table is empty")
                .help("write `table` or `namespace.table`"),
        );
    }
    let part_fits = |part: &str| {
        !part.is_empty()
            && part.chars().all(|character| {
                character.is_alphanumeric() || matches!(character, '_' | '-' | '$')
            })
            && !part.starts_with('-')
    };
    if text.split('.').all(part_fits) {
        return Ok(());
    }
    Err(Problem::new(
        Code::BadTableName,
        format!("`{text}` is no name of a table"),
    )
    .help("write `table` or `namespace.table`, with letters, digits, `_` and `-`"))
}

/// A column, `day(column)` or `bucket(16, column)`.
pub(super) fn check_partition(text: &str) -> Result<(), Problem> {
    let Some((transform, arguments)) = text.trim().split_once('(') else {
        return check_column(text);
    };
    let transform = transform.trim().to_ascii_lowercase();
    let bad = |message: String| Problem::new(Code::BadPartition, message);
    let Some(arguments) = arguments.trim_end().strip_suffix(')') else {
        return Err(bad(format!("`{text}` has no closing parenthesis"))
            .help("write a partition like `day(event_time)`"));
    };
    let arguments: Vec<&str> = arguments.split(',').map(str::trim).collect();
    if PARTITION_TRANSFORMS.contains(&transform.as_str()) {
        return match arguments.as_slice() {
            [column] if !column.is_empty() => Ok(()),
            _ => Err(bad(format!("`{transform}` takes one column"))
                .help(format!("write `{transform}(column)`"))),
        };
    }
    if COUNTED_TRANSFORMS.contains(&transform.as_str()) {
        return match arguments.as_slice() {
            [count, column]
                if count.parse::<u32>().is_ok_and(|count| count > 0) && !column.is_empty() =>
            {
                Ok(())
            }
            _ => Err(bad(format!("`{transform}` takes a number and a column"))
                .help(format!("write `{transform}(16, column)`"))),
        };
    }
    let known = PARTITION_TRANSFORMS.into_iter().chain(COUNTED_TRANSFORMS);
    let help = match crate::nearest(&transform, known.clone()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("write {}", crate::names::one_of(known)),
    };
    Err(bad(format!("`{transform}` is no transform of a partition")).help(help))
}
