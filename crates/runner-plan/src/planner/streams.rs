//! Streams: endpoints whose names are bound and whose rows have somewhere to go.

use runner_spec::model::Contract;
use runner_spec::{Code, Diagnostic};

use super::bindings::Binding;
use super::checks;
use super::columns::{self, ColumnInputs};
use super::context::Context;
use super::drafts::Draft;
use super::files;
use super::findings::{Findings, at, list};
use super::incremental;
use super::requests;
use super::routing::Routing;
use crate::model::{CheckOrigin, StreamPlan, TypeOrigin};

const DEFAULT_SAMPLE_SIZE: u32 = 100;

pub(crate) fn build(
    context: Context<'_>,
    drafts: &[Draft<'_>],
    bindings: &[Binding],
    routing: &Routing,
    findings: &mut Findings,
) -> Vec<StreamPlan> {
    let streams: Vec<StreamPlan> = drafts
        .iter()
        .zip(bindings)
        .map(|(draft, binding)| {
            let contract = context
                .spec()
                .provider
                .schema_contract
                .as_ref()
                .filter(|_| routing.has_contract(draft.name()));
            stream(context, drafts, draft, binding, contract, findings)
        })
        .collect();
    open_columns(&streams, findings);
    ordered(streams, bindings, drafts, findings)
}

fn stream(
    context: Context<'_>,
    drafts: &[Draft<'_>],
    draft: &Draft<'_>,
    binding: &Binding,
    contract: Option<&Contract>,
    findings: &mut Findings,
) -> StreamPlan {
    let source = if context.reads_files() {
        files::build(context, draft, binding, findings)
    } else {
        requests::build(context, drafts, draft, binding, findings)
    };
    let inputs = ColumnInputs {
        draft,
        binding,
        contract,
        any_contract: context.spec().provider.schema_contract.as_ref(),
    };
    let columns = columns::build(&inputs, findings);
    let incremental = incremental::build(context, draft, binding, &columns, findings);
    let key_path = draft.path.key("primary_key");
    let primary_key = columns::key_columns(
        &draft.endpoint.load.primary_key,
        draft,
        &columns,
        &key_path,
        findings,
    );
    let mut checks = checks::rules(draft, &columns, findings);
    if let Some(contract) = contract {
        checks.extend(checks::contract(contract));
    }
    checks::presence(
        &primary_key,
        CheckOrigin::PrimaryKey,
        &key_path,
        &mut checks,
    );
    let cursor = incremental
        .as_ref()
        .and_then(|plan| plan.cursor_field.clone());
    let cursor_path = draft.path.key("incremental").key("cursor_field");
    checks::presence(
        cursor.as_slice(),
        CheckOrigin::Cursor,
        &cursor_path,
        &mut checks,
    );
    StreamPlan {
        name: draft.name().to_owned(),
        path: draft.path.to_string(),
        source,
        masking: columns::masking(draft, &columns, contract, findings),
        columns,
        checks,
        primary_key,
        incremental,
        sample_size: draft.endpoint.sample_size.unwrap_or(DEFAULT_SAMPLE_SIZE),
        parallelism: context.spec().provider.parallelism.unwrap_or(1).max(1),
    }
}

/// What only rows can tell, said once for all streams.
fn open_columns(streams: &[StreamPlan], findings: &mut Findings) {
    let open: Vec<String> = streams
        .iter()
        .filter_map(|stream| {
            if stream.columns.pass_through && stream.columns.known.is_empty() {
                return Some(format!("all columns of `{}`", stream.name));
            }
            let open = stream.columns.known.iter();
            let open = open.filter(|column| column.origin == TypeOrigin::Open);
            let names: Vec<&str> = open.map(|column| column.name.as_str()).collect();
            (!names.is_empty()).then(|| format!("{} of `{}`", list(&names), stream.name))
        })
        .collect();
    if open.is_empty() {
        return;
    }
    findings.push(
        Diagnostic::hint(
            Code::OpenColumns,
            at::provider().key("endpoints"),
            format!("types that the first rows will decide: {}", open.join("; ")),
        )
        .help("`plan --probe` reads some rows and shows them"),
    );
}

/// Parents before their children; apart from that as in the document.
fn ordered(
    streams: Vec<StreamPlan>,
    bindings: &[Binding],
    drafts: &[Draft<'_>],
    findings: &mut Findings,
) -> Vec<StreamPlan> {
    let parents: Vec<Option<String>> = bindings
        .iter()
        .map(|binding| binding.parent().map(str::to_owned))
        .collect();
    let mut waiting: Vec<(StreamPlan, Option<String>)> = streams.into_iter().zip(parents).collect();
    let mut done: Vec<StreamPlan> = Vec::with_capacity(waiting.len());
    loop {
        let is_ready = |(_, parent): &(StreamPlan, Option<String>)| {
            parent
                .as_ref()
                .is_none_or(|parent| done.iter().any(|stream| stream.name == *parent))
        };
        let Some(next) = waiting.iter().position(is_ready) else {
            break;
        };
        done.push(waiting.remove(next).0);
    }
    let stuck: Vec<&str> = waiting
        .iter()
        .map(|(stream, _)| stream.name.as_str())
        .collect();
    if let Some(first) = drafts.iter().find(|draft| stuck.contains(&draft.name())) {
        findings.error(
            Code::ParentCycle,
            &first.path,
            format!("{} wait for each other's rows", list(&stuck)),
            "bind one of their variables otherwise: with `--param`, a list in `config`, or `for_each` over another endpoint",
        );
    }
    done.extend(waiting.into_iter().map(|(stream, _)| stream));
    done
}
