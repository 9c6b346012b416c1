//! What binds each variable of each stream, and how many request chains a stream has.
//!
//! A name is looked for in the order in which a run looks for it: the run's parameters, the window, the chain's own value
//! (`for_each`), declared secrets, `config`, `run`. One that is bound by nothing gets a binding where only one can be meant:
//! another endpoint's column makes that endpoint the parent, a list in `config` a `for_each`, a bundle of credentials a secret.

use std::collections::{BTreeMap, BTreeSet};

use runner_spec::model::{ForEach, PaginationKind};
use runner_spec::{Code, Diagnostic, FieldPath, nearest};

use super::chains;
use super::context::Context;
use super::drafts::{Draft, Use, UsePlace};
use super::findings::{Findings, did_you_mean, list};
use crate::model::{Chains, PAGE_VARIABLES, Variable, VariableSource};
use crate::template::{ConfigScope, Scope, Template};
use crate::windows::WINDOW_VARIABLES;

/// What the variables of one stream are bound to.
#[derive(Clone, Debug)]
pub(crate) struct Binding {
    pub(crate) variables: Vec<Variable>,
    pub(crate) chains: Chains,
    /// Window variables in use.
    pub(crate) window: Vec<String>,
}

impl Binding {
    /// The stream whose rows supply the chains.
    pub(crate) fn parent(&self) -> Option<&str> {
        match &self.chains {
            Chains::Parent { stream, .. } => Some(stream),
            Chains::Single | Chains::Values { .. } | Chains::Range { .. } => None,
        }
    }

    /// Variables whose value is one of the chain or of the run, so that it may fill a column.
    pub(crate) fn fills_column(&self, name: &str) -> bool {
        self.variables.iter().any(|variable| {
            variable.name == name
                && matches!(
                    variable.source,
                    VariableSource::Parameter | VariableSource::Parent | VariableSource::ForEach
                )
        })
    }
}

pub(crate) fn bind(
    context: Context<'_>,
    drafts: &[Draft<'_>],
    findings: &mut Findings,
) -> Vec<Binding> {
    let bindings: Vec<Binding> = drafts
        .iter()
        .map(|draft| Binder::new(context, drafts, draft).bind(findings))
        .collect();
    unused_parameters(context, findings);
    bindings
}

/// Binds the names of one stream.
struct Binder<'a> {
    context: Context<'a>,
    drafts: &'a [Draft<'a>],
    draft: &'a Draft<'a>,
    bound: BTreeMap<String, VariableSource>,
    chains: Option<Chains>,
}

