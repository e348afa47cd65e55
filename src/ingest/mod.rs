//! The order of things: open, verify, decode, stamp, commit, answer. Nothing else in readhook knows it. (This file is
//! long because that order is to be read in one place.)

mod ending;
mod hidden;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use tokio::time::{Timeout, timeout};

use crate::ban_guard::{Advice, BanGuard};
use crate::callback_log::CallbackLog;
use crate::journal::{Committed, Entries};
use crate::log_limit::LogLimit;
use crate::metrics::{Metrics, VendorMetrics};
use crate::passthrough::{CallIds, Forwarded, Passthrough};
use crate::quarantine::{Class, NotHidden, Quarantine};
use crate::receipt::VendorName;
use crate::spans::{CallbackSpan, Came, Spans, Step};
use crate::stamp::stamp;
use crate::store::{Store, StoreError};
use crate::vendor::{
    Answer, Callback, Claim, DecodeError, Incoming, Neighbour, Opened, Outcome, Problem, RECEIPTS_BYTES,
    Readings, Vendor, Verified, authenticate,
};
use ending::{Ending, Known, suspect, tell};

/// Takes callbacks in.
pub(crate) struct Ingest {
    store: Store,
    quarantine: Quarantine,
    ban_guard: BanGuard,
    metrics: Metrics,
    /// In the order of [`VendorName::ALL`].
    by_vendor: [VendorMetrics; 4],
    callbacks: CallbackLog,
    /// Which other events may be handed on.
    call_ids: CallIds,
    log: LogLimit,
    /// For callbacks that could not be hidden.
    exposed_log: LogLimit,
    spans: Spans,
}

/// What goes back to a vendor.
pub(crate) enum Reply {
    /// In its dialect, from its room.
    Ours(Answer),
    /// As an upstream said it.
    Theirs(Forwarded),
}

impl Reply {
    fn status(&self) -> u16 {
        match self {
            Self::Ours(answer) => answer.status,
            Self::Theirs(forwarded) => forwarded.status.as_u16(),
        }
    }
}

/// What a second look at a callback found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Good, and some of its receipts are new.
    Accepted,
    /// Good, and all of them are there already.
    Duplicate,
    /// Nothing for us.
    Ignored,
    /// As bad as before, for this reason.
    Bad(Outcome),
    /// Good, and could not be made durable.
    Unavailable,
}

/// How far a callback got without waiting for anything.
pub(crate) enum Read {
    /// Its receipts, to be stored.
    Receipts(Entries),
    /// Not a read event, with the answer that suits it, and whether it may be handed on.
    Neighbour { allow: Answer, onward: bool },
    /// It ends here.
    Over(Outcome),
}

impl Ingest {
    pub(crate) fn new(
        store: Store,
        quarantine: Quarantine,
        ban_guard: usize,
        metrics: Metrics,
        callbacks: CallbackLog,
    ) -> Self {
        let by_vendor = VendorName::ALL.map(|name| metrics.of(name));
        let ban_guard = BanGuard::new(ban_guard);
        // At 0 from the start: the first failure is an increase only then, and an alert looks for increases.
        for why in NotHidden::ALL {
            metrics.ban_guard_exposed.with_label_values(&[why.as_str()]).inc_by(0);
        }
        Self {
            store,
            quarantine,
            ban_guard,
            metrics,
            by_vendor,
            callbacks,
            call_ids: CallIds::default(),
            log: LogLimit::default(),
            exposed_log: LogLimit::default(),
            spans: Spans::off(),
        }
    }

    /// The same, with a span for each callback.
    pub(crate) fn with_spans(self, spans: Spans) -> Self {
        Self { spans, ..self }
    }

