//! From a document to its plan, in phases that each add what they decide and say what is wrong.
//!
//! Order of the phases: what isn't supported; the engine; endpoints with their templates ([`drafts`]); what binds each variable
//! ([`bindings`]); which rows go where ([`routing`]); streams with their requests and columns ([`streams`]); transforms; loads.

mod bindings;
mod chains;
mod checks;
mod columns;
mod context;
mod credentials;
mod drafts;
mod engine;
mod files;
mod findings;
mod formats;
mod guarantees;
mod incremental;
mod limits;
mod loads;
mod mapping;
mod objectives;
mod pages;
mod partitions;
mod requests;
mod routing;
mod row_paths;
mod sinks;
mod sql_tables;
mod storage;
mod streams;
mod support;
mod transforms;
mod types;
mod writes;

use runner_spec::{Diagnostic, has_errors};

use crate::inputs::{PlanInputs, Planned};
use crate::model::{ExplicitWindow, PLAN_FORMAT, Plan, SourcePlan, StreamPlan, VariableSource};
use crate::windows::{CursorKind, WINDOW_VARIABLES};
use context::Context;
use findings::Findings;
use incremental::{FROM_VARIABLES, TO_VARIABLES};
use loads::LoadInputs;

pub use credentials::refresh_tokens;
pub(crate) use engine::name as engine_name;
pub(crate) use loads::kind_name;
pub(crate) use partitions::text as partition_text;
pub use row_paths::parse_json_path;
pub(crate) use row_paths::path_text;

/// Decides everything before the first request, and reports all that is wrong at once.
pub fn plan(inputs: &PlanInputs<'_>) -> Planned {
    let (plan, diagnostics) = draft(inputs);
    Planned {
        plan: (!has_errors(&diagnostics)).then_some(plan),
        diagnostics,
    }
}

/// The plan as far as it can be made of a document that may have mistakes, and those that planning finds: for what looks for further
/// ones. Nothing runs it.
pub fn draft(inputs: &PlanInputs<'_>) -> (Plan, Vec<Diagnostic>) {
    let mut findings = Findings::default();
    let plan = build(Context { inputs: *inputs }, &mut findings);
    (plan, findings.into_diagnostics())
}

fn build(context: Context<'_>, findings: &mut Findings) -> Plan {
    support::check(context, findings);
    let engine = engine::choose(context, findings);
    let drafts = drafts::drafts(context, findings);
    let bindings = bindings::bind(context, &drafts, findings);
    let views = transforms::views(context, &drafts, findings);
    let routing = routing::route(context, &drafts, &bindings, &views, findings);
    let mut streams = streams::build(context, &drafts, &bindings, &routing, findings);
    let transforms = transforms::build(context, &views, &routing);
    let inputs = LoadInputs {
        context,
        routing: &routing,
        streams: &streams,
        transforms: &transforms,
    };
    let loads = loads::build(&inputs, findings);
    let objectives = objectives::build(&inputs, &loads, findings);
    loads::apply_keys(&loads, &mut streams);
    let spec = context.spec();
    let mut secrets = spec.global.secrets.clone();
    secrets.extend(credentials::inline_secrets(&drafts));
    let provider = &spec.provider;
    let options = context.inputs.options;
    let is_whole = options.limit.is_none() && options.base_url.is_none();
    let is_given = streams
        .iter()
        .any(|stream| stream.incremental.is_some() && has_given_bound(stream));
    let window = options
        .window
        .clone()
        .or_else(|| window_of_parameters(context, &streams));
    Plan {
        format: PLAN_FORMAT,
        tenant: provider.tenant_id.clone(),
        feed: spec.name.clone(),
        document_hash: context.inputs.document_hash.to_owned(),
        provider_name: provider.name.clone(),
        provider_type: provider.provider_type,
        owner: provider.owner.clone().unwrap_or_default(),
        tags: provider.tags.clone(),
        mode: provider.mode.unwrap_or_default(),
        engine,
        parameters: context.inputs.parameters.clone(),
        config: provider.config.clone(),
        secrets,
        credentials: provider.credentials_ref.clone(),
        streams,
        transforms,
        loads,
        gates: limits::gates(context),
        objectives,
        compatibility: spec.compatibility,
        limits: limits::limits(context, findings),
        moves_cursor: is_whole && window.is_none() && !is_given,
        row_limit: options.limit,
        window,
        replay: None,
        held: None,
    }
}

/// The window that parameters ask for, where they stand for bounds that every cursor would decide.
fn window_of_parameters(context: Context<'_>, streams: &[StreamPlan]) -> Option<ExplicitWindow> {
    let mut incremental = streams
        .iter()
        .filter(|stream| stream.incremental.is_some())
        .peekable();
    incremental.peek()?;
    if !incremental.all(has_given_bound) {
        return None;
    }
    let bound = |names: &[&str]| {
        let text = names
            .iter()
            .find_map(|name| context.inputs.parameters.get(*name))?;
        // Bounds in a format of the API's own can't be compared with rows.
        let is_comparable = CursorKind::guess(text) != CursorKind::Text;
        is_comparable.then(|| text.clone())
    };
    let window = ExplicitWindow {
        from: bound(&FROM_VARIABLES),
        to: bound(&TO_VARIABLES),
    };
    (window != ExplicitWindow::default()).then_some(window)
}

/// Whether a parameter stands for a bound of the stream's window.
fn has_given_bound(stream: &StreamPlan) -> bool {
    let variables = match &stream.source {
        SourcePlan::Http(http) => &http.variables,
        SourcePlan::Files(files) => &files.variables,
    };
    variables.iter().any(|variable| {
        variable.source == VariableSource::Parameter
            && WINDOW_VARIABLES.contains(&variable.name.as_str())
    })
}
