//! The environment variables: which of them are settings, and which only look like it.

use std::collections::BTreeMap;

use super::error::Mistakes;
use super::place::Places;
use super::{Environment, Mistake, catalog};

const PREFIX: &str = "READHOOK__";

/// The variable of a setting.
pub(super) fn name_of(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase().replace('.', "__"))
}

/// The variables that are settings, by their names, fit for the `config` crate. Those that cannot be one are mistakes.
pub(super) fn settings(
    environment: &Environment,
    places: &mut Places,
    mistakes: &mut Mistakes,
) -> Environment {
    let mut keys: BTreeMap<String, &str> = BTreeMap::new();
    for variable in environment.keys() {
        let Some((_, rest)) = split_prefix(variable, PREFIX) else { continue };
        let key = rest.to_lowercase().replace("__", ".");
        places.variable(&key, variable);
        let plain = |part: &str| {
            !part.is_empty()
                && !part.starts_with('_')
                && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        if key.is_empty() {
            let problem = format!(
                "environment variable `{variable}`: unknown setting; the name ends behind the prefix"
            );
            mistakes.add(Mistake::of("", problem));
        } else if !key.split('.').all(plain) {
            let advice = catalog::advice(key.trim_matches(['_', '.']), None, &name_of);
            mistakes.add(Mistake::unknown(key, &advice));
        } else if let Some(other) = keys.insert(key.clone(), variable) {
            mistakes.add(Mistake::of(key, format!("`{other}` sets it, too; remove one of the two")));
        }
    }
    let mut fit = Environment::new();
    for (key, variable) in &keys {
        let is_section =
            keys.keys().any(|other| other.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')));
        if is_section {
            mistakes.add(Mistake::of(key, "this is a section, and other variables set what is in it"));
        } else if let Some(value) = environment.get(*variable) {
            if value.contains('\u{fffd}') {
                mistakes.add(Mistake::of(key, "the value is not UTF-8 text"));
            }
            fit.insert((*variable).to_owned(), value.clone());
        }
    }
    fit
}

/// Variables that are no setting and look like one: most likely the prefix is misspelled.
pub(super) fn warnings(environment: &Environment) -> Vec<String> {
    let mut warnings: Vec<String> = environment.keys().filter_map(|name| warning(name)).collect();
    warnings.sort();
    warnings
}

fn warning(variable: &str) -> Option<String> {
    if split_prefix(variable, PREFIX).is_some() {
        return None;
    }
    let meant = match split_prefix(variable, "READHOOK") {
        Some((_, rest)) => catalog::looks_like_a_setting(rest),
        None => {
            let (word, rest) = variable.split_once("__")?;
            let word = word.replace('_', "");
            let misspelled = catalog::nearest(&word, std::iter::once("READHOOK")).is_some();
            misspelled.then(|| catalog::looks_like_a_setting(rest)).flatten()
        }
    }?;
    Some(format!("the environment variable `{variable}` is ignored: a setting is spelled `{meant}`"))
}

/// What stands behind a prefix, in whatever case.
fn split_prefix<'v>(variable: &'v str, prefix: &str) -> Option<(&'v str, &'v str)> {
    let (begin, rest) = variable.split_at_checked(prefix.len())?;
    begin.eq_ignore_ascii_case(prefix).then_some((begin, rest))
}
