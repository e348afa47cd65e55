//! The load generator: one thread, one epoll, two system calls for a request besides its share of a wait.
//!
//! It shares the machine with the server it measures, so it does as little as it can. It speaks to loopback
//! addresses only, follows no redirects, never repeats a request, and always ends by itself.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;

use crate::callback::{App, Callbacks, Order, Vendor};
use crate::connection::Connection;
pub use crate::pace::Limits;
use crate::pace::Pace;
use crate::tally::Tally;
use crate::usage;

/// How long the last answers are awaited after the last request.
const PATIENCE: Duration = Duration::from_secs(10);
/// After so many lost requests the run is not worth finishing.
const MOST_LOSSES: u64 = 10_000;

/// What to send, to whom, and how much of it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server; loopback only.
    pub server: SocketAddr,
    /// Whose callbacks.
    pub vendor: Vendor,
    /// In which order of ids.
    pub order: Order,
    /// For which app.
    pub app: App,
    /// Number of the first callback; rows of numbers that do not overlap repeat no receipt.
    pub start: u64,
    /// Connections that carry requests, each one at a time.
    pub connections: usize,
    /// Further connections that are opened and never used.
    pub idle: usize,
    /// When to stop.
    pub limits: Limits,
}

/// Carries out `plan` and returns within its time, the opening of its connections and ten seconds more.
///
/// Failed requests are counted, not returned as errors. It is an error if a connection cannot be opened at
/// the beginning, or if too much is lost for the rest to mean anything.
pub fn run(plan: &Plan) -> Result<Tally> {
    ensure!(plan.server.ip().is_loopback(), "{} is not a loopback address", plan.server);
    ensure!(plan.connections > 0, "no connections, no load");
    let callbacks = Callbacks::new(plan.vendor, plan.order, &plan.app, plan.server, plan.start)?;
    let idle: Vec<_> = (0..plan.idle)
        .map(|_| Connection::open(plan.server))
        .collect::<Result<_>>()
        .context("opening the idle connections")?;
    let mut run = Run::open(plan, callbacks)?;
    let cpu = usage::own_cpu();
    run.drive()?;
    drop(idle);
    let mut tally = run.tally;
    tally.cpu = usage::own_cpu() - cpu;
    tally.unsent = run.pace.planned().unwrap_or_default().saturating_sub(tally.sent);
    Ok(tally)
}

struct Run {
    server: SocketAddr,
    epoll: OwnedFd,
    connections: Vec<Connection>,
    /// Indices of connections that may send; the last used is used first.
    free: Vec<usize>,
    /// Requests on their way.
    waiting: u64,
    callbacks: Callbacks,
    pace: Pace,
    tally: Tally,
}

impl Run {
    fn open(plan: &Plan, callbacks: Callbacks) -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let connections = (0..plan.connections)
            .map(|index| open(plan.server, &epoll, index))
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            server: plan.server,
            epoll,
            free: (0..connections.len()).collect(),
            connections,
            waiting: 0,
            callbacks,
            pace: Pace::begin(plan.limits),
            tally: Tally::new()?,
        })
    }

    fn drive(&mut self) -> Result<()> {
        let mut events = Vec::with_capacity(self.connections.len());
        let give_up = self.pace.end() + PATIENCE;
        loop {
            let now = Instant::now();
            self.send_due(now)?;
            let over = self.pace.is_over(self.tally.sent, now);
            if over && (self.waiting == 0 || now >= give_up) {
                self.tally.unanswered = self.waiting;
                return Ok(());
            }
            // With no connection free, only an answer can make a request possible.
            let wake = match (over, self.free.is_empty()) {
                (true, _) => give_up,
                (false, true) => self.pace.end(),
                (false, false) => self.pace.next(self.tally.sent, now),
            };
            let timeout = wake.saturating_duration_since(now).try_into()?;
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in events.drain(..) {
                self.receive(event.data.u64() as usize)?;
            }
        }
    }

    /// Sends while a request is due and a connection is free.
    fn send_due(&mut self, now: Instant) -> Result<()> {
        while let Some(intended) = self.pace.due(self.tally.sent, now)
            && let Some(index) = self.free.pop()
        {
            self.tally.sent += 1;
            self.waiting += 1;
            let request = self.callbacks.next_request();
            if let Err(error) = self.connections[index].send(request, intended) {
                self.replace(index, &error)?;
            }
        }
        Ok(())
    }

    /// Takes what has come on a connection and, if that was an answer, sends the next request at once.
    fn receive(&mut self, index: usize) -> Result<()> {
        match self.connections[index].receive() {
            Ok(None) => Ok(()),
            Ok(Some((answer, intended))) => {
                let now = Instant::now();
                self.waiting -= 1;
                self.tally.count(answer.status, now - intended);
                self.tally.elapsed = self.pace.elapsed(now);
                if answer.closing {
                    self.connections[index] = open(self.server, &self.epoll, index)?;
                }
                self.free.push(index);
                self.send_due(now)
            }
            Err(error) => self.replace(index, &error),
        }
    }

    /// Puts a new connection in the place of a broken one. A request on its way is lost; a connection that
    /// broke while free loses nothing.
    fn replace(&mut self, index: usize, error: &anyhow::Error) -> Result<()> {
        if self.connections[index].waits() {
            self.tally.lose(error);
            self.waiting -= 1;
            self.free.push(index);
        }
        ensure!(self.tally.lost < MOST_LOSSES, "{MOST_LOSSES} requests lost, the last one: {error:#}");
        self.connections[index] = open(self.server, &self.epoll, index)
            .with_context(|| format!("after a connection had failed: {error:#}"))?;
        Ok(())
    }
}

/// A connection whose events carry `index`. Dropping it takes it out of `epoll`.
fn open(server: SocketAddr, epoll: &OwnedFd, index: usize) -> Result<Connection> {
    let connection = Connection::open(server)?;
    epoll::add(epoll, &connection, EventData::new_u64(index as u64), EventFlags::IN)?;
    Ok(connection)
}
