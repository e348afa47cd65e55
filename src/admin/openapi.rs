//! `GET /api/v1/openapi.json`: the API's description (<https://spec.openapis.org/oas/v3.1.1.html>), for clients' tools. The
//! file beside this one is written by hand; what a receipt is comes from its type. Continuous integration holds the running
//! service against it with an independent tool.

use std::sync::LazyLock;

use axum::extract::RawQuery;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use super::problem::Problem;
use super::query::Query;
use crate::receipt;

const DESCRIPTION: &str = include_str!("openapi.json");

/// Where a JSON Schema of its own keeps what it refers to, and where this description does.
const DEFINITIONS: [&str; 2] = ["#/$defs/", "#/components/schemas/"];

static WHOLE: LazyLock<Result<String, serde_json::Error>> = LazyLock::new(whole);

pub(super) async fn openapi(RawQuery(query): RawQuery) -> Result<Response, Problem> {
    Query::parse(&query.unwrap_or_default(), &[])?;
    let whole = WHOLE.as_deref().map_err(|error| Problem::internal(error))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], whole).into_response())
}

/// The description with the schema of a receipt in it.
fn whole() -> Result<String, serde_json::Error> {
    let [own, theirs] = DEFINITIONS;
    let receipt = serde_json::to_string(&receipt::schema())?.replace(own, theirs);
    let mut receipt: Map<String, Value> = serde_json::from_str(&receipt)?;
    // OpenAPI names the dialect for the whole document.
    receipt.remove("$schema");
    let parts = receipt.remove("$defs");
    let mut description: Value = serde_json::from_str(DESCRIPTION)?;
    if let Some(schemas) = description.pointer_mut("/components/schemas").and_then(Value::as_object_mut) {
        if let Some(Value::Object(parts)) = parts {
            schemas.extend(parts);
        }
        schemas.insert("ReadReceipt".to_owned(), receipt.into());
    }
    serde_json::to_string(&description)
}
