//! Request chains: one, one per value of a list or a range, or one per distinct value of a parent's column.

use runner_spec::Code;
use runner_spec::model::ForEach;

use super::context::{Context, scalar_text};
use super::drafts::{Draft, Use};
use super::findings::{Findings, at, did_you_mean, list};
use crate::model::{Chains, ParentField, VariableSource};

/// What `for_each` says.
pub(crate) enum Explicit {
    Chains(Chains),
    /// It can't be followed, and the findings say why.
    Reported,
}

/// What a name alone says.
pub(crate) enum Implicit {
    Chains(Chains),
    Reported,
    None,
}

/// The first variable that a chain's value is bound to.
pub(crate) fn variable(chains: &Chains) -> Option<(&str, VariableSource)> {
    match chains {
        Chains::Single => None,
        Chains::Values { variable, .. } | Chains::Range { variable, .. } => {
            Some((variable, VariableSource::ForEach))
        }
        Chains::Parent { variable, .. } => Some((variable, VariableSource::Parent)),
    }
}

/// Takes a further column of the parent's rows into its chains, if the parent has one of this name.
pub(crate) fn extend(
    chains: &mut Chains,
    name: &str,
    context: Context<'_>,
    drafts: &[Draft<'_>],
) -> bool {
    let Chains::Parent { stream, more, .. } = chains else {
        return false;
    };
    let parent = drafts.iter().find(|draft| draft.name() == *stream);
    if !parent.is_some_and(|parent| yields(context, parent, name)) {
        return false;
    }
    more.push(ParentField {
        variable: name.to_owned(),
        field: name.to_owned(),
    });
    true
}

/// The one endpoint that yields all of several names, where there is one.
pub(crate) fn common_parent(
    names: &[&str],
    context: Context<'_>,
    drafts: &[Draft<'_>],
    draft: &Draft<'_>,
) -> Option<Chains> {
    let (first, rest) = names.split_first().filter(|(_, rest)| !rest.is_empty())?;
    let mut parents = drafts.iter().filter(|other| {
        let needs_all = names.iter().all(|name| other.uses_name(name));
        other.name() != draft.name()
            && !needs_all
            && names.iter().all(|name| yields(context, other, name))
    });
    let parent = parents.next()?;
    if parents.next().is_some() {
        return None;
    }
    let more = rest.iter().map(|name| ParentField {
        variable: (*name).to_owned(),
        field: (*name).to_owned(),
    });
    Some(Chains::Parent {
        variable: (*first).to_owned(),
        stream: parent.name().to_owned(),
        field: (*first).to_owned(),
        incremental: false,
        more: more.collect(),
    })
}

/// The chains of a `for_each`. Where it names no variable, it is the one among the unbound names that fits best.
pub(crate) fn explicit(
    for_each: &ForEach,
    unbound: &[&str],
    drafts: &[Draft<'_>],
    draft: &Draft<'_>,
    findings: &mut Findings,
) -> Explicit {
    let path = draft.path.key("for_each");
    let (named, hint) = match for_each {
        ForEach::List { variable, .. } | ForEach::Range { variable, .. } => (variable, None),
        ForEach::Parent {
            variable,
            endpoint,
            field,
            ..
        } => (variable, Some((endpoint.as_str(), field.as_str()))),
    };
    let Some(variable) = named.clone().or_else(|| best_name(unbound, hint)) else {
        findings.error(
            Code::ForEachEmpty,
            &path,
            format!("no template of `{}` uses a value of `for_each`, so that every chain would send the same requests", draft.name()),
            "write `{{ name }}` into the path, a parameter or the body, or take `for_each` out",
        );
        return Explicit::Reported;
    };
    match for_each {
        ForEach::List { values, .. } => {
            if values.is_empty() {
                findings.error(
                    Code::ForEachEmpty,
                    &path,
                    "`for_each` has no values".to_owned(),
                    "write one value at least, or switch the endpoint off with `is_active: false`",
                );
            }
            Explicit::Chains(Chains::Values {
                variable,
                values: values.clone(),
            })
        }
        ForEach::Range { from, to, step, .. } => Explicit::Chains(Chains::Range {
            variable,
            from: *from,
            to: *to,
            step: *step,
        }),
        ForEach::Parent {
            endpoint,
            field,
            incremental,
            ..
        } => parent(
            &variable,
            endpoint,
            field,
            *incremental,
            drafts,
            draft,
            findings,
        ),
    }
}

fn parent(
    variable: &str,
    endpoint: &str,
    field: &str,
    incremental: bool,
    drafts: &[Draft<'_>],
    draft: &Draft<'_>,
    findings: &mut Findings,
) -> Explicit {
    let path = draft.path.key("for_each");
    let Some(parent) = drafts.iter().find(|other| other.name() == endpoint) else {
        let names = drafts.iter().map(Draft::name);
        findings.error(
            Code::InactiveEndpoint,
            &path.key("endpoint"),
            format!(
                "no active endpoint has the name `{endpoint}`, so that `{}` has no parent",
                draft.name()
            ),
            did_you_mean(
                endpoint,
                names,
                "switch the parent on with `is_active: true`",
            ),
        );
        return Explicit::Reported;
    };
    let Some(column) = parent.mapping.column_of(field) else {
        let columns = parent.known_columns();
        findings.error(
            Code::FieldNotFound,
            &path.key("field"),
            format!("`{endpoint}` has no column `{field}`"),
            did_you_mean(
                field,
                columns.iter().map(String::as_str),
                format!("its columns are {}", list(&columns)),
            ),
        );
        return Explicit::Reported;
    };
    Explicit::Chains(Chains::Parent {
        variable: variable.to_owned(),
        stream: endpoint.to_owned(),
        field: column,
        incremental,
        more: Vec::new(),
    })
}

/// The unbound name that a nameless `for_each` most likely means.
fn best_name(unbound: &[&str], parent: Option<(&str, &str)>) -> Option<String> {
    let fits = |name: &str| {
        parent.is_some_and(|(endpoint, field)| {
            let singular = singular(endpoint);
            name == field || name == format!("{singular}_{field}") || name == singular
        })
    };
    let best = unbound
        .iter()
        .find(|name| fits(name))
        .or_else(|| unbound.first());
    best.map(|name| (*name).to_owned())
}

/// Chains over another endpoint that yields a column of this name, else over a list in `config` that is named like it.
pub(crate) fn implicit(
    name: &str,
    used: &Use,
    context: Context<'_>,
    drafts: &[Draft<'_>],
    draft: &Draft<'_>,
    findings: &mut Findings,
) -> Implicit {
    let parents: Vec<&str> = drafts
        .iter()
        .filter(|other| {
            // An endpoint that needs the name itself can't supply it.
            other.name() != draft.name() && !other.uses_name(name) && yields(context, other, name)
        })
        .map(Draft::name)
        .collect();
    match parents.as_slice() {
        [] => {}
        [parent] => {
            return Implicit::Chains(Chains::Parent {
                variable: name.to_owned(),
                stream: (*parent).to_owned(),
                field: name.to_owned(),
                incremental: false,
                more: Vec::new(),
            });
        }
        several => {
            findings.error(
                Code::AmbiguousParent,
                &used.path,
                format!("{} all have a column `{name}`, and one of them has to supply `{{{{ {name} }}}}`", list(several)),
                format!("write `for_each: {{{name}: {{endpoint: {}, field: {name}}}}}`", several[0]),
            );
            return Implicit::Reported;
        }
    }
    let Some((setting, items)) = list_setting(context, name) else {
        return Implicit::None;
    };
    let values: Option<Vec<String>> = items.iter().map(scalar_text).collect();
    let path = at::config().key(&setting);
    match values {
        Some(values) if !values.is_empty() => Implicit::Chains(Chains::Values {
            variable: name.to_owned(),
            values,
        }),
        Some(_) => {
            findings.error(
                Code::ForEachEmpty,
                &path,
                format!("`config.{setting}` has no values for `{{{{ {name} }}}}`"),
                "write one value at least",
            );
            Implicit::Reported
        }
        None => {
            findings.error(
                Code::WrongType,
                &path,
                format!("a value of `config.{setting}` is no text or number, as `{{{{ {name} }}}}` needs"),
                "write texts or numbers: `[AAPL, MSFT]`",
            );
            Implicit::Reported
        }
    }
}

/// Whether the endpoint's rows have the column: its own, or what the contract makes of a variable of its requests.
fn yields(context: Context<'_>, draft: &Draft<'_>, column: &str) -> bool {
    let contract = context.spec().provider.schema_contract.as_ref();
    let is_variable = contract.is_some_and(|contract| contract.properties.contains_key(column))
        && draft.uses_name(column);
    is_variable || draft.known_columns().iter().any(|known| known == column)
}

/// `tickers`, `default_tickers`, or the name itself, where it is a list.
fn list_setting<'a>(
    context: Context<'a>,
    name: &str,
) -> Option<(String, &'a Vec<serde_json::Value>)> {
    let plural = plural(name);
    [
        plural.clone(),
        format!("default_{plural}"),
        name.to_owned(),
        format!("{name}_list"),
    ]
    .into_iter()
    .find_map(|setting| {
        let items = context.setting(&setting)?.as_array()?;
        Some((setting, items))
    })
}

fn plural(name: &str) -> String {
    if let Some(stem) = name.strip_suffix('y')
        && !stem.ends_with(['a', 'e', 'i', 'o', 'u'])
    {
        return format!("{stem}ies");
    }
    let needs_e = ["s", "x", "z", "ch", "sh"]
        .iter()
        .any(|ending| name.ends_with(ending));
    if needs_e {
        format!("{name}es")
    } else {
        format!("{name}s")
    }
}

/// `tickers` → `ticker`.
pub(crate) fn singular(name: &str) -> String {
    if let Some(stem) = name.strip_suffix("ies") {
        return format!("{stem}y");
    }
    for ending in ["ses", "xes", "zes", "ches", "shes"] {
        if let Some(stem) = name.strip_suffix(ending) {
            return format!("{stem}{}", &ending[..ending.len() - 2]);
        }
    }
    name.strip_suffix('s').unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_named_in_the_plural() {
        for (one, many) in [
            ("ticker", "tickers"),
            ("currency", "currencies"),
            ("day", "days"),
            ("address", "addresses"),
            ("branch", "branches"),
            ("box", "boxes"),
        ] {
            assert_eq!(plural(one), many);
            assert_eq!(singular(many), one);
        }
    }

    #[test]
    fn a_nameless_for_each_means_the_name_that_fits_the_parent() {
        assert_eq!(
            best_name(&["page", "user_id"], Some(("users", "id"))).as_deref(),
            Some("user_id")
        );
        assert_eq!(
            best_name(&["x", "id"], Some(("users", "id"))).as_deref(),
            Some("id")
        );
        assert_eq!(
            best_name(&["company"], Some(("companies", "code"))).as_deref(),
            Some("company")
        );
        assert_eq!(best_name(&["x", "y"], None).as_deref(), Some("x"));
        assert_eq!(best_name(&[], None), None);
    }
}
