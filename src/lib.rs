//! readhook takes instant-messaging vendors' read-receipt callbacks, and loses none.
//!
//! The rooms, in the order in which a callback meets them: `server` takes it from the socket, its vendor's room in
//! [`vendor`] proves and reads it, `ingest` has it stamped ([`stamp`]) and the [`journal`] commit it, the vendor's room answers;
//! [`dispatch`] then walks the journal for every [`sink`]. What they share is a [`receipt::ReadReceipt`].

pub mod cli;
pub mod config;
pub mod direct;
pub mod dispatch;
pub mod explain;
pub mod journal;
pub mod metrics;
pub mod receipt;
pub mod sink;
pub mod stamp;
pub mod state;
pub mod telemetry;
pub mod vendor;

mod admin;
mod backoff;
mod ban_guard;
mod callback_log;
mod clock;
mod console;
mod files;
mod ingest;
mod log_limit;
mod passthrough;
mod quarantine;
mod requeue;
mod server;
mod service;
mod simulate;
mod spans;
mod store;
mod throttle;
mod tls;

pub use service::{Listeners, RunError, Signals, preflight, run};
