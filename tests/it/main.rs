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
mod process;
mod servers;
mod tidy;
mod vendor;
mod wire;
