//! The order of the measurement: servers in turn, round by round, never the same callback twice.
//!
//! One server at a time is loaded; the others idle. What drifts on the machine drifts for all of them.

#![expect(clippy::print_stderr, reason = "progress must not stand among the results")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use readhook_bench::callback::{App, Order, Vendor};
use readhook_bench::disk;
use readhook_bench::load::{Limits, Plan};

use super::contestant::{Contestant, Round};

/// Up to so many connections the disk is asked before each round.
pub(crate) const FEW: u16 = 2;
/// So many times.
const SYNCS: usize = 300;

/// What is sent, and how far the row of callbacks has come.
pub(crate) struct Course {
    vendor: Vendor,
    order: Order,
    /// On the disk that is measured.
    folder: PathBuf,
    next: u64,
}

impl Course {
    pub(crate) fn new(vendor: Vendor, order: Order, folder: &Path) -> Self {
        Self { vendor, order, folder: folder.to_owned(), next: 0 }
    }

    /// Loads one server for `seconds`.
    pub(crate) fn load(
        &mut self,
        contestant: &mut Contestant,
        connections: u16,
        seconds: u16,
    ) -> Result<Round> {
        let round = contestant.round(&Plan {
            server: contestant.address(),
            vendor: self.vendor,
            order: self.order,
            app: App::default(),
            start: self.next,
            connections: connections.into(),
            idle: 0,
            limits: Limits { time: Duration::from_secs(seconds.into()), requests: None, rate: None },
        })?;
        self.next += round.sent;
        Ok(round)
    }

    /// Loads all servers in turn, `rounds` times; gives the rounds of each, in the order of `contestants`.
    pub(crate) fn rounds(
        &mut self,
        contestants: &mut [Contestant],
        connections: u16,
        rounds: u16,
        seconds: u16,
    ) -> Result<Vec<Vec<Round>>> {
        let mut results = vec![Vec::new(); contestants.len()];
        for number in 1..=rounds {
            for (contestant, results) in contestants.iter_mut().zip(&mut results) {
                // At few connections an answer takes little more than a sync, and what that takes changes from minute to minute.
                let sync = match connections {
                    ..=FEW => disk::sync_cost(&self.folder, SYNCS)?.p50.as_secs_f64() * 1e6,
                    _ => 0.0,
                };
                let round = Round { sync, ..self.load(contestant, connections, seconds)? };
                let name = contestant.name();
                eprintln!("{connections} connections, round {number}, {name}: {:.0} req/s", round.rate);
                results.push(round);
            }
        }
        Ok(results)
    }
}
