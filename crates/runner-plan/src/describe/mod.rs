//! A plan for a person to read: what `plan FILE` prints.
//!
//! For a machine the plan's own serialised form is the description.

mod checks;
mod expected;
mod loads;
mod objectives;
mod page;
mod streams;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};

use crate::model::{Plan, TransformPlan};
use crate::planner::engine_name;
use crate::windows::format_duration;
use page::Page;

/// What is known beside the plan.
#[derive(Clone, Debug, Default)]
pub struct Details {
    /// The run's start, for windows that can be shown as dates.
    pub nominal_time: Option<DateTime<Utc>>,
    /// Every cast that queries make, as their analysis found them.
    pub casts: Vec<Cast>,
}

/// A cast in a transform: asked for in its query, or made by the analysis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cast {
    pub transform: String,
    pub expression: String,
    pub from: String,
    pub to: String,
}

/// The plan as text, aligned, at most 100 columns wide where words allow it.
pub fn describe(plan: &Plan, details: &Details) -> String {
    let mut page = Page::default();
    head(plan, &mut page);
    for stream in &plan.streams {
        streams::describe(plan, stream, details, &mut page);
    }
    for transform in &plan.transforms {
        describe_transform(transform, details, &mut page);
    }
    loads::describe(plan, &mut page);
    gates(plan, &mut page);
    objectives::describe(plan, &mut page);
    page.into_text()
}

fn head(plan: &Plan, page: &mut Page) {
    page.heading(&format!("Feed {} of tenant {}", plan.feed, plan.tenant));
    page.field("Source", &source(plan));
    page.field(
        "Engine",
        &format!(
            "{}: {}",
            engine_name(plan.engine.engine),
            plan.engine.reason
        ),
    );
    page.field("Cursor", &cursor(plan));
    if let Some(rows) = plan.row_limit {
        page.field("Limit", &format!("{rows} rows of each stream"));
    }
    if !plan.parameters.is_empty() {
        let parameters = plan.parameters.iter();
        let rows = parameters.map(|(name, value)| vec![name.clone(), value.clone()]);
        page.table("Parameters", rows);
    }
    if !plan.secrets.is_empty() || plan.credentials.is_some() {
        let bundle = plan.credentials.iter();
        let bundle = bundle.map(|reference| vec!["(bundle)".to_owned(), reference.clone()]);
        let named = plan.secrets.iter();
        let rows = named.map(|(name, reference)| vec![name.clone(), reference.clone()]);
        page.table("Secrets", rows.chain(bundle));
    }
    page.field("Timeouts", &timeouts(plan));
}

fn source(plan: &Plan) -> String {
    let mut parts = vec![format!("{} ({})", plan.provider_name, type_name(plan))];
    if !plan.owner.is_empty() {
        parts.push(format!("owned by {}", plan.owner));
    }
    if !plan.tags.is_empty() {
        parts.push(format!("tagged {}", plan.tags.join(", ")));
    }
    parts.join(", ")
}

fn type_name(plan: &Plan) -> String {
    let name = serde_json::to_value(plan.provider_type).ok();
    name.as_ref()
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn cursor(plan: &Plan) -> String {
    let is_incremental = plan.streams.iter().any(|stream| {
        let cursor = stream.incremental.as_ref();
        cursor.is_some_and(|plan| plan.cursor_field.is_some())
    });
    if let Some(window) = &plan.window {
        let bound = |bound: &Option<String>| bound.clone().unwrap_or_else(|| "open".to_owned());
        return format!(
            "stays as it is: the window from {} to {} is read",
            bound(&window.from),
            bound(&window.to)
        );
    }
    if !is_incremental {
        return "none: every run reads everything that the requests ask for".to_owned();
    }
    if plan.moves_cursor {
        "moves when the rows are committed".to_owned()
    } else {
        "stays as it is: the run has a limit, another server, or bounds of its own".to_owned()
    }
}

fn timeouts(plan: &Plan) -> String {
    let limits = &plan.limits;
    let job = limits.job_timeout_ms.map_or_else(
        || "none for the job".to_owned(),
        |timeout| format!("{} for the job", format_duration(timeout)),
    );
    format!(
        "{} for a request, {job}",
        format_duration(limits.request_timeout_ms)
    )
}

fn describe_transform(transform: &TransformPlan, details: &Details, page: &mut Page) {
    page.heading(&format!("Transform {}", transform.name));
    let views = transform.views.iter().map(|(view, input)| {
        let stands_for = input.name();
        if view == stands_for {
            view.clone()
        } else {
            format!("{view} (which is {stands_for})")
        }
    });
    page.field("Reads", &views.collect::<Vec<_>>().join(", "));
    page.block("SQL", &transform.sql);
    let yielded = if transform.output.is_empty() {
        &transform.columns
    } else {
        &transform.output
    };
    let columns = yielded.iter().map(|column| {
        let null = if column.nullable { "" } else { "not null" };
        vec![
            column.name.clone(),
            column.column_type.to_string(),
            null.to_owned(),
        ]
    });
    page.table("Yields", columns);
    checks::describe(&transform.checks, page);
    let casts = details
        .casts
        .iter()
        .filter(|cast| cast.transform == transform.name);
    let casts = casts.map(|cast| {
        vec![
            cast.expression.clone(),
            cast.from.clone(),
            format!("→ {}", cast.to),
        ]
    });
    page.table("Casts", casts);
}

fn gates(plan: &Plan, page: &mut Page) {
    page.heading("Gates, before anything is committed");
    let gates = &plan.gates;
    let consequence = if gates.block_on_quality_drop {
        "else the run fails"
    } else {
        "else the run says so"
    };
    let share = |threshold: f64| format!("{}%", (threshold * 1e6).round() / 1e4);
    if let Some(threshold) = gates.completeness_threshold {
        let share = share(threshold);
        page.field(
            "Complete",
            &format!("at least {share} of the required values are there, {consequence}"),
        );
    }
    if let Some(threshold) = gates.accuracy_threshold {
        let share = share(threshold);
        page.field(
            "Accurate",
            &format!("at least {share} of the rows pass every check, {consequence}"),
        );
    }
    if gates.completeness_threshold.is_none() && gates.accuracy_threshold.is_none() {
        page.field(
            "Quality",
            "no threshold: rows that fail go to the quarantine, the others are loaded",
        );
    }
    let compatibility = format!("{:?}", plan.compatibility).to_uppercase();
    let drift = if gates.block_on_schema_drift {
        format!("a change that {compatibility} doesn't allow fails the run")
    } else {
        format!("recorded ({compatibility}), and blocks nothing")
    };
    page.field("Drift", &drift);
}
