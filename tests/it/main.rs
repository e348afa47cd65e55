//! Tests at the doors: bytes in, bytes and journal out. Each module is one promise; `house` runs the whole service.

#![expect(clippy::unwrap_used, reason = "in a test, a panic that names its line is the report")]

mod admin;
mod backup;
mod callback_log;
mod check_deep;
mod cli;
mod clock;
mod configuration;
mod console;
mod crash;
mod decoders;
mod direct;
mod disk;
mod dispatch;
mod doors;
mod duplicates;
mod endurance;
mod explain;
mod export;
mod files;
mod fixtures;
mod guessing;
mod hidden;
mod hostile;
mod house;
mod ids;
mod journal;
mod journal_files;
mod openapi;
mod openim_allow;
mod passthrough;
mod process;
mod proxies;
mod quarantine;
mod raw;
#[cfg(feature = "sink-nats")]
mod replicas;
mod requeue;
mod restore;
mod rotation;
mod servers;
mod simulate;
mod sink_file;
#[cfg(feature = "sink-http")]
mod sink_http;
#[cfg(feature = "sink-kafka")]
mod sink_kafka;
mod sink_limits;
#[cfg(feature = "sink-nats")]
mod sink_nats;
#[cfg(feature = "sink-postgres")]
mod sink_postgres;
#[cfg(feature = "sink-redis")]
mod sink_redis;
mod state;
mod stream;
mod tidy;
#[cfg(all(feature = "otel", feature = "sink-http"))]
mod traces;
mod upgrade;
mod upstream;
mod vendor;
mod wire;
