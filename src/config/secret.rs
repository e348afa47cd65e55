//! Secrets: text that is never printed, and lists of it from the file, the environment and secret files.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeOwned, Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{ConfigError, catalog};

/// Text that must not be seen. `Debug` shows its length at most; there is no `Display`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct Secret(Box<str>);

impl Secret {
    /// The text itself, for the one place that computes with it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into_boxed_str())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0.len())
    }
}

/// Reads a file that holds one secret; one trailing newline is not part of it.
pub(super) fn read_file(key: &str, path: &Path) -> Result<Secret, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        ConfigError::setting(key, format!("cannot read the secret file `{}`: {error}", path.display()))
    })?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Secret::from(text.strip_suffix('\r').unwrap_or(text).to_owned()))
}

/// Adds what the files hold to the secrets that stand in the configuration. An empty secret is refused: anybody could
/// sign with it.
pub(super) fn gather(key: &str, secrets: &mut Vec<Secret>, files: &[PathBuf]) -> Result<(), ConfigError> {
    let empty = |key: String| ConfigError::setting(key, "an empty secret verifies nothing; remove it");
    if let Some(index) = secrets.iter().position(|secret| secret.expose().is_empty()) {
        return Err(empty(format!("{key}[{index}]")));
    }
    for (index, file) in files.iter().enumerate() {
        let key = format!("{key}_files[{index}]");
        let secret = read_file(&key, file)?;
        if secret.expose().is_empty() {
            return Err(ConfigError::setting(key, "the file is empty, and an empty secret verifies nothing"));
        }
        secrets.push(secret);
    }
    Ok(())
}

/// A list as TOML has it; from an environment variable, `a,b` or a JSON array `["a","b"]`.
pub(super) fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    struct List<T>(std::marker::PhantomData<T>);
    impl<'de, T: DeserializeOwned> Visitor<'de> for List<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(item) = seq.next_element()? {
                list.push(item);
            }
            Ok(list)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Vec<T>, E> {
            let items = catalog::list(text).ok_or_else(|| E::custom("not a JSON array"))?;
            let items = items.into_iter().map(|item| serde_json::from_value(item.into()));
            let items = items.collect::<Result<_, _>>();
            items.map_err(|_| E::custom("not a list of what belongs here"))
        }
    }
    deserializer.deserialize_any(List(std::marker::PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print_itself() {
        let secret = Secret::from("hunter2".to_owned());
        assert_eq!(format!("{secret:?}"), "<7 bytes>");
    }
}
