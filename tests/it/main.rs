//! Tests at the doors: bytes in, bytes and journal out. Each module is one promise; `house` runs the whole service.

#![expect(clippy::unwrap_used, reason = "in a test, a panic that names its line is the report")]

mod admin;
mod cli;
mod configuration;
mod crash;
mod decoders;
mod direct;
mod dispatch;
mod doors;
mod endurance;
mod fixtures;
mod house;
mod journal;
mod passthrough;
mod process;
mod requeue;
mod rotation;
mod servers;
#[cfg(feature = "sink-http")]
mod sink_http;
mod tidy;
mod upstream;
mod vendor;
mod wire;
