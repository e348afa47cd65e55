//! The read state: who has read which message, and how far each reader is. A projection of the journal, in a file of its
//! own that a task and a thread keep behind the journal's head. No callback waits for it, nothing is promised by it, and
//! whatever happens to it, it is made again.

mod answer;
mod connections;
mod fact;
mod fold;
mod keeper;
#[cfg(test)]
mod law;
mod positions;
mod readers;
mod schema;
mod verify;
mod walker;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

pub use answer::{
    Message, MessageQuestion, Place, Position, PositionQuestion, Positions, Reader, ReaderCounts, Readers,
    StateError, Via, ViaCounts,
};
pub use verify::{file_of, verify};
pub use walker::Walker;

use crate::journal::{Journal, Seq};
use crate::metrics::Metrics;
use connections::Connections;
use keeper::{Keeper, Progress};
use walker::{Order, Way};

/// How long a question waits for the state to come to where the journal was when it was asked.
const PATIENCE: Duration = Duration::from_secs(1);

/// A handle on the read state; clones share it.
#[derive(Clone)]
pub struct State {
    shared: Arc<Shared>,
}

struct Shared {
    head: watch::Receiver<Seq>,
    progress: watch::Receiver<Progress>,
    wanted: watch::Sender<Seq>,
    orders: mpsc::Sender<Order>,
    connections: Connections,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl State {
    /// The state of a journal that lies at `path`. It is opened, or made anew, once the [`Walker`] runs.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub fn of(journal: &Journal, path: &Path) -> std::io::Result<(Self, Walker)> {
        let path = path_beside(path);
        let (jobs, queue) = mpsc::channel(1);
        let (keeper_progress, progress) = watch::channel(Progress::default());
        let (wanted, walker_wanted) = watch::channel(0);
        let (orders, walker_orders) = mpsc::channel(4);
        let keeper = Keeper::new(path.clone(), queue, keeper_progress);
        let thread = std::thread::Builder::new().name("state".to_owned()).spawn(move || keeper.run())?;
        let way = Way { journal: journal.clone(), jobs, wanted: walker_wanted, progress: progress.clone() };
        let shared = Shared {
            head: journal.head(),
            progress,
            wanted,
            orders,
            connections: Connections::new(path),
            thread: Mutex::new(Some(thread)),
        };
        Ok((Self { shared: Arc::new(shared) }, Walker { orders: walker_orders, way }))
    }

    /// Who has read a message. Everything that was accepted before is in the answer, unless `behind` says otherwise.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn readers(&self, question: MessageQuestion) -> Result<Readers, StateError> {
        self.ask(move |connection, head| readers::readers(connection, &question, head)).await
    }

    /// How far readers are. Everything that was accepted before is in the answer, unless `behind` says otherwise.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn positions(&self, question: PositionQuestion) -> Result<Positions, StateError> {
        self.ask(move |connection, head| positions::positions(connection, &question, head)).await
    }

    /// Makes the state again from the journal, and says from how many receipts. Meanwhile answers lack what is not in it
    /// again, and say so. Dropped, it is made again all the same.
    ///
    /// # Errors
    /// When one is under way already, or the service ends.
    pub async fn rebuild(&self) -> Result<u64, StateError> {
        let (done, rebuilt) = oneshot::channel();
        self.shared.orders.try_send(Order::Rebuild(done)).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => StateError::Busy,
            mpsc::error::TrySendError::Closed(_) => StateError::Ending,
        })?;
        rebuilt.await.map_err(|_| StateError::Ending)?
    }

    /// Everything up to this position of the journal is in it.
    pub fn cursor(&self) -> Seq {
        self.shared.progress.borrow().cursor
    }

    /// How many receipts are not in it yet.
    pub fn lag(&self) -> Seq {
        (*self.shared.head.borrow() - self.cursor()).max(0)
    }

    /// Puts the lag into the metrics.
    pub(crate) fn measure(&self, metrics: &Metrics) {
        metrics.state_lag_receipts.set(self.lag());
    }

    /// Closes the file, once the walker has ended.
    pub async fn close(&self) {
        self.shared.connections.close();
        let thread = self.shared.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("the read state's thread ended in a panic");
            }
        }
    }

    /// Waits for a moment until the state has what the journal has now, and asks the file.
    async fn ask<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Connection, Seq) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StateError> {
        let head = *self.shared.head.borrow();
        let mut progress = self.shared.progress.clone();
        if progress.borrow().cursor < head {
            self.shared.wanted.send_if_modified(|wanted| std::mem::replace(wanted, head.max(*wanted)) < head);
        }
        let here = progress.wait_for(|progress| progress.open && progress.cursor >= head);
        // Late, or ended: the answer says what is missing in it.
        let _late = timeout(PATIENCE, async { here.await.is_ok() }).await;
        let Progress { open, generation, .. } = *self.shared.progress.borrow();
        if !open {
            return Err(StateError::Opening);
        }
        let shared = self.shared.clone();
        let asked = tokio::task::spawn_blocking(move || {
            shared.connections.with(generation, |connection| look(connection, head))
        });
        let answer = asked.await.map_err(|_| StateError::Ending)?;
        answer.map_err(|error| {
            if schema::is_damage(&error) {
                // If the walker has too many orders already, the next question finds the damage again.
                let _full = self.shared.orders.try_send(Order::Damaged);
            }
            StateError::Read(error.to_string())
        })
    }
}

/// Where the state of a journal lies.
fn path_beside(journal: &Path) -> PathBuf {
    let mut name = journal.as_os_str().to_owned();
    name.push(".state");
    name.into()
}
