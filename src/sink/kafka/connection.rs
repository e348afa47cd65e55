//! One librdkafka producer, from its making to its end, and what it complains of. librdkafka blocks where it looks at a
//! topic and where it ends, so both are done on threads that may wait.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::producer::{FutureProducer, Producer, PurgeConfig};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout_at};

use super::settings::Settings;
use crate::sink::BoxError;

/// How long the first look at a topic may take, and the longest, each twice the one before. They begin short because a
/// look cannot be ended early, and a process that is to end waits for it.
const FIRST_LOOK: Duration = Duration::from_millis(250);
const LONGEST_LOOK: Duration = Duration::from_secs(2);
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// How long a topic may be missing: some brokers create it when they are asked for it, and say so a moment later.
const CREATION: Duration = Duration::from_secs(1);

/// A producer that has met its topic.
pub(super) struct Connection {
    /// `None` only while it is dropped.
    producer: Option<FutureProducer<Ear>>,
    topic: String,
    ear: Ear,
}

impl Connection {
    /// Connects and looks at the topic, which makes brokers create it that may.
    pub(super) async fn open(settings: &Settings, deadline: Instant) -> Result<Self, BoxError> {
        let ear = Ear::default();
        let (client, own_ear) = (settings.client.clone(), ear.clone());
        let made = spawn_blocking(move || client.create_with_context(own_ear));
        let made = timeout_at(deadline, made).await.map_err(|_| "no client was made in time")?;
        let producer = made?.map_err(|error| unusable(&error))?;
        let connection = Self { producer: Some(producer), topic: settings.topic.clone(), ear };
        connection.meet_topic(deadline).await?;
        Ok(connection)
    }

    async fn meet_topic(&self, deadline: Instant) -> Result<(), BoxError> {
        let created_by = Instant::now() + CREATION;
        let mut patience = FIRST_LOOK;
        loop {
            let Some(producer) = self.producer.clone() else { return Err("closed".into()) };
            let (topic, limit) =
                (self.topic.clone(), patience.min(deadline.saturating_duration_since(Instant::now())));
            let looked = spawn_blocking(move || look_at(&producer, &topic, limit));
            let error = match timeout_at(deadline, looked).await {
                Ok(looked) => match looked? {
                    Ok(()) => return Ok(()),
                    Err(error) => error,
                },
                Err(_) => KafkaError::MetadataFetch(Code::OperationTimedOut),
            };
            let now = Instant::now();
            let again = match error.rdkafka_error_code() {
                Some(Code::BrokerTransportFailure | Code::OperationTimedOut) => {
                    !self.ear.has_heard_the_worst()
                }
                Some(Code::LeaderNotAvailable) => true,
                Some(Code::UnknownTopicOrPartition) => now < created_by,
                _ => false,
            };
            if !again || now + BETWEEN_LOOKS >= deadline {
                return Err(self.explain(&error).into());
            }
            sleep(BETWEEN_LOOKS).await;
            patience = (patience * 2).min(LONGEST_LOOK);
        }
    }

    pub(super) fn producer(&self) -> Option<&FutureProducer<Ear>> {
        self.producer.as_ref()
    }

    /// Forgets what has not been sent and what has not been answered.
    pub(super) fn purge(&self) {
        if let Some(producer) = &self.producer {
            producer.purge(PurgeConfig::default().queue().inflight().non_blocking());
        }
    }

    /// What went wrong, and what to do about it where somebody can do something.
    pub(super) fn explain(&self, error: &KafkaError) -> String {
        let fatal = self.producer.as_ref().and_then(|producer| producer.client().fatal_error());
        let heard = self.ear.last();
        let code = match (error.rdkafka_error_code(), &heard) {
            // That nobody answers is what the caller sees; why, only the client.
            (Some(Code::BrokerTransportFailure | Code::OperationTimedOut), Some((code, _))) => Some(*code),
            (code, _) => code,
        };
        let mut text = match code.and_then(|code| advice(code, &self.topic)) {
            Some(advice) => format!("{advice} ({error})"),
            None => error.to_string(),
        };
        // A fatal error says which request it was and what the broker answered.
        match (fatal, heard) {
            (Some((_, reason)), _) | (None, Some((_, reason))) => {
                text.push_str("; the client says: ");
                text.push_str(&reason);
            }
            (None, None) => {}
        }
        text
    }

