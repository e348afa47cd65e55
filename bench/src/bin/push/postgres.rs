//! PostgreSQL: an insert for each batch, one array for each column. The table is not made here: `readhook check` makes
//! it, so that it is the sink's own, with the indexes that the sink's has.

use anyhow::{Context as _, Result};
use readhook_bench::rate::Rate;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_postgres::NoTls;
use tokio_postgres::types::ToSql;

use super::receipt::Receipt;

/// What the sink has by default.
const TABLE: &str = "read_receipts";

/// Name, type, and where in a receipt it is.
const COLUMNS: [(&str, &str, &str); 19] = [
    ("id", "text", "/id"),
    ("vendor", "text", "/vendor"),
    ("app", "text", "/app"),
    ("conversation_type", "text", "/conversation/type"),
    ("conversation_id", "text", "/conversation/id"),
    ("reader", "text", "/reader"),
    ("scope", "text", "/scope"),
    ("message_id", "text", "/message_id"),
    ("message_seq", "bigint", "/message_seq"),
    ("up_to_time", "timestamptz", "/up_to_time"),
    ("author", "text", "/author"),
    ("read_count", "bigint", "/counts/read"),
    ("unread_count", "bigint", "/counts/unread"),
    ("read_at", "timestamptz", "/read_at"),
    ("received_at", "timestamptz", "/received_at"),
    ("verified_by", "text", "/verified_by"),
    ("event", "text", "/event"),
    ("event_id", "text", "/event_id"),
    ("extra", "jsonb", "/extra"),
];

enum Column {
    Text(Vec<Option<String>>),
    Integer(Vec<Option<i64>>),
}

pub(crate) async fn push(url: &str, batches: &[&[Receipt<'_>]], rate: &mut Rate) -> Result<()> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let missing = || format!("is the table {TABLE} there? `readhook check` makes it");
    let insert = client.prepare(&insert()).await.with_context(missing)?;
    let prepared = batches.iter().map(|batch| columns(batch)).collect::<Result<Vec<_>>>()?;
    for (batch, columns) in batches.iter().zip(&prepared) {
        let arrays: Vec<_> = columns.iter().map(Column::array).collect();
        client.execute(&insert, &arrays).await?;
        rate.add(batch.len());
    }
    Ok(())
}

/// Times and objects go as text, as the sink sends them.
fn insert() -> String {
    let names = COLUMNS.map(|(name, _, _)| name).join(", ");
    let values = COLUMNS.map(|(name, kind, _)| format!("r.{name}::{kind}")).join(", ");
    let arrays = COLUMNS.iter().zip(1..).map(|((_, kind, _), number)| {
        let sent_as = if *kind == "bigint" { "bigint" } else { "text" };
        format!("${number}::{sent_as}[]")
    });
    let arrays = arrays.collect::<Vec<_>>().join(", ");
    format!(
        "INSERT INTO {TABLE} ({names}) SELECT {values} FROM unnest({arrays}) AS r ({names}) ON CONFLICT DO NOTHING"
    )
}

fn columns(batch: &[Receipt<'_>]) -> Result<Vec<Column>> {
    let receipts =
        batch.iter().map(|receipt| serde_json::from_str(receipt.json)).collect::<Result<Vec<Value>, _>>()?;
    let column = |(_, kind, place): (&str, &str, &str)| {
        let values = receipts.iter().map(|receipt| receipt.pointer(place).filter(|value| !value.is_null()));
        match kind {
            "bigint" => Column::Integer(values.map(|value| value.and_then(Value::as_i64)).collect()),
            "jsonb" => Column::Text(values.map(|value| Some(object(value))).collect()),
            _ => Column::Text(values.map(|value| Some(value?.as_str()?.to_owned())).collect()),
        }
    };
    Ok(COLUMNS.into_iter().map(column).collect())
}

fn object(value: Option<&Value>) -> String {
    value.map_or_else(|| "{}".to_owned(), Value::to_string)
}

impl Column {
    fn array(&self) -> &(dyn ToSql + Sync) {
        match self {
            Self::Text(values) => values,
            Self::Integer(values) => values,
        }
    }
}
