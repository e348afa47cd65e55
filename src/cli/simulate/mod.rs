//! `readhook simulate`: reads from the command line and the configuration who calls whom and how much, shows how far it is,
//! and prints what came of it. What the vendors send and do is in `simulate`.

mod receiver;
mod verify;
mod what;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use super::{Exit, complain, load, print, say};
use crate::clock;
use crate::receipt::Timestamp;
use crate::simulate::{App, Ledger, Limits, Plan, Population, Report, Shares, run};
use verify::verify;
use what::Format;
pub(super) use what::What;

pub(super) fn simulate(file: Option<&Path>, what: What) -> Exit {
    let apps = match receiver::apps(file, what.vendor, &what.receiver) {
        Ok(apps) => apps,
        Err(problem) => {
            say(&problem.says);
            return problem.exit;
        }
    };
    let shares = Shares {
        duplicates: what.duplicates,
        reorder: what.reorder,
        malformed: what.malformed,
        bad_signature: what.bad_signature,
        neighbours: what.neighbours,
    };
    if what.duplicates + what.malformed + what.bad_signature + what.neighbours > 1.0 + f64::EPSILON {
        say("the shares of duplicates, malformed, badly signed and neighbours are more than all callbacks");
        return Exit::Usage;
    }
    let ledger = match what.acknowledged.as_deref().map(ledger).transpose() {
        Ok(ledger) => ledger,
        Err(exit) => return exit,
    };
    let mut random = [0; 4];
    // Without randomness the seed 0 is as good as any; it is in the report.
    let _filled = getrandom::fill(&mut random);
    let count = what.count.or(what.duration.is_none().then_some(1_000));
    let plan = Plan {
        apps,
        limits: Limits { count, time: what.duration, rate: what.rate },
        concurrency: what.concurrency.get().into(),
        timeout: what.timeout,
        shares,
        population: Population { users: what.users, groups: what.groups },
        seed: what.seed.unwrap_or_else(|| u32::from_le_bytes(random).into()),
        start_ms: what.start_time.map(Timestamp::as_millis),
        vendor_behaviour: what.vendor_behaviour,
        ledger: ledger.clone(),
    };
    announce(&plan);
    // The receiver is often on the same machine; it gets the other half.
    let threads = std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&error);
            return Exit::Io;
        }
    };
    let since = clock::now();
    let mut report = match runtime.block_on(send(plan)) {
        Ok(report) => report,
        Err(exit) => return exit,
    };
    if let Some(admin) = &what.verify {
        let token = load(file).ok().and_then(|config| config.admin.token);
        match runtime.block_on(verify(admin, token.as_ref(), since, &report.marks)) {
            Ok(verified) => {
                report.verified = Some(verified);
                report.fine &= verified.is_fine();
            }
            Err(error) => {
                say(&format!("--verify: {error}"));
                report.fine = false;
            }
        }
    }
    let told = tell(&report, what.format);
    match ledger.map(|ledger| ledger.finish()) {
        Some(Err(error)) => {
            say(&format!("--acknowledged: {error}"));
            told.max(Exit::Io)
        }
        Some(Ok(())) | None => told,
    }
}

fn ledger(path: &Path) -> Result<Arc<Ledger>, Exit> {
    Ledger::begin(path).map(Arc::new).map_err(|error| {
        say(&format!("--acknowledged `{}`: {error}", path.display()));
        Exit::Io
    })
}

/// Says what will be sent where, before anything is.
fn announce(plan: &Plan) {
    let vendors: Vec<&str> = plan.apps.iter().map(|(app, _)| app.vendor().as_str()).collect();
    // There is one URL, so all have the same.
    let origin = plan.apps.first().map(|(_, address)| address.origin()).unwrap_or_default();
    let much = match (plan.limits.count, plan.limits.time) {
        (Some(count), Some(time)) => format!("{count} callbacks, for {time:?} at the most"),
        (Some(count), None) => format!("{count} callbacks"),
        (None, Some(time)) => format!("callbacks for {time:?}"),
        (None, None) => "callbacks".to_owned(),
    };
    let fast = match plan.limits.rate {
        Some(rate) => format!("{rate} in a second, on up to {} connections", plan.concurrency),
        None => format!("as fast as {} connections allow", plan.concurrency),
    };
    say(&format!("sending {much} of {} to {origin}, {fast}; seed {}", vendors.join(", "), plan.seed));
    if plan.shares.bad_signature > 0.0 && plan.apps.iter().any(|(app, address)| !app.can_be_refused(address))
    {
        say("openim: its app asks for no token or password, so none of its callbacks can be badly signed");
    }
    let far = plan.start_ms.is_some_and(|start| clock::now().as_millis().abs_diff(start) > 60_000);
    if far && plan.apps.iter().any(|(app, _)| matches!(app, App::Tencent { token: Some(_), .. })) {
        say(
            "tencent: signatures of --start-time are more than 60 s off, so a receiver that checks the time refuses them",
        );
    }
}

async fn send(plan: Plan) -> Result<Report, Exit> {
    let stop = CancellationToken::new();
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return Err(Exit::Io);
    };
    let bar = bar(plan.limits.count);
    let done = Arc::new(AtomicU64::new(0));
    let running = run(plan, stop.clone(), done.clone());
    tokio::pin!(running);
    let mut tick = interval(Duration::from_millis(100));
    let report = loop {
        tokio::select! {
            report = &mut running => break report,
            _ = interrupt.recv() => stop.cancel(),
            _ = terminate.recv() => stop.cancel(),
            _ = tick.tick(), if !bar.is_hidden() => bar.set_position(done.load(Ordering::Relaxed)),
        }
    };
    bar.finish_and_clear();
    report.map_err(|error| {
        complain(&*error);
        Exit::Io
    })
}

/// On standard error, and only where that is a terminal.
fn bar(count: Option<u64>) -> ProgressBar {
    let (bar, template) = match count {
        Some(count) => (ProgressBar::new(count), "{bar:40} {pos}/{len}  {per_sec}  {eta}"),
        None => (ProgressBar::new_spinner(), "{spinner} {pos}  {per_sec}  {elapsed}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn tell(report: &Report, format: Format) -> Exit {
    match format {
        Format::Text => print(&report.to_string()),
        Format::Json => match serde_json::to_string_pretty(report) {
            Ok(json) => print(&json),
            Err(error) => {
                complain(&error);
                return Exit::Io;
            }
        },
    }
    if report.fine { Exit::Ok } else { Exit::No }
}
