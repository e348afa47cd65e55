//! Receipts as messages of a Kafka topic, as CloudEvents in binary mode. What makes a repeat harmless: consumers know it
//! by the header `ce_id`, which is the receipt's `id`; the brokers themselves only drop what one connection sends twice.

mod connection;
mod settings;

use std::time::Duration;

use async_trait::async_trait;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::FutureRecord;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::cloud_event;
use super::facts::Facts;
use super::{BoxError, DeliverError, Sink};
use crate::config::KafkaSink;
use crate::journal::Stored;
use connection::Connection;
use settings::{REQUEST_BYTES, Settings};

/// What a message is on its way beside its payload, its key and its id, at the most and roughly, in bytes.
const ENVELOPE: usize = 704;

/// A topic.
pub(super) struct Kafka {
    settings: Settings,
    timeout: Duration,
    /// Made with the first delivery, and anew after any error. It is not in here while it works, so that whoever is
    /// dropped half-way, or fails, leaves nothing to the next.
    connection: Mutex<Option<Connection>>,
}

/// A receipt with what routes it.
struct Message<'a> {
    receipt: &'a Stored,
    facts: Facts<'a>,
    key: String,
}

/// How far some messages came.
struct Failure {
    /// How many of the first are acknowledged.
    done: usize,
    /// The last that the brokers refused for what it is. They refuse a request as a whole, so it may be a neighbour's
    /// fault.
    refused: Option<usize>,
    why: BoxError,
}

impl Kafka {
    pub(super) fn new(config: &KafkaSink) -> Self {
        Self {
            settings: Settings::new(config),
            timeout: config.timeout.duration(),
            connection: Mutex::default(),
        }
    }

