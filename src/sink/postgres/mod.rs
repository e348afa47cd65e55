//! Receipts as rows of a table of PostgreSQL. What makes a repeat harmless: `id` is the table's primary key,
//! and a row that is there already stays as it is.

mod address;
mod column;
mod problem;
mod rows;
mod session;
mod table;

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::{BoxError, DeliverError, Sink};
use crate::config::PostgresSink;
use crate::journal::Stored;
use address::Address;
use problem::Problem;
use rows::Rows;
use session::Session;
use table::Table;

/// A table of PostgreSQL.
pub(super) struct Postgres {
    address: Address,
    table: Table,
    timeout: Duration,
    /// Kept from batch to batch. Taken out while it is used: one that was dropped with half a request is
    /// never used again.
    session: Mutex<Option<Session>>,
}

impl Postgres {
    /// # Errors
    /// When the URL is none that the client understands, or contradicts other settings.
    pub(super) fn new(config: &PostgresSink) -> Result<Self, BoxError> {
        Ok(Self {
            address: Address::read(config)?,
            table: Table::named(&config.table),
            timeout: config.timeout.duration(),
            session: Mutex::default(),
        })
    }

    async fn connect(&self) -> Result<Session, BoxError> {
        match timeout(self.timeout, Session::open(&self.address, &self.table, self.timeout)).await {
            Ok(opened) => opened.map_err(Problem::into_error),
            Err(_) => Err(self.too_slow("no usable connection")),
        }
    }

    fn too_slow(&self, what: &str) -> BoxError {
        let limit = self.timeout.as_millis();
        format!("{what} within {limit} ms (`timeout_ms`); is the server overloaded, or the network cut?")
            .into()
    }
}

#[async_trait]
impl Sink for Postgres {
    async fn deliver(&self, batch: &[Stored]) -> Result<(), DeliverError> {
        let (rows, refused) = Rows::of(batch);
        if rows.is_empty() {
            return refused;
        }
        let mut slot = self.session.lock().await;
        let kept = match slot.take() {
            Some(session) => session.if_it_stands().await,
            None => None,
        };
        let mut session = match kept {
            Some(session) => session,
            None => self.connect().await.map_err(DeliverError::retry)?,
        };
        // Counted out here, so that a time-out does not forget what is there already.
        let mut done = 0;
        let why = match timeout(self.timeout, insert(&mut session, &rows, &mut done)).await {
            Ok(Ok(())) => {
                *slot = Some(session);
                return refused;
            }
            Ok(Err(Problem::Receipt(why))) => {
                // The server has answered and waits for the next request.
                *slot = Some(session);
                return Err(DeliverError::reject(done, why));
            }
            Ok(Err(Problem::Server(why))) => why.into(),
            Err(_) => self.too_slow("no answer"),
        };
        Err(DeliverError::Retry { done, why, after: None })
    }

    async fn probe(&self) -> Result<(), BoxError> {
        let mut session = self.connect().await?;
        // No rows: nothing is stored, but the server looks whether it would be allowed.
        match timeout(self.timeout, session.insert(&Rows::default(), 0..0)).await {
            Ok(allowed) => allowed.map_err(Problem::into_error),
            Err(_) => Err(self.too_slow("no answer")),
        }
    }
}

/// Inserts all rows, each time all or nothing of a portion. When the server refuses a portion for its
/// content, halves of it lead to the one row that is to blame; everything before that one is stored then.
/// `done` says how many are.
async fn insert(session: &mut Session, rows: &Rows, done: &mut usize) -> Result<(), Problem> {
    let mut refused_until: Option<usize> = None;
    while *done < rows.len() {
        let end = match refused_until {
            None => rows.len(),
            Some(end) => *done + (end - *done).div_ceil(2),
        };
        match session.insert(rows, *done..end).await {
            Ok(()) => {
                *done = end;
                refused_until = refused_until.filter(|refused| *refused > end);
            }
            Err(Problem::Receipt(_)) if end - *done > 1 => refused_until = Some(end),
            Err(problem) => return Err(problem),
        }
    }
    Ok(())
}
