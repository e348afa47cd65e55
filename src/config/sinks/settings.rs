//! A sink's section, taken apart key by key: what is left over at the end is a key that this type of sink does not
//! know. By hand and not by a tagged enum, because serde buffers those and then cannot turn an environment variable's
//! text into a number.

use std::path::PathBuf;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::config::error::Mistakes;
use crate::config::section::read_section;
use crate::config::{ConfigError, Mistake, Secret, catalog, secret};

/// What stands in `[sinks.<name>]` and has not been read yet.
pub(super) struct Settings {
    key: String,
    rest: config::Map<String, config::Value>,
    /// The names that this type of sink has asked for.
    asked: Vec<String>,
}

/// A list as [`secret::list`] reads it.
#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct List<T>(#[serde(deserialize_with = "secret::list")] Vec<T>);

impl Settings {
    /// Opens the section of a sink.
    pub(super) fn of(name: &str, section: config::Value) -> Result<Self, ConfigError> {
        let key = format!("sinks.{name}");
        let rest = section.into_table().map_err(|_| ConfigError::setting(&key, "a section belongs here"))?;
        Ok(Self { key, rest, asked: Vec::new() })
    }

    /// The full name of one of its keys.
    pub(super) fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.key)
    }

    /// A mistake in one of its keys.
    pub(super) fn wrong(&self, name: &str, problem: impl Into<String>) -> ConfigError {
        ConfigError::setting(self.key(name), problem)
    }

    /// A value, if there is one.
    pub(super) fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, ConfigError> {
        let key = self.key(name);
        self.asked.push(name.to_owned());
        self.rest.remove(name).map(|value| read_section(&key, value)).transpose()
    }

    /// A value, or the default.
    pub(super) fn or<T: DeserializeOwned>(&mut self, name: &str, default: T) -> Result<T, ConfigError> {
        Ok(self.take(name)?.unwrap_or(default))
    }

    /// A text that is not empty, or the default.
    pub(super) fn text(&mut self, name: &str, default: &str) -> Result<String, ConfigError> {
        let text: String = self.or(name, default.to_owned())?;
        if text.is_empty() { Err(self.wrong(name, "must not be empty")) } else { Ok(text) }
    }

    /// A list, empty if there is none.
    pub(super) fn list<T: DeserializeOwned>(&mut self, name: &str) -> Result<Vec<T>, ConfigError> {
        Ok(self.take::<List<T>>(name)?.map_or_else(Vec::new, |List(items)| items))
    }

    /// A secret from `name` or from the file that `name_file` names.
    pub(super) fn secret(&mut self, name: &str) -> Result<Option<Secret>, ConfigError> {
        let file_name = format!("{name}_file");
        let given: Option<Secret> = self.take(name)?;
        let file: Option<PathBuf> = self.take(&file_name)?;
        let found = match (given, file) {
            (Some(_), Some(_)) => {
                return Err(self.wrong(name, format!("set it or `{}`, not both", self.key(&file_name))));
            }
            (given, None) => given,
            (None, Some(path)) => Some(secret::read_file(&self.key(&file_name), &path)?),
        };
        match found {
            Some(secret) if secret.expose().is_empty() => Err(self.wrong(name, "must not be empty")),
            found => Ok(found),
        }
    }

    /// The same, where there must be one.
    pub(super) fn required_secret(&mut self, name: &str) -> Result<Secret, ConfigError> {
        let missing = format!("required (or `{}_file`)", self.key(name));
        self.secret(name)?.ok_or_else(|| self.wrong(name, missing))
    }

    /// A list of secrets from `name` and from the files that `name_files` names.
    pub(super) fn secrets(&mut self, name: &str) -> Result<Vec<Secret>, ConfigError> {
        let mut secrets = self.list(name)?;
        let files: Vec<PathBuf> = self.list(&format!("{name}_files"))?;
        secret::gather(&self.key(name), &mut secrets, &files)?;
        Ok(secrets)
    }

    /// Complains of every key that nobody has taken. `spell` writes a setting's full name as its place wants it.
    pub(super) fn end(self, mistakes: &mut Mistakes, spell: &dyn Fn(&str) -> String) {
        for name in self.rest.keys() {
            let key = self.key(name);
            let spelled = |meant: &str| {
                let whole = spell(meant);
                if whole == meant { meant.rsplit('.').next().unwrap_or(meant).to_owned() } else { whole }
            };
            let advice = catalog::advice(&key, Some(&self.asked), &spelled);
            mistakes.add(Mistake::unknown(key, &advice));
        }
    }
}
