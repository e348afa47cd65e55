//! The vendors, simulated: callbacks signed as they sign, in their shapes and mixtures, sent to a receiver at any rate; and
//! what the receiver made of them. It shares no code with the rooms that verify and read callbacks, so that it can find
//! their mistakes; what it knows of the vendors and of the answers it has from their documents and from docs/reference.md.

mod address;
mod callback;
mod caller;
mod dialect;
mod easemob;
mod lane;
mod ledger;
mod line;
mod openim;
mod pace;
mod random;
mod relay;
mod report;
mod rong_signature;
mod rongcloud;
mod source;
mod spoil;
mod tally;
mod tencent;
mod vendor;
mod world;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Secret;
use crate::tls;
pub(crate) use address::Address;
use caller::Caller;
use lane::Lane;
pub(crate) use ledger::Ledger;
use line::Lines;
pub(crate) use pace::Limits;
use pace::Pace;
use random::{Random, mix};
pub(crate) use report::{Mark, Report, Verified};
use rong_signature::RongSignature;
pub(crate) use source::Shares;
use source::Source;
use tally::Tally;
use vendor::BanLedger;
pub(crate) use vendor::Vendor;
pub(crate) use world::Population;
use world::World;

/// How long answers are awaited once the run is ended early.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// How long one answer is awaited where no vendor's behaviour says.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who calls, and how it proves it.
#[derive(Debug, Clone)]
pub(crate) enum App {
    /// An appkey and the secret of a rule.
    Easemob { appkey: String, secret: Secret },
    /// A SdkAppid, and a callback token if there is one.
    Tencent { sdk_app_id: String, token: Option<Secret> },
    /// What its server has in its URL. `refuses`: whether the receiver lets nobody in without it.
    OpenIm { path_token: Option<Secret>, basic: Option<Secret>, refuses: bool },
    /// An app key and secret; how old a signature may be, 0 for any age.
    RongCloud { app_key: String, secret: Secret, window_seconds: u64 },
    /// The same with the relay's secret.
    Relay { app_key: String, secret: Secret, window_seconds: u64 },
}

impl App {
    /// Whose app it is.
    pub(crate) fn vendor(&self) -> Vendor {
        match self {
            Self::Easemob { .. } => Vendor::Easemob,
            Self::Tencent { .. } => Vendor::Tencent,
            Self::OpenIm { .. } => Vendor::OpenIm,
            Self::RongCloud { .. } => Vendor::RongCloud,
            Self::Relay { .. } => Vendor::Relay,
        }
    }

    /// Whether a callback of it can be badly signed: where nothing is asked for, nothing can be wrong.
    pub(crate) fn can_be_refused(&self, address: &Address) -> bool {
        match self {
            Self::OpenIm { path_token, refuses, .. } => {
                *refuses && (path_token.is_some() || self.credentials(address).is_some())
            }
            Self::Easemob { .. } | Self::Tencent { .. } | Self::RongCloud { .. } | Self::Relay { .. } => true,
        }
    }

    fn caller(self, address: &Address) -> Box<dyn Caller> {
        let url = address.path_and_query.as_str();
        match self {
            Self::Easemob { appkey, secret } => {
                let target = url.parse().unwrap_or_default();
                Box::new(easemob::Easemob::new(target, &appkey, secret))
            }
            Self::Tencent { sdk_app_id, token } => Box::new(tencent::Tencent::new(url, &sdk_app_id, token)),
            Self::OpenIm { path_token, basic, refuses } => {
                let proofs = openim::Proofs {
                    token: refuses && path_token.is_some(),
                    basic: refuses && (basic.is_some() || address.credentials().is_some()),
                };
                Box::new(openim::OpenIm::new(url, path_token.as_ref().map(Secret::expose), proofs))
            }
            Self::RongCloud { app_key, secret, window_seconds } => {
                let signature = RongSignature::new(url, &app_key, secret, window_seconds);
                Box::new(rongcloud::RongCloud::new(signature))
            }
            Self::Relay { app_key, secret, window_seconds } => {
                let signature = RongSignature::new(url, &app_key, secret, window_seconds);
                Box::new(relay::Relay::new(signature))
            }
        }
    }

    /// `user:password` of HTTP Basic, which only OpenIM's server speaks.
    fn credentials(&self, address: &Address) -> Option<Vec<u8>> {
        match self {
            Self::OpenIm { basic, .. } => basic
                .as_ref()
                .map(|basic| basic.expose().as_bytes().to_vec())
                .or_else(|| address.credentials()),
            Self::Easemob { .. } | Self::Tencent { .. } | Self::RongCloud { .. } | Self::Relay { .. } => None,
        }
    }
}

