//! The table: made when it is missing, checked when it is there, and the statement that inserts.

use tokio_postgres::{Client, Statement};

use super::column::{COLUMNS, Column};
use super::problem::Problem;

/// Whoever makes a table holds this lock, so that replicas that start together do not fall over each other.
const LOCK: i64 = i64::from_be_bytes(*b"readhook");

const ABOUT: &str = "Read receipts, one row each, written by readhook.";

/// What people ask: who has read this message, who has read so far, what this reader has read, what is new.
const INDEXES: [&str; 4] = [
    "vendor, app, conversation_id, message_id",
    "vendor, app, conversation_id, message_seq",
    "vendor, app, reader, received_at",
    "received_at",
];

/// A table by its name. The configuration lets through only names that mean the same with and without quotes.
pub(super) struct Table {
    name: String,
    quoted: String,
}

impl Table {
    pub(super) fn named(name: &str) -> Self {
        // Quoted nevertheless: `user` and `order` are such names.
        let quoted = name.split('.').map(|part| format!("\"{part}\"")).collect::<Vec<_>>().join(".");
        Self { name: name.to_owned(), quoted }
    }

    /// Makes the table if it is missing, looks whether it has what it needs, and prepares the insert.
    pub(super) async fn prepare(&self, client: &mut Client) -> Result<Statement, Problem> {
        check_encoding(client).await?;
        let oid = match self.find(client).await? {
            Some(oid) => oid,
            None => self.make(client).await?,
        };
        let names: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
        let there = client
            .query_one(
                "SELECT ARRAY(SELECT attname::text FROM pg_attribute \
                              WHERE attrelid = $1 AND attname = ANY($2::text[]) AND NOT attisdropped), \
                        EXISTS (SELECT FROM pg_index \
                                JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY(indkey) \
                                WHERE indrelid = $1 AND indisunique AND attname = 'id')",
                &[&oid, &names],
            )
            .await?;
        let (there, unique): (Vec<String>, bool) = (there.try_get(0)?, there.try_get(1)?);
        let missing: Vec<&Column> =
            COLUMNS.iter().filter(|column| !there.iter().any(|name| name == column.name)).collect();
        if !missing.is_empty() {
            return Err(self.lacks(&missing));
        }
        if !unique {
            tracing::warn!(
                table = self.name,
                "no unique index of the table holds `id`: a receipt that comes again will stand there twice"
            );
        }
        Ok(client.prepare(&self.insert()).await?)
    }

    async fn find(&self, client: &Client) -> Result<Option<u32>, Problem> {
        Ok(client.query_one("SELECT to_regclass($1)::oid", &[&self.quoted]).await?.try_get(0)?)
    }

    /// Makes it, unless somebody else has done so meanwhile.
    async fn make(&self, client: &mut Client) -> Result<u32, Problem> {
        let transaction = client.transaction().await?;
        transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
        let found = transaction
            .query_one(
                "SELECT to_regclass($1)::oid, quote_ident(current_user), quote_ident(current_schema())",
                &[&self.quoted],
            )
            .await?;
        if let Some(oid) = found.try_get(0)? {
            return Ok(oid);
        }
        let (role, schema): (String, Option<String>) = (found.try_get(1)?, found.try_get(2)?);
        let schema = self.name.split_once('.').map_or(schema.as_deref(), |(schema, _)| Some(schema));
        let not_made = |error: Problem| {
            Problem::Server(format!(
                "the table `{}` is missing and could not be made: {}; let this role make it (GRANT USAGE, CREATE \
                 ON SCHEMA {} TO {role}), or make it yourself as docs/sinks.md has it",
                self.name,
                error.into_error(),
                schema.unwrap_or("public"),
            ))
        };
        transaction.batch_execute(&self.definition()).await.map_err(|error| not_made(error.into()))?;
        transaction.commit().await?;
        tracing::info!(table = self.name, "made the table");
        self.find(client).await?.ok_or_else(|| not_made(Problem::Server("it is gone again".to_owned())))
    }

    fn definition(&self) -> String {
        let table = &self.quoted;
        let columns: Vec<String> = COLUMNS.iter().map(declaration).collect();
        let mut sql =
            format!("CREATE TABLE {table} ({}); COMMENT ON TABLE {table} IS '{ABOUT}';", columns.join(", "));
        for Column { name, about, .. } in &COLUMNS {
            sql.push_str(&format!("COMMENT ON COLUMN {table}.{name} IS '{about}';"));
        }
        for columns in INDEXES {
            // The server finds their names: an older table that was renamed still has its own.
            sql.push_str(&format!("CREATE INDEX ON {table} ({columns});"));
        }
        sql
    }

    /// No conflict target: the operator's own key may have more columns, as that of a partitioned table must.
    fn insert(&self) -> String {
        let (mut names, mut values, mut arrays) = (Vec::new(), Vec::new(), Vec::new());
        for (at, Column { name, kind, .. }) in COLUMNS.iter().enumerate() {
            names.push(*name);
            values.push(format!("r.{name}::{}", kind.as_str()));
            arrays.push(format!("${}::{}[]", at + 1, kind.sent_as()));
        }
        let (names, values, arrays) = (names.join(", "), values.join(", "), arrays.join(", "));
        let table = &self.quoted;
        format!(
            "INSERT INTO {table} ({names}) SELECT {values} FROM unnest({arrays}) AS r ({names}) \
             ON CONFLICT DO NOTHING"
        )
    }

    fn lacks(&self, missing: &[&Column]) -> Problem {
        let names: Vec<&str> = missing.iter().map(|column| column.name).collect();
        let additions: Vec<String> =
            missing.iter().map(|column| format!("ADD COLUMN {}", declaration(column))).collect();
        Problem::Server(format!(
            "the table `{}` has no {}; add them: ALTER TABLE {} {}",
            self.name,
            names.join(", "),
            self.quoted,
            additions.join(", ")
        ))
    }
}

/// A database in another encoding would take most receipts and refuse those with characters that it lacks.
async fn check_encoding(client: &Client) -> Result<(), Problem> {
    let row = client.query_one("SELECT getdatabaseencoding()::text, current_database()::text", &[]).await?;
    let (encoding, database): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    if encoding == "UTF8" {
        return Ok(());
    }
    Err(Problem::Server(format!(
        "the database `{database}` has the encoding {encoding}, which cannot hold every receipt; make one with \
         CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0, and name it in `url`"
    )))
}

fn declaration(Column { name, kind, rule, .. }: &Column) -> String {
    format!("{name} {} {rule}", kind.as_str()).trim_end().to_owned()
}
