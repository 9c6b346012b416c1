//! Numeric settings, which may be written as numbers, as texts, or as templates of settings in `config`.

use crate::Code;
use crate::diagnostic::Diagnostic;
use crate::fields::{COUNT, Real, Text, Whole};
use crate::path::FieldPath;
use crate::tree::{Node, Value};
use crate::values;

use super::{Checker, describe};

/// What a value is, a template of a setting being replaced by the setting.
#[derive(Debug)]
pub(crate) enum Settled<'tree> {
    Value(&'tree Node),
    /// The setting doesn't exist.
    Unknown(String),
    /// It is known only when requests are made.
    Late,
}

/// Replaces `{{ config.a.b }}` by the setting. Other templates can't be known when a document is read.
pub(crate) fn settle<'tree>(node: &'tree Node, document: &'tree Node) -> Settled<'tree> {
    let Some(text) = node.as_text().filter(|text| values::is_template(text)) else {
        return Settled::Value(node);
    };
    let Some(path) = values::setting(text) else {
        return Settled::Late;
    };
    let config = document
        .get("provider")
        .and_then(|provider| provider.get("config"));
    let found = path
        .iter()
        .try_fold(config, |node, key| node.map(|node| node.get(key)))
        .flatten();
    match found {
        Some(node) if !node.as_text().is_some_and(values::is_template) => Settled::Value(node),
        Some(_) => Settled::Late,
        None => Settled::Unknown(path.join(".")),
    }
}

/// The whole number that a value is or is written as.
pub(crate) fn whole_number(node: &Node) -> Option<i128> {
    match &node.value {
        Value::Number(number) => {
            let exact = number
                .value
                .as_i64()
                .map(i128::from)
                .or_else(|| number.value.as_u64().map(i128::from));
            exact.or_else(|| number.value.as_f64().and_then(whole_of_float))
        }
        Value::Text(text) => text.value.trim().parse().ok(),
        _ => None,
    }
}

/// `1e3` and `30.0` are whole numbers; beyond 2^53 a double doesn't say which one.
fn whole_of_float(value: f64) -> Option<i128> {
    if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 {
        format!("{value:.0}").parse().ok()
    } else {
        None
    }
}

/// The number that a value is or is written as.
pub(crate) fn real_number(node: &Node) -> Option<f64> {
    match &node.value {
        Value::Number(number) => number.value.as_f64(),
        Value::Text(text) => text
            .value
            .trim()
            .parse()
            .ok()
            .filter(|value: &f64| value.is_finite()),
        _ => None,
    }
}

impl<'tree> Checker<'tree> {
    pub(super) fn whole(&mut self, node: &'tree Node, whole: Whole, path: &FieldPath) {
        let name = path.last_key().unwrap_or_default();
        if whole.late && node.as_text().is_some_and(values::is_template) {
            return self.text(node, Text::Template, path);
        }
        let Some(node) = self.settled(node, path) else {
            return;
        };
        let Some(value) = whole_number(node) else {
            let help = describe::number_example(node, name, "10");
            return self.wrong_type(node, name, "a whole number", path, help);
        };
        if value < i128::from(whole.minimum) || value > i128::from(whole.maximum) {
            let allowed = match whole.maximum {
                COUNT.. => format!("at least {}", whole.minimum),
                maximum => format!("from {} to {maximum}", whole.minimum),
            };
            let message = format!("`{name}` is {value}, and must be {allowed}");
            self.report(
                Diagnostic::error(Code::OutOfRange, path.clone(), message)
                    .help(format!("write a whole number, {allowed}")),
            );
        }
    }

    pub(super) fn real(&mut self, node: &'tree Node, real: Real, path: &FieldPath) {
        let name = path.last_key().unwrap_or_default();
        let Some(node) = self.settled(node, path) else {
            return;
        };
        let Some(value) = real_number(node) else {
            let help = describe::number_example(node, name, "0.5");
            return self.wrong_type(node, name, "a number", path, help);
        };
        let too_small = if real.above {
            value <= real.minimum
        } else {
            value < real.minimum
        };
        if !too_small && value <= real.maximum {
            return;
        }
        let allowed = match (real.above, real.maximum < f64::MAX) {
            (true, false) => format!("above {}", real.minimum),
            (true, true) => format!("above {} and at most {}", real.minimum, real.maximum),
            (false, false) => format!("at least {}", real.minimum),
            (false, true) => format!("from {} to {}", real.minimum, real.maximum),
        };
        let is_percentage =
            (real.maximum - 1.0).abs() < f64::EPSILON && value > 1.0 && value <= 100.0;
        let help = if is_percentage {
            format!("write the share: `{name}: {}`", value / 100.0)
        } else {
            format!("write a number {allowed}")
        };
        let message = format!("`{name}` is {value}, and must be {allowed}");
        self.report(Diagnostic::error(Code::OutOfRange, path.clone(), message).help(help));
    }

    /// `[minimum or null, maximum or null]`.
    pub(super) fn range(&mut self, node: &'tree Node, path: &FieldPath) {
        let name = path.last_key().unwrap_or_default();
        let help = format!("write `{name}: [0, 100]`, with `null` for an open end");
        let Some([minimum, maximum]) = node.as_list() else {
            return self.wrong_type(node, name, "a list of a minimum and a maximum", path, help);
        };
        let mut ends = [None, None];
        for (index, (item, end)) in [minimum, maximum].into_iter().zip(&mut ends).enumerate() {
            if item.is_null() {
                continue;
            }
            *end = real_number(item);
            if end.is_none() {
                self.wrong_type(
                    item,
                    name,
                    "a number or `null`",
                    &path.index(index),
                    help.clone(),
                );
            }
        }
        if let [Some(minimum), Some(maximum)] = ends
            && minimum > maximum
        {
            let message = format!(
                "the minimum {minimum} of `{name}` is above its maximum {maximum}, so that no value fits"
            );
            self.report(
                Diagnostic::error(Code::RangeReversed, path.clone(), message)
                    .help(format!("write `{name}: [{maximum}, {minimum}]`")),
            );
        }
    }

    fn settled(&mut self, node: &'tree Node, path: &FieldPath) -> Option<&'tree Node> {
        match settle(node, self.document) {
            Settled::Value(node) => Some(node),
            Settled::Unknown(setting) => {
                self.unknown_setting(&setting, path);
                None
            }
            Settled::Late => {
                self.unresolvable(path);
                None
            }
        }
    }

    pub(super) fn unknown_setting(&mut self, setting: &str, path: &FieldPath) {
        let message = format!("`provider.config` has no `{setting}`");
        self.report(
            Diagnostic::error(Code::UnknownConfigKey, path.clone(), message)
                .help("add the setting, or write the value here"),
        );
    }

    pub(super) fn unresolvable(&mut self, path: &FieldPath) {
        let name = path.last_key().unwrap_or_default();
        let message =
            format!("`{name}` is needed before any request, and this template is known only then");
        let help = "write the value, or a template of a setting alone: `\"{{ config.name }}\"`";
        self.report(Diagnostic::error(Code::UnresolvableNumber, path.clone(), message).help(help));
    }
}
