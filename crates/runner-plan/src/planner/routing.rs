//! Which rows go to which table of each sink.

use indexmap::IndexMap;
use runner_spec::model::{Contract, Sink, SinkKind};
use runner_spec::{Code, FieldPath};

use super::bindings::Binding;
use super::columns;
use super::context::Context;
use super::drafts::Draft;
use super::findings::{Findings, at, did_you_mean, list};
use super::transforms::Views;
use crate::model::Input;
use crate::names::table_name;

/// Tables by sink.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routing {
    pub(crate) sinks: Vec<SinkRoutes>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct SinkRoutes {
    pub(crate) routes: Vec<Route>,
}

/// Rows of one or more inputs, to one table.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) inputs: Vec<Input>,
    /// As the document names it, or the endpoint's name beside it.
    pub(crate) table: String,
    pub(crate) is_declared: bool,
    /// The contract is about these rows: those of a declared table, unless a sink chooses streams that it can't be about.
    pub(crate) has_contract: bool,
}

impl Routing {
    /// Whether some sink takes this stream's rows, as they are, into a table that the contract is about.
    pub(crate) fn has_contract(&self, stream: &str) -> bool {
        self.sinks
            .iter()
            .flat_map(|sink| &sink.routes)
            .filter(|route| route.has_contract)
            .flat_map(|route| &route.inputs)
            .any(|input| matches!(input, Input::Stream(name) if name == stream))
    }

    /// Whether some sink takes this transform's output into a table that the contract is about.
    pub(crate) fn has_contract_for_transform(&self, transform: &str) -> bool {
        self.sinks
            .iter()
            .flat_map(|sink| &sink.routes)
            .filter(|route| route.has_contract)
            .flat_map(|route| &route.inputs)
            .any(|input| matches!(input, Input::Transform(name) if name == transform))
    }
}

/// What can be routed: the streams with the columns that are known of them.
struct Router<'a> {
    context: Context<'a>,
    candidates: Vec<Candidate<'a>>,
    views: &'a Views,
}

struct Candidate<'a> {
    draft: &'a Draft<'a>,
    columns: Vec<String>,
    is_open: bool,
}

