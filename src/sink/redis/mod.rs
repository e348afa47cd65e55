//! Entries of a Redis stream, one for each receipt, with the fields `id`, `vendor`, `app` and `receipt`. What makes a
//! repeat harmless: the `id` in each entry, by which a consumer leaves out what it has had.
//!
//! `Ok` means that the server has replied, and that `wait_replicas` replicas have it, too; nothing else can be promised
//! from here, for when the server syncs is its own `appendfsync`. A server refuses no receipt for what is in it, so none
//! is ever rejected but one that somebody has made unreadable in the journal.

mod connection;
mod explain;

use async_trait::async_trait;
use redis::{ConnectionInfo, IntoConnectionInfo, Pipeline, RedisError, Value};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::facts::Facts;
use super::{BoxError, DeliverError, Sink};
use crate::config::RedisSink;
use crate::journal::Stored;
use connection::Connection;

/// The most entries of one transaction, and the most bytes of receipts: while it runs, the server does nothing else.
const MOST_ENTRIES: usize = 1_000;
const MOST_BYTES: usize = 4 << 20;

/// A stream, and how to reach it.
pub(super) struct Stream {
    config: RedisSink,
    nodes: Vec<ConnectionInfo>,
    connection: Mutex<Option<Connection>>,
}

impl Stream {
    pub(super) fn new(config: RedisSink) -> Result<Self, BoxError> {
        let urls = config.url.expose().split(',');
        let nodes: Vec<_> = urls.map(|url| url.trim().into_connection_info()).collect::<Result<_, _>>()?;
        Ok(Self { config, nodes, connection: Mutex::default() })
    }

    /// A connection over which a delivery should succeed.
    async fn connect(&self) -> Result<Connection, BoxError> {
        let connecting = async {
            let mut connection = Connection::open(&self.config, &self.nodes).await?;
            self.look(&mut connection).await?;
            Ok(connection)
        };
        timeout(self.config.timeout.duration(), connecting).await.unwrap_or_else(|_| Err(self.no_answer()))
    }

    /// Rehearses a delivery, which shows whatever the server has against it before anything is written. Each try would
    /// otherwise leave its entries there again, where too few replicas answer or the login may do no `MULTI`.
    async fn look(&self, connection: &mut Connection) -> Result<(), BoxError> {
        let mut rehearsal = redis::pipe();
        rehearsal.cmd("PING").cmd("TYPE").arg(&self.config.stream).cmd("MULTI");
        // No entry may have this id, so that nothing is written even where `MULTI` was refused.
        rehearsal.cmd("XADD").arg(&self.config.stream).arg("0-0").arg("id").arg("");
        rehearsal.cmd("DISCARD");
        self.wait(&mut rehearsal, 4);
        let mut answers = self.ask(connection, &rehearsal).await?;
        if !matches!(answers.get(1), Some(Value::SimpleString(kind)) if kind == "none" || kind == "stream") {
            return Err(explain::wrong_type(&self.config.stream));
        }
        self.enough_replicas(&mut answers, "nothing was written")
    }

