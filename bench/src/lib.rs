//! The parts of the bench: a load generator that costs little, and what it takes to measure a server.
//!
//! Nothing here knows readhook's code; it is measured from outside, as a vendor would see it. Linux only:
//! it needs epoll and `/proc`.

mod answer;
pub mod callback;
mod connection;
pub mod disk;
pub mod load;
pub mod pace;
pub mod rate;
pub mod server;
pub mod sink;
pub mod tally;
mod template;
pub mod usage;
