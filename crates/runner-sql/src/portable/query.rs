//! The analysis of one query, from its text to its relation.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::{DataType, Field, Schema};
use chrono::{DateTime, Utc};
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{DataFusionError, ExprSchema, SchemaError};
use datafusion_expr::logical_plan::builder::LogicalTableSource;
use datafusion_expr::utils::merge_schema;
use datafusion_expr::{LogicalPlan, TableSource};
use datafusion_optimizer::analyzer::AnalyzerRule;
use datafusion_optimizer::analyzer::type_coercion::TypeCoercion;
use datafusion_sql::planner::{NullOrdering, ParserOptions, SqlToRel};
use runner_plan::arrow::arrow_schema;
use runner_plan::model::{ColumnField, ColumnType};
use runner_spec::{Code, Diagnostic, FieldPath, nearest};
use sqlparser::ast::{Select, SelectItem, Statement, Visit as _, Visitor};

use super::findings::Findings;
use super::further;
use super::order::{self, ViewKeys};
use super::output;
use super::parse;
use super::provider::Provider;
use super::relation::{self, Relation};
use super::rewrite::Rewrite;
use super::subqueries;
use super::syntax::{self, Syntax};
use super::typing::{QueryCast, Typing};

/// A table that a query may read.
#[derive(Clone, Debug)]
pub struct View {
    pub name: String,
    pub columns: Vec<ViewColumn>,
    /// There may be columns that nobody knows yet.
    pub is_open: bool,
    /// No two rows share these; empty where nothing is known.
    pub key: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct ViewColumn {
    pub name: String,
    /// Absent where the first rows decide it.
    pub column_type: Option<ColumnType>,
    pub nullable: bool,
}

/// A query with everything that decides its meaning.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    pub sql: &'a str,
    /// Field path of the transform in the document.
    pub path: &'a str,
    pub views: &'a [View],
    /// Names that views could have had, for suggestions.
    pub candidates: &'a [String],
    /// Types that the contract gives to columns of the result.
    pub contract: &'a [ColumnField],
    /// What `now()` is.
    pub now: DateTime<Utc>,
}

/// What is known of a query.
#[derive(Clone, Debug, Default)]
pub struct Analysis {
    pub diagnostics: Vec<Diagnostic>,
    pub casts: Vec<QueryCast>,
    /// What it yields; a type is absent where an open column decides it. Empty where nothing is known.
    pub columns: Vec<ViewColumn>,
    /// Absent where something is wrong, or a type is not known yet.
    pub relation: Option<Relation>,
    /// Columns that no two rows of the result share.
    pub key: Vec<String>,
}

/// Checks a query and gives it its meaning.
pub fn analyse(query: Query<'_>) -> Analysis {
    let path: FieldPath = query.path.parse().unwrap_or_else(|_| FieldPath::root());
    let mut findings = Findings::new(query.sql, path.key("sql_query"));
    let mut analysis = Analysis::default();
    if let Some(statement) = parse::parse(query.sql, &mut findings) {
        if let Statement::Query(parsed) = &statement {
            Syntax::of(query, &mut findings).check(parsed);
        }
        if !findings.has_errors() {
            relate(query, statement.clone(), &mut findings, &mut analysis);
        }
        if findings.has_errors() {
            analysis.relation = None;
            further::look(query, statement, &mut findings);
        }
    }
    analysis.diagnostics = findings.into_diagnostics();
    analysis
}

/// What the query says, over its views; what is wrong with its types is noted.
pub(crate) fn planned(
    query: Query<'_>,
    statement: Statement,
    typing: &mut Typing,
) -> Result<LogicalPlan, DataFusionError> {
    let shared = Arc::new(Mutex::new(std::mem::take(typing)));
    let provider = Provider::new(tables(query.views), Arc::clone(&shared));
    let options = ParserOptions::new()
        .with_parse_float_as_decimal(true)
        .with_map_string_types_to_utf8view(false)
        .with_collect_spans(true)
        .with_default_null_ordering(NullOrdering::NullsLast);
    let planned = SqlToRel::new_with_options(&provider, options).sql_statement_to_plan(statement);
    *typing = std::mem::take(&mut *shared.lock().unwrap_or_else(PoisonError::into_inner));
    planned
}

fn relate(
    query: Query<'_>,
    statement: Statement,
    findings: &mut Findings<'_>,
    analysis: &mut Analysis,
) {
    let mut openness = Openness::of(query, &statement);
    let mut typing = Typing::default();
    let planned = planned(query, statement, &mut typing);
    if let Ok(plan) = &planned {
        openness.keep_used(plan);
    }
    let built = planned.and_then(|plan| build(query, plan, &mut typing));
    report(query.sql, &mut typing, findings);
    analysis.casts = std::mem::take(&mut typing.casts);
    openness.note(findings);
    match built {
        Err(error) => {
            // An open column may be what the planner stumbled over; it is looked at again when it is closed.
            if !findings.has_errors() && !openness.excuses(&error) {
                explain(query, &error, findings);
            }
        }
        Ok(Built {
            relation,
            columns,
            key,
        }) => {
            let is_closed = columns.iter().all(|(_, is_known)| *is_known) && !openness.is_open();
            analysis.columns = columns
                .iter()
                .map(|(column, is_known)| ViewColumn {
                    name: column.name.clone(),
                    column_type: is_known.then(|| column.column_type.clone()),
                    nullable: column.nullable,
                })
                .collect();
            analysis.key = key;
            analysis.relation = is_closed.then_some(relation);
        }
    }
}