    /// Nothing went wrong that anybody told us of, but the time is over.
    pub(super) fn explain_silence(&self, limit: Duration) -> String {
        let mut text = format!(
            "not acknowledged within {limit:?}; are the brokers of `{}` up, and enough replicas in sync?",
            self.topic
        );
        if let Some((_, reason)) = self.ear.last() {
            text.push_str(" The client's last word: ");
            text.push_str(&reason);
        }
        text
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // At once, so that from here on it can only repeat the request that it is in the midst of. That would do no harm
        // even later than the next connection's: both go on from what is there, and without gaps.
        self.purge();
        let producer = self.producer.take();
        match Handle::try_current() {
            // Not waited for: it takes up to a second.
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop(producer))),
            Err(_) => drop(producer),
        }
    }
}

/// Blocks.
fn look_at(producer: &FutureProducer<Ear>, topic: &str, limit: Duration) -> KafkaResult<()> {
    let metadata = producer.client().fetch_metadata(Some(topic), limit)?;
    let topic = metadata.topics().first();
    match topic.map(|topic| (topic.error(), topic.partitions().is_empty())) {
        Some((Some(error), _)) => Err(KafkaError::MetadataFetch(error.into())),
        Some((None, false)) => Ok(()),
        Some((None, true)) | None => Err(KafkaError::MetadataFetch(Code::UnknownTopicOrPartition)),
    }
}

/// Why librdkafka makes no client. Never the value of a setting, for that may be the password.
fn unusable(error: &KafkaError) -> String {
    if let KafkaError::ClientConfig(_, _, key, _) = error {
        format!("the client refuses the value of `{key}`")
    } else if let KafkaError::ClientCreation(why) = error {
        format!("the client cannot be made: {why}")
    } else {
        "the client cannot be made".to_owned()
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "150 codes of others; most say all that there is to say")]
fn advice(code: Code, topic: &str) -> Option<String> {
    Some(match code {
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => format!(
            "there is no topic `{topic}`; create it, or let the brokers do so (auto.create.topics.enable)"
        ),
        Code::TopicAuthorizationFailed => {
            format!("this login may not write to `{topic}`; grant it Write and Describe on the topic")
        }
        Code::ClusterAuthorizationFailed => format!(
            "this login may not write idempotently; grant it Write on the topic `{topic}`, and before Kafka 2.8 \
             IdempotentWrite on the cluster"
        ),
        Code::Authentication | Code::SaslAuthenticationFailed | Code::UnsupportedSASLMechanism => {
            "the brokers refuse the login; see `username`, `password` and `sasl_mechanism`".to_owned()
        }
        Code::SSL => "no TLS with the brokers; see `tls` and `ca_file`".to_owned(),
        Code::AllBrokersDown | Code::BrokerTransportFailure | Code::Resolve | Code::OperationTimedOut => {
            "no broker answers; see `brokers`, `tls` and the login".to_owned()
        }
        Code::InvalidTimestamp => format!(
            "`{topic}` does not take messages as old as these; see its message.timestamp.before.max.ms, or set its \
             message.timestamp.type to LogAppendTime"
        ),
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge => {
            format!("larger than `{topic}` takes (max.message.bytes)")
        }
        Code::UnsupportedVersion | Code::UnsupportedForMessageFormat => {
            "the brokers are older than Kafka 0.11, or do not take idempotent producers".to_owned()
        }
        _ => return None,
    })
}

/// What a client complains of while nobody waits for it.
#[derive(Clone, Default)]
pub(super) struct Ear(Arc<Mutex<Option<(Code, String)>>>);

impl Ear {
    fn last(&self) -> Option<(Code, String)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether to wait on is of no use: the client goes on trying, but every broker has refused or is not there.
    fn has_heard_the_worst(&self) -> bool {
        let worst = [Code::AllBrokersDown, Code::Authentication, Code::SSL];
        self.last().is_some_and(|(code, _)| worst.contains(&code))
    }
}

impl ClientContext for Ear {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::warn!(target: "librdkafka", facility, "{text}");
            }
            // A broker that cannot be reached is an error to librdkafka at every try; if it matters, the delivery
            // fails and says so.
            RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning
            | RDKafkaLogLevel::Notice
            | RDKafkaLogLevel::Info
            | RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{text}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason, "the client complains");
        let Some(code) = error.rdkafka_error_code() else { return };
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // That nobody is there, or hangs up, follows upon a refusal; and that all are down follows upon both.
        match &mut *last {
            Some((Code::Authentication | Code::SSL, _))
                if ![Code::Authentication, Code::SSL].contains(&code) => {}
            Some((known, _)) if code == Code::AllBrokersDown => *known = code,
            last => *last = Some((code, reason.to_owned())),
        }
    }
}
