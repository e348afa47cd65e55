//! One section of the configuration, read into its type, with every mistake under the key's full name.

use serde::de::DeserializeOwned;

use super::error::Mistakes;
use super::place::join;
use super::{ConfigError, Mistake, catalog};

/// Reads the whole configuration. What cannot be read is reported and taken out, and the rest is read again: so all mistakes
/// are found. `None` if a mistake cannot be taken out.
pub(super) fn read_all<T: DeserializeOwned>(
    mut value: config::Value,
    mistakes: &mut Mistakes,
    advice: &dyn Fn(&str) -> String,
) -> Option<T> {
    loop {
        let mut unknown = Vec::new();
        match deserialize("", value.clone(), &mut unknown) {
            Ok(read) => {
                for key in unknown {
                    let advice = advice(&key);
                    mistakes.add(Mistake::unknown(key, &advice));
                }
                return Some(read);
            }
            Err(error) => {
                let key = error.mistakes().first()?.key().to_owned();
                mistakes.add(error);
                remove(&mut value, &key)?;
            }
        }
    }
}

/// Reads one setting into its type.
pub(super) fn read_section<T: DeserializeOwned>(key: &str, section: config::Value) -> Result<T, ConfigError> {
    let mut unknown = Vec::new();
    let value = deserialize(key, section, &mut unknown)?;
    match unknown.into_iter().next() {
        Some(key) => Err(Mistake::unknown(&key, &catalog::advice(&key, None, &str::to_owned)).into()),
        None => Ok(value),
    }
}

fn deserialize<T: DeserializeOwned>(
    key: &str,
    section: config::Value,
    unknown: &mut Vec<String>,
) -> Result<T, ConfigError> {
    let full = |below: String| match below.as_str() {
        "" | "." => key.to_owned(),
        below => join(key, below),
    };
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(section, &mut track);
    let read = serde_ignored::deserialize(tracked, |path| unknown.push(full(path.to_string())));
    read.map_err(|error| settings_error(&full(track.path().to_string()), &error))
}

/// Takes a setting out; `None` if it is not there.
fn remove(value: &mut config::Value, key: &str) -> Option<()> {
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    let name = name.split('[').next().unwrap_or(name);
    let mut at = value;
    for part in section.split('.').filter(|part| !part.is_empty()) {
        let config::ValueKind::Table(table) = &mut at.kind else { return None };
        at = table.get_mut(part)?;
    }
    let config::ValueKind::Table(table) = &mut at.kind else { return None };
    table.remove(name).map(drop)
}

/// What the `config` crate says, about one key, without the value. (What `catalog` knows has been said in better words before.)
pub(super) fn settings_error(key: &str, error: &config::ConfigError) -> ConfigError {
    // The cause without the wrapping that names only the innermost key.
    let problem = match error {
        config::ConfigError::At { error, .. } => return settings_error(key, error),
        config::ConfigError::Type { unexpected, .. } => {
            // "string \"hunter2\"": the kind is told, the value is not, for it may be a secret.
            let found = unexpected.to_string();
            let found = found.split(['`', '"']).next().unwrap_or_default().trim_end();
            format!("found {found}")
        }
        config::ConfigError::Frozen
        | config::ConfigError::NotFound(_)
        | config::ConfigError::PathParse { .. }
        | config::ConfigError::FileParse { .. }
        | config::ConfigError::Message(_)
        | config::ConfigError::Foreign(_)
        | _ => error.to_string(),
    };
    let expected = catalog::expected(key);
    let problem = if expected.is_empty() { problem } else { format!("{problem}; {expected}") };
    let key = if key.is_empty() || key == "." { "configuration" } else { key };
    ConfigError::setting(key, problem)
}
