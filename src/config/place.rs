//! Where a setting stands: the line of the file, or the environment variable.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The place of every setting that somebody has set.
#[derive(Debug, Default)]
pub(super) struct Places {
    file: Option<PathBuf>,
    /// By the full name of the setting or section; an item of a list ends in its place, `[0]`.
    lines: HashMap<String, usize>,
    /// The variables' names by the full name of the setting.
    variables: HashMap<String, String>,
}

impl Places {
    /// Takes down the lines of a file.
    pub(super) fn file(&mut self, path: &Path, text: &str, table: &DeTable<'_>) {
        self.file = Some(path.to_owned());
        let starts: Vec<usize> =
            std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let line = |at: usize| starts.partition_point(|start| *start <= at);
        self.table("", table, &line);
    }

    fn table(&mut self, above: &str, table: &DeTable<'_>, line: &impl Fn(usize) -> usize) {
        for (name, value) in table {
            let key = join(above, name.get_ref());
            // A section that is opened several times stands where it is opened first.
            self.lines.entry(key.clone()).or_insert_with(|| line(name.span().start));
            self.value(&key, value, line);
        }
    }

    fn value(&mut self, key: &str, value: &Spanned<DeValue<'_>>, line: &impl Fn(usize) -> usize) {
        match value.get_ref() {
            DeValue::Table(table) => self.table(key, table, line),
            DeValue::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let key = format!("{key}[{index}]");
                    self.lines.insert(key.clone(), line(item.span().start));
                    self.value(&key, item, line);
                }
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {}
        }
    }

    /// Takes down that a setting comes from an environment variable.
    pub(super) fn variable(&mut self, key: &str, variable: &str) {
        self.variables.insert(key.to_owned(), variable.to_owned());
    }

    /// The environment variable of a setting, if it comes from one.
    pub(super) fn variable_of(&self, key: &str) -> Option<&str> {
        let list = key.split('[').next().unwrap_or_default();
        self.variables.get(key).or_else(|| self.variables.get(list)).map(String::as_str)
    }

    /// In words. A setting that is missing belongs to the section that it is missing from.
    pub(super) fn of(&self, key: &str) -> Option<String> {
        if key.is_empty() {
            return None;
        }
        if let Some(variable) = self.variable_of(key) {
            return Some(format!("environment variable `{variable}`"));
        }
        let file = self.file.as_ref()?.display();
        if let Some(line) = self.line(key) {
            return Some(format!("`{file}`, line {line}"));
        }
        // A section that only the environment makes.
        let below =
            |known: &&String| known.strip_prefix(parent(key)).is_some_and(|rest| rest.starts_with('.'));
        let mut variables: Vec<&String> = self
            .variables
            .iter()
            .filter(|(known, _)| !parent(key).is_empty() && below(known))
            .map(|(_, v)| v)
            .collect();
        variables.sort();
        match variables.first() {
            Some(variable) => Some(format!("environment variable `{variable}`")),
            None => Some(format!("`{file}`")),
        }
    }

    /// By what mistakes are sorted: those of the file by line, then the others by name.
    pub(super) fn order(&self, key: &str) -> (usize, String) {
        let in_file = if self.variable_of(key).is_some() { None } else { self.line(key) };
        (in_file.unwrap_or(usize::MAX), key.to_owned())
    }

    fn line(&self, key: &str) -> Option<usize> {
        let mut key = key;
        loop {
            if let Some(line) = self.lines.get(key) {
                return Some(*line);
            }
            match parent(key) {
                "" => return None,
                above => key = above,
            }
        }
    }
}

/// The section of a setting, or the list of an item.
fn parent(key: &str) -> &str {
    key.rfind(['.', '[']).and_then(|at| key.get(..at)).unwrap_or_default()
}

/// The full name of what stands in a section.
pub(super) fn join(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}
