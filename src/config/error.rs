//! What is wrong with a configuration, always with the full name of the key. Never the value: it may be a secret.

use std::path::{Path, PathBuf};

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The file is not TOML. The line is named and not shown.
    #[error("`{}` is not TOML: line {line}, column {column}: {problem}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// The parser's words.
        problem: String,
    },
    /// Keys that nobody knows, most likely misspelled.
    #[error("unknown {}: {}", if keys.len() == 1 { "setting" } else { "settings" }, keys.join(", "))]
    Unknown {
        /// Their full names.
        keys: Vec<String>,
    },
    /// A setting that is wrong.
    #[error("{key}: {problem}")]
    Setting {
        /// Its full name.
        key: String,
        /// What is wrong, and what to do.
        problem: String,
    },
}

impl ConfigError {
    /// About one setting.
    pub(super) fn setting(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Setting { key: key.into(), problem: problem.into() }
    }

    /// About the file's syntax, from where the parser stopped.
    pub(super) fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let at = error.span().map_or(0, |span| span.start);
        let before = text.get(..at).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self::Syntax {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.len() - line_start + 1,
            problem: error.message().to_owned(),
        }
    }
}