impl<'a> Binder<'a> {
    fn new(context: Context<'a>, drafts: &'a [Draft<'a>], draft: &'a Draft<'a>) -> Self {
        Self {
            context,
            drafts,
            draft,
            bound: BTreeMap::new(),
            chains: None,
        }
    }

    fn bind(mut self, findings: &mut Findings) -> Binding {
        let mut open: Vec<&'a Use> = Vec::new();
        for used in &self.draft.uses {
            match self.given(used) {
                Some(source) => {
                    self.bound.insert(used.variable.name.clone(), source);
                }
                None => open.push(used),
            }
        }
        if let Some(for_each) = &self.draft.endpoint.for_each {
            self.explicit_chains(for_each, &mut open, findings);
        }
        open.retain(|used| !self.bound.contains_key(&used.variable.name));
        self.common_parent(&open);
        for used in open {
            self.implicit(used, findings);
        }
        let window = WINDOW_VARIABLES
            .iter()
            .filter(|name| self.bound.get(**name) == Some(&VariableSource::Window))
            .map(|name| (*name).to_owned())
            .collect();
        Binding {
            variables: self
                .bound
                .into_iter()
                .map(|(name, source)| Variable { name, source })
                .collect(),
            chains: self.chains.unwrap_or(Chains::Single),
            window,
        }
    }

    /// What binds a name without any guessing.
    fn given(&self, used: &Use) -> Option<VariableSource> {
        let name = used.variable.name.as_str();
        let spec = self.context.spec();
        if self.context.inputs.parameters.contains_key(name) {
            return Some(VariableSource::Parameter);
        }
        if WINDOW_VARIABLES.contains(&name) {
            return Some(VariableSource::Window);
        }
        let secret = name
            .strip_prefix("secrets.")
            .or_else(|| name.strip_prefix("secret."));
        if let Some(key) = secret {
            let is_known = spec.global.secrets.contains_key(key) || self.is_bundle_key(key);
            return is_known.then_some(VariableSource::Secret);
        }
        match used.variable.root() {
            "config" => {
                let is_there = ConfigScope(self.context.config()).lookup(name).is_some();
                return is_there.then_some(VariableSource::Config);
            }
            "run" => {
                return matches!(name, "run.id" | "run.started_at").then_some(VariableSource::Run);
            }
            _ => {}
        }
        if self.explicit_variable() == Some(name) {
            // The chain's own value comes before a secret of the same name.
            return None;
        }
        if spec.global.secrets.contains_key(name) {
            return Some(VariableSource::Secret);
        }
        if used.place == UsePlace::Credentials && self.is_bundle_key(name) {
            return Some(VariableSource::Secret);
        }
        (name == "tenant_id").then_some(VariableSource::Run)
    }

    fn explicit_variable(&self) -> Option<&str> {
        match self.draft.endpoint.for_each.as_ref()? {
            ForEach::List { variable, .. }
            | ForEach::Range { variable, .. }
            | ForEach::Parent { variable, .. } => variable.as_deref(),
        }
    }

    /// Whether the provider's bundle of credentials may have a key of this name: which keys it has is known to its store alone.
    fn is_bundle_key(&self, name: &str) -> bool {
        let Some(reference) = &self.context.spec().provider.credentials_ref else {
            return false;
        };
        reference.split_once('#').is_none_or(|(_, key)| key == name)
    }

    fn explicit_chains(
        &mut self,
        for_each: &ForEach,
        open: &mut Vec<&'a Use>,
        findings: &mut Findings,
    ) {
        let path = self.draft.path.key("for_each");
        let candidates: Vec<&str> = open
            .iter()
            .map(|used| used.variable.name.as_str())
            .filter(|name| !name.contains('.'))
            .collect();
        let chains =
            match chains::explicit(for_each, &candidates, self.drafts, self.draft, findings) {
                chains::Explicit::Chains(chains) => chains,
                chains::Explicit::Reported => {
                    // One mistake, one message: what `for_each` was to bind is not reported again.
                    open.retain(|used| used.variable.name.contains('.'));
                    return;
                }
            };
        let Some((variable, source)) = chains::variable(&chains) else {
            return;
        };
        if !self.draft.uses_name(variable) {
            findings.error(
                Code::ForEachEmpty,
                &path,
                format!("no template of `{}` uses `{variable}`, so that every chain would send the same requests", self.draft.name()),
                format!("write `{{{{ {variable} }}}}` into the path, a parameter or the body, or take `for_each` out"),
            );
        }
        self.bound.insert(variable.to_owned(), source);
        self.chains = Some(chains);
    }

    /// Several names that one endpoint supplies together: each of its rows makes a chain.
    fn common_parent(&mut self, open: &[&Use]) {
        let mut names: Vec<&str> = open
            .iter()
            .filter(|used| used.place != UsePlace::Credentials && !used.variable.is_optional)
            .map(|used| used.variable.name.as_str())
            .filter(|name| !name.contains('.') && !PAGE_VARIABLES.contains(name))
            .collect();
        let mut seen = BTreeSet::new();
        names.retain(|name| seen.insert(*name));
        if self.chains.is_some() {
            return;
        }
        let found = chains::common_parent(&names, self.context, self.drafts, self.draft);
        if let Some(chains) = found {
            for name in names {
                self.bound.insert(name.to_owned(), VariableSource::Parent);
            }
            self.chains = Some(chains);
        }
    }

    /// A binding where only one can be meant.
    fn implicit(&mut self, used: &Use, findings: &mut Findings) {
        let name = used.variable.name.as_str();
        let pages = self.draft.endpoint.pagination.kind != PaginationKind::None;
        if pages && PAGE_VARIABLES.contains(&name) {
            self.bound.insert(name.to_owned(), VariableSource::Page);
            return;
        }
        if !name.contains('.')
            && used.place != UsePlace::Credentials
            && self.chain_of(used, findings)
        {
            return;
        }
        if !name.contains('.') && self.is_bundle_key(name) {
            self.bound.insert(name.to_owned(), VariableSource::Secret);
            return;
        }
        if !used.variable.is_optional {
            self.unbound(used, findings);
        }
    }

    /// Chains over another endpoint's rows or a list in `config`; whether the name needs nothing more.
    fn chain_of(&mut self, used: &Use, findings: &mut Findings) -> bool {
        let name = used.variable.name.as_str();
        if self.bound.contains_key(name) {
            return true;
        }
        if let Some(chains) = &mut self.chains
            && chains::extend(chains, name, self.context, self.drafts)
        {
            self.bound.insert(name.to_owned(), VariableSource::Parent);
            return true;
        }
        let chains =
            match chains::implicit(name, used, self.context, self.drafts, self.draft, findings) {
                chains::Implicit::Chains(chains) => chains,
                chains::Implicit::Reported => return true,
                chains::Implicit::None => return false,
            };
        let Some((variable, source)) = chains::variable(&chains) else {
            return false;
        };
        if let Some((other, _)) = self.chains.as_ref().and_then(chains::variable) {
            findings.error(
                Code::AmbiguousParent,
                &used.path,
                format!("`{other}` and `{variable}` both have many values, and a chain of requests goes through one list of them"),
                format!("give one of the two a fixed value (`--param {variable}=VALUE`), or put both into one column of the parent"),
            );
            return true;
        }
        self.bound.insert(variable.to_owned(), source);
        self.chains = Some(chains);
        true
    }

    fn unbound(&self, used: &Use, findings: &mut Findings) {
        let name = &used.variable.name;
        let looked = "looked in the run's parameters, the window, `for_each`, the secrets, the columns of the other endpoints, \
                      the lists of `config`, and `run`";
        let known = self.known_names();
        let help = match nearest(name, known.iter().map(String::as_str)) {
            Some(meant) if can_be_parameter(name) => {
                format!(
                    "did you mean `{meant}`? a value of its own is given with `--param {name}=VALUE`"
                )
            }
            Some(meant) => format!("did you mean `{meant}`?"),
            None => unbound_help(name, self.drafts, self.draft),
        };
        findings.push(
            Diagnostic::error(
                Code::UnboundVariable,
                used.path.clone(),
                format!("nothing binds `{{{{ {name} }}}}`"),
            )
            .help(help)
            .note(looked),
        );
    }

    /// Names that could have been meant.
    fn known_names(&self) -> Vec<String> {
        let spec = self.context.spec();
        let mut names: Vec<String> = self.context.inputs.parameters.keys().cloned().collect();
        names.extend(WINDOW_VARIABLES.iter().map(|name| (*name).to_owned()));
        names.extend(
            spec.global
                .secrets
                .keys()
                .flat_map(|key| [key.clone(), format!("secrets.{key}")]),
        );
        names.extend(
            spec.provider
                .config
                .keys()
                .map(|key| format!("config.{key}")),
        );
        names.extend(["run.id", "run.started_at", "tenant_id"].map(str::to_owned));
        let others = self
            .drafts
            .iter()
            .filter(|other| other.name() != self.draft.name());
        names.extend(others.flat_map(Draft::known_columns));
        // A list in `config` is known by the name of one of its values.
        let lists = self.context.config().iter();
        let lists = lists.filter(|(_, value)| value.is_array());
        names.extend(lists.map(|(name, _)| chains::singular(name.trim_start_matches("default_"))));
        names
    }
}

/// Whether people would give it on the command line: names with a dot are the document's own and the run's.
fn can_be_parameter(name: &str) -> bool {
    !name.contains('.')
}

fn unbound_help(name: &str, drafts: &[Draft<'_>], draft: &Draft<'_>) -> String {
    if let Some(key) = name.strip_prefix("config.") {
        return format!("add `{key}` to `provider.config`");
    }
    if let Some(key) = name
        .strip_prefix("secrets.")
        .or_else(|| name.strip_prefix("secret."))
    {
        return format!("declare it in `global_config.secrets`: `{key}: vault://PATH#KEY`");
    }
    if name.starts_with("run.") {
        return "write `run.id` or `run.started_at`".to_owned();
    }
    let open: Vec<&str> = drafts
        .iter()
        .filter(|other| other.name() != draft.name() && other.is_open())
        .map(Draft::name)
        .collect();
    let list_name = format!("{name}s");
    if open.is_empty() {
        return format!(
            "give it with `--param {name}=VALUE`, or list its values in `config.{list_name}` or in `for_each`"
        );
    }
    format!(
        "give it with `--param {name}=VALUE`, list its values in `config.{list_name}`, or name the parent: `for_each: {{{name}: \
         {{endpoint: {}, field: FIELD}}}}` (the columns of {} are not known yet)",
        open[0],
        list(&open)
    )
}

/// Parameters may stand in any template of the document, also in those that are rendered before a run.
fn unused_parameters(context: Context<'_>, findings: &mut Findings) {
    if context.inputs.parameters.is_empty() {
        return;
    }
    let mut used = BTreeSet::new();
    if let Ok(document) = serde_json::to_value(context.spec()) {
        template_names(&document, &mut used);
    }
    for name in context.inputs.parameters.keys() {
        if !used.contains(name) {
            let message = format!("no template uses the parameter `{name}`, which `--param` gives");
            findings.push(
                Diagnostic::warning(Code::UnusedParameter, FieldPath::root(), message)
                    .beside()
                    .help(did_you_mean(
                        name,
                        used.iter().map(String::as_str),
                        "leave it out",
                    )),
            );
        }
    }
}

fn template_names(value: &serde_json::Value, names: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::String(text) => {
            let variables = Template::new(text).variables().unwrap_or_default();
            names.extend(variables.into_iter().map(|variable| variable.name));
        }
        serde_json::Value::Array(items) => {
            for item in items {
                template_names(item, names);
            }
        }
        serde_json::Value::Object(entries) => {
            for entry in entries.values() {
                template_names(entry, names);
            }
        }
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => {}
    }
}
