//! One load per table of a sink: its write mode, key, partitions and guarantee.

use runner_spec::model::{LoadSettings, Sink, WriteMode};
use runner_spec::{Code, FieldPath};

use super::context::{Context, flag_setting};
use super::findings::{Findings, at, list};
use super::guarantees;
use super::partitions::{self, TableColumns};
use super::routing::{Route, Routing};
use super::sinks;
use super::types;
use super::writes;
use crate::model::{Columns, Input, LoadPlan, StreamPlan, TransformPlan};

const DEFAULT_FILE_MB: u64 = 128;

/// What loads are made from.
pub(crate) struct LoadInputs<'a> {
    pub(crate) context: Context<'a>,
    pub(crate) routing: &'a Routing,
    pub(crate) streams: &'a [StreamPlan],
    pub(crate) transforms: &'a [TransformPlan],
}

pub(crate) fn build(inputs: &LoadInputs<'_>, findings: &mut Findings) -> Vec<LoadPlan> {
    let sinks = &inputs.context.spec().provider.sinks;
    let mut loads: Vec<LoadPlan> = Vec::new();
    let mut broken = Vec::new();
    for (index, (sink, routes)) in sinks.iter().zip(&inputs.routing.sinks).enumerate() {
        let path = at::sink(index);
        let name = sink_name(sinks, index);
        let destination = sinks::destination(inputs.context, sink, &path, findings);
        if destination.is_broken {
            broken.push(index);
        }
        for route in &routes.routes {
            let builder = Builder {
                inputs,
                sink,
                index,
                path: &path,
                route,
            };
            loads.push(builder.build(&name, &destination, findings));
        }
    }
    guarantees::shared_tables(&loads, &broken, findings);
    guarantees::readers(&loads, findings);
    loads
}

/// The sink's own name, else its kind, with a number where there are several.
fn sink_name(sinks: &[Sink], index: usize) -> String {
    let Some(sink) = sinks.get(index) else {
        return String::new();
    };
    if let Some(name) = &sink.name {
        return name.clone();
    }
    let kind = kind_name(sink.kind);
    let twins = |sink: &&Sink| sink.name.is_none() && kind_name(sink.kind) == kind;
    if sinks.iter().filter(twins).count() == 1 {
        return kind.to_owned();
    }
    let number = sinks.iter().take(index + 1).filter(twins).count();
    format!("{kind}_{number}")
}

pub(crate) fn kind_name(kind: runner_spec::model::SinkKind) -> &'static str {
    use runner_spec::model::SinkKind as K;
    match kind {
        K::Parquet => "parquet",
        K::Iceberg => "iceberg",
        K::Postgres => "postgres",
        K::Clickhouse => "clickhouse",
        K::Kafka => "kafka",
        K::Elasticsearch => "elasticsearch",
    }
}

struct Builder<'a> {
    inputs: &'a LoadInputs<'a>,
    sink: &'a Sink,
    index: usize,
    path: &'a FieldPath,
    route: &'a Route,
}

