//! The first rows of a stream as they came and as they would be loaded: nothing is written anywhere.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::RecordBatch;
use chrono::{DateTime, Utc};
use runner_connectors::context::SourceContext;
use runner_connectors::meter::StreamMeter;
use runner_connectors::rows::{Reason, Rows, row_json};
use runner_connectors::schema::StreamSchema;
use runner_connectors::scrub::Scrubber;
use runner_connectors::secrets::RunSecrets;
use runner_connectors::source::{ChainRequest, Fetched, Source, WindowBounds};
use runner_core::commit::masked_columns;
use runner_core::progress::NoProgress;
use runner_core::{Cancel, ChainKey, Clock, Error, ErrorKind, JobId, Result, SecretStore};
use runner_plan::model::{Chains, ColumnField, SourcePlan, join_values};
use runner_plan::{Plan, StreamPlan};

use crate::chains::window_bounds;
use crate::columns::initial_schema;
use crate::engine::EmbeddedEngine;
use crate::evaluate::Checks;
use crate::masking::{mask, mask_raw, masked_fields};
use crate::values::chain_values;

/// Chains that are looked into for rows: most of a large parent's children may be empty.
const MOST_CHAINS: usize = 20;

/// What a preview needs of the world.
#[derive(Clone, Debug)]
pub struct PreviewContext {
    pub plan: Arc<Plan>,
    pub secrets: Arc<dyn SecretStore>,
    pub clock: Arc<dyn Clock>,
    pub nominal_time: DateTime<Utc>,
    pub cancel: Cancel,
}

/// Rows of one stream.
#[derive(Clone, Debug)]
pub struct Preview {
    pub stream: String,
    /// Columns as they would be loaded.
    pub columns: Vec<ColumnField>,
    pub rows: Vec<PreviewRow>,
    /// Chains that were read for them.
    pub chains: usize,
}

/// A row before and after mapping, both with masked columns masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviewRow {
    /// JSON text of the row as it came.
    pub raw: String,
    /// JSON text of the row as it would be loaded; none where it could not be decoded.
    pub mapped: Option<String>,
    /// Why it would be quarantined; empty where it would be loaded.
    pub reasons: Vec<Reason>,
}

/// A stream that is looked into.
struct Look<'a> {
    context: &'a PreviewContext,
    stream: &'a StreamPlan,
    source: Arc<dyn Source>,
    schema: StreamSchema,
    scrubber: Scrubber,
    wanted: usize,
    rows: Vec<PreviewRow>,
    /// Rows before masking: the values of their columns make the chains of other streams.
    batches: Vec<RecordBatch>,
    chains: usize,
}

impl EmbeddedEngine {
    /// Reads up to so many rows of a stream, and of its parents as many as that takes.
    pub async fn preview(
        &self,
        context: &PreviewContext,
        stream: &str,
        rows: usize,
    ) -> Result<Preview> {
        let secrets = RunSecrets::new(Arc::clone(&context.secrets), &context.plan)?;
        let look = self.look(context, &Arc::new(secrets), stream, rows).await?;
        let version = look.schema.current();
        Ok(Preview {
            stream: stream.to_owned(),
            columns: masked_columns(&version.fields(), &look.stream.masking),
            rows: look.rows,
            chains: look.chains,
        })
    }

    async fn look<'a>(
        &self,
        context: &'a PreviewContext,
        secrets: &Arc<RunSecrets>,
        name: &str,
        wanted: usize,
    ) -> Result<Look<'a>> {
        let stream = context
            .plan
            .streams
            .iter()
            .find(|stream| stream.name == name)
            .ok_or_else(|| unknown(&context.plan, name))?;
        let schema = initial_schema(stream, None, None, Arc::new(|_: &_, _: &_| true));
        let source_context = SourceContext {
            plan: Arc::clone(&context.plan),
            job: JobId::generate(),
            nominal_time: context.nominal_time,
            clock: Arc::clone(&context.clock),
            cancel: context.cancel.clone(),
            deadline: None,
            secrets: Arc::clone(secrets),
            schema: schema.clone(),
            meter: StreamMeter::new(stream.name.clone(), Arc::new(NoProgress)),
            http: self.http().clone(),
        };
        let source = self.connectors().source(stream, source_context).await?;
        let mut look = Look {
            context,
            stream,
            source,
            schema,
            scrubber: secrets.scrubber().clone(),
            wanted,
            rows: Vec::new(),
            batches: Vec::new(),
            chains: 0,
        };
        for key in self.chains(&look, secrets).await? {
            if look.rows.len() >= wanted || look.chains >= MOST_CHAINS {
                break;
            }
            look.read_value(key).await?;
        }
        Ok(look)
    }

    /// The first chains of a stream; those of a child from the first rows of its parent.
    async fn chains(&self, look: &Look<'_>, secrets: &Arc<RunSecrets>) -> Result<Vec<ChainKey>> {
        let values: Vec<String> = match &look.stream.source {
            SourcePlan::Files(_) => {
                let listed = look.source.list().await?;
                return look.source.take_up(&listed).await;
            }
            SourcePlan::Http(http) => match &http.chains {
                Chains::Single => vec![String::new()],
                Chains::Values { values, .. } => values.iter().take(MOST_CHAINS).cloned().collect(),
                Chains::Range { from, .. } => vec![from.to_string()],
                Chains::Parent { stream, .. } => {
                    let key = join_values(&http.chains.parent_columns());
                    let parent =
                        Box::pin(self.look(look.context, secrets, stream, MOST_CHAINS)).await?;
                    let mut values = Vec::new();
                    let mut known = BTreeSet::new();
                    for batch in &parent.batches {
                        for value in chain_values(batch, &key)?.iter().flatten().flatten() {
                            if known.insert(value.to_owned()) {
                                values.push(value.to_owned());
                            }
                        }
                    }
                    values
                }
            },
        };
        Ok(values
            .into_iter()
            .zip(0..)
            .map(|(value, index)| ChainKey {
                index,
                value,
                window: 0,
            })
            .collect())
    }
}

