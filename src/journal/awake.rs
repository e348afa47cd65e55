//! How a caller waits for its commit. Where callers are few and the disk is fast, to put a worker to sleep and to wake it
//! again costs up to a quarter of what the caller waits; so up to two of them stay awake. In a crowd the workers have enough to
//! do, and beside a slow disk a wake is nothing: there everybody sleeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot::error::TryRecvError;

use super::{Answer, JournalError};

/// So many stay awake at a time. Others sleep, so that their work does not wait for those who only wait.
const FEW: usize = 2;
/// Nobody stays awake for commits that take longer.
const FAST: Duration = Duration::from_micros(500);

/// Who stays awake at present.
#[derive(Default)]
pub(super) struct Awake(Arc<AtomicUsize>);

/// A caller's place among those who stay awake. Dropped, it is free again.
pub(super) struct Place {
    taken: Arc<AtomicUsize>,
    /// So long it is good for.
    until: Instant,
}

impl Awake {
    /// A place, if one is free and commits are so fast nowadays that to stay awake pays.
    pub(super) fn place(&self, a_commit_takes: Duration) -> Option<Place> {
        if a_commit_takes > FAST {
            return None;
        }
        let one_more = |taken| (taken < FEW).then_some(taken + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        // Who comes during a commit waits for that one, and then for its own.
        Some(Place { taken: self.0.clone(), until: Instant::now() + a_commit_takes * 2 })
    }
}

/// Waits for what the writer answers, awake for as long as the place is good for. Cancel safe.
///
/// # Errors
/// The writer's; and [`JournalError::Closed`] when it has ended without an answer.
#[expect(
    clippy::manual_async_fn,
    reason = "an `async fn` would keep its arguments twice, and each connection has room for that"
)]
pub(super) fn answer<T>(
    mut from: Answer<T>,
    place: Option<Place>,
) -> impl Future<Output = Result<T, JournalError>> {
    async move {
        if let Some(place) = &place {
            while Instant::now() < place.until {
                match from.try_recv() {
                    // The writer may need this very core, and other connections this worker.
                    Err(TryRecvError::Empty) => {
                        thread::yield_now();
                        tokio::task::yield_now().await;
                    }
                    Ok(answer) => return answer,
                    Err(TryRecvError::Closed) => return Err(JournalError::Closed),
                }
            }
        }
        drop(place);
        from.await.unwrap_or(Err(JournalError::Closed))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_stay_awake_and_nobody_for_a_slow_disk() {
        let awake = Awake::default();
        let (first, second) = (awake.place(FAST), awake.place(FAST));
        assert!(first.is_some() && second.is_some());
        assert!(awake.place(FAST).is_none());
        drop(first);
        assert!(awake.place(FAST + Duration::from_micros(1)).is_none());
        assert!(awake.place(FAST).is_some());
    }

    #[tokio::test]
    async fn an_answer_comes_whether_one_stays_awake_or_sleeps() {
        for patience in [Duration::ZERO, Duration::from_secs(20)] {
            let place =
                || Some(Place { taken: Arc::new(AtomicUsize::new(1)), until: Instant::now() + patience });
            let (done, answered) = tokio::sync::oneshot::channel();
            let (told, ()) = tokio::join!(answer(answered, place()), async {
                tokio::task::yield_now().await;
                done.send(Ok(7)).unwrap();
            });
            assert_eq!(told.unwrap(), 7);
            let (done, answered) = tokio::sync::oneshot::channel::<Result<u8, JournalError>>();
            drop(done);
            let told = answer(answered, place()).await;
            assert!(matches!(told, Err(JournalError::Closed)), "the writer has ended");
        }
    }
}
