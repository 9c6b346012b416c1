//! Mistakes in the queries of a document that may have others: what these leave unknown is not held against a query.

use runner_plan::model::{Plan, StreamPlan};
use runner_plan::{PlanInputs, draft};
use runner_spec::model::TransformKind;
use runner_spec::{Code, Diagnostic, FieldPath, Segment, Severity};

use crate::transforms::analyse_plan;

/// Fields of an endpoint that decide which columns its rows have.
const DECIDE_COLUMNS: [&str; 9] = [
    "name",
    "is_active",
    "path",
    "query_params",
    "headers",
    "body_template",
    "field_mapping",
    "for_each",
    "masking",
];

/// What is wrong with the queries of a document. `mistakes` is what is known to be wrong with the rest of it.
///
/// Columns that only a run decides are no mistake here, and neither are hints: `plan` knows what is stored, and says both.
pub fn analyse_draft(inputs: &PlanInputs<'_>, mistakes: &[Diagnostic]) -> Vec<Diagnostic> {
    let (mut plan, planning) = draft(inputs);
    let (without_views, planning): (Vec<Diagnostic>, Vec<Diagnostic>) =
        planning.into_iter().partition(reads_no_view);
    let unknown = Unknown {
        paths: mistakes
            .iter()
            .chain(&planning)
            .filter(|mistake| mistake.is_error())
            .map(|mistake| &mistake.path)
            .collect(),
    };
    unknown.open(&mut plan);
    let transforms = &inputs.spec.provider.transforms;
    let is_portable = |found: &Diagnostic| {
        let transform = transform_of(&found.path);
        transform.is_none_or(|(index, path)| {
            let transform = transforms.get(index);
            transform.is_some_and(|transform| transform.kind == TransformKind::Sql)
                && !unknown.touches(&path.key("type"))
        })
    };
    let mut found = analyse_plan(&mut plan).diagnostics;
    // The table that isn't there says more than that none is.
    let is_said = |missing: &Diagnostic| found.iter().any(|found| found.path == missing.path);
    let without_views: Vec<Diagnostic> = without_views
        .into_iter()
        .filter(|missing| !is_said(missing))
        .collect();
    found.extend(without_views);
    found.retain(|found| is_portable(found) && !unknown.excuses(found));
    found
}

/// Whether planning says of a query what the analysis of the query says better.
pub fn reads_no_view(found: &Diagnostic) -> bool {
    found.code == Code::UnknownView && found.path.last_key() == Some("sql_query")
}

/// What mistakes leave unknown of a document.
struct Unknown<'a> {
    paths: Vec<&'a FieldPath>,
}

impl Unknown<'_> {
    /// Whether something of the field is wrong, or of what holds it.
    fn touches(&self, path: &FieldPath) -> bool {
        self.paths
            .iter()
            .any(|wrong| wrong.encloses(path) || path.encloses(wrong))
    }

    /// Takes the certainty out of a plan where it rests on a mistake.
    fn open(&self, plan: &mut Plan) {
        let provider = FieldPath::root().key("provider");
        let is_config_wrong = self.touches(&provider.key("config"));
        for stream in &mut plan.streams {
            stream.columns.pass_through |= is_config_wrong || self.has_unknown_columns(stream);
        }
        if self.touches(&provider.key("schema_contract")) {
            for transform in &mut plan.transforms {
                transform.columns.clear();
            }
        }
    }

    fn has_unknown_columns(&self, stream: &StreamPlan) -> bool {
        let Ok(endpoint) = stream.path.parse::<FieldPath>() else {
            return true;
        };
        DECIDE_COLUMNS
            .iter()
            .any(|field| self.touches(&endpoint.key(*field)))
    }

    /// Whether a finding may rest on a mistake, or is none before a run.
    fn excuses(&self, found: &Diagnostic) -> bool {
        match found.code {
            _ if found.severity == Severity::Hint => true,
            Code::SqlOpenColumn => true,
            Code::SqlUnknownTable | Code::UnknownView => self.has_unknown_names(found),
            Code::PrimaryKeyMissing => self.touches(&found.path),
            _ => false,
        }
    }

    /// Whether a table of the query may be one whose name can't be read.
    fn has_unknown_names(&self, found: &Diagnostic) -> bool {
        let provider = FieldPath::root().key("provider");
        let is_name_of = |list: &str, path: &FieldPath| {
            let list = provider.key(list);
            path.encloses(&list)
                || list.encloses(path)
                    && (path.segments().len() <= list.segments().len() + 1
                        || path.last_key() == Some("name"))
        };
        let transform = found.path.parent().unwrap_or_default();
        self.paths
            .iter()
            .any(|path| is_name_of("endpoints", path) || is_name_of("transforms", path))
            || self.touches(&transform.key("parameters"))
    }
}

/// Which transform a path leads into, and the transform's own path.
fn transform_of(path: &FieldPath) -> Option<(usize, FieldPath)> {
    match path.segments() {
        [
            Segment::Key(provider),
            Segment::Key(list),
            Segment::Index(index),
            ..,
        ] if provider == "provider" && list == "transforms" => {
            let own = FieldPath::root().keys(["provider", "transforms"]);
            Some((*index, own.index(*index)))
        }
        _ => None,
    }
}