    /// Sends messages in their order and waits until all are acknowledged by all replicas in sync.
    async fn send(&self, messages: &[Message<'_>], deadline: Instant) -> Result<(), Failure> {
        let mut idle = self.connection.lock().await;
        let connection = match idle.take() {
            Some(connection) => connection,
            None => Connection::open(&self.settings, deadline).await.map_err(|why| Failure {
                done: 0,
                refused: None,
                why,
            })?,
        };
        let mut done = 0;
        match timeout_at(deadline, self.send_on(&connection, messages, &mut done)).await {
            Ok(None) => {
                *idle = Some(connection);
                Ok(())
            }
            Ok(Some((refused, error))) => {
                Err(Failure { done, refused, why: connection.explain(&error).into() })
            }
            Err(_) => {
                Err(Failure { done, refused: None, why: connection.explain_silence(self.timeout).into() })
            }
        }
    }

    /// Counts in `done` how many of the first messages are acknowledged. After an error it returns the last refused
    /// message and the first error that says something.
    async fn send_on(
        &self,
        connection: &Connection,
        messages: &[Message<'_>],
        done: &mut usize,
    ) -> Option<(Option<usize>, KafkaError)> {
        let Some(producer) = connection.producer() else {
            return Some((None, KafkaError::Canceled));
        };
        let mut reports = Vec::with_capacity(messages.len());
        let mut failed = None;
        for (at, message) in messages.iter().enumerate() {
            match producer.send_result(message.record(&self.settings.topic)) {
                Ok(report) => reports.push(report),
                Err((error, _)) => {
                    note(&mut failed, at, error);
                    break;
                }
            }
        }
        let mut in_a_row = true;
        for (at, report) in reports.into_iter().enumerate() {
            let error = match report.await {
                Ok(Ok(_)) => {
                    *done += usize::from(in_a_row);
                    continue;
                }
                Ok(Err((error, _))) => error,
                Err(_) => KafkaError::Canceled,
            };
            if in_a_row {
                // Nothing more is to go out; the other reports come at once.
                connection.purge();
                in_a_row = false;
            }
            note(&mut failed, at, error);
        }
        failed
    }

    async fn deliver_until(&self, messages: &[Message<'_>], deadline: Instant) -> Result<(), DeliverError> {
        let mut done = 0;
        let mut one_by_one_until = 0;
        while let Some(rest) = messages.get(done..).filter(|rest| !rest.is_empty()) {
            let now = beginning(rest, if done < one_by_one_until { 0 } else { REQUEST_BYTES });
            match self.send(now, deadline).await {
                Ok(()) => done += now.len(),
                Err(Failure { refused: Some(_), why, .. }) if now.len() == 1 => {
                    return Err(DeliverError::reject(done, why));
                }
                Err(Failure { done: some, refused: Some(last), .. }) => {
                    one_by_one_until = done + last + 1;
                    done += some;
                }
                Err(Failure { done: some, refused: None, why }) => {
                    return Err(DeliverError::Retry { done: done + some, why, after: None });
                }
            }
        }
        Ok(())
    }
}

/// As many of the first messages as fit into one request; one at the least. No more are handed over at once: when a
/// broker refuses a request, librdkafka may have the next one ready, and sends it.
fn beginning<'m, 'a>(messages: &'m [Message<'a>], bytes: usize) -> &'m [Message<'a>] {
    let mut size = 0;
    let fit = messages.iter().take_while(|message| {
        size += message.receipt.json.len() + 2 * message.key.len() + message.facts.id.len() + ENVELOPE;
        size <= bytes
    });
    messages.get(..fit.count().max(1)).unwrap_or(messages)
}

/// Puts an error with the others of its batch.
fn note(failed: &mut Option<(Option<usize>, KafkaError)>, at: usize, error: KafkaError) {
    let code = error.rdkafka_error_code();
    let refused = code.filter(|code| refuses(*code)).map(|_| at);
    match failed {
        None => *failed = Some((refused, error)),
        Some((last, first)) => {
            *last = refused.max(*last);
            if !says_why(first) {
                *first = error;
            }
        }
    }
}

/// Whether a broker would refuse the message for ever because of what it is.
fn refuses(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    // The second is what a broker says when the message is larger than a whole segment of its log.
    [Code::MessageSizeTooLarge, Code::MessageBatchTooLarge, Code::InvalidRecord].contains(&code)
}

/// Whether an error is more than the echo of another one's.
fn says_why(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let echoes = [
        Code::PurgeQueue,
        Code::PurgeInflight,
        Code::Fatal,
        Code::GaplessGuarantee,
        Code::InvalidDifferentRecord,
    ];
    error.rdkafka_error_code().is_some_and(|code| !echoes.contains(&code))
}

impl Message<'_> {
    fn record<'m>(&'m self, topic: &'m str) -> FutureRecord<'m, str, str> {
        let source = cloud_event::source(&self.facts);
        let headers = [
            ("content-type", "application/json"),
            ("ce_specversion", cloud_event::SPEC_VERSION),
            ("ce_id", &self.facts.id),
            ("ce_source", &source),
            ("ce_type", cloud_event::TYPE),
            ("ce_time", &self.facts.received_at),
            ("ce_partitionkey", &self.key),
        ];
        let headers =
            headers.into_iter().fold(OwnedHeaders::new_with_capacity(headers.len()), |all, (key, value)| {
                all.insert(Header { key, value: Some(value) })
            });
        // For tracing libraries, and as the extension of CloudEvents.
        let headers = self.receipt.trace.iter().fold(headers, |all, trace| {
            let value = Some(trace.as_str());
            all.insert(Header { key: "traceparent", value }).insert(Header { key: "ce_traceparent", value })
        });
        FutureRecord::to(topic)
            .key(&*self.key)
            .payload(&*self.receipt.json)
            .timestamp(self.receipt.received_at)
            .headers(headers)
    }
}

#[async_trait]
impl Sink for Kafka {
    async fn deliver(&self, batch: &[Stored]) -> Result<(), DeliverError> {
        let deadline = Instant::now() + self.timeout;
        let (facts, end) = Facts::of(batch);
        let messages: Vec<_> = batch
            .iter()
            .zip(facts)
            .map(|(receipt, facts)| Message { receipt, key: cloud_event::partition_key(&facts), facts })
            .collect();
        self.deliver_until(&messages, deadline).await?;
        end
    }

    async fn probe(&self) -> Result<(), BoxError> {
        Connection::open(&self.settings, Instant::now() + self.timeout).await.map(drop)
    }
}
