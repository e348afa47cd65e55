//! `readhook schema`: the JSON Schema of a receipt, made from the type.

use super::{Exit, complain, print};
use crate::receipt;

pub(super) fn schema() -> Exit {
    match serde_json::to_string_pretty(&receipt::schema()) {
        Ok(schema) => {
            print(&schema);
            Exit::Ok
        }
        Err(error) => {
            complain(&error);
            Exit::Io
        }
    }
}