    /// Takes one callback from its last byte to its answer.
    ///
    /// Dropped half-way, it has either stored nothing or everything, never a part.
    ///
    /// What needs no waiting is done before there is a future. Each connection has room for it, and an `async fn` would keep
    /// its arguments twice.
    pub(crate) fn take<'r>(
        &'r self,
        vendor: &'r dyn Vendor,
        passthrough: Option<&'r Passthrough>,
        request: &'r Incoming,
        begun: Instant,
    ) -> impl Future<Output = Reply> + Send + use<'r> {
        let span = self.span(vendor, request, begun);
        let mut known = Known::default();
        let step = span.as_ref().map(|span| span.step("verify and decode"));
        let read = self.read(vendor, request, passthrough, true, &mut known);
        step.into_iter().for_each(Step::end);
        async move {
            let (outcome, reply) = match read {
                Read::Neighbour { allow, onward } => {
                    let forwarded = match passthrough {
                        // In a box, for each connection has room for the largest future that it may need.
                        Some(passthrough) if onward => Box::pin(passthrough.forward(request, begun)).await,
                        // It has been counted.
                        Some(_) | None => None,
                    };
                    (Outcome::Ignored, forwarded.map_or(Reply::Ours(allow), Reply::Theirs))
                }
                Read::Over(outcome) => (outcome, Reply::Ours(vendor.answer(request, &outcome))),
                Read::Receipts(entries) if entries.is_empty() => {
                    (Outcome::Ignored, Reply::Ours(vendor.answer(request, &Outcome::Ignored)))
                }
                Read::Receipts(entries) => {
                    let step = span.as_ref().map(|span| Box::new(span.step("commit")));
                    let committed = self.commit(vendor.patience(), entries, span.as_deref()).await;
                    step.into_iter().for_each(|step| step.end());
                    // A late commit still counts, and the vendor's retry is a duplicate then.
                    let committed = committed.unwrap_or(Err(StoreError::Unavailable));
                    let outcome = self.committed(vendor, request, committed, &mut known);
                    (outcome, Reply::Ours(vendor.answer(request, &outcome)))
                }
            };
            let reply = if outcome.is_trouble() || known.keep.is_some() {
                Box::pin(self.trouble(vendor, request, outcome, known.keep, reply)).await
            } else {
                reply
            };
            self.finish(Ending { vendor, request, begun, known, outcome, span }, reply)
        }
    }

    /// Stores receipts within a vendor's patience, with the trace that they belong to.
    fn commit(
        &self,
        patience: Duration,
        mut entries: Entries,
        span: Option<&CallbackSpan>,
    ) -> Timeout<impl Future<Output = Result<Committed, StoreError>> + Send + use<>> {
        if let Some(context) = span.and_then(CallbackSpan::context) {
            entries.iter_mut().for_each(|entry| entry.trace = Some(context.clone()));
        }
        timeout(patience, self.store.commit(patience, entries))
    }

    /// Takes a callback once more that was in quarantine. With `dry_run` it is only looked at. It is neither answered nor
    /// counted as a callback, and not kept again. `receipts` is what it gave when it was hidden as `unavailable`: that was
    /// proven then, and is stored as it is. `contradicts` says that it is in quarantine because it contradicts what is
    /// stored: that has been counted then.
    ///
    /// Cancel safe: what is stored is stored, and known when it is taken once more.
    pub(crate) async fn reconsider(
        &self,
        vendor: &dyn Vendor,
        request: &Incoming,
        receipts: &str,
        dry_run: bool,
        contradicts: bool,
    ) -> Verdict {
        if let Some(verdict) = self.store_hidden(receipts, dry_run).await {
            return verdict;
        }
        match self.read(vendor, request, None, false, &mut Known::default()) {
            Read::Neighbour { .. } => Verdict::Ignored,
            Read::Over(outcome) => Verdict::Bad(outcome),
            Read::Receipts(entries) if entries.is_empty() => Verdict::Ignored,
            Read::Receipts(_) if dry_run => Verdict::Accepted,
            Read::Receipts(entries) => self.store_again(vendor.name(), entries, contradicts).await,
        }
    }

    /// Stores what a callback gave when it was hidden as `unavailable`; `None` if it gave nothing.
    pub(crate) async fn store_hidden(&self, receipts: &str, dry_run: bool) -> Option<Verdict> {
        let entries = hidden::read(receipts)?;
        let vendor = entries.first()?.vendor;
        Some(if dry_run { Verdict::Accepted } else { self.store_again(vendor, entries, false).await })
    }

    async fn store_again(&self, vendor: VendorName, entries: Entries, contradicts: bool) -> Verdict {
        match self.store.commit(Duration::MAX, entries).await {
            Ok(committed) => {
                match contradicts {
                    false => self.count(vendor, &committed),
                    true => committed.count_in(self.metrics_of(vendor)),
                }
                match (committed.new_total(), contradiction(&committed)) {
                    (0, None) => Verdict::Duplicate,
                    // What contradicts what is stored stays where somebody can look at it.
                    (_, Some(contradiction)) => Verdict::Bad(contradiction),
                    (_, None) => Verdict::Accepted,
                }
            }
            Err(StoreError::Refused) => Verdict::Bad(Outcome::Unavailable),
            Err(StoreError::Unavailable) => Verdict::Unavailable,
        }
    }

    /// Hands another event on that was hidden when it came. True when nothing is left to be done with it.
    pub(crate) async fn hand_on(
        &self,
        vendor: &dyn Vendor,
        request: &Incoming,
        passthrough: Option<&Passthrough>,
    ) -> bool {
        match (self.read(vendor, request, passthrough, false, &mut Known::default()), passthrough) {
            (Read::Neighbour { onward: true, .. }, Some(passthrough)) => {
                passthrough.forward(request, Instant::now()).await.is_some()
            }
            (Read::Neighbour { .. } | Read::Receipts(_) | Read::Over(_), _) => true,
        }
    }

    /// Whether what must become durable can, as far as is known.
    pub(crate) fn takes_writes(&self) -> bool {
        self.store.takes_writes()
    }

    /// Counts what was hidden as `unavailable` and has been taken in.
    pub(crate) fn taken_in(&self) {
        self.metrics.quarantine_taken_in.inc();
    }

    /// Where callbacks are kept that could not be used.
    pub(crate) fn quarantine(&self) -> &Quarantine {
        &self.quarantine
    }

    /// What arrived lately.
    pub(crate) fn callbacks(&self) -> &CallbackLog {
        &self.callbacks
    }

    /// Ends a request that never became a callback: its body was too large, too slow or broken.
    pub(crate) async fn refuse(
        &self,
        vendor: &dyn Vendor,
        request: &Incoming,
        begun: Instant,
        outcome: Outcome,
    ) -> Reply {
        let reply = Reply::Ours(vendor.answer(request, &outcome));
        let (known, span) = (Known::default(), self.span(vendor, request, begun));
        let reply = self.trouble(vendor, request, outcome, None, reply).await;
        self.finish(Ending { vendor, request, begun, known, outcome, span }, reply)
    }

    fn metrics_of(&self, vendor: VendorName) -> &VendorMetrics {
        let [easemob, tencent, openim, rongcloud] = &self.by_vendor;
        match vendor {
            VendorName::Easemob => easemob,
            VendorName::Tencent => tencent,
            VendorName::OpenIm => openim,
            VendorName::RongCloud => rongcloud,
        }
    }

    /// Brings up to date what only time changes.
    pub(crate) fn measure(&self) {
        self.metrics.ban_guard_active.set(self.ban_guard.is_active(Instant::now()).into());
    }

    /// Writes what quarantine has waiting.
    pub(crate) fn close(self) {
        self.quarantine.close();
    }

    /// Reads a callback; if a vendor's room has a fault that panics, the vendor still hears its own words, and the
    /// callback is kept.
    ///
    /// Noted as a call of its app only if it comes from the vendor `now`, and not out of quarantine.
    fn read<'r>(
        &self,
        vendor: &'r dyn Vendor,
        request: &'r Incoming,
        passthrough: Option<&Passthrough>,
        now: bool,
        known: &mut Known<'r>,
    ) -> Read {
        let metrics = now.then(|| self.metrics_of(vendor.name()));
        let upstream = passthrough.map(|passthrough| Upstream { passthrough, call_ids: &self.call_ids });
        let read = || read(vendor, request, upstream, metrics, known);
        catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
            tracing::error!(
                vendor = vendor.name().as_str(),
                "a callback made readhook panic; it is in quarantine"
            );
            known.keep = Some(Outcome::Unavailable);
            Read::Over(Outcome::Unavailable)
        })
    }

    fn committed(
        &self,
        vendor: &dyn Vendor,
        request: &Incoming,
        committed: Result<Committed, StoreError>,
        known: &mut Known<'_>,
    ) -> Outcome {
        let committed = match committed {
            Ok(committed) => committed,
            Err(StoreError::Unavailable) => return Outcome::Unavailable,
            Err(StoreError::Refused) => {
                // A vendor that comes again hears the same, until it does not come any more.
                known.keep = Some(Outcome::Unavailable);
                return Outcome::Unavailable;
            }
        };
        self.count(vendor.name(), &committed);
        known.committed = committed;
        match (committed.new_total(), contradiction(&committed)) {
            (0, None) => Outcome::Duplicate,
            (0, Some(contradiction)) => contradiction,
            (_, None) => Outcome::Accepted,
            (_, Some(contradiction)) => {
                // Some of it is new and some contradicts what is stored; the vendor hears of the new.
                self.tell(vendor, request, &contradiction);
                known.keep = Some(contradiction);
                Outcome::Accepted
            }
        }
    }

    fn count(&self, vendor: VendorName, committed: &Committed) {
        self.metrics.conflicts.inc_by(committed.conflicts.into());
        self.metrics.duplicates_differing.inc_by(committed.differing.into());
        committed.count_in(self.metrics_of(vendor));
    }

    fn span(&self, vendor: &dyn Vendor, request: &Incoming, begun: Instant) -> Option<Box<CallbackSpan>> {
        self.spans.callback(&Came {
            vendor: vendor.name(),
            route: request.route(),
            headers: &request.headers,
            begun,
        })
    }

    fn finish(&self, mut ending: Ending<'_>, reply: Reply) -> Reply {
        let span = ending.span.take();
        let Ending { vendor, begun, outcome, .. } = &ending;
        let (status, took) = (reply.status(), begun.elapsed());
        self.metrics_of(vendor.name()).callback(outcome.as_str(), outcome.reason(), took.as_secs_f64());
        self.callbacks.take(&ending.ended(status, took));
        if let Some(span) = span {
            span.end(&ending.told(status));
        }
        reply
    }

    /// Logs a callback that could not be used, lets quarantine keep it, and gives what is answered: to Easemob 200 in place of
    /// its true status where one more failure would be too many, and the callback is durable in quarantine.
    async fn trouble(
        &self,
        vendor: &dyn Vendor,
        request: &Incoming,
        outcome: Outcome,
        keep: Option<Outcome>,
        reply: Reply,
    ) -> Reply {
        if outcome.is_trouble() {
            self.tell(vendor, request, &outcome);
        }
        let claim = catch_unwind(AssertUnwindSafe(|| vendor.claim(request))).unwrap_or(Claim::Nothing);
        // What was told as `unavailable` comes again; the rest stays for an operator.
        let keep = keep.or((outcome.is_trouble() && outcome != Outcome::Unavailable).then_some(outcome));
        let guarded = vendor.name() == VendorName::Easemob && claim == Claim::Callback;
        if guarded
            && reply.status() != 200
            && let Advice::Hide { tripped } = self.ban_guard.before_failing(Instant::now())
        {
            if tripped {
                self.tripped(&outcome);
            }
            match self.hide(vendor, request, &outcome).await {
                Ok(()) => return Reply::Ours(vendor.answer(request, &Outcome::Ignored)),
                Err(why) => {
                    self.exposed(why);
                    // Quarantine has kept it already, or cannot.
                    if outcome != Outcome::Unavailable {
                        return reply;
                    }
                }
            }
        }
        if let Some(outcome) = keep {
            let class = match (outcome, claim) {
                (Outcome::Conflict | Outcome::Differing, _) | (_, Claim::App | Claim::Callback) => Class::App,
                (_, Claim::Nothing) => Class::Other,
            };
            self.quarantine.keep(class, suspect(vendor, request, &outcome)).await;
        }
        reply
    }

    /// Makes a callback durable in quarantine, with what it gave if it was authentic.
    async fn hide(
        &self,
        vendor: &dyn Vendor,
        request: &Incoming,
        outcome: &Outcome,
    ) -> Result<(), NotHidden> {
        let mut suspect = suspect(vendor, request, outcome);
        if *outcome == Outcome::Unavailable
            && let Read::Receipts(entries) = self.read(vendor, request, None, false, &mut Known::default())
        {
            suspect.receipts = hidden::write(&entries);
        }
        self.quarantine.hide(suspect).await
    }

    fn tripped(&self, outcome: &Outcome) {
        self.metrics.ban_guard_active.set(1);
        tracing::warn!(
            reason = outcome.reason(),
            "so many callbacks of easemob failed that it would ban the app: answering 200 until 30 s have passed \
             without a failure, to what quarantine has made durable"
        );
    }

    /// A failure was told that should have been hidden.
    fn exposed(&self, why: NotHidden) {
        self.ban_guard.failed(Instant::now());
        self.metrics.ban_guard_exposed.with_label_values(&[why.as_str()]).inc();
        if let Some(suppressed) = self.exposed_log.admit() {
            tracing::error!(
                why = why.as_str(),
                suppressed,
                "quarantine could not take a callback of easemob in time: it hears of one more failure, and may ban the app"
            );
        }
    }

    fn tell(&self, vendor: &dyn Vendor, request: &Incoming, outcome: &Outcome) {
        if let Some(suppressed) = self.log.admit() {
            tell(vendor, request, outcome, suppressed);
        }
    }
}