    /// Appends receipts, one transaction after the other, and counts in `done` those that are durable.
    async fn append(
        &self,
        connection: &mut Connection,
        mut rest: &[(&Facts<'_>, &Stored)],
        done: &mut usize,
    ) -> Result<(), BoxError> {
        while !rest.is_empty() {
            let (now, later) = rest.split_at(next_transaction(rest));
            let mut answers = self.ask(connection, &self.transaction(now)).await?;
            if !matches!(answers.get(now.len() + 1), Some(Value::Array(ids)) if ids.len() == now.len()) {
                return Err("the server answered a transaction with something else than its results".into());
            }
            self.enough_replicas(&mut answers, "the batch will come again")?;
            *done += now.len();
            rest = later;
        }
        Ok(())
    }

    /// All or nothing, so that what is left of a batch that fails is always a beginning of it and the order holds when it
    /// comes again; which is also why the next transaction waits for the answer to this one. One stream is one key and
    /// so one slot: a cluster takes it as a single server does. `MULTI` and `EXEC` are written out, because the
    /// library's own transactions do not follow a `MOVED`, and so that `WAIT` goes the same way: over another
    /// connection it would ask for nothing.
    fn transaction(&self, receipts: &[(&Facts<'_>, &Stored)]) -> Pipeline {
        let mut pipeline = Pipeline::with_capacity(receipts.len() + 3);
        pipeline.cmd("MULTI");
        for (facts, receipt) in receipts {
            pipeline.cmd("XADD").arg(&self.config.stream);
            if self.config.maxlen > 0 {
                pipeline.arg("MAXLEN").arg("~").arg(self.config.maxlen);
            }
            pipeline.arg("*").arg("id").arg(&*facts.id).arg("vendor").arg(&*facts.vendor);
            pipeline.arg("app").arg(&*facts.app).arg("receipt").arg(&*receipt.json);
            if let Some(trace) = &receipt.trace {
                pipeline.arg("traceparent").arg(trace.as_str());
            }
        }
        pipeline.cmd("EXEC");
        self.wait(&mut pipeline, 2);
        pipeline
    }

    /// Asks how many replicas have everything so far. They get a part of the time, so that there is an answer to tell.
    fn wait(&self, pipeline: &mut Pipeline, part: u32) {
        if self.config.wait_replicas > 0 {
            // Never 0, which is for ever.
            let patience = (self.config.timeout.duration() / part).as_millis().max(1);
            pipeline.cmd("WAIT").arg(self.config.wait_replicas).arg(patience.to_string());
        }
    }

    /// The answers to a pipeline, all of them good.
    async fn ask(&self, connection: &mut Connection, pipeline: &Pipeline) -> Result<Vec<Value>, BoxError> {
        let explained = |error: RedisError| explain::error(&error, &self.config.stream, &self.nodes);
        let answers = connection.ask(pipeline).await.map_err(explained)?;
        // The first error is the cause; `EXECABORT` only follows from it.
        answers.into_iter().map(|answer| answer.extract_error().map_err(explained)).collect()
    }

    /// Whether the last answer, to `WAIT`, says enough.
    fn enough_replicas(&self, answers: &mut Vec<Value>, otherwise: &str) -> Result<(), BoxError> {
        let wanted = self.config.wait_replicas;
        if wanted == 0 {
            return Ok(());
        }
        match answers.pop() {
            Some(Value::Int(had)) if u64::try_from(had).is_ok_and(|had| had >= wanted) => Ok(()),
            Some(Value::Int(had)) => Err(format!(
                "{had} of the {wanted} replicas of `wait_replicas` answered in time; {otherwise}"
            )
            .into()),
            _ => Err("the server answered `WAIT` with something else than a number".into()),
        }
    }

    fn no_answer(&self) -> BoxError {
        let (servers, millis) = (explain::addresses(&self.nodes), self.config.timeout.duration().as_millis());
        format!("no answer from {servers} within {millis} ms").into()
    }
}

#[async_trait]
impl Sink for Stream {
    async fn deliver(&self, batch: &[Stored]) -> Result<(), DeliverError> {
        let (facts, readable) = Facts::of(batch);
        let receipts: Vec<_> = facts.iter().zip(batch).collect();
        let mut kept = self.connection.lock().await;
        let known = kept.is_some();
        // Taken out until all is well: over one that holds half a request, or its answer, nothing must go any more.
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => self.connect().await.map_err(DeliverError::retry)?,
        };
        let mut done = 0;
        let delivery = async {
            if known && self.config.wait_replicas > 0 {
                self.look(&mut connection).await?;
            }
            self.append(&mut connection, &receipts, &mut done).await
        };
        let delivered = timeout(self.config.timeout.duration(), delivery).await;
        match delivered.unwrap_or_else(|_| Err(self.no_answer())) {
            Ok(()) => *kept = Some(connection),
            Err(why) => return Err(DeliverError::Retry { done, why, after: None }),
        }
        readable
    }

    async fn probe(&self) -> Result<(), BoxError> {
        self.connect().await.map(drop)
    }
}

/// How many of these receipts go into one transaction; at least one.
fn next_transaction(receipts: &[(&Facts<'_>, &Stored)]) -> usize {
    let mut bytes = 0;
    let fit = receipts.iter().take(MOST_ENTRIES).take_while(|(_, receipt)| {
        bytes += receipt.json.len();
        bytes <= MOST_BYTES
    });
    fit.count().max(1)
}
