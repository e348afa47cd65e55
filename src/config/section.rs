//! One section of the configuration, read into its type, with every mistake under the key's full name.

use serde::de::DeserializeOwned;

use super::ConfigError;

/// Reads a section into its type; every key that the type does not know is an error that names it in full.
pub(super) fn read_section<T: DeserializeOwned>(key: &str, section: config::Value) -> Result<T, ConfigError> {
    let full = |below: String| match (key, below.as_str()) {
        ("", _) => below,
        (_, "" | ".") => key.to_owned(),
        _ => format!("{key}.{below}"),
    };
    let mut unknown = Vec::new();
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(section, &mut track);
    let read = serde_ignored::deserialize(tracked, |path| unknown.push(full(path.to_string())));
    let value = read.map_err(|error| settings_error(&full(track.path().to_string()), &error))?;
    if unknown.is_empty() { Ok(value) } else { Err(ConfigError::Unknown { keys: unknown }) }
}

/// What the `config` crate says, about one key, without the value.
pub(super) fn settings_error(key: &str, error: &config::ConfigError) -> ConfigError {
    // The cause without the wrapping that names only the innermost key.
    let problem = match error {
        config::ConfigError::At { error, .. } => return settings_error(key, error),
        config::ConfigError::Type { unexpected, expected, .. } => {
            // "string \"hunter2\"": the kind is told, the value is not, for it may be a secret.
            let found = unexpected.to_string();
            let found = found.split(['`', '"']).next().unwrap_or_default().trim_end();
            format!("{found} where {expected} belongs")
        }
        config::ConfigError::Frozen
        | config::ConfigError::NotFound(_)
        | config::ConfigError::PathParse { .. }
        | config::ConfigError::FileParse { .. }
        | config::ConfigError::Message(_)
        | config::ConfigError::Foreign(_)
        | _ => error.to_string(),
    };
    let key = if key.is_empty() || key == "." { "configuration" } else { key };
    ConfigError::setting(key, problem)
}
