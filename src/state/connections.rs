//! Connections for questions to the state's file, so that nobody waits for the keeper. Each question sees the state as of
//! one moment.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

use super::schema;

/// How many idle connections are kept.
const KEPT: usize = 4;

/// Connections that only read.
pub(super) struct Connections {
    path: PathBuf,
    /// Those that are idle, and of which generation of the file they are.
    idle: Mutex<(u64, Vec<Connection>)>,
}

impl Connections {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, idle: Mutex::default() }
    }

    /// Closes the idle ones.
    pub(super) fn close(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).1.clear();
    }

    /// Answers a question to the file of this generation, within one transaction.
    pub(super) fn with<T>(
        &self,
        generation: u64,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let kept = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.0 != generation {
                *idle = (generation, Vec::new());
            }
            idle.1.pop()
        };
        let connection = match kept {
            Some(connection) => connection,
            None => schema::open_to_read(&self.path)?,
        };
        let transaction = connection.unchecked_transaction()?;
        let result = work(&transaction)?;
        transaction.finish()?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.0 == generation && idle.1.len() < KEPT {
            idle.1.push(connection);
        }
        Ok(result)
    }
}
