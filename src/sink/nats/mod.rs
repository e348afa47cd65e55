//! Receipts in a stream of NATS JetStream, one message each. What makes a repeat harmless: `Nats-Msg-Id` is
//! the receipt's id, and the stream drops one that it took within its duplicate window; later, a consumer
//! tells it by the id.

mod connection;
mod login;
mod stream;

use std::collections::{HashSet, VecDeque};
use std::error::Error;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{PublishAckFuture, PublishError, PublishErrorKind};
use async_nats::{HeaderMap, HeaderValue, header};
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::facts::Facts;
use super::{BoxError, DeliverError, Sink};
use crate::config::NatsSink;
use crate::journal::Stored;
use connection::{Connection, Connector};

/// How many messages may be on their way. More would only wait elsewhere: the client's queue has 2,048
/// places.
const IN_FLIGHT: usize = 2_000;

/// A stream.
pub(super) struct JetStream {
    connector: Connector,
    stream: String,
    prefix: String,
    /// Made with the first delivery, and anew after an error.
    connection: Mutex<Option<Connection>>,
}

/// Why a delivery ends before its end.
enum Stop {
    /// The next receipt is refused for good; the connection is well.
    Refused(BoxError),
    Failed(BoxError),
}

impl JetStream {
    /// # Errors
    /// When the credentials are of no use to the client.
    pub(super) fn new(config: &NatsSink) -> Result<Self, BoxError> {
        Ok(Self {
            connector: Connector::new(config)?,
            stream: config.stream.clone(),
            prefix: config.subject_prefix.clone(),
            connection: Mutex::default(),
        })
    }
}

#[async_trait]
impl Sink for JetStream {
    async fn deliver(&self, batch: &[Stored]) -> Result<(), DeliverError> {
        let mut kept = self.connection.lock().await;
        // Taken out first: when this is dropped at an await, the connection with its unanswered messages is,
        // too.
        let connection = match kept.take().filter(Connection::is_well) {
            Some(connection) => connection,
            None => self.connector.connect().await.map_err(DeliverError::retry)?,
        };
        let (facts, end) = Facts::of(batch);
        let mut done = 0;
        let within = self.connector.timeout();
        let delivered = tokio::select! {
            delivered = timeout(within, self.publish(&connection, batch, &facts, &mut done)) => delivered,
            trouble = connection.trouble() => Ok(Err(Stop::Failed(trouble))),
        };
        let why = match delivered {
            Ok(Ok(())) => {
                *kept = Some(connection);
                return end;
            }
            Ok(Err(Stop::Refused(why))) => {
                *kept = Some(connection);
                return Err(DeliverError::reject(done, why));
            }
            Ok(Err(Stop::Failed(why))) => why,
            Err(_) => format!("the batch was not acknowledged within {within:?}").into(),
        };
        Err(DeliverError::Retry { done, why, after: None })
    }

    async fn probe(&self) -> Result<(), BoxError> {
        self.connector.connect().await.map(drop)
    }
}

