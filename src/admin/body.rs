//! The body of an order: a JSON object with the members that the order knows, and nothing else.

use serde::de::DeserializeOwned;

use super::problem::Problem;

/// Reads it. (serde would take a list for an object, too, by the order of the members.)
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(Problem::bad_request("the body must be a JSON object"));
    }
    serde_json::from_slice(body).map_err(|error| Problem::bad_request(error.to_string()))
}
