//! `readhook schema`: the JSON Schema of a receipt, made from the type.

#![expect(clippy::print_stdout, reason = "the schema is its output")]

use super::{Exit, complain};
use crate::receipt;

pub(super) fn schema() -> Exit {
    match serde_json::to_string_pretty(&receipt::schema()) {
        Ok(schema) => {
            println!("{schema}");
            Exit::Ok
        }
        Err(error) => {
            complain(&error);
            Exit::Io
        }
    }
}
