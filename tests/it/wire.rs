//! A wire between a sink and its server that a test can cut, stall and mend: a small TCP proxy.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the wire does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    /// Every connection ends where it is, and new ones end at once.
    Cut,
    /// Connections stand, and nothing moves on them.
    Stalled,
}

/// A port that leads to a server.
pub(crate) struct Wire {
    /// Where to connect in place of the server.
    pub(crate) address: SocketAddr,
    state: watch::Sender<State>,
    target: Arc<Mutex<SocketAddr>>,
    listening: JoinHandle<()>,
}

impl Wire {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, states) = watch::channel(State::Whole);
        let target = Arc::new(Mutex::new(target));
        let to = target.clone();
        #[expect(clippy::disallowed_methods, reason = "ends with the wire")]
        let listening = tokio::spawn(async move {
            loop {
                let Ok((near, _)) = listener.accept().await else { return };
                let to = *to.lock().unwrap();
                if *states.borrow() == State::Cut {
                    continue;
                }
                let Ok(far) = TcpStream::connect(to).await else { continue };
                // Small words must not wait for others: without a proxy they would not.
                let _as_it_is = (near.set_nodelay(true), far.set_nodelay(true));
                let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                let (there, back) = (states.clone(), states.clone());
                #[expect(clippy::disallowed_methods, reason = "ends with either side, or when cut")]
                tokio::spawn(async move {
                    tokio::select! {
                        () = pump(near_in, far_out, there) => {}
                        () = pump(far_in, near_out, back) => {}
                    }
                });
            }
        });
        Self { address, state, target, listening }
    }

    /// Ends every connection where it is, mid-word, and refuses new ones.
    pub(crate) fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// Lets nothing through, and tells nobody.
    pub(crate) fn stall(&self) {
        self.state.send_replace(State::Stalled);
    }

    /// Makes it whole again.
    pub(crate) fn mend(&self) {
        self.state.send_replace(State::Whole);
    }

    /// Leads new connections to another server.
    pub(crate) fn lead_to(&self, target: SocketAddr) {
        *self.target.lock().unwrap() = target;
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.cut();
        self.listening.abort();
    }
}

/// Moves bytes one way until an end is reached or the wire is cut.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<State>) {
    let mut block = vec![0; 16 << 10];
    loop {
        let read = tokio::select! {
            biased;
            _ = state.wait_for(|state| *state == State::Cut) => return,
            read = from.read(&mut block) => read,
        };
        let Ok(1..) = read else { return };
        match state.wait_for(|state| *state != State::Stalled).await.map(|state| *state) {
            Ok(State::Whole) => {}
            Ok(State::Cut | State::Stalled) | Err(_) => return,
        }
        if to.write_all(&block[..read.unwrap()]).await.is_err() {
            return;
        }
    }
}
