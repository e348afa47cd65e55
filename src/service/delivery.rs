//! The sinks of a service, started the way that the configuration says: behind a journal, or with vendors waiting for
//! them.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::RunError;
use super::traced::traced;
use crate::config::{AckAfter, Config};
use crate::direct::{Destination, Direct};
use crate::dispatch::{Dispatcher, Handle, Standing};
use crate::journal::Journal;
use crate::metrics::Metrics;
use crate::sink::{self, Sink};
use crate::spans::Spans;
use crate::store::Store;

/// What delivers, and what can be seen of it.
pub(super) struct Delivery {
    pub(super) store: Store,
    /// The sinks by name.
    pub(super) sinks: BTreeMap<String, Arc<dyn Sink>>,
    /// How each is doing.
    pub(super) standings: BTreeMap<String, Arc<Standing>>,
    /// By which each can be told what to do; none without a journal.
    pub(super) handles: BTreeMap<String, Handle>,
    /// Everything accepted is in the journal: deliver what is there, and end.
    pub(super) flushed: CancellationToken,
    /// End now.
    pub(super) give_up: CancellationToken,
}

impl Delivery {
    /// Opens the store and the sinks, and starts what delivers.
    pub(super) async fn start(
        config: &Config,
        metrics: &Metrics,
        spans: &Spans,
        tasks: &TaskTracker,
    ) -> Result<Self, RunError> {
        let mut destinations = BTreeMap::new();
        for (name, config) in &config.sinks {
            let sink = sink::open(config).map_err(|why| RunError::Sink { name: name.clone(), why })?;
            let sink = traced(name, sink, spans);
            let destination = Destination { config: config.clone(), sink, standing: Arc::default() };
            destinations.insert(name.clone(), destination);
            metrics.dead_letters.with_label_values(&[name]).set(0);
            metrics.sink_let_go.with_label_values(&[name]).inc_by(0);
        }
        let sinks = destinations.iter().map(|(name, to)| (name.clone(), to.sink.clone())).collect();
        let standings = destinations.iter().map(|(name, to)| (name.clone(), to.standing.clone())).collect();
        let (flushed, give_up) = (CancellationToken::new(), CancellationToken::new());
        let mut handles = BTreeMap::new();
        let store = match config.delivery.ack_after {
            AckAfter::Journal => {
                let journal = Journal::start(&config.journal, metrics)?;
                for (name, to) in destinations {
                    let (journal, metrics) = (journal.clone(), metrics.clone());
                    let Destination { config, sink, standing } = to;
                    let dispatcher =
                        Dispatcher { name: name.clone(), config, sink, journal, metrics, standing };
                    let (handle, orders) = dispatcher.handle();
                    handles.insert(name, handle);
                    tasks.spawn(dispatcher.run(orders, flushed.clone(), give_up.clone()));
                }
                Store::Journal(journal)
            }
            AckAfter::Sinks => {
                let (direct, carriers) = Direct::to(destinations, metrics);
                for carrier in carriers {
                    tasks.spawn(carrier.run(give_up.clone()));
                }
                Store::Direct(direct)
            }
        };
        Ok(Self { store, sinks, standings, handles, flushed, give_up })
    }
}