impl Builder<'_> {
    fn build(
        &self,
        name: &str,
        destination: &sinks::Destination,
        findings: &mut Findings,
    ) -> LoadPlan {
        let context = self.inputs.context;
        let table = self.table_columns();
        let partition_path = self.path.key("partition_by");
        let partitioning = partitions::build(
            &self.sink.partition_by,
            &table,
            self.route.is_declared,
            &partition_path,
            findings,
        );
        let settings = self.load_settings(&table, findings);
        let contract = context.spec().provider.schema_contract.as_ref();
        let load = LoadPlan {
            id: format!("{name}:{}", self.route.table),
            sink: self.index,
            sink_name: name.to_owned(),
            declared_kind: self.sink.kind,
            table: self.route.table.clone(),
            target: destination.target(&self.route.table, self.route.is_declared),
            inputs: self.route.inputs.clone(),
            is_declared: self.route.is_declared,
            write_mode: settings.write_mode,
            primary_key: settings.primary_key,
            cursor_field: self.cursor_field(&table),
            replace_scope: settings.replace_scope,
            allow_empty: settings.allow_empty,
            partitions: partitioning.partitions,
            added: partitioning.added,
            load_columns: self.load_columns(findings),
            target_file_bytes: self.file_bytes(findings),
            delivery: destination.delivery(),
            redirection: destination.redirection.clone(),
            contract: contract
                .filter(|_| self.route.has_contract)
                .map(types::contract_fields)
                .unwrap_or_default(),
            path: self.path.to_string(),
        };
        let sources = self.sources();
        writes::check(&load, &sources, &settings.mode_path, findings);
        guarantees::asked_for(&load, self.sink, &sources, findings);
        load
    }

    /// The streams that the rows come from, through transforms too.
    fn sources(&self) -> Vec<&StreamPlan> {
        let mut found: Vec<&StreamPlan> = Vec::new();
        let mut waiting: Vec<&Input> = self.route.inputs.iter().collect();
        // A view stands for something earlier, so this ends.
        while let Some(input) = waiting.pop() {
            match input {
                Input::Stream(name) => {
                    let stream = self
                        .inputs
                        .streams
                        .iter()
                        .find(|stream| stream.name == *name);
                    found.extend(
                        stream
                            .filter(|stream| !found.iter().any(|known| known.name == stream.name)),
                    );
                }
                Input::Transform(name) => {
                    let transform = self
                        .inputs
                        .transforms
                        .iter()
                        .find(|transform| transform.name == *name);
                    waiting.extend(
                        transform
                            .into_iter()
                            .flat_map(|transform| transform.views.values()),
                    );
                }
            }
        }
        found
    }

    /// Streams whose rows are loaded as they are.
    fn own_streams(&self) -> impl Iterator<Item = &StreamPlan> {
        self.route.inputs.iter().filter_map(|input| match input {
            Input::Stream(name) => self
                .inputs
                .streams
                .iter()
                .find(|stream| stream.name == *name),
            Input::Transform(_) => None,
        })
    }

    fn table_columns(&self) -> TableColumns {
        let mut table = TableColumns::default();
        for input in &self.route.inputs {
            match input {
                Input::Stream(name) => {
                    if let Some(stream) = self
                        .inputs
                        .streams
                        .iter()
                        .find(|stream| stream.name == *name)
                    {
                        table.is_open |= is_open(&stream.columns);
                        let columns = stream.columns.known.iter();
                        table.columns.extend(
                            columns.map(|column| (column.name.clone(), column.column_type.clone())),
                        );
                    }
                }
                Input::Transform(name) => {
                    // What a query yields is known when it has been analysed.
                    table.is_open = true;
                    let transform = self
                        .inputs
                        .transforms
                        .iter()
                        .find(|transform| transform.name == *name);
                    let columns = transform
                        .into_iter()
                        .flat_map(|transform| &transform.columns);
                    table.columns.extend(
                        columns
                            .map(|column| (column.name.clone(), Some(column.column_type.clone()))),
                    );
                }
            }
        }
        table
    }

    fn load_settings(&self, table: &TableColumns, findings: &mut Findings) -> LoadChoice {
        let sink = &self.sink.load;
        let endpoints = self.endpoint_settings();
        let of_endpoint = endpoints.first().map(|(load, _)| *load);
        let write_mode = self.write_mode(&endpoints, findings);
        let scope = if sink.replace_scope.is_empty() {
            of_endpoint.map(|load| load.replace_scope.clone())
        } else {
            Some(sink.replace_scope.clone()).filter(|_| self.route.is_declared)
        };
        let replace_scope = scope.unwrap_or_default();
        // Where the sink names its mode, validation has warned already.
        if write_mode != WriteMode::Replace
            && sink.write_mode.is_none()
            && !replace_scope.is_empty()
        {
            findings.warning(
                Code::WriteModeConflict,
                &self.path.key("replace_scope"),
                format!(
                    "`replace_scope` has no effect: `{}` is not replaced",
                    self.route.table
                ),
                "write `write_mode: replace`, or take it out",
            );
        }
        let allow_empty = sink
            .allow_empty
            .or(of_endpoint.and_then(|load| load.allow_empty));
        LoadChoice {
            write_mode,
            primary_key: self.primary_key(table, findings),
            replace_scope,
            allow_empty: allow_empty.unwrap_or(false),
            mode_path: self.mode_path(&endpoints),
        }
    }

    /// Settings of the endpoints whose rows are loaded as they are, with their paths.
    fn endpoint_settings(&self) -> Vec<(&LoadSettings, &str)> {
        let endpoints = &self.inputs.context.spec().provider.endpoints;
        self.own_streams()
            .filter_map(|stream| {
                let endpoint = endpoints
                    .iter()
                    .find(|endpoint| endpoint.name == stream.name)?;
                Some((&endpoint.load, stream.path.as_str()))
            })
            .collect()
    }

    /// The sink's, else that of the endpoints, which have to agree.
    fn write_mode(
        &self,
        endpoints: &[(&LoadSettings, &str)],
        findings: &mut Findings,
    ) -> WriteMode {
        if let Some(mode) = self.sink.load.write_mode {
            return mode;
        }
        let mut modes = endpoints
            .iter()
            .map(|(load, _)| load.write_mode.unwrap_or_default());
        let first = modes.next().unwrap_or_default();
        if modes.any(|mode| mode != first) {
            findings.error(
                Code::WriteModeConflict,
                &self.path.key("write_mode"),
                format!(
                    "the streams that go to `{}` have different write modes",
                    self.route.table
                ),
                "write one `write_mode` at the sink",
            );
        }
        first
    }

    /// Where the write mode stands.
    fn mode_path(&self, endpoints: &[(&LoadSettings, &str)]) -> FieldPath {
        match (self.sink.load.write_mode, endpoints.first()) {
            (None, Some((load, path))) if load.write_mode.is_some() => path
                .parse::<FieldPath>()
                .unwrap_or_default()
                .key("write_mode"),
            _ => self.path.key("write_mode"),
        }
    }

    /// The sink's key wins; a table beside the declared one takes it only where it has its columns.
    fn primary_key(&self, table: &TableColumns, findings: &mut Findings) -> Vec<String> {
        let key = &self.sink.load.primary_key;
        let own = self
            .own_streams()
            .map(|stream| stream.primary_key.clone())
            .find(|key| !key.is_empty())
            .unwrap_or_default();
        if key.is_empty() {
            return own;
        }
        let has = |name: &String| table.columns.iter().any(|(column, _)| column == name);
        let missing: Vec<&String> = key.iter().filter(|name| !has(name)).collect();
        if missing.is_empty() || (self.route.is_declared && table.is_open) {
            return key.clone();
        }
        if self.route.is_declared {
            let known: Vec<&str> = table
                .columns
                .iter()
                .map(|(column, _)| column.as_str())
                .collect();
            findings.error(
                Code::PrimaryKeyMissing,
                &self.path.key("primary_key"),
                format!(
                    "the primary key names {}, which the table doesn't have",
                    list(&missing)
                ),
                format!("its columns are {}", list(&known)),
            );
        }
        own
    }

    /// Breaks ties between rows of one key.
    fn cursor_field(&self, table: &TableColumns) -> Option<String> {
        let cursors: Vec<&String> = self
            .sources()
            .into_iter()
            .filter_map(|stream| stream.incremental.as_ref()?.cursor_field.as_ref())
            .collect();
        let first = cursors.first()?;
        let is_one = cursors.iter().all(|cursor| cursor == first);
        let is_there = table.is_open || table.columns.iter().any(|(column, _)| column == *first);
        (is_one && is_there).then(|| (*first).clone())
    }

    fn load_columns(&self, findings: &mut Findings) -> bool {
        let own = flag_setting(
            &self.sink.config,
            "load_columns",
            &self.path.key("config"),
            findings,
        );
        own.or_else(|| self.inputs.context.setting_flag("load_columns", findings))
            .unwrap_or(true)
    }

    fn file_bytes(&self, findings: &mut Findings) -> u64 {
        let path = self.path.key("config").key("target_file_size_mb");
        let text = self
            .sink
            .config
            .get("target_file_size_mb")
            .and_then(super::context::scalar_text);
        let rendered = text.and_then(|text| self.inputs.context.settled(&text, &path, findings));
        let Some(rendered) = rendered else {
            return DEFAULT_FILE_MB << 20;
        };
        // Half a mebibyte is a fair wish of a test.
        let mebibytes: Option<f64> = rendered
            .trim()
            .parse()
            .ok()
            .filter(|size: &f64| *size > 0.0 && *size <= 65_536.0);
        let Some(mebibytes) = mebibytes else {
            findings.error(
                Code::OutOfRange,
                &path,
                format!("`{rendered}` is no size of a file in MB"),
                "write a number up to 65536, as in `target_file_size_mb: 128`",
            );
            return DEFAULT_FILE_MB << 20;
        };
        format!("{:.0}", mebibytes * f64::from(1 << 20))
            .parse()
            .unwrap_or(DEFAULT_FILE_MB << 20)
    }
}

