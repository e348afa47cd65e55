//! From a file and an environment to a [`Config`]: `${VAR}`, layers, unknown keys, types.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::Deserialize;

use super::section::{read_section, settings_error};
use super::{Config, ConfigError, check, secret, sinks};

/// Environment variables by name; handed in, so that nobody but `main` reads the process's own.
pub type Environment = HashMap<String, String>;

/// Loads and checks a configuration: defaults, then the file if one is given, then `READHOOK__SECTION__KEY`.
///
/// # Errors
/// The first thing that is wrong, with the key's full name; never a value, for it may be a secret.
pub fn load(file: Option<&Path>, environment: &Environment) -> Result<Config, ConfigError> {
    let mut builder = config::Config::builder();
    if let Some(path) = file {
        builder = builder.add_source(read_file(path, environment)?);
    }
    let variables = config::Environment::with_prefix("READHOOK")
        .prefix_separator("__")
        .separator("__")
        .source(Some(environment.clone()));
    let layers = builder.add_source(variables).build().map_err(|error| settings_error("", &error))?;

    let Layers { mut config, sinks: sections } = read_section("", layers.cache)?;
    config.sinks = sinks::read(sections)?;
    config.vendors.read_files()?;
    read_admin_token(&mut config)?;
    check::check(&config)?;
    Ok(config)
}

/// The sections, with the sinks still raw.
struct Layers {
    config: Config,
    sinks: BTreeMap<String, config::Value>,
}

impl<'de> Deserialize<'de> for Layers {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// [`Config`] with its sinks; spelled out because `flatten` would buffer, and buffered text is no number.
        #[derive(Deserialize)]
        #[serde(default)]
        #[derive(Default)]
        struct Sections {
            server: super::ServerConfig,
            admin: super::AdminConfig,
            journal: super::JournalConfig,
            quarantine: super::QuarantineConfig,
            callback_log: super::CallbackLogConfig,
            delivery: super::DeliveryConfig,
            state: super::StateConfig,
            log: super::LogConfig,
            vendors: super::VendorsConfig,
            sinks: BTreeMap<String, config::Value>,
        }
        let Sections {
            server,
            admin,
            journal,
            quarantine,
            callback_log,
            delivery,
            state,
            log,
            vendors,
            sinks,
        } = Sections::deserialize(deserializer)?;
        let config = Config {
            server,
            admin,
            journal,
            quarantine,
            callback_log,
            delivery,
            state,
            log,
            vendors,
            sinks: BTreeMap::new(),
        };
        Ok(Self { config, sinks })
    }
}

fn read_file(path: &Path, environment: &Environment) -> Result<config::Config, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::File { path: path.to_owned(), source })?;
    // Parsed here first, for `config` would print the line that is wrong, and it may hold a secret.
    toml::from_str::<toml::Table>(&text).map_err(|error| ConfigError::syntax(path, &text, &error))?;
    let toml = config::File::from_str(&text, config::FileFormat::Toml);
    let layer = config::Config::builder().add_source(toml).build();
    let mut layer = layer.map_err(|error| settings_error("", &error))?;
    substitute("", &mut layer.cache, environment)?;
    Ok(layer)
}

/// Replaces `${VAR}` in every text of the file. `$${` stands for a literal `${`.
fn substitute(key: &str, value: &mut config::Value, environment: &Environment) -> Result<(), ConfigError> {
    match &mut value.kind {
        config::ValueKind::String(text) if text.contains("${") => {
            *text = substituted(key, text, environment)?;
        }
        config::ValueKind::Array(items) => {
            for item in items {
                substitute(key, item, environment)?;
            }
        }
        config::ValueKind::Table(table) => {
            for (name, value) in table {
                let below = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                substitute(&below, value, environment)?;
            }
        }
        config::ValueKind::String(_)
        | config::ValueKind::Nil
        | config::ValueKind::Boolean(_)
        | config::ValueKind::I64(_)
        | config::ValueKind::I128(_)
        | config::ValueKind::U64(_)
        | config::ValueKind::U128(_)
        | config::ValueKind::Float(_) => {}
    }
    Ok(())
}

fn substituted(key: &str, text: &str, environment: &Environment) -> Result<String, ConfigError> {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            result.push_str(before);
            result.push_str("${");
            rest = after;
            continue;
        }
        let (name, behind) = after.split_once('}').ok_or_else(|| {
            ConfigError::setting(key, "`${` without a closing `}`; write `$${` for a literal one")
        })?;
        let value = environment.get(name).ok_or_else(|| {
            ConfigError::setting(key, format!("the environment variable `{name}` is not set"))
        })?;
        result.push_str(before);
        result.push_str(value);
        rest = behind;
    }
    result.push_str(rest);
    Ok(result)
}

fn read_admin_token(config: &mut Config) -> Result<(), ConfigError> {
    let admin = &mut config.admin;
    let given = admin.token.take().filter(|token| !token.expose().is_empty());
    let from_file =
        admin.token_file.as_deref().map(|path| secret::read_file("admin.token_file", path)).transpose()?;
    admin.token = match (given, from_file) {
        (Some(_), Some(_)) => {
            return Err(ConfigError::setting("admin.token", "set it or `admin.token_file`, not both"));
        }
        (None, Some(token)) if token.expose().is_empty() => {
            return Err(ConfigError::setting("admin.token_file", "the file holds no token"));
        }
        (given, from_file) => given.or(from_file),
    };
    Ok(())
}