pub(crate) fn route(
    context: Context<'_>,
    drafts: &[Draft<'_>],
    bindings: &[Binding],
    views: &Views,
    findings: &mut Findings,
) -> Routing {
    let contract = context.spec().provider.schema_contract.as_ref();
    let candidates = drafts
        .iter()
        .zip(bindings)
        .map(|(draft, binding)| {
            let mut columns: IndexMap<String, ()> = columns::sources(draft, binding, contract)
                .into_keys()
                .map(|name| (name, ()))
                .collect();
            columns.extend(draft.known_columns().into_iter().map(|name| (name, ())));
            Candidate {
                draft,
                columns: columns.into_keys().collect(),
                is_open: draft.is_open(),
            }
        })
        .collect();
    let router = Router {
        context,
        candidates,
        views,
    };
    let sinks = context.spec().provider.sinks.iter().enumerate();
    Routing {
        sinks: sinks
            .map(|(index, sink)| router.sink(sink, &at::sink(index), findings))
            .collect(),
    }
}

/// The table that a sink names, whatever its kind calls it.
pub(crate) fn declared_table(sink: &Sink) -> Option<&str> {
    let of_kind = match sink.kind {
        SinkKind::Clickhouse => sink.clickhouse_table.as_deref(),
        SinkKind::Kafka => sink.kafka_topic.as_deref(),
        SinkKind::Parquet | SinkKind::Iceberg | SinkKind::Postgres | SinkKind::Elasticsearch => {
            None
        }
    };
    of_kind.or(sink.table_name.as_deref())
}

/// The table of a stream beside the declared one: `raw.trades` has `raw.quotes` beside it.
fn beside(declared: Option<&str>, stream: &str) -> String {
    let name = table_name(stream);
    match declared.and_then(|declared| declared.rsplit_once('.')) {
        Some((namespace, _)) => format!("{namespace}.{name}"),
        None => name,
    }
}

impl Router<'_> {
    fn sink(&self, sink: &Sink, path: &FieldPath, findings: &mut Findings) -> SinkRoutes {
        let declared = declared_table(sink);
        let mut routes = Vec::new();
        let mut add_declared = |inputs: Vec<Input>, findings: &mut Findings| {
            if inputs.is_empty() {
                return;
            }
            let table = declared.map_or_else(
                || self.nameless(sink, &inputs, path, findings),
                str::to_owned,
            );
            routes.push(Route {
                has_contract: self.fits_contract(sink, &inputs),
                inputs,
                table,
                is_declared: true,
            });
        };
        if !sink.endpoints.is_empty() {
            let inputs = self.chosen(sink, path, findings);
            add_declared(inputs, findings);
            return checked(routes, path, findings);
        }
        let outputs = self.views.outputs();
        let mut declared_streams = Vec::new();
        if let Some(last) = outputs.last() {
            add_declared(vec![Input::Transform(last.clone())], findings);
        } else {
            declared_streams = self.declared_streams(sink, path, findings);
            let inputs = declared_streams
                .iter()
                .map(|name| Input::Stream(name.clone()))
                .collect();
            add_declared(inputs, findings);
        }
        for transform in outputs.iter().rev().skip(1).rev() {
            routes.push(Route {
                inputs: vec![Input::Transform(transform.clone())],
                table: beside(declared, transform),
                is_declared: false,
                has_contract: false,
            });
        }
        for candidate in &self.candidates {
            let name = candidate.draft.name();
            if declared_streams.iter().any(|declared| declared == name) || self.views.reads(name) {
                continue;
            }
            routes.push(Route {
                inputs: vec![Input::Stream(name.to_owned())],
                table: beside(declared, name),
                is_declared: false,
                has_contract: false,
            });
        }
        checked(routes, path, findings)
    }

    /// Streams that a sink chooses may be others than those that the contract describes.
    fn fits_contract(&self, sink: &Sink, inputs: &[Input]) -> bool {
        let Some(contract) = self.context.spec().provider.schema_contract.as_ref() else {
            return false;
        };
        let wanted = wanted_columns(contract);
        let holds =
            |candidate: &Candidate<'_>| wanted.iter().all(|name| candidate.columns.contains(name));
        let is_chosen = |candidate: &&Candidate<'_>| {
            inputs.contains(&Input::Stream(candidate.draft.name().to_owned()))
        };
        let has_others = self
            .candidates
            .iter()
            .any(|candidate| !is_chosen(&candidate));
        if sink.endpoints.is_empty() || !has_others {
            return true;
        }
        self.candidates
            .iter()
            .filter(is_chosen)
            .all(|candidate| holds(candidate) || candidate.is_open)
    }

    /// A sink that names no table: its only input's name.
    fn nameless(
        &self,
        sink: &Sink,
        inputs: &[Input],
        path: &FieldPath,
        findings: &mut Findings,
    ) -> String {
        let needs_name = match sink.kind {
            SinkKind::Parquet => false,
            SinkKind::Iceberg
            | SinkKind::Postgres
            | SinkKind::Clickhouse
            | SinkKind::Kafka
            | SinkKind::Elasticsearch => true,
        };
        if needs_name && inputs.len() > 1 {
            findings.error(
                Code::MissingField,
                &path.key("table_name"),
                "the sink names no table".to_owned(),
                "add `table_name`, as in `table_name: raw.trades`",
            );
        }
        match inputs.first() {
            Some(Input::Stream(name) | Input::Transform(name)) => table_name(name),
            None => table_name(&self.context.spec().name),
        }
    }

    /// `config.endpoints`.
    fn chosen(&self, sink: &Sink, path: &FieldPath, findings: &mut Findings) -> Vec<Input> {
        let path = path.key("config").key("endpoints");
        let mut inputs = Vec::new();
        for (index, name) in sink.endpoints.iter().enumerate() {
            let is_stream = self
                .candidates
                .iter()
                .any(|candidate| candidate.draft.name() == name);
            if is_stream {
                inputs.push(Input::Stream(name.clone()));
            } else if self.views.has_transform(name) {
                inputs.push(Input::Transform(name.clone()));
            } else {
                let known = self
                    .candidates
                    .iter()
                    .map(|candidate| candidate.draft.name());
                findings.error(
                    Code::InactiveEndpoint,
                    &path.index(index),
                    format!("no active endpoint has the name `{name}`, so that it has no rows"),
                    did_you_mean(
                        name,
                        known,
                        "switch it on with `is_active: true`, or take its name out",
                    ),
                );
            }
        }
        if inputs.len() > 1 {
            self.same_columns(&sink.endpoints, &path, findings);
        }
        inputs
    }

    /// The streams whose rows the declared table takes as they are.
    fn declared_streams(
        &self,
        sink: &Sink,
        path: &FieldPath,
        findings: &mut Findings,
    ) -> Vec<String> {
        if let [only] = self.candidates.as_slice() {
            return vec![only.draft.name().to_owned()];
        }
        let Some(contract) = self.context.spec().provider.schema_contract.as_ref() else {
            return Vec::new();
        };
        let wanted = wanted_columns(contract);
        let holds =
            |candidate: &Candidate<'_>| wanted.iter().all(|name| candidate.columns.contains(name));
        let definite: Vec<&Candidate<'_>> = self
            .candidates
            .iter()
            .filter(|candidate| holds(candidate))
            .collect();
        let possible = self.candidates.iter().filter(|candidate| candidate.is_open);
        let possible: Vec<&Candidate<'_>> =
            possible.filter(|candidate| !holds(candidate)).collect();
        let found = if definite.is_empty() {
            possible
        } else {
            definite
        };
        let names: Vec<&str> = found
            .iter()
            .map(|candidate| candidate.draft.name())
            .collect();
        match found.as_slice() {
            [] => {
                self.nothing_fits(&wanted, path, findings);
                Vec::new()
            }
            [only] => vec![only.draft.name().to_owned()],
            several if several.iter().any(|candidate| candidate.is_open) => {
                if let Some(named) = namesake(sink, &names) {
                    return vec![named];
                }
                ambiguous(&names, "their columns are not known yet", path, findings);
                Vec::new()
            }
            several if equal_columns(several) => names.into_iter().map(str::to_owned).collect(),
            _ => {
                if let Some(named) = namesake(sink, &names) {
                    return vec![named];
                }
                ambiguous(&names, "their columns differ", path, findings);
                Vec::new()
            }
        }
    }

    fn nothing_fits(&self, wanted: &[String], path: &FieldPath, findings: &mut Findings) {
        let missing: Vec<String> = self
            .candidates
            .iter()
            .map(|candidate| {
                let missing: Vec<&String> = wanted
                    .iter()
                    .filter(|name| !candidate.columns.contains(name))
                    .collect();
                format!("`{}` lacks {}", candidate.draft.name(), list(&missing))
            })
            .collect();
        findings.push(
            runner_spec::Diagnostic::error(
                Code::RoutingAmbiguous,
                path.clone(),
                format!("no stream has all columns that the contract requires ({})", list(wanted)),
            )
            .help("map the missing columns, or say which streams go to this table with `config.endpoints: [NAME]`")
            .note(missing.join("; ")),
        );
    }

    /// Streams that share a table have to have the same columns.
    fn same_columns(&self, names: &[String], path: &FieldPath, findings: &mut Findings) {
        let chosen: Vec<&Candidate<'_>> = self
            .candidates
            .iter()
            .filter(|candidate| names.iter().any(|name| name == candidate.draft.name()))
            .collect();
        let is_open = chosen.iter().any(|candidate| candidate.is_open);
        if !is_open && !equal_columns(&chosen) {
            findings.error(
                Code::RoutingAmbiguous,
                path,
                format!("{} go to one table, and their columns differ", list(names)),
                "map them to the same columns, or give each a sink of its own",
            );
        }
    }
}

