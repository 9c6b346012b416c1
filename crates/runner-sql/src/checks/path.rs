//! Where a check's value stands in the columns: dotted below a struct, `[]` for every item of a list.

use datafusion_expr::Expr;
use datafusion_expr::expr_fn::ident;
use datafusion_functions::core::expr_fn::get_field;
use runner_plan::model::{ColumnField, ColumnType};

use super::JsonStep;

const EACH: &str = "[]";

/// What a path leads to.
pub(super) enum Resolved {
    Value {
        value: Expr,
        column_type: ColumnType,
        /// The struct that the value is a field of.
        holder: Option<Expr>,
    },
    /// A list, and what follows below each of its items.
    Items {
        list: Expr,
        item: ColumnField,
        rest: String,
    },
    /// JSON text, and the way within it.
    Json { json: Expr, steps: Vec<JsonStep> },
    /// Nothing: no row has it.
    Absent { holder: Holder },
}

/// What lacks an absent value.
pub(super) enum Holder {
    Row,
    Struct(Expr),
    /// Something that is absent itself.
    Absent,
}

pub(super) fn resolve(path: &str, columns: &[ColumnField]) -> Resolved {
    let Some((column, mut rest)) = longest(path, columns) else {
        let is_below = path.contains(['.', '[']);
        let holder = if is_below {
            Holder::Absent
        } else {
            Holder::Row
        };
        return Resolved::Absent { holder };
    };
    let mut value = ident(&column.name);
    let mut column_type = &column.column_type;
    let mut holder = None;
    loop {
        if rest.is_empty() {
            return Resolved::Value {
                value,
                column_type: column_type.clone(),
                holder,
            };
        }
        match column_type {
            ColumnType::Json => {
                return Resolved::Json {
                    json: value,
                    steps: json_steps(rest),
                };
            }
            ColumnType::List(item) if rest.starts_with(EACH) => {
                return Resolved::Items {
                    list: value,
                    item: item.as_ref().clone(),
                    rest: rest[EACH.len()..].to_owned(),
                };
            }
            ColumnType::Struct(fields) if rest.starts_with('.') => {
                let name = &rest[1..];
                let Some((field, further)) = longest(name, fields) else {
                    let is_below = name.contains(['.', '[']);
                    let holder = if is_below {
                        Holder::Absent
                    } else {
                        Holder::Struct(value)
                    };
                    return Resolved::Absent { holder };
                };
                holder = Some(value.clone());
                value = get_field(value, field.name.as_str());
                column_type = &field.column_type;
                rest = further;
            }
            // A value of another type has nothing below it.
            _ => {
                return Resolved::Absent {
                    holder: Holder::Absent,
                };
            }
        }
    }
}

/// The field with the longest name that the path begins with, and what follows it: names may have dots in them.
fn longest<'a, 'p>(path: &'p str, fields: &'a [ColumnField]) -> Option<(&'a ColumnField, &'p str)> {
    let below = |field: &'a ColumnField| {
        let rest = path.strip_prefix(field.name.as_str())?;
        (rest.is_empty() || rest.starts_with('.') || rest.starts_with(EACH))
            .then_some((field, rest))
    };
    fields
        .iter()
        .filter_map(below)
        .max_by_key(|(field, _)| field.name.len())
}

fn json_steps(rest: &str) -> Vec<JsonStep> {
    let mut steps = Vec::new();
    for part in rest.trim_start_matches('.').split('.') {
        let name = part.trim_end_matches(EACH);
        if !name.is_empty() {
            steps.push(JsonStep::Field(name.to_owned()));
        }
        let items = (part.len() - name.len()) / EACH.len();
        steps.extend(std::iter::repeat_n(JsonStep::Each, items));
    }
    steps
}
