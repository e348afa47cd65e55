//! What a vendor is to readhook, and the table of those it knows.
//!
//! Everything a vendor does is arithmetic on bytes it already has: no clock, no I/O, no async, no HTTP server.
//! A new vendor is one room beside these, its line in [`Vendors::configure`], and its fixtures.

mod callback;
pub(crate) mod explain;
mod field;
mod form;
mod json;
mod mask;
mod outcome;
mod reading;
mod request;
mod sign;
mod verified;

mod easemob;
mod openim;
mod rongcloud;
mod tencent;

use std::sync::Arc;
use std::time::Duration;

pub use callback::{Body, Callback, Claim, Neighbour, Opened};
pub use explain::{Fact, Finding, Report, Step, Verdict};
pub use json::{Json, JsonError, Keep, Object};
pub use mask::Mask;
pub use outcome::{Answer, DecodeError, Fault, Outcome, Problem, REASONS, Refusal, Unreadable};
pub use reading::{Identity, Mark, RECEIPTS_BYTES, Reading, Readings};
pub use request::Incoming;
pub use verified::{Identified, SecretPlace, Verified, authenticate};

use crate::config::{Secret, VendorsConfig};
use crate::receipt::VendorName;

/// One vendor's room: how its callbacks are told apart, proven, read and answered.
///
/// The order is the callback's: `open`, then (through [`authenticate`] only) `verify`, then `decode`, then
/// `answer`. All of it is pure; the moment that matters is `request.received_at`.
pub trait Vendor: Send + Sync {
    /// Which vendor this is.
    fn name(&self) -> VendorName;

    /// Checks what must hold for every request and reads just far enough to tell a read event from a neighbour.
    /// Nothing that comes out is trusted yet.
    fn open<'r>(&self, request: &'r Incoming) -> Result<Opened<'r>, Fault>;

    /// Looks for the proof that the callback is genuine, and for the app it belongs to.
    fn verify<'r>(&'r self, callback: &Callback<'r>) -> Result<Identified<'r>, Refusal>;

    /// Reads the receipts out of an authentic read event. None at all means that nobody has read anything.
    fn decode<'c>(&self, verified: &'c Verified<'_>) -> Result<Readings<'c>, DecodeError>;

    /// Whom a request claims to be for. It is asked of requests that could not be used: to tell what a vendor may have sent
    /// from junk. Pure and cheap; it proves nothing, and no secret is looked at.
    fn claim(&self, request: &Incoming) -> Claim;

    /// The vendor's id of a callback, where the signature covers that id and not the body: whoever has one genuine callback
    /// can then send any other body under the same id.
    fn signed_id<'c>(&self, _callback: &'c Callback<'_>) -> Option<&'c str> {
        None
    }

    /// The answer to a request that ended in `outcome`, in the vendor's response format. OpenIM's repeats fields of the
    /// request; nobody else's depends on it.
    fn answer(&self, request: &Incoming, outcome: &Outcome) -> Answer;

    /// Says what `open` and `verify` look at in a request, and what they find: for people. Nothing rests on it.
    fn examine<'s>(&'s self, request: &Incoming, report: &mut Report<'s>);

    /// Every secret that the room knows, so that an explanation can be searched for them.
    fn secrets(&self) -> Vec<&Secret>;

    /// How long a commit may take before the outcome is `unavailable`: less than the vendor's own time-out.
    fn patience(&self) -> Duration;

    /// The vendor's app identities, as they stand in receipts.
    fn apps(&self) -> Vec<String>;
}

/// Where the vendors' routes begin.
pub const PREFIX: &str = "/webhooks/";

/// A route below `/webhooks/` and whether more path may follow it.
pub struct Route {
    /// The path below `/webhooks/`, for example `rongcloud/relay`.
    pub path: &'static str,
    /// Whether anything may follow (`/webhooks/openim/<token>/<command>`).
    pub open_ended: bool,
    /// Who answers there.
    pub vendor: Arc<dyn Vendor>,
}

/// Whose a path below `/webhooks/` is, and where in it the vendor's own tail begins.
pub enum Found<'v> {
    /// A route of this vendor.
    Served(&'v Arc<dyn Vendor>, usize),
    /// Below this vendor's routes, but none of them: the vendor answers 404 in its own format.
    UnknownPath(&'v Arc<dyn Vendor>, usize),
    /// It names no vendor that has an app.
    Nobody,
}

/// The vendors that have an app configured, each at its routes.
pub struct Vendors(Vec<Route>);

impl Vendors {
    /// One row a route. A vendor without an app has none, so its route is a 404.
    pub fn configure(config: &VendorsConfig) -> Self {
        type Row = (&'static str, bool, Option<Arc<dyn Vendor>>);
        let rows: [Row; 5] = [
            ("easemob", false, easemob::Easemob::configure(&config.easemob)),
            ("tencent", false, tencent::Tencent::configure(&config.tencent)),
            ("openim", true, openim::OpenIm::configure(&config.openim)),
            ("rongcloud", false, rongcloud::RongCloud::configure(&config.rongcloud)),
            ("rongcloud/relay", false, rongcloud::Relay::configure(&config.rongcloud)),
        ];
        let routes = rows
            .into_iter()
            .filter_map(|(path, open_ended, vendor)| vendor.map(|vendor| Route { path, open_ended, vendor }));
        Self(routes.collect())
    }

    /// Finds the vendor that serves what stands behind `/webhooks/`, and where in it the vendor's own tail begins. Every
    /// route takes a trailing slash.
    pub fn route(&self, path: &str) -> Option<(&Arc<dyn Vendor>, usize)> {
        match self.find(path) {
            Found::Served(vendor, tail_at) => Some((vendor, tail_at)),
            Found::UnknownPath(..) | Found::Nobody => None,
        }
    }

    /// Finds whose the path behind `/webhooks/` is. Of two routes that it begins with, the longer one has it.
    pub fn find(&self, path: &str) -> Found<'_> {
        let below = |route: &&Route| {
            path.strip_prefix(route.path).is_some_and(|tail| tail.is_empty() || tail.starts_with('/'))
        };
        let Some(route) = self.0.iter().filter(below).max_by_key(|route| route.path.len()) else {
            return Found::Nobody;
        };
        let at = route.path.len();
        let served = route.open_ended || path.get(at..).is_some_and(|tail| matches!(tail, "" | "/"));
        if served { Found::Served(&route.vendor, at) } else { Found::UnknownPath(&route.vendor, at) }
    }

    /// Every route that is served.
    pub fn routes(&self) -> &[Route] {
        &self.0
    }
}

/// What stands behind a route, with everything masked that could be a secret: OpenIM's token is in the path.
pub(crate) fn masked(tail: &str) -> String {
    openim::masked(tail)
}

/// The answer where no vendor is: a path that is none of ours, or a vendor without an app. An OpenIM server that is
/// pointed here by mistake must not have its users' operations blocked by a body that it cannot parse.
pub fn not_here(request: &Incoming) -> Answer {
    if is_openim(request.uri.path()) {
        return openim::allow(404, request);
    }
    Answer::json(404, r#"{"error":"not_found"}"#)
}

/// Whether a path is OpenIM's, with or without an app: its answer repeats fields of the body, which must be read for it.
pub fn is_openim(path: &str) -> bool {
    let tail = path.strip_prefix(PREFIX).and_then(|path| path.strip_prefix("openim"));
    tail.is_some_and(|tail| tail.is_empty() || tail.starts_with('/'))
}
