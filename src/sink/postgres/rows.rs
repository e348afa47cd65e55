//! A batch, as parameters of the insert: one array for each column.

use std::ops::Range;

use tokio_postgres::types::ToSql;

use super::column::{COLUMNS, Column, Kind};
use crate::journal::Stored;
use crate::receipt::ReadReceipt;
use crate::sink::DeliverError;

/// Receipts that PostgreSQL can store.
#[derive(Default)]
pub(super) struct Rows(Vec<ReadReceipt<'static>>);

impl Rows {
    /// The rows of a batch, and what to say once they are stored: at a receipt that PostgreSQL could not
    /// store they end, and that one is to be refused.
    pub(super) fn of(batch: &[Stored]) -> (Self, Result<(), DeliverError>) {
        let mut receipts = Vec::with_capacity(batch.len());
        for (at, stored) in batch.iter().enumerate() {
            let receipt = match stored.receipt() {
                Ok(receipt) => receipt,
                Err(error) => return (Self(receipts), Err(DeliverError::reject(at, error))),
            };
            if let Some(column) = COLUMNS.iter().find(|column| holds_nul(column, &receipt)) {
                let why = format!("`{}` holds U+0000, which PostgreSQL cannot store", column.name);
                return (Self(receipts), Err(DeliverError::reject(at, why)));
            }
            receipts.push(receipt);
        }
        (Self(receipts), Ok(()))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The arrays, in the order of the columns.
    pub(super) fn arrays(&self, range: Range<usize>) -> Vec<Box<dyn ToSql + Sync + Send + '_>> {
        let receipts = self.0.get(range).unwrap_or_default();
        let array = |column: &Column| -> Box<dyn ToSql + Sync + Send + '_> {
            let values = receipts.iter().map(column.value);
            match column.kind {
                Kind::Bigint => Box::new(values.map(|value| value.integer()).collect::<Vec<_>>()),
                Kind::Text | Kind::Timestamptz | Kind::Jsonb => {
                    Box::new(values.map(|value| value.text()).collect::<Vec<_>>())
                }
            }
        };
        COLUMNS.iter().map(array).collect()
    }
}

fn holds_nul(column: &Column, receipt: &ReadReceipt<'static>) -> bool {
    let Some(text) = (column.value)(receipt).text() else {
        return false;
    };
    match column.kind {
        // JSON writes it as an escape, unless the backslash is itself escaped.
        Kind::Jsonb => text.match_indices(r"\u0000").any(|(at, _)| {
            let before = text.as_bytes().iter().take(at).rev();
            before.take_while(|byte| **byte == b'\\').count() % 2 == 0
        }),
        Kind::Text | Kind::Bigint | Kind::Timestamptz => text.contains('\0'),
    }
}