/// How a commit contradicts what is stored, if it does: the worse of the two.
fn contradiction(committed: &Committed) -> Option<Outcome> {
    match (committed.conflicts, committed.differing) {
        (0, 0) => None,
        (0, _) => Some(Outcome::Differing),
        (_, _) => Some(Outcome::Conflict),
    }
}

/// Looks at a callback as it would be looked at if it came, and leaves no trace of it: nothing is stored, counted or kept.
pub(crate) fn look(vendor: &dyn Vendor, request: &Incoming) -> Read {
    read(vendor, request, None, None, &mut Known::default())
}

/// Where other events go, and which of them.
#[derive(Clone, Copy)]
struct Upstream<'u> {
    passthrough: &'u Passthrough,
    call_ids: &'u CallIds,
}

impl Upstream<'_> {
    /// Whether a proven callback may be handed on: it is the first under its id, or comes again as it was.
    fn admits(self, vendor: &dyn Vendor, app: &str, callback: &Callback<'_>) -> bool {
        vendor.signed_id(callback).is_none_or(|id| self.call_ids.admits(app, id, &callback.request.body))
    }
}

/// Everything that needs no waiting.
fn read<'r>(
    vendor: &'r dyn Vendor,
    request: &'r Incoming,
    upstream: Option<Upstream<'_>>,
    metrics: Option<&VendorMetrics>,
    known: &mut Known<'r>,
) -> Read {
    let callback = match vendor.open(request) {
        Ok(Opened::Read(callback)) => callback,
        Ok(Opened::Neighbour(Neighbour { callback, allow })) => {
            tracing::debug!(vendor = vendor.name().as_str(), command = ?callback.command, "a neighbour");
            // Nothing is done with it unless somebody else would believe that it came through us.
            let genuine = upstream.map(|upstream| (upstream, vendor.verify(&callback).ok()));
            let onward = match &genuine {
                Some((upstream, Some(found))) => {
                    let admitted = upstream.admits(vendor, found.app, &callback);
                    if !admitted {
                        upstream.passthrough.keep_another_body();
                    }
                    admitted
                }
                Some((upstream, None)) => {
                    upstream.passthrough.keep();
                    false
                }
                None => false,
            };
            let genuine = genuine.and_then(|(_, found)| found);
            (known.app, known.verified_by) = genuine.map(|found| (found.app, found.by)).unzip();
            known.command = Some(callback.command);
            return Read::Neighbour { allow, onward };
        }
        Err(fault) => return Read::Over(fault.into()),
    };
    known.command = Some(callback.command.clone());
    let verified = match authenticate(vendor, callback) {
        Ok(verified) => verified,
        Err(refusal) => return Read::Over(Outcome::Rejected(refusal)),
    };
    (known.app, known.verified_by) = (Some(verified.app()), Some(verified.by()));
    if let Some(upstream) = upstream {
        // Remembered: nothing else may be handed on under its id.
        let _stored_anyway = upstream.admits(vendor, verified.app(), verified.callback());
    }
    if let Some(metrics) = metrics {
        let secret = verified.with().map(|place| (place.list, place.index));
        metrics.called(verified.app(), secret, request.received_at.as_seconds());
    }
    let readings = match vendor.decode(&verified) {
        Ok(readings) => readings,
        Err(error) => return Read::Over(Outcome::Malformed(error)),
    };
    match stamp_all(vendor.name(), &verified, readings) {
        Ok(entries) => Read::Receipts(entries),
        Err(error) => Read::Over(Outcome::Malformed(error)),
    }
}

fn stamp_all<'c>(
    vendor: VendorName,
    verified: &'c Verified<'_>,
    readings: Readings<'c>,
) -> Result<Entries, DecodeError> {
    let mut entries = Entries::with_capacity(readings.len());
    let mut bytes = 0;
    for reading in readings {
        let entry = stamp(vendor, verified, reading);
        bytes += entry.weight();
        if bytes > RECEIPTS_BYTES {
            return Err(Problem::OutOfRange.of("body"));
        }
        entries.push(entry);
    }
    Ok(entries)
}