impl Look<'_> {
    /// The windows of one value, until there are rows enough.
    async fn read_value(&mut self, key: ChainKey) -> Result<()> {
        let windows = match &self.stream.incremental {
            None => vec![None],
            Some(incremental) => window_bounds(
                incremental,
                None,
                self.context.nominal_time,
                &self.context.plan,
                &self.stream.name,
            )?
            .into_iter()
            .map(Some)
            .collect(),
        };
        for (window, bounds) in (0..).zip(windows) {
            if self.rows.len() >= self.wanted || self.chains >= MOST_CHAINS {
                break;
            }
            self.chains += 1;
            let key = ChainKey {
                window,
                ..key.clone()
            };
            self.read_chain(key, bounds).await?;
        }
        Ok(())
    }

    async fn read_chain(&mut self, key: ChainKey, window: Option<WindowBounds>) -> Result<()> {
        let variables = match &self.stream.source {
            SourcePlan::Http(http) => http.chains.variables(&key.value),
            SourcePlan::Files(_) => std::collections::BTreeMap::new(),
        };
        let request = ChainRequest {
            key,
            generation: 0,
            variables,
            window,
        };
        let mut chain = self.source.open(request, None).await?;
        while self.rows.len() < self.wanted {
            match chain.next().await? {
                None => break,
                Some(Fetched::Rows(rows)) => self.take(rows)?,
                Some(Fetched::PageEnd(end)) if end.position.end.is_some() => break,
                Some(Fetched::PageEnd(_) | Fetched::Replayed(_)) => {}
                Some(Fetched::Restart { reason }) => {
                    return Err(Error::new(
                        ErrorKind::SourceData,
                        format!("the source asked to start over: {reason}"),
                    ));
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, rows: Rows) -> Result<()> {
        let version = self
            .schema
            .version(rows.schema_version)
            .unwrap_or_else(|| self.schema.current());
        let fields = masked_fields(self.stream, &version);
        for invalid in &rows.invalid {
            self.push(PreviewRow {
                raw: mask_raw(&invalid.raw, &fields),
                mapped: None,
                reasons: invalid.reasons.clone(),
            });
        }
        let columns = version.fields();
        let failures = Checks::compile(&self.stream.checks, &columns)?.run(&rows.batch)?;
        let mut failures: HashMap<usize, Vec<Reason>> = failures.into_iter().collect();
        let masked = mask(
            &rows.batch,
            &self.stream.masking,
            // Rows that are shown with their reasons may lack what the columns must have.
            &masked_columns(&version.decoded_fields(), &self.stream.masking),
        )?;
        for row in 0..rows.batch.num_rows() {
            self.push(PreviewRow {
                raw: mask_raw(&rows.raw.text(row), &fields),
                mapped: Some(row_json(&masked, row)),
                reasons: failures.remove(&row).unwrap_or_default(),
            });
        }
        self.batches.push(rows.batch);
        Ok(())
    }

    fn push(&mut self, mut row: PreviewRow) {
        if self.rows.len() >= self.wanted {
            return;
        }
        row.raw = self.scrubber.scrub(&row.raw);
        row.mapped = row.mapped.map(|mapped| self.scrubber.scrub(&mapped));
        for reason in &mut row.reasons {
            reason.message = self.scrubber.scrub(&reason.message);
        }
        self.rows.push(row);
    }
}

fn unknown(plan: &Plan, name: &str) -> Error {
    let names: Vec<&str> = plan
        .streams
        .iter()
        .map(|stream| stream.name.as_str())
        .collect();
    Error::new(
        ErrorKind::NotFound,
        format!("the document has no stream `{name}`"),
    )
    .with_help(format!("its streams are {}", names.join(", ")))
}