/// The contract's required columns; all of them where none is required.
fn wanted_columns(contract: &Contract) -> Vec<String> {
    if contract.required.is_empty() {
        contract.properties.keys().cloned().collect()
    } else {
        contract.required.clone()
    }
}

/// The stream that is named like the table.
fn namesake(sink: &Sink, names: &[&str]) -> Option<String> {
    let table = declared_table(sink)?;
    let last = table.rsplit('.').next().unwrap_or(table);
    names
        .iter()
        .find(|name| table_name(name).eq_ignore_ascii_case(last))
        .map(|name| (*name).to_owned())
}

fn equal_columns(candidates: &[&Candidate<'_>]) -> bool {
    let sorted = |candidate: &Candidate<'_>| {
        let mut columns = candidate.columns.clone();
        columns.sort();
        columns
    };
    candidates
        .windows(2)
        .all(|pair| matches!(pair, [left, right] if sorted(left) == sorted(right)))
}

fn ambiguous(names: &[&str], why: &str, path: &FieldPath, findings: &mut Findings) {
    findings.error(
        Code::RoutingAmbiguous,
        path,
        format!(
            "{} could all go to the declared table, and {why}",
            list(names)
        ),
        format!(
            "say which with `config.endpoints: [{}]`",
            names.first().copied().unwrap_or("NAME")
        ),
    );
}

/// No two streams of a sink in one table by accident.
fn checked(routes: Vec<Route>, path: &FieldPath, findings: &mut Findings) -> SinkRoutes {
    for (index, route) in routes.iter().enumerate() {
        let twin = routes
            .iter()
            .skip(index + 1)
            .find(|other| other.table == route.table);
        if let Some(twin) = twin {
            let name = |route: &Route| match route.inputs.first() {
                Some(Input::Stream(name) | Input::Transform(name)) => name.clone(),
                None => String::new(),
            };
            findings.error(
                Code::DuplicateTable,
                path,
                format!("{} would both go to the table `{}`", list(&[name(route), name(twin)]), route.table),
                "give the sink another `table_name`, or say which streams go to it with `config.endpoints`",
            );
        }
    }
    SinkRoutes { routes }
}
