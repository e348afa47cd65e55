//! From a file and an environment to a [`Config`]: `${VAR}`, layers, unknown keys, types. Every mistake is collected, so that one
//! run names them all.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::Deserialize;
use toml::de::DeTable;

use super::error::Mistakes;
use super::place::{Places, join};
use super::section::{read_all, settings_error};
use super::{Config, ConfigError, catalog, check, secret, sinks, variables};

/// Environment variables by name; handed in, so that nobody but `main` reads the process's own.
pub type Environment = HashMap<String, String>;

/// Loads and checks a configuration: defaults, then the file if one is given, then `READHOOK__SECTION__KEY`.
///
/// # Errors
/// Everything that is wrong, each with the key's full name and where it stands; never a value, for it may be a secret.
pub fn load(file: Option<&Path>, environment: &Environment) -> Result<Config, ConfigError> {
    let (mut places, mut mistakes) = (Places::default(), Mistakes::default());
    let mut builder = config::Config::builder();
    let mut empty_file = false;
    if let Some(path) = file {
        let layer = read_file(path, environment, &mut places, &mut mistakes)?;
        empty_file = matches!(&layer.cache.kind, config::ValueKind::Table(table) if table.is_empty());
        builder = builder.add_source(layer);
    }
    let settings = variables::settings(environment, &mut places, &mut mistakes);
    let layer = config::Environment::with_prefix("READHOOK")
        .prefix_separator("__")
        .separator("__")
        .source(Some(settings));
    let layers = builder.add_source(layer).build().map_err(|error| settings_error("", &error))?;
    let spell = |key: &str| match places.variable_of(key) {
        Some(_) => variables::name_of(key),
        None => key.to_owned(),
    };

    let mut layers = layers.cache;
    weed("", &mut layers, &mut mistakes);
    complete(&mut layers, &mut mistakes);
    let read = read_all::<Layers>(layers, &mut mistakes, &|key: &str| {
        // The name as it would have to be spelled in the place where the wrong one stands.
        if places.variable_of(key).is_some() {
            catalog::advice(key, None, &variables::name_of)
        } else {
            catalog::advice(key, None, &|meant: &str| {
                let (above, name) = meant.rsplit_once('.').unwrap_or(("", meant));
                let same_section = key.rsplit_once('.').map_or("", |(section, _)| section) == above;
                if same_section { name.to_owned() } else { meant.to_owned() }
            })
        }
    });
    let Some(Layers { mut config, sinks: sections }) = read else {
        mistakes.end(&places)?;
        return Err(ConfigError::setting("", "the configuration cannot be read"));
    };
    config.sinks = sinks::read(sections, &mut mistakes, &spell);
    config.vendors.read_files(&mut mistakes);
    mistakes.take(read_admin_token(&mut config));
    check::check(&config, &mut mistakes);
    mistakes.end(&places)?;
    config.empty_file = empty_file;
    config.warnings = variables::warnings(environment);
    Ok(config)
}

/// Takes out every value that is not what its setting takes.
fn weed(key: &str, value: &mut config::Value, mistakes: &mut Mistakes) {
    let config::ValueKind::Table(table) = &mut value.kind else { return };
    let mut wrong = Vec::new();
    for (name, value) in &mut *table {
        let key = join(key, name);
        match catalog::check(&key, value) {
            Ok(()) => weed(&key, value, mistakes),
            Err(mistake) => {
                mistakes.add(mistake);
                wrong.push(name.clone());
            }
        }
    }
    for name in wrong {
        table.remove(&name);
    }
}

/// What stands below a section.
fn below<'v>(value: &'v mut config::Value, path: &[&str]) -> Option<&'v mut config::Value> {
    let Some((first, rest)) = path.split_first() else { return Some(value) };
    let config::ValueKind::Table(table) = &mut value.kind else { return None };
    below(table.get_mut(*first)?, rest)
}

/// Reports what is missing from a section that means nothing without it, and puts something there to go on with.
fn complete(layers: &mut config::Value, mistakes: &mut Mistakes) {
    for (pattern, name, stand_in) in catalog::REQUIRED {
        let mut path: Vec<&str> = pattern.split('.').collect();
        let each = path.pop_if(|last| *last == "*").is_some();
        let section = path.join(".");
        let Some(at) = below(layers, &path) else { continue };
        let sections: Vec<(String, &mut config::Value)> = if each {
            let config::ValueKind::Table(table) = &mut at.kind else { continue };
            table.iter_mut().map(|(app, value)| (join(&section, app), value)).collect()
        } else {
            vec![(section, at)]
        };
        for (section, value) in sections {
            let config::ValueKind::Table(table) = &mut value.kind else { continue };
            if table.contains_key(*name) {
                continue;
            }
            let key = join(&section, name);
            mistakes.add(ConfigError::setting(&key, format!("required; {}", catalog::expected(&key))));
            // No two of these may claim the same identity.
            let value = if each { format!("{stand_in} {section}") } else { (*stand_in).to_owned() };
            table.insert((*name).to_owned(), value.into());
        }
    }
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
            ..Config::default()
        };
        Ok(Self { config, sinks })
    }
}

fn read_file(
    path: &Path,
    environment: &Environment,
    places: &mut Places,
    mistakes: &mut Mistakes,
) -> Result<config::Config, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::file(path, &error))?;
    // Parsed here first: `config` would print the line that is wrong, and it may hold a secret; and it knows no lines.
    let (table, errors) = DeTable::parse_recoverable(&text);
    if !errors.is_empty() {
        return Err(ConfigError::syntax(path, &text, &errors));
    }
    places.file(path, &text, table.get_ref());
    let toml = config::File::from_str(&text, config::FileFormat::Toml);
    let layer = config::Config::builder().add_source(toml).build();
    let mut layer = layer.map_err(|error| settings_error("", &error))?;
    substitute("", &mut layer.cache, environment, mistakes);
    Ok(layer)
}

/// Replaces `${VAR}` in every text of the file. `$${` stands for a literal `${`.
fn substitute(key: &str, value: &mut config::Value, environment: &Environment, mistakes: &mut Mistakes) {
    match &mut value.kind {
        config::ValueKind::String(text) if text.contains("${") => {
            if let Some(whole) = mistakes.take(substituted(key, text, environment)) {
                *text = whole;
            }
        }
        config::ValueKind::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                substitute(&format!("{key}[{index}]"), item, environment, mistakes);
            }
        }
        config::ValueKind::Table(table) => {
            for (name, value) in table {
                substitute(&join(key, name), value, environment, mistakes);
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
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(plain) {
            let problem = "between `${` and `}` belongs the name of an environment variable, without a default; write \
                           `$${` for a literal `${`";
            return Err(ConfigError::setting(key, problem));
        }
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
