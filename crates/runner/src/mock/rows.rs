//! Rows that satisfy the contract; the same seed, chain and number give the same row.

use chrono::{DateTime, Duration, NaiveDate, Utc};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use runner_spec::model::PropertyType;
use serde_json::{Map, Value, json};

use super::pattern;
use super::shape::{EndpointShape, Field};

/// What distinguishes a chain's rows.
#[derive(Clone, Debug)]
pub(crate) struct Chain<'a> {
    pub(crate) seed: u64,
    pub(crate) variables: &'a [(String, String)],
    pub(crate) from: DateTime<Utc>,
    pub(crate) step: Duration,
}

/// One raw row.
pub(crate) fn row(endpoint: &EndpointShape, chain: &Chain<'_>, number: u64) -> Value {
    let mut random = StdRng::seed_from_u64(chain.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut row = Value::Object(Map::new());
    for field in &endpoint.fields {
        let value = match &field.variable {
            Some(name) => chain
                .variables
                .iter()
                .find(|(known, _)| known == name)
                .map_or(Value::Null, |(_, value)| Value::String(value.clone())),
            None => value(field, chain, number, &mut random),
        };
        set(&mut row, &field.name, value);
    }
    row
}

/// When a row happened.
pub(crate) fn time(chain: &Chain<'_>, number: u64) -> DateTime<Utc> {
    let step = chain
        .step
        .num_milliseconds()
        .saturating_mul(i64::try_from(number).unwrap_or(i64::MAX));
    chain.from + Duration::milliseconds(step)
}

fn value(field: &Field, chain: &Chain<'_>, number: u64, random: &mut StdRng) -> Value {
    let limits = &field.constraints;
    if let Some(constant) = &limits.constant {
        return constant.clone();
    }
    if let Some(values) = limits
        .enumeration
        .as_ref()
        .filter(|values| !values.is_empty())
    {
        return values[random.random_range(0..values.len())].clone();
    }
    let at = time(chain, number);
    match field.kind {
        PropertyType::Integer => integer(field, number, random),
        PropertyType::Number => float(field, random),
        PropertyType::Boolean => json!(random.random_bool(0.5)),
        PropertyType::DateTime if field.is_epoch => json!(at.timestamp_millis()),
        PropertyType::DateTime => json!(at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)),
        PropertyType::Date if field.is_unique => json!(spread_date(number)),
        PropertyType::Date => json!(at.date_naive()),
        PropertyType::Time => json!(at.time().format("%H:%M:%S").to_string()),
        PropertyType::Uuid => json!(format!("00000000-0000-4000-8000-{number:012x}")),
        PropertyType::String => json!(text(field, number, random)),
        PropertyType::Array => array(field, chain, number, random),
        PropertyType::Object if field.members.is_empty() => {
            json!({ "note": format!("row {number}") })
        }
        PropertyType::Object => {
            let mut object = Map::new();
            for member in &field.members {
                let value = value(member, chain, number, random);
                object.insert(member.name.clone(), value);
            }
            Value::Object(object)
        }
    }
}

/// As many items as the contract asks for, at least one; no two are the same where the contract says so.
fn array(field: &Field, chain: &Chain<'_>, number: u64, random: &mut StdRng) -> Value {
    let limits = &field.constraints;
    let most = limits.max_items.unwrap_or(u64::MAX);
    let count = limits.min_items.unwrap_or(1).max(1).min(most);
    let Some(items) = &field.items else {
        let first = random.random_range(1..9_u64);
        return (0..count)
            .map(|item| json!(format!("tag{}", first + item)))
            .collect();
    };
    let mut items = items.as_ref().clone();
    items.is_unique |= limits.unique_items;
    (0..count)
        .map(|item| {
            let number = if items.is_unique {
                number.wrapping_mul(count) + item
            } else {
                number
            };
            value(&items, chain, number, random)
        })
        .collect()
}

fn spread_date(number: u64) -> NaiveDate {
    NaiveDate::default() + Duration::days(i64::try_from(number).unwrap_or(0))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "bounds are cut to what integers hold, which is what a contract of integers means"
)]
fn integer(field: &Field, number: u64, random: &mut StdRng) -> Value {
    let limits = &field.constraints;
    let low = limits
        .minimum
        .or(limits.exclusive_minimum.map(|bound| bound + 1.0))
        .map_or(1, |bound| bound.ceil() as i64);
    if field.is_unique || field.is_cursor {
        return json!(low.saturating_add(i64::try_from(number).unwrap_or(i64::MAX)));
    }
    let high = limits
        .maximum
        .or(limits.exclusive_maximum.map(|bound| bound - 1.0))
        .map_or_else(|| low.saturating_add(10_000), |bound| bound.floor() as i64);
    json!(random.random_range(low..=high.max(low)))
}

fn float(field: &Field, random: &mut StdRng) -> Value {
    let limits = &field.constraints;
    let low = limits.minimum.or(limits.exclusive_minimum).unwrap_or(1.0);
    let high = limits
        .maximum
        .or(limits.exclusive_maximum)
        .unwrap_or(low + 500.0)
        .max(low);
    let value = low + (high - low) * random.random_range(0.05..0.95);
    let rounded = (value * 100.0).round() / 100.0;
    json!(if rounded > low && rounded < high {
        rounded
    } else {
        value
    })
}

fn text(field: &Field, number: u64, random: &mut StdRng) -> String {
    let limits = &field.constraints;
    if let Some(pattern) = &limits.pattern {
        return pattern::text(pattern, random);
    }
    let text = match limits.format.as_deref() {
        Some("email") => format!("user{number}@example.com"),
        Some("uri") => format!("https://example.com/{number}"),
        Some("ipv4") => format!("192.0.2.{}", number % 254 + 1),
        _ if field.is_unique => symbol(number),
        _ => symbol(random.random_range(0..500)),
    };
    let most = limits
        .max_length
        .and_then(|length| usize::try_from(length).ok())
        .unwrap_or(usize::MAX);
    let least = limits
        .min_length
        .and_then(|length| usize::try_from(length).ok())
        .unwrap_or(0);
    let mut text: String = text.chars().take(most).collect();
    while text.chars().count() < least {
        text.push('X');
    }
    text
}

/// Letters, as ticker symbols are.
fn symbol(mut number: u64) -> String {
    let mut letters = Vec::new();
    loop {
        letters.push(b'A' + u8::try_from(number % 26).unwrap_or(0));
        number /= 26;
        if number == 0 && letters.len() >= 3 {
            break;
        }
    }
    letters.reverse();
    letters.into_iter().map(char::from).collect()
}

fn set(row: &mut Value, path: &str, value: Value) {
    let mut target = row;
    let mut steps = path.split('.').peekable();
    while let Some(step) = steps.next() {
        let Value::Object(object) = target else {
            return;
        };
        if steps.peek().is_none() {
            object.insert(step.to_owned(), value);
            return;
        }
        target = object
            .entry(step)
            .or_insert_with(|| Value::Object(Map::new()));
    }
}
