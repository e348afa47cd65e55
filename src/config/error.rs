//! What is wrong with a configuration, all of it at once: where each mistake is, the full name of the key, and what is expected.
//! Never the value: it may be a secret.

use std::fmt;
use std::path::Path;

use super::place::Places;

/// A configuration that cannot be used. It names every mistake that was found, one a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// At least one.
    mistakes: Vec<Mistake>,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The full name of the setting; empty when it is about a file as a whole. An item of a list ends in its place, `[0]`.
    key: String,
    /// What is wrong, and what to do.
    problem: String,
    /// Whether nobody knows the key.
    unknown: bool,
    /// The file and line, or the environment variable.
    place: Option<String>,
}

impl Mistake {
    /// About one setting.
    pub(super) fn of(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { key: key.into(), problem: problem.into(), unknown: false, place: None }
    }

    /// About a setting that nobody knows.
    pub(super) fn unknown(key: impl Into<String>, advice: &str) -> Self {
        Self { unknown: true, ..Self::of(key, format!("unknown setting; {advice}")) }
    }

    /// The full name of the setting.
    pub(super) fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [self.place.as_deref().unwrap_or_default(), &self.key] {
            if !part.is_empty() {
                write!(f, "{part}: ")?;
            }
        }
        f.write_str(&self.problem)
    }
}

impl ConfigError {
    /// About one setting.
    pub(super) fn setting(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Mistake::of(key, problem).into()
    }

    /// The file cannot be read.
    pub(super) fn file(path: &Path, error: &std::io::Error) -> Self {
        let kind = error.kind();
        let why = if kind == std::io::ErrorKind::InvalidData {
            "it is not UTF-8 text".to_owned()
        } else if kind == std::io::ErrorKind::IsADirectory {
            "it is a folder; name the file in it".to_owned()
        } else {
            error.to_string()
        };
        Self::setting("", format!("cannot read the configuration file `{}`: {why}", path.display()))
    }

    /// About the file's syntax, from where the parser stopped. The line is named and not shown: it may hold a secret.
    pub(super) fn syntax(path: &Path, text: &str, errors: &[toml::de::Error]) -> Self {
        let mistakes = errors.iter().map(|error| {
            let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or_default();
            let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
            let (line, column) = (before.matches('\n').count() + 1, before.len() - line_start + 1);
            let (path, problem) = (path.display(), error.message());
            Mistake::of("", format!("`{path}` is not TOML: line {line}, column {column}: {problem}"))
        });
        Self { mistakes: mistakes.collect() }
    }

    /// Every mistake, in the order of the file where it is known.
    pub fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }
}

impl From<Mistake> for ConfigError {
    fn from(mistake: Mistake) -> Self {
        Self { mistakes: vec![mistake] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = self.mistakes.as_slice() {
            return only.fmt(f);
        }
        write!(f, "the configuration has {} mistakes", self.mistakes.len())?;
        match self.mistakes.iter().filter(|mistake| mistake.unknown).count() {
            0 => {}
            1 => f.write_str(", one of them an unknown setting")?,
            several => write!(f, ", {several} of them unknown settings")?,
        }
        self.mistakes.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
    }
}

impl std::error::Error for ConfigError {}

/// Mistakes as they are found. A setting is reported once: what follows from its first mistake is no second one.
#[derive(Debug, Default)]
pub(super) struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// Adds mistakes of settings that have none yet.
    pub(super) fn add(&mut self, found: impl Into<ConfigError>) {
        for mistake in found.into().mistakes {
            if !self.has(&mistake.key) {
                self.0.push(mistake);
            }
        }
    }

    /// Adds the mistakes of a result, and gives back its value.
    pub(super) fn take<T>(&mut self, result: Result<T, ConfigError>) -> Option<T> {
        result.map_err(|error| self.add(error)).ok()
    }

    /// Whether this setting, or an item of its list, has been reported.
    pub(super) fn has(&self, key: &str) -> bool {
        let list = |key: &str| key.split('[').next().unwrap_or_default().to_owned();
        let same = |known: &str| known == key || known == list(key) || list(known) == key;
        !key.is_empty() && self.0.iter().any(|known| same(&known.key))
    }

    /// Whether a setting below this section, or the section itself, has been reported.
    pub(super) fn below(&self, section: &str) -> bool {
        self.0.iter().any(|known| {
            known
                .key
                .strip_prefix(section)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    /// An error if there is any, with the place of each.
    pub(super) fn end(mut self, places: &Places) -> Result<(), ConfigError> {
        if self.0.is_empty() {
            return Ok(());
        }
        for mistake in &mut self.0 {
            mistake.place = places.of(&mistake.key);
        }
        self.0.sort_by_cached_key(|mistake| places.order(&mistake.key));
        Err(ConfigError { mistakes: self.0 })
    }
}
