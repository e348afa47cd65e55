//! A callback's way through its vendor's room, as `ingest` goes it, with everything that can be seen from
//! outside kept. The journal is left out: what would be committed is at hand.

use readhook::journal::Entry;
use readhook::receipt::Proof;
use readhook::stamp::stamp;
use readhook::vendor::{Answer, Incoming, Opened, Outcome, Vendor, authenticate};

/// What came of a callback.
#[derive(Debug)]
pub struct Way {
    /// How it ended. `Accepted` where there are receipts, though a journal could say otherwise.
    pub outcome: Outcome,
    /// What the vendor hears.
    pub answer: Answer,
    /// Whether it was taken for a neighbour, and so heard an answer that was made for it.
    pub neighbour: bool,
    /// Whether the neighbour heard something that not every neighbour hears.
    pub asked: bool,
    /// The vendor's name of the event, where it was one.
    pub command: Option<String>,
    /// The app and the proof, where it counted as genuine.
    pub proven: Option<(String, Proof)>,
    /// What would be committed.
    pub entries: Vec<Entry>,
}

impl Way {
    /// Whether it came as far as a vendor's decoder, or to an answer of its own. Only from there does a
    /// change lead further.
    pub fn goes_deep(&self) -> bool {
        self.proven.is_some() || self.asked
    }
}

/// Goes it.
pub fn go(vendor: &dyn Vendor, request: &Incoming) -> Way {
    let (mut command, mut proven) = (None, None);
    let (outcome, neighbour, entries) = match through(vendor, request, &mut command, &mut proven) {
        Ok(Ok(entries)) if entries.is_empty() => (Outcome::Ignored, None, entries),
        Ok(Ok(entries)) => (Outcome::Accepted, None, entries),
        Ok(Err(allow)) => (Outcome::Ignored, Some(allow), Vec::new()),
        Err(outcome) => (outcome, None, Vec::new()),
    };
    let is_neighbour = neighbour.is_some();
    let usual = vendor.answer(request, &outcome);
    let asked = neighbour.as_ref().is_some_and(|allow| *allow != usual);
    let answer = neighbour.unwrap_or(usual);
    Way { outcome, answer, neighbour: is_neighbour, asked, command, proven, entries }
}

fn through(
    vendor: &dyn Vendor,
    request: &Incoming,
    command: &mut Option<String>,
    proven: &mut Option<(String, Proof)>,
) -> Result<Result<Vec<Entry>, Answer>, Outcome> {
    let callback = match vendor.open(request)? {
        Opened::Read(callback) => callback,
        Opened::Neighbour(neighbour) => return Ok(Err(neighbour.allow)),
    };
    *command = Some(callback.command.clone().into_owned());
    let verified = authenticate(vendor, callback).map_err(Outcome::Rejected)?;
    *proven = Some((verified.app().to_owned(), verified.by()));
    let readings = vendor.decode(&verified).map_err(Outcome::Malformed)?;
    Ok(Ok(readings.into_iter().map(|reading| stamp(vendor.name(), &verified, reading)).collect()))
}
