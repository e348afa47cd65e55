//! From the journal to a sink, with a sink that does as it is told: order, retries, refusals, and where it goes on.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use readhook::config::{JournalConfig, SinkConfig, SinkKind, SinkLimits, StartAt};
use readhook::dispatch::{
    Command, Dispatcher, Handle, LetterFilter, OrderError, PauseCause, Report, Selection,
};
use readhook::journal::{Entry, Journal, Stored};
use readhook::metrics::Metrics;
use readhook::receipt::{Scope, Timestamp, VendorName};
use readhook::sink::{BoxError, DeliverError, Sink};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::house::{House, PATIENCE, config, demo};
use crate::vendor::openim;

/// What the sink does with one delivery.
enum Act {
    Take,
    Fail,
    /// Refuses the receipt at this place.
    Refuse(usize),
    /// Fails, and asks to be left alone for so long.
    FailFor(Duration),
    /// Says that it is gone for good.
    Gone,
    /// Says that it has lost what it took lately.
    Lose,
    /// Does not come back.
    Hang,
}

/// Follows its script, and takes everything when that is over.
struct Scripted {
    script: Mutex<VecDeque<Act>>,
    got: watch::Sender<Vec<i64>>,
}

impl Scripted {
    fn new(script: impl IntoIterator<Item = Act>) -> Arc<Self> {
        Arc::new(Self { script: Mutex::new(script.into_iter().collect()), got: watch::channel(Vec::new()).0 })
    }

    fn take(&self, batch: &[Stored]) {
        self.got.send_modify(|got| got.extend(batch.iter().map(|receipt| receipt.seq)));
    }

    async fn until_got(&self, count: usize) -> Vec<i64> {
        let mut got = self.got.subscribe();
        timeout(PATIENCE, got.wait_for(|got| got.len() >= count)).await.unwrap().unwrap().clone()
    }
}

#[async_trait]
impl Sink for Scripted {
    async fn deliver(&self, batch: &[Stored]) -> Result<(), DeliverError> {
        let act = self.script.lock().unwrap().pop_front().unwrap_or(Act::Take);
        match act {
            Act::Take => self.take(batch),
            Act::Fail => return Err(DeliverError::retry("told to fail")),
            Act::Refuse(at) => {
                self.take(&batch[..at]);
                return Err(DeliverError::reject(at, "told to refuse"));
            }
            Act::FailFor(pause) => {
                return Err(DeliverError::Retry { done: 0, why: "told to wait".into(), after: Some(pause) });
            }
            Act::Gone => return Err(DeliverError::Halt { done: 0, why: "told to be gone".into() }),
            Act::Lose => {
                return Err(DeliverError::Rewind { within: PATIENCE, why: "told to lose".into() });
            }
            Act::Hang => std::future::pending().await,
        }
        Ok(())
    }

    async fn probe(&self) -> Result<(), BoxError> {
        Ok(())
    }
}

/// The id of the receipt at a position.
fn id(seq: i64) -> String {
    format!("{seq:032x}")
}

struct Scene {
    journal: Journal,
    metrics: Metrics,
    stop: CancellationToken,
    give_up: CancellationToken,
    limits: SinkLimits,
    _dir: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let metrics = Metrics::new().unwrap();
        let config =
            JournalConfig { path: dir.path().join("readhook.db"), retention_days: 0, reserve_bytes: 0 };
        let journal = Journal::open(&config, &metrics).unwrap();
        Self {
            journal,
            metrics,
            stop: CancellationToken::new(),
            give_up: CancellationToken::new(),
            limits: SinkLimits::default(),
            _dir: dir,
        }
    }

    async fn commit(&self, count: usize) {
        for _ in 0..count {
            let entry = Entry {
                id: crate::journal::id(None),
                by_event: false,
                received_at: 1,
                vendor: VendorName::OpenIm,
                scope: Scope::Message,
                json: format!("{{\"id\":\"{}\"}}", id(*self.journal.head().borrow() + 1)).into(),
                trace: None,
            };
            self.journal.commit(smallvec::smallvec![entry]).await.unwrap();
        }
    }

    fn dispatch(&self, name: &str, sink: &Arc<Scripted>, from: StartAt) -> (Handle, JoinHandle<()>) {
        let dispatcher = Dispatcher {
            name: name.to_owned(),
            config: SinkConfig {
                batch: 3.try_into().unwrap(),
                from,
                limits: self.limits,
                kind: SinkKind::Stdout,
            },
            sink: sink.clone(),
            journal: self.journal.clone(),
            metrics: self.metrics.clone(),
            standing: Arc::default(),
        };
        let (handle, orders) = dispatcher.handle();
        #[expect(clippy::disallowed_methods, reason = "each test waits for it")]
        let task = tokio::spawn(dispatcher.run(orders, self.stop.clone(), self.give_up.clone()));
        (handle, task)
    }
}

