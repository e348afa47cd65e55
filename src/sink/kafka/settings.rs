//! Our settings in librdkafka's words, and the ones that order and durability rest on. They cannot be overridden.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::config::KafkaSink;

/// The size of a request. Brokers refuse it as a whole when it is larger than the topic allows, which is 1 MiB unless an
/// operator wants it otherwise.
pub(super) const REQUEST_BYTES: usize = 256 << 10;

/// What a connection is made from.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) client: ClientConfig,
    pub(super) topic: String,
}

/// Must hold, or a batch that fails half-way leaves a later receipt of a conversation there before an earlier one.
const IN_ORDER: [(&str, &str); 5] = [
    ("acks", "all"),
    // Without it a request that is sent again after a lost answer would be there twice.
    ("enable.idempotence", "true"),
    // After a message that cannot be sent nothing else is.
    ("enable.gapless.guarantee", "true"),
    // A broker that does not know this producer yet takes any sequence number. So the second request must not be on its
    // way before the first has arrived.
    ("max.in.flight.requests.per.connection", "1"),
    // Never: giving up is up to us, and then for the batch as a whole.
    ("message.timeout.ms", "0"),
];

/// Could be otherwise.
const AS_WE_LIKE: [(&str, &str); 11] = [
    ("client.id", "readhook"),
    // The partition that a Java client would take for the same key.
    ("partitioner", "murmur2_random"),
    ("linger.ms", "5"),
    // What is too large the brokers know better.
    ("message.max.bytes", "8388608"),
    // The queue is bounded by the batch, which is all that is ever in it.
    ("queue.buffering.max.messages", "0"),
    ("queue.buffering.max.kbytes", "2147483647"),
    ("reconnect.backoff.max.ms", "2000"),
    ("socket.keepalive.enable", "true"),
    ("socket.nagle.disable", "true"),
    // Brokers close idle connections; that is no news.
    ("log.connection.close", "false"),
    // Nobody has asked for our figures to be sent to the brokers.
    ("enable.metrics.push", "false"),
];

impl Settings {
    pub(super) fn new(config: &KafkaSink) -> Self {
        let mut client = ClientConfig::new();
        client.set_log_level(RDKafkaLogLevel::Info);
        client.extend(IN_ORDER.into_iter().chain(AS_WE_LIKE).map(|(key, value)| (key.into(), value.into())));
        client.set("batch.size", REQUEST_BYTES.to_string());
        client.set("bootstrap.servers", config.brokers.join(","));
        client.set("compression.type", config.compression.as_str());
        client.set("socket.timeout.ms", socket_timeout(config.timeout.duration()).to_string());
        client.set(
            "security.protocol",
            match (config.tls, &config.sasl) {
                (false, None) => "plaintext",
                (true, None) => "ssl",
                (false, Some(_)) => "sasl_plaintext",
                (true, Some(_)) => "sasl_ssl",
            },
        );
        for (key, file) in config.files() {
            if let Some(file) = file {
                client.set(key, file.to_string_lossy());
            }
        }
        if let Some(sasl) = &config.sasl {
            client.set("sasl.mechanism", sasl.mechanism.as_str());
            client.set("sasl.username", &sasl.username);
            client.set("sasl.password", sasl.password.expose());
        }
        Self { client, topic: config.topic.clone() }
    }
}

/// Half of the time for a batch: so one broker that has gone silent does not fail it. Within librdkafka's bounds.
fn socket_timeout(batch: Duration) -> u128 {
    (batch / 2).as_millis().clamp(10, 300_000)
}