struct Built {
    relation: Relation,
    columns: Vec<(ColumnField, bool)>,
    key: Vec<String>,
}

fn build(
    query: Query<'_>,
    plan: LogicalPlan,
    typing: &mut Typing,
) -> Result<Built, DataFusionError> {
    let keys: ViewKeys = query
        .views
        .iter()
        .map(|view| (view.name.clone(), view.key.clone()))
        .collect();
    order::check(&plan, &keys, typing)?;
    subqueries::check_rows(&plan, typing)?;
    let key = order::keys(&plan, &keys)
        .into_iter()
        .next()
        .map(|key| key.into_iter().map(|column| column.name).collect())
        .unwrap_or_default();
    let mut rewrite = Rewrite {
        typing,
        now: query.now,
    };
    let plan = rewrite.plan(plan)?;
    let (plan, columns) = output::columns(plan, query.contract, typing)?;
    let plan = TypeCoercion::new().analyze(plan, &ConfigOptions::default())?;
    if columns.iter().all(|(_, is_known)| *is_known) {
        subqueries::check_references(&plan, typing)?;
    }
    let (plan, steps) = relation::split(plan)?;
    let relation = Relation {
        plan,
        steps,
        columns: columns.iter().map(|(column, _)| column.clone()).collect(),
    };
    Ok(Built {
        relation,
        columns,
        key,
    })
}

/// Views as tables; a column whose type nobody knows is of type NULL, which goes with everything.
fn tables(views: &[View]) -> BTreeMap<String, Arc<dyn TableSource>> {
    let mut tables: BTreeMap<String, Arc<dyn TableSource>> = BTreeMap::new();
    for view in views {
        let fields = view
            .columns
            .iter()
            .map(|column| match &column.column_type {
                None => Field::new(&column.name, DataType::Null, true),
                Some(column_type) => {
                    let known = ColumnField {
                        name: column.name.clone(),
                        column_type: column_type.clone(),
                        nullable: column.nullable,
                    };
                    arrow_schema(&[known]).field(0).clone()
                }
            })
            .collect::<Vec<_>>();
        let source: Arc<dyn TableSource> =
            Arc::new(LogicalTableSource::new(Arc::new(Schema::new(fields))));
        // Names without quotes come in lower case.
        tables
            .entry(view.name.to_lowercase())
            .or_insert_with(|| Arc::clone(&source));
        tables.insert(view.name.clone(), source);
    }
    tables
}

pub(crate) fn report(sql: &str, typing: &mut Typing, findings: &mut Findings<'_>) {
    for found in typing.findings.drain(..) {
        let place = findings.place_of_spans(&found.spans);
        let place = place.or_else(|| word(sql, &found.word));
        if found.is_error {
            findings.error(found.code, place, found.message, found.help);
        } else {
            findings.hint(found.code, place, found.message, found.help);
        }
    }
}

/// Stops at `*` in place of columns.
struct Wildcards;

impl Visitor for Wildcards {
    type Break = ();

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        let is_wildcard = |item: &SelectItem| {
            matches!(
                item,
                SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)
            )
        };
        if select.projection.iter().any(is_wildcard) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

/// What nobody knows yet of the views.
struct Openness {
    /// View and column.
    untyped: Vec<(String, String)>,
    open: Vec<String>,
}

impl Openness {
    /// Columns that the text names nowhere can't matter.
    fn of(query: Query<'_>, statement: &Statement) -> Self {
        let Query { sql, views, .. } = query;
        let takes_all = statement.visit(&mut Wildcards).is_break();
        let is_named = |column: &str| takes_all || word(sql, column).is_some();
        let untyped = views.iter().flat_map(|view| {
            let columns = view.columns.iter();
            columns
                .filter(|column| column.column_type.is_none() && is_named(&column.name))
                .map(|column| (view.name.clone(), column.name.clone()))
        });
        Self {
            untyped: untyped.collect(),
            open: views
                .iter()
                .filter(|view| view.is_open)
                .map(|view| format!("`{}`", view.name))
                .collect(),
        }
    }

    /// Forgets the columns that the query doesn't look at.
    fn keep_used(&mut self, plan: &LogicalPlan) {
        let mut used = BTreeSet::new();
        // The walk itself can't fail.
        let _ = plan.apply_with_subqueries(|node| {
            let schema = merge_schema(&node.inputs());
            for expression in node.expressions() {
                for column in expression.column_refs() {
                    let is_open = schema
                        .field_from_column(column)
                        .is_ok_and(|field| *field.data_type() == DataType::Null);
                    if is_open {
                        used.insert(column.name.clone());
                    }
                }
            }
            Ok(TreeNodeRecursion::Continue)
        });
        self.untyped.retain(|(_, column)| used.contains(column));
    }