impl JetStream {
    /// Publishes, and waits for the acknowledgements in the same order; `done` counts them.
    ///
    /// Where the stream lets nothing overtake, all go out one after the other. Elsewhere a receipt waits until the one
    /// before it of its conversation is acknowledged: otherwise one could be lost or refused and the next be stored.
    async fn publish(
        &self,
        connection: &Connection,
        batch: &[Stored],
        facts: &[Facts<'_>],
        done: &mut usize,
    ) -> Result<(), Stop> {
        let mut waited_for = HashSet::new();
        let mut acks = VecDeque::new();
        for (receipt, facts) in batch.iter().zip(facts) {
            let conversation = (!connection.pipelines()).then(|| facts.conversation_key());
            while acks.len() >= IN_FLIGHT
                || conversation.as_ref().is_some_and(|conversation| waited_for.contains(conversation))
            {
                self.acknowledged(&mut acks, &mut waited_for, done).await?;
            }
            match self.publish_one(connection, receipt, facts).await {
                Ok(ack) => {
                    waited_for.extend(conversation.clone());
                    acks.push_back((conversation, ack));
                }
                // What was sent before it has the first word.
                Err(stop) => {
                    while !acks.is_empty() {
                        self.acknowledged(&mut acks, &mut waited_for, done).await?;
                    }
                    return Err(stop);
                }
            }
        }
        while !acks.is_empty() {
            self.acknowledged(&mut acks, &mut waited_for, done).await?;
        }
        Ok(())
    }

    async fn publish_one(
        &self,
        connection: &Connection,
        receipt: &Stored,
        facts: &Facts<'_>,
    ) -> Result<PublishAckFuture, Stop> {
        let id: HeaderValue = facts.id.parse().map_err(|error| Stop::Refused(Box::new(error)))?;
        let mut headers = HeaderMap::new();
        headers.insert(header::NATS_MESSAGE_ID, id);
        headers.insert(header::NATS_EXPECTED_STREAM, self.stream.as_str());
        headers.insert("Content-Type", "application/json");
        if let Some(trace) = &receipt.trace {
            headers.insert("traceparent", trace.as_str());
        }
        let payload = Bytes::copy_from_slice(receipt.json.as_bytes());
        let published =
            connection.context().publish_with_headers(subject(&self.prefix, facts), headers, payload);
        published.await.map_err(|error| self.stop(error))
    }

    /// Waits for the oldest of the acknowledgements.
    async fn acknowledged(
        &self,
        acks: &mut VecDeque<(Option<String>, PublishAckFuture)>,
        waited_for: &mut HashSet<String>,
        done: &mut usize,
    ) -> Result<(), Stop> {
        let Some((conversation, ack)) = acks.pop_front() else { return Ok(()) };
        let ack = ack.await.map_err(|error| self.stop(error))?;
        if ack.stream != self.stream {
            let problem = format!("the stream `{}` took what is for `{}`", ack.stream, self.stream);
            return Err(Stop::Failed(problem.into()));
        }
        if let Some(conversation) = conversation {
            waited_for.remove(&conversation);
        }
        *done += 1;
        Ok(())
    }

    /// What a refusal means. Only the size of a message is its own fault; the rest can be mended over there.
    fn stop(&self, error: PublishError) -> Stop {
        let stream = &self.stream;
        match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => return Stop::Refused(Box::new(error)),
            PublishErrorKind::StreamNotFound => {
                let problem = format!(
                    "nobody takes the messages: JetStream is off, or the stream `{stream}` is gone or has \
                     other subjects"
                );
                return Stop::Failed(problem.into());
            }
            PublishErrorKind::WrongLastMessageId
            | PublishErrorKind::WrongLastSequence
            | PublishErrorKind::TimedOut
            | PublishErrorKind::BrokenPipe
            | PublishErrorKind::MaxAckPending
            | PublishErrorKind::Other => {}
        }
        let refusal = error.source().and_then(|source| source.downcast_ref());
        match refusal.map(async_nats::jetstream::Error::error_code) {
            Some(ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM) => Stop::Refused(Box::new(error)),
            Some(ErrorCode::STREAM_STORE_FAILED) => Stop::Failed(
                format!("the stream `{stream}` cannot store: make room, or raise its limits: {error}").into(),
            ),
            Some(ErrorCode::STREAM_NOT_MATCH) => Stop::Failed(
                format!("another stream than `{stream}` has the subjects; give it others: {error}").into(),
            ),
            _ => Stop::Failed(Box::new(error)),
        }
    }
}

/// `<prefix>.<vendor>.<app>.<conversation type>`.
fn subject(prefix: &str, facts: &Facts<'_>) -> String {
    let mut subject = prefix.to_owned();
    for text in [&facts.vendor, &facts.app, &facts.conversation.kind] {
        subject.push('.');
        add_word(&mut subject, text);
    }
    subject
}

/// A word of a subject that neither wildcards nor MQTT bridges nor shells take for anything else. Two apps
/// may share one then; the payload still tells them apart.
fn add_word(subject: &mut String, text: &str) {
    if text.is_empty() {
        subject.push('_');
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    subject.extend(text.chars().map(|c| if fits(c) { c } else { '_' }));
}