/// What sink and endpoint say together.
struct LoadChoice {
    write_mode: WriteMode,
    primary_key: Vec<String>,
    replace_scope: Vec<String>,
    allow_empty: bool,
    /// Where the write mode stands.
    mode_path: FieldPath,
}

/// Whether rows may bring columns that nobody knows yet.
pub(crate) fn is_open(columns: &Columns) -> bool {
    columns.pass_through
}

/// Keys that a sink names are keys of the streams it takes: a null in one can't be loaded.
pub(crate) fn apply_keys(loads: &[LoadPlan], streams: &mut [StreamPlan]) {
    for load in loads.iter().filter(|load| !load.primary_key.is_empty()) {
        let path = load
            .path
            .parse::<FieldPath>()
            .unwrap_or_default()
            .key("primary_key");
        for stream in streams.iter_mut() {
            if !load.inputs.contains(&Input::Stream(stream.name.clone())) {
                continue;
            }
            let missing: Vec<String> = load
                .primary_key
                .iter()
                .filter(|key| !stream.primary_key.contains(key))
                .cloned()
                .collect();
            super::checks::presence(
                &missing,
                crate::model::CheckOrigin::PrimaryKey,
                &path,
                &mut stream.checks,
            );
            if stream.primary_key.is_empty() {
                stream.primary_key.clone_from(&load.primary_key);
            }
            for column in &mut stream.columns.known {
                if load.primary_key.contains(&column.name) {
                    column.nullable = false;
                }
            }
        }
    }
}