/// What to send, where, and how much of it.
pub(crate) struct Plan {
    /// Each vendor with its app and its receiver; the limits are for all together.
    pub(crate) apps: Vec<(App, Address)>,
    pub(crate) limits: Limits,
    /// Connections; at least one for each vendor.
    pub(crate) concurrency: usize,
    /// How long an answer is awaited; without it, as long as the vendor would.
    pub(crate) timeout: Option<Duration>,
    pub(crate) shares: Shares,
    pub(crate) population: Population,
    pub(crate) seed: u64,
    /// When the first callback happens, in milliseconds of Unix time; without it, times are the clock's.
    pub(crate) start_ms: Option<i64>,
    pub(crate) vendor_behaviour: bool,
    /// Where acknowledged reads are noted; whoever gave it finishes it.
    pub(crate) ledger: Option<Arc<Ledger>>,
}

/// Sends it all and says what came of it. `done` grows with every callback that has ended; `stop` ends the run early, and
/// answers are then awaited for one more second.
///
/// # Errors
/// When a receiver is on https and the system knows no certificate authorities.
pub(crate) async fn run(
    plan: Plan,
    stop: CancellationToken,
    done: Arc<AtomicU64>,
) -> Result<Report, tls::Error> {
    let Plan { apps, limits, concurrency, timeout, shares, population, .. } = plan;
    let Plan { seed, start_ms, vendor_behaviour, ledger, .. } = plan;
    let parts = apps.len().max(1);
    let cut_off = CancellationToken::new();
    let mut lanes = Vec::new();
    for (at, (app, address)) in apps.into_iter().enumerate() {
        let vendor = app.vendor();
        let own_seed = mix(seed ^ mix(vendor as u64 + 1));
        let limits = Limits {
            count: limits.count.map(|count| part_of(count, parts, at)),
            rate: limits.rate.map(|rate| rate / parts as f64),
            ..limits
        };
        let credentials = app.credentials(&address);
        let signs = matches!(vendor, Vendor::RongCloud | Vendor::Relay);
        let world = World::new(own_seed, population, start_ms, signs);
        let mark = format!("_{}", world.tag());
        let caller = app.caller(&address);
        let dialect = caller.dialect();
        let source = Source::new(caller, world, Random::new(own_seed), shares, limits.count);
        lanes.push(Arc::new(Lane {
            vendor,
            mark,
            dialect,
            lines: Arc::new(Lines::to(address, credentials.as_deref())?),
            timeout: timeout.unwrap_or(if vendor_behaviour { vendor.patience() } else { PATIENCE }),
            vendor_behaviour,
            source: Mutex::new(source),
            pace: Mutex::new(Pace::begin(limits)),
            tally: Mutex::new(Tally::new(vendor_behaviour)),
            ban: Mutex::new(BanLedger::default()),
            ledger: ledger.clone(),
            stop: stop.child_token(),
            cut_off: cut_off.clone(),
            done: done.clone(),
        }));
    }
    let tasks = TaskTracker::new();
    for (at, lane) in lanes.iter().enumerate() {
        let workers = part_of(concurrency as u64, parts, at).max(1) as usize;
        tasks.spawn(lane.clone().run(workers));
    }
    tasks.close();
    let last_answers = async {
        stop.cancelled().await;
        sleep(LAST_ANSWERS).await;
        cut_off.cancel();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = tasks.wait() => {}
        () = last_answers => {}
    }
    for (at, lane) in lanes.iter().enumerate() {
        let wanted = limits.count.map(|count| part_of(count, parts, at));
        lane.tally().account_for(wanted);
    }
    let tallies: Vec<_> = lanes.iter().map(|lane| (lane.vendor.as_str(), lane.tally())).collect();
    let parts: Vec<_> = tallies.iter().map(|(name, tally)| (*name, &**tally)).collect();
    let marks = lanes.iter().zip(&parts);
    let marks = marks.map(|(lane, (_, tally))| Mark { text: lane.mark.clone(), receipts: tally.receipts });
    Ok(Report::new(seed, stop.is_cancelled(), marks.collect(), &parts))
}

/// The `at`-th of so many parts of a whole, which together are all of it.
fn part_of(whole: u64, parts: usize, at: usize) -> u64 {
    let (parts, at) = (parts as u64, at as u64);
    whole / parts + u64::from(at < whole % parts)
}