async fn ended(task: JoinHandle<()>) {
    timeout(PATIENCE, task).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn order_holds_through_failures() {
    let scene = Scene::new();
    scene.commit(10).await;
    let sink = Scripted::new([Act::Take, Act::Fail, Act::Fail, Act::Take]);
    let (_handle, task) = scene.dispatch("s", &sink, StartAt::Start);
    assert_eq!(sink.until_got(10).await, (1..=10).collect::<Vec<i64>>());
    scene.stop.cancel();
    ended(task).await;
    assert_eq!(scene.journal.cursor("s", 0).await.unwrap(), 10, "the cursor is saved at the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_receipt_is_parked_and_the_rest_goes_on() {
    let scene = Scene::new();
    scene.commit(6).await;
    let sink = Scripted::new([Act::Refuse(1), Act::Refuse(0), Act::Take]);
    let (_handle, task) = scene.dispatch("s", &sink, StartAt::Start);
    assert_eq!(sink.until_got(4).await, [1, 4, 5, 6]);
    scene.stop.cancel();
    ended(task).await;
    assert_eq!(scene.journal.dead_letters().await.unwrap(), [("s".to_owned(), 2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_hangs_holds_up_neither_others_nor_the_end() {
    let scene = Scene::new();
    scene.commit(4).await;
    let (stuck, well) = (Scripted::new([Act::Take, Act::Hang]), Scripted::new([]));
    let (_stuck, stuck_task) = scene.dispatch("stuck", &stuck, StartAt::Start);
    let (_well, well_task) = scene.dispatch("well", &well, StartAt::Start);
    assert_eq!(well.until_got(4).await.len(), 4);
    assert_eq!(stuck.until_got(3).await, [1, 2, 3]);
    scene.stop.cancel();
    ended(well_task).await;
    assert!(timeout(Duration::from_millis(50), scene.give_up.cancelled()).await.is_err());
    scene.give_up.cancel();
    ended(stuck_task).await;
    assert_eq!(scene.journal.cursor("stuck", 0).await.unwrap(), 3, "what it took, it will not see again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_sink_begins_where_it_is_told_and_goes_on_where_it_was() {
    let scene = Scene::new();
    scene.commit(4).await;
    let late = Scripted::new([]);
    let (_handle, task) = scene.dispatch("late", &late, StartAt::Now);
    // Its cursor is there before anything new is, so that the new is after it.
    let mut head = scene.journal.head();
    assert_eq!(*head.borrow_and_update(), 4);
    timeout(PATIENCE, async { while scene.journal.cursor("late", -1).await.unwrap() == -1 {} })
        .await
        .unwrap();
    scene.commit(2).await;
    late.until_got(2).await;
    scene.stop.cancel();
    ended(task).await;
    let again = Scripted::new([]);
    scene.commit(1).await;
    let (_handle, task) = scene.dispatch("late", &again, StartAt::Start);
    assert_eq!(again.until_got(1).await, [7]);
    ended(task).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_sink_rests_until_it_is_told_to_go_on_even_through_a_restart() {
    let scene = Scene::new();
    scene.commit(3).await;
    let sink = Scripted::new([]);
    let (handle, task) = scene.dispatch("s", &sink, StartAt::Start);
    sink.until_got(3).await;
    handle.order(Command::Pause).await.unwrap();
    scene.commit(3).await;
    // A paused sink has nothing to do at the end, though there would be something.
    scene.stop.cancel();
    ended(task).await;
    assert_eq!(scene.journal.cursor("s", 0).await.unwrap(), 3);

    let scene = Scene { stop: CancellationToken::new(), ..scene };
    let (handle, task) = scene.dispatch("s", &sink, StartAt::Start);
    // Orders are followed by the task itself, so after this one it has seen that it is paused.
    handle.order(Command::Redrive(LetterFilter::All)).await.unwrap();
    assert!(handle.standing.is_paused());
    assert_eq!(sink.got.borrow().len(), 3);
    handle.order(Command::Resume).await.unwrap();
    assert_eq!(sink.until_got(6).await, [1, 2, 3, 4, 5, 6]);
    scene.stop.cancel();
    ended(task).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_sink_can_be_paused_while_it_waits_for_its_next_try() {
    let scene = Scene::new();
    scene.commit(1).await;
    let sink = Scripted::new((0..1000).map(|_| Act::Fail));
    let (handle, task) = scene.dispatch("s", &sink, StartAt::Start);
    timeout(PATIENCE, async { while !handle.standing.is_failing() {} }).await.unwrap();
    timeout(PATIENCE, handle.order(Command::Pause)).await.unwrap().unwrap();
    assert_eq!(handle.standing.last_error().unwrap().why, "told to fail");
    scene.stop.cancel();
    ended(task).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_tried_again_and_those_refused_again_stay() {
    let scene = Scene::new();
    scene.commit(6).await;
    let sink = Scripted::new([Act::Refuse(0), Act::Refuse(1), Act::Refuse(0), Act::Take]);
    let (handle, task) = scene.dispatch("s", &sink, StartAt::Start);
    assert_eq!(sink.until_got(3).await, [2, 5, 6]);
    // 1, 3 and 4 are parked. In the first round 3 is refused again, in the second none.
    sink.script.lock().unwrap().extend([Act::Refuse(1), Act::Fail, Act::Take]);
    let report = handle.order(Command::Redrive(LetterFilter::All)).await.unwrap();
    assert_eq!(report, Report { delivered: 2, refused: 1, discarded: 0 });
    assert_eq!(scene.journal.dead_letters().await.unwrap(), [("s".to_owned(), 1)]);
    let report = handle.order(Command::Redrive(LetterFilter::All)).await.unwrap();
    assert_eq!(report, Report { delivered: 1, refused: 0, discarded: 0 });
    assert_eq!(scene.journal.dead_letters().await.unwrap(), []);
    assert_eq!(*sink.got.borrow(), [2, 5, 6, 1, 4, 3]);
    assert_eq!(scene.metrics.dead_letters.with_label_values(&["s"]).get(), 0);
    scene.stop.cancel();
    ended(task).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_delivered_is_delivered_again_on_request() {
    let scene = Scene::new();
    scene.commit(7).await;
    let sink = Scripted::new([]);
    let (handle, task) = scene.dispatch("s", &sink, StartAt::Start);
    sink.until_got(7).await;
    let replay = async |selection| handle.order(Command::Replay(selection)).await.unwrap().delivered;
    assert_eq!(replay(Selection::From(4)).await, 4);
    assert_eq!(replay(Selection::Since(Timestamp::from_millis(1).unwrap())).await, 7);
    assert_eq!(replay(Selection::Since(Timestamp::from_millis(2).unwrap())).await, 0);
    let ids = BTreeSet::from([id(2), id(6), "no such".to_owned()]);
    assert_eq!(replay(Selection::Ids(ids)).await, 2);
    let again: Vec<i64> = sink.got.borrow()[7..].to_vec();
    assert_eq!(again, [4, 5, 6, 7, 1, 2, 3, 4, 5, 6, 7, 2, 6]);
    scene.stop.cancel();
    ended(task).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_to_a_sink_that_has_ended_says_so() {
    let scene = Scene::new();
    let sink = Scripted::new([]);
    let (handle, task) = scene.dispatch("s", &sink, StartAt::Start);
    scene.stop.cancel();
    ended(task).await;
    assert!(matches!(handle.order(Command::Redrive(LetterFilter::All)).await, Err(OrderError::Ending)));
}

/// Waits until the sink has paused itself.
async fn paused(handle: &Handle) -> PauseCause {
    timeout(PATIENCE, async {
        loop {
            if let Some(cause) = handle.standing.paused() {
                return cause;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap()
}

async fn until(state: impl Fn() -> bool) {
    timeout(PATIENCE, async {
        while !state() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn full_dead_letters_pause_the_sink_and_drop_nothing_until_there_is_capacity() {
    let scene = Scene::new();
    let scene = Scene { limits: SinkLimits { dead_letters: 2, ..SinkLimits::default() }, ..scene };
    scene.commit(6).await;
    let sink = Scripted::new((0..3).map(|_| Act::Refuse(0)));
    let (handle, task) = scene.dispatch("s", &sink, StartAt::Start);
    assert_eq!(paused(&handle).await, PauseCause::DeadLettersFull);
    assert_eq!(*sink.got.borrow(), [] as [i64; 0]);
    assert_eq!(scene.journal.dead_letters().await.unwrap(), [("s".to_owned(), 2)]);
    assert_eq!(handle.standing.dead_letters().entries, 2);
    scene.stop.cancel();
    ended(task).await;
    assert_eq!(scene.journal.cursor("s", 0).await.unwrap(), 2, "the third waits in the journal");

    // A restart changes nothing, and the count is known again.
    let scene = Scene { stop: CancellationToken::new(), ..scene };
    let (handle, task) = scene.dispatch("s", &sink, StartAt::Start);
    assert_eq!(paused(&handle).await, PauseCause::DeadLettersFull);
    until(|| handle.standing.dead_letters().entries == 2).await;
    // Resumed too early it tries again, and pauses again.
    sink.script.lock().unwrap().extend([Act::Refuse(0)]);
    handle.order(Command::Resume).await.unwrap();
    until(|| sink.script.lock().unwrap().is_empty()).await;
    assert_eq!(paused(&handle).await, PauseCause::DeadLettersFull);
    let report = handle.order(Command::Redrive(LetterFilter::All)).await.unwrap();
    assert_eq!(report, Report { delivered: 2, refused: 0, discarded: 0 });
    assert_eq!(handle.standing.dead_letters().entries, 0);
    assert_eq!(handle.standing.dead_letters().bytes, 0);
    handle.order(Command::Resume).await.unwrap();
    assert_eq!(sink.until_got(6).await, [1, 2, 3, 4, 5, 6]);
    scene.stop.cancel();
    ended(task).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_bounded_in_bytes_too() {
    let scene = Scene::new();
    scene.commit(3).await;
    let one = scene.journal.read_after(0, 1).await.unwrap()[0].json.len() + "told to refuse".len();
    let limits = SinkLimits { dead_letter_bytes: 2 * one as u64, ..SinkLimits::default() };
    let scene = Scene { limits, ..scene };
    let sink = Scripted::new((0..3).map(|_| Act::Refuse(0)));
    let (handle, task) = scene.dispatch("s", &sink, StartAt::Start);
    assert_eq!(paused(&handle).await, PauseCause::DeadLettersFull);
    let letters = handle.standing.dead_letters();
    assert_eq!((letters.entries, letters.bytes), (2, 2 * one.cast_signed() as i64));
    scene.stop.cancel();
    ended(task).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_is_gone_pauses_the_sink_until_it_is_resumed() {
    let scene = Scene::new();
    scene.commit(3).await;
    let sink = Scripted::new([Act::Gone]);
    let (handle, task) = scene.dispatch("s", &sink, StartAt::Start);
    assert_eq!(paused(&handle).await, PauseCause::Gone);
    assert_eq!(handle.standing.last_error().unwrap().why, "told to be gone");
    scene.stop.cancel();
    ended(task).await;
    let scene = Scene { stop: CancellationToken::new(), ..scene };
    let (handle, task) = scene.dispatch("s", &sink, StartAt::Start);
    assert_eq!(paused(&handle).await, PauseCause::Gone, "also after a restart");
    assert_eq!(scene.journal.dead_letters().await.unwrap(), []);
    handle.order(Command::Resume).await.unwrap();
    assert_eq!(sink.until_got(3).await, [1, 2, 3]);
    assert_eq!(handle.standing.paused(), None);
    scene.stop.cancel();
    ended(task).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_of_an_hour_ends_with_resume_or_a_new_configuration() {
    let hour = Duration::from_secs(3600);
    let scene = Scene::new();
    scene.commit(2).await;
    let sink = Scripted::new([Act::FailFor(hour), Act::FailFor(hour)]);
    let (handle, task) = scene.dispatch("s", &sink, StartAt::Start);
    until(|| handle.standing.next_try().is_some()).await;
    let in_half_an_hour = jiff_now() + 1_800_000;
    assert!(handle.standing.next_try().unwrap() > in_half_an_hour, "it says when it tries again");
    handle.order(Command::Resume).await.unwrap();
    // The second try fails like the first; then the reload of a configuration ends the wait.
    until(|| sink.script.lock().unwrap().is_empty() && handle.standing.next_try().is_some()).await;
    handle.try_now();
    assert_eq!(sink.until_got(2).await, [1, 2]);
    assert_eq!(handle.standing.next_try(), None);
    scene.stop.cancel();
    ended(task).await;
}

fn jiff_now() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "the operator has a clock of their own")]
    jiff::Timestamp::now().as_millisecond()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_does_not_wait_for_an_hour() {
    let scene = Scene::new();
    scene.commit(1).await;
    let sink = Scripted::new([Act::Refuse(0), Act::FailFor(Duration::from_secs(3600))]);
    let (handle, task) = scene.dispatch("s", &sink, StartAt::Start);
    until(|| handle.standing.dead_letters().entries == 1).await;
    let redriven = timeout(PATIENCE, handle.order(Command::Redrive(LetterFilter::All))).await.unwrap();
    assert!(matches!(redriven, Err(OrderError::Destination { .. })), "{redriven:?}");
    scene.stop.cancel();
    ended(task).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_destination_has_lost_is_delivered_again() {
    let scene = Scene::new();
    scene.commit(4).await;
    let sink = Scripted::new([Act::Take, Act::Take, Act::Lose]);
    let (handle, task) = scene.dispatch("s", &sink, StartAt::Start);
    assert_eq!(sink.until_got(4).await, [1, 2, 3, 4]);
    scene.commit(1).await;
    assert_eq!(sink.until_got(9).await, [1, 2, 3, 4, 1, 2, 3, 4, 5]);
    until(|| handle.standing.cursor() == 5).await;
    scene.stop.cancel();
    ended(task).await;
    assert_eq!(scene.journal.cursor("s", 0).await.unwrap(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_dead_letter_is_redriven_or_discarded_by_position_or_id() {
    let scene = Scene::new();
    scene.commit(4).await;
    let sink = Scripted::new((0..4).map(|_| Act::Refuse(0)));
    let (handle, task) = scene.dispatch("s", &sink, StartAt::Start);
    until(|| handle.standing.cursor() == 4).await;
    let order = async |command| handle.order(command).await;
    let redriven = order(Command::Redrive(LetterFilter::Position(2))).await.unwrap();
    assert_eq!(redriven, Report { delivered: 1, refused: 0, discarded: 0 });
    order(Command::Redrive(LetterFilter::Id(id(4)))).await.unwrap();
    assert_eq!(*sink.got.borrow(), [2, 4]);
    let discarded = order(Command::Discard(LetterFilter::Position(1))).await.unwrap();
    assert_eq!(discarded, Report { delivered: 0, refused: 0, discarded: 1 });
    for gone in [LetterFilter::Position(1), LetterFilter::Id(id(4)), LetterFilter::Position(99)] {
        for command in [Command::Redrive(gone.clone()), Command::Discard(gone)] {
            let ordered = order(command.clone()).await;
            assert!(matches!(ordered, Err(OrderError::NoLetter)), "{command:?} gives {ordered:?}");
        }
    }
    assert_eq!(handle.standing.dead_letters().entries, 1);
    order(Command::Discard(LetterFilter::Id(id(3)))).await.unwrap();
    assert_eq!(order(Command::Discard(LetterFilter::All)).await.unwrap(), Report::default());
    assert_eq!(scene.journal.dead_letters().await.unwrap(), []);
    assert_eq!(handle.standing.dead_letters().bytes, 0);
    scene.stop.cancel();
    ended(task).await;
}

/// A house whose file sink has something in its way.
async fn house_with_obstacle(obstacle: impl FnOnce(&std::path::Path)) -> House {
    let dir = tempfile::tempdir().unwrap();
    obstacle(&dir.path().join("receipts.jsonl"));
    let config = config(dir.path(), &demo());
    let house = House::start_in(dir, config).await;
    let callback = openim(1);
    assert_eq!(house.post(&callback.target, &[], callback.body.as_bytes()).await.status, 200);
    let retries =
        async || house.metric(r#"readhook_sink_deliveries_total{result="retry",sink="events"}"#).await;
    timeout(PATIENCE, async { while retries().await < 2.0 {} }).await.unwrap();
    house
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_is_down_shows_its_lag_and_catches_up() {
    let house = house_with_obstacle(|path| std::fs::create_dir(path).unwrap()).await;
    let lag = async || house.metric(r#"readhook_sink_lag_receipts{sink="events"}"#).await;
    assert!((lag().await - 1.0).abs() < f64::EPSILON);
    std::fs::remove_dir(house.dir.path().join("receipts.jsonl")).unwrap();
    timeout(PATIENCE, async { while lag().await > 0.0 {} }).await.unwrap();
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_ours_is_left_alone_and_half_a_line_of_ours_is_cut_off() {
    let notes = "these are my notes, without an end of line";
    let house = house_with_obstacle(|path| std::fs::write(path, notes).unwrap()).await;
    let path = house.dir.path().join("receipts.jsonl");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), notes);
    // What a crash leaves: half a receipt behind whole ones.
    std::fs::write(&path, "{\"id\":\"half").unwrap();
    let lag = async || house.metric(r#"readhook_sink_lag_receipts{sink="events"}"#).await;
    timeout(PATIENCE, async { while lag().await > 0.0 {} }).await.unwrap();
    house.end().await;
}