    fn is_open(&self) -> bool {
        !self.untyped.is_empty() || !self.open.is_empty()
    }

    fn note(&self, findings: &mut Findings<'_>) {
        let help = "the query is checked again when the first rows were read; `schema_contract` and earlier runs give types before";
        if !self.open.is_empty() {
            findings.warning(
                Code::SqlOpenColumn,
                None,
                format!("the columns of {} are not known yet", self.open.join(", ")),
                help,
            );
        } else if !self.untyped.is_empty() {
            let columns: Vec<String> = self
                .untyped
                .iter()
                .map(|(view, column)| format!("`{view}.{column}`"))
                .collect();
            findings.warning(
                Code::SqlOpenColumn,
                None,
                format!("the types of {} are not known yet", columns.join(", ")),
                help,
            );
        }
    }

    fn excuses(&self, error: &DataFusionError) -> bool {
        match error.find_root() {
            DataFusionError::SchemaError(error, _) => match error.as_ref() {
                SchemaError::FieldNotFound { .. } => !self.open.is_empty(),
                _ => false,
            },
            _ => self.is_open(),
        }
    }
}

/// What the planner says, as a diagnostic.
pub(crate) fn explain(query: Query<'_>, error: &DataFusionError, findings: &mut Findings<'_>) {
    let span = error.diagnostic().and_then(|diagnostic| diagnostic.span);
    let place = span.and_then(|span| {
        let spans = datafusion_common::Spans(vec![span]);
        findings.place_of_spans(&[spans])
    });
    match error.find_root() {
        DataFusionError::SchemaError(error, _) => match error.as_ref() {
            SchemaError::FieldNotFound {
                field,
                valid_fields,
            } => {
                let known: Vec<&str> = valid_fields
                    .iter()
                    .map(|column| column.name.as_str())
                    .collect();
                let exact = known
                    .iter()
                    .find(|known| known.to_lowercase() == field.name && **known != field.name);
                let help = match (exact, nearest(&field.name, known.iter().copied())) {
                    (Some(exact), _) => {
                        format!("write `\"{exact}\"`: names without quotes are read in lower case")
                    }
                    (None, Some(near)) => format!("did you mean `{near}`?"),
                    (None, None) => format!("the columns are {}", syntax::list(&known)),
                };
                let place = place.or_else(|| word(query.sql, &field.name));
                findings.error(
                    Code::SqlUnknownColumn,
                    place,
                    format!("there is no column `{}`", field.flat_name()),
                    help,
                );
            }
            SchemaError::AmbiguousReference { field } => {
                let place = place.or_else(|| word(query.sql, &field.name));
                findings.error(
                    Code::SqlAmbiguousColumn,
                    place,
                    format!("several tables of the query have a column `{}`", field.name),
                    format!("say which with the table's name, as in `a.{}`", field.name),
                );
            }
            SchemaError::DuplicateQualifiedField { name, .. }
            | SchemaError::DuplicateUnqualifiedField { name } => findings.error(
                Code::SqlDuplicateColumn,
                word(query.sql, name),
                format!("the query has two columns of the name `{name}`"),
                "name them apart with `AS`",
            ),
        },
        other => {
            let text = other.strip_backtrace();
            let (place, message) = match arguments_of(&text) {
                Some((function, message)) => (place.or(word(query.sql, function)), message),
                None => (
                    place,
                    format!("the query can't be planned: {}", one_line(&text)),
                ),
            };
            findings.error(
                Code::SqlType,
                place,
                message,
                "types never change behind a query's back: write the cast that is meant",
            );
        }
    }
}

/// The function that doesn't take its arguments, and what it says: the planner names its own function and types.
fn arguments_of(text: &str) -> Option<(&str, String)> {
    let text = text.trim_start_matches("Error during planning: ");
    let (function, rest) = text.strip_prefix("Function '")?.split_once('\'')?;
    let rest = rest
        .split(" (DataType")
        .next()
        .unwrap_or_default()
        .lines()
        .next()
        .unwrap_or_default();
    Some((function, format!("`{function}`{rest}")))
}

/// Where a word stands for the first time.
fn word(sql: &str, word: &str) -> Option<std::ops::Range<usize>> {
    if word.is_empty() {
        return None;
    }
    let lower = sql.to_ascii_lowercase();
    let wanted = word.to_ascii_lowercase();
    let is_part = |character: Option<char>| {
        character.is_some_and(|character| character.is_alphanumeric() || character == '_')
    };
    lower
        .match_indices(&wanted)
        .find(|(start, found)| {
            !is_part(lower[..*start].chars().next_back())
                && !is_part(lower[start + found.len()..].chars().next())
        })
        .map(|(start, found)| start..start + found.len())
}

fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
