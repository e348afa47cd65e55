//! Requeue: callbacks out of quarantine, verified anew with the secrets of today. What is good now is taken in; what is
//! still not good stays.
//!
//! A callback is judged by the moment at which it came, so a signature that was fresh then is fresh now. Header fields with
//! credentials are not kept, so what OpenIM proves with Basic cannot prove itself again.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use crate::ingest::{Ingest, Verdict};
use crate::passthrough::Passthroughs;
use crate::quarantine::{Kept, QuarantineError, Suspect, Wanted};
use crate::receipt::Timestamp;
use crate::vendor::{Found, Incoming, Outcome, PREFIX, Unreadable, Vendor, Vendors};

/// How many callbacks are looked at in one go.
const AT_ONCE: usize = 100;

/// What came of it, in callbacks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Report {
    /// Good now, with receipts that are new.
    pub(crate) accepted: u64,
    /// Good now, but all of their receipts are there already.
    pub(crate) duplicate: u64,
    /// Not for readhook at all.
    pub(crate) ignored: u64,
    /// As bad as before; they stay.
    pub(crate) kept: u64,
}

/// Looks at all that is wanted. With `dry_run` nothing is taken in and nothing leaves the quarantine; what would be
/// accepted or a duplicate then counts as accepted.
///
/// # Errors
/// When the quarantine fails, or the journal takes no writes; what was taken in until then is taken in.
pub(crate) async fn requeue(
    ingest: &Ingest,
    vendors: &Vendors,
    wanted: &Wanted,
    dry_run: bool,
) -> Result<Report, RequeueError> {
    let mut report = Report::default();
    let mut behind = 0;
    loop {
        let page = ingest.quarantine().read(wanted.clone(), behind, AT_ONCE).await?;
        let Some(last) = page.last() else { return Ok(report) };
        behind = last.id;
        let mut done = Vec::new();
        let mut failure = None;
        for Kept { id, suspect, .. } in page {
            match reconsider(ingest, vendors, suspect, dry_run).await {
                Verdict::Accepted => report.accepted += 1,
                Verdict::Duplicate => report.duplicate += 1,
                Verdict::Ignored => report.ignored += 1,
                Verdict::Bad(_) => {
                    report.kept += 1;
                    continue;
                }
                Verdict::Unavailable => {
                    failure = Some(RequeueError::Unavailable(report));
                    break;
                }
            }
            done.push(id);
        }
        if !dry_run {
            ingest.quarantine().release(done).await?;
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
    }
}

/// Takes in what was hidden as `unavailable`, oldest first. Each is stored before it leaves quarantine, so a kill between the
/// two repeats it, and its ids make the repeat harmless. What cannot be used after all stays, in the second class.
///
/// # Errors
/// When the quarantine fails, or receipts still cannot be made durable; what was taken in until then is taken in. How many
/// callbacks have left quarantine otherwise.
pub(crate) async fn take_in_hidden(
    ingest: &Ingest,
    vendors: &Vendors,
    passthroughs: &Passthroughs,
) -> Result<u64, RequeueError> {
    let mut taken_in = 0;
    let mut behind = 0;
    let waiting = Wanted { waiting: true, ..Wanted::default() };
    loop {
        let page = ingest.quarantine().read(waiting.clone(), behind, AT_ONCE).await?;
        let Some(last) = page.last() else { return Ok(taken_in) };
        behind = last.id;
        let mut done = Vec::new();
        let mut failure = None;
        for Kept { id, suspect, .. } in page {
            let stored = ingest.store_hidden(&suspect.receipts, false).await;
            let addressed = addressed(vendors, suspect);
            let verdict = match (stored, &addressed) {
                (Some(verdict), _) => verdict,
                (None, Some((vendor, request))) => {
                    ingest.reconsider(&***vendor, request, "", false, false).await
                }
                // Its vendor is not served now: it waits until it is, or for an operator.
                (None, None) => continue,
            };
            let done_with = match verdict {
                Verdict::Accepted | Verdict::Duplicate => true,
                Verdict::Ignored => match &addressed {
                    Some((vendor, request)) => {
                        ingest.hand_on(&***vendor, request, passthroughs.of(vendor.name())).await
                    }
                    None => true,
                },
                Verdict::Bad(outcome) => {
                    ingest.quarantine().settle(id, outcome.as_str(), outcome.reason()).await?;
                    false
                }
                Verdict::Unavailable => {
                    failure =
                        Some(RequeueError::Unavailable(Report { accepted: taken_in, ..Report::default() }));
                    break;
                }
            };
            if done_with {
                ingest.taken_in();
                taken_in += 1;
                done.push(id);
            }
        }
        ingest.quarantine().release(done).await?;
        if let Some(failure) = failure {
            return Err(failure);
        }
    }
}

/// It could not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequeueError {
    /// The quarantine's file.
    #[error(transparent)]
    Quarantine(#[from] QuarantineError),
    /// What was good could not be made durable.
    #[error("the receipts could not be made durable; until then {} were accepted, {} duplicates", .0.accepted, .0.duplicate)]
    Unavailable(Report),
}

async fn reconsider(ingest: &Ingest, vendors: &Vendors, suspect: Suspect, dry_run: bool) -> Verdict {
    let contradicts =
        [Outcome::Conflict, Outcome::Differing].iter().any(|why| why.reason() == suspect.reason);
    let receipts = suspect.receipts.clone();
    let Some((vendor, request)) = addressed(vendors, suspect) else {
        // A vendor that is not configured any more, or nothing that HTTP could have brought.
        return Verdict::Bad(Outcome::Unreadable(Unreadable::BodyBroken));
    };
    ingest.reconsider(&**vendor, &request, &receipts, dry_run, contradicts).await
}

/// Who would answer the request, and the request as it came.
fn addressed(vendors: &Vendors, suspect: Suspect) -> Option<(&Arc<dyn Vendor>, Incoming)> {
    let path = suspect.path.strip_prefix(PREFIX).unwrap_or_default().to_owned();
    // A path below a vendor's own is a mistake in its console; the callback is genuine if it can prove it.
    let (vendor, tail_at) = match vendors.find(&path) {
        Found::Served(vendor, tail_at) | Found::UnknownPath(vendor, tail_at) => (vendor, tail_at),
        Found::Nobody => return None,
    };
    let request = incoming(suspect)?;
    Some((vendor, Incoming { tail_at: PREFIX.len() + tail_at, ..request }))
}

/// The request as it came; where its tail begins is the route's to say.
fn incoming(suspect: Suspect) -> Option<Incoming> {
    let target = match suspect.query.as_str() {
        "" => suspect.path,
        query => format!("{}?{query}", suspect.path),
    };
    let fields: Vec<(String, String)> = serde_json::from_str(&suspect.headers).ok()?;
    let mut headers = HeaderMap::with_capacity(fields.len());
    for (name, value) in fields {
        headers.append(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
    }
    Some(Incoming {
        uri: Uri::try_from(target).ok()?,
        tail_at: 0,
        headers,
        client: suspect.client.parse().ok()?,
        body: suspect.body,
        received_at: Timestamp::from_millis(suspect.at)?,
    })
}
