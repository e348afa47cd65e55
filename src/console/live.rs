//! The first page: callbacks as they arrive, how each ended and why, who has called when, and how the last 15 minutes
//! went. Before the first callback it says what to do.
//!
//! The script asks for this very page again, with `after`, and takes out of it what is new; so there is one place that
//! makes it.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::chart::{self, Bar, STEP};
use super::first;
use super::form::{Form, query};
use super::page::{Room, Visit};
use super::text::{
    ago, clock as time_of_day, latency, number, outcome, outcome_class, vendor, vendor_choice, vendor_named,
};
use super::words::explained;
use crate::admin::{Admin, Problem};
use crate::callback_log::{CallbackLog, Entry, Numbered, OUTCOMES, Tally, Wanted};
use crate::clock;
use crate::journal::Order;
use crate::receipt::{Timestamp, VendorName};

/// How many callbacks are listed at first.
const ROWS: usize = 60;
/// How many new ones the script gets at once; it keeps as many.
const NEW_ROWS: usize = 200;

pub(super) async fn show(State(admin): State<Admin>, visit: Visit) -> Response {
    let content = content(&admin, &visit);
    visit.page(Room::Live, visit.words().live, content)
}

fn content(admin: &Admin, visit: &Visit) -> Result<Markup, Problem> {
    let (words, log) = (visit.words(), admin.ingest.callbacks());
    let asked = Form::read(visit.query().as_bytes());
    let wanted = Wanted {
        vendor: asked.field("vendor").and_then(vendor_named),
        outcome: asked
            .field("outcome")
            .and_then(|word| OUTCOMES.into_iter().find(|outcome| *outcome == word)),
        ..Wanted::default()
    };
    let after = asked.number("after").and_then(|number| u64::try_from(number).ok()).unwrap_or(0);
    // Taken before the rows: what comes in between is in the next ones again, and never in none.
    let newest = log.head();
    let most = if after > 0 { NEW_ROWS } else { ROWS };
    let page = log.page(&wanted, Order::Descending, Some(newest + 1), most);
    let rows: Vec<Numbered> = page.callbacks.into_iter().filter(|found| found.number > after).collect();
    let called = log.counts().iter().flatten().any(|count| *count > 0);
    let nobody_yet = !called && admin.store.head() == 0;
    let none = match (called, newest) {
        (false, _) => words.live_none_yet,
        (true, 0) => words.live_off,
        (true, _) => words.live_none_fit,
    };
    let kept = ["vendor", "outcome"].into_iter().filter_map(|name| Some((name, asked.field(name)?)));
    let reload = format!("/?{}", query(kept));
    let stream = wanted.vendor.map_or(String::new(), |vendor| format!("&vendor={vendor}"));
    Ok(html! {
        @if nobody_yet { (first::steps(admin, visit)) }
        @else { (overview(admin, visit, log)) }
        div.bar {
            @if !nobody_yet { h2 #list-title { (words.live_list) } }
            span #status role="status" data-on=(words.live_on) data-lost=(words.live_lost)
                data-flood=(words.live_flood) data-paused=(words.live_paused) {}
            button #pause type="button" hidden data-on=(words.live_go_on) data-off=(words.live_pause) {
                (words.live_pause)
            }
            noscript { (words.live_no_script) " " a href=(reload) { (words.reload) } }
            @if !nobody_yet { (filter(visit, &wanted)) }
        }
        div.scroll data-live=(if nobody_yet { "first" } else { "list" }) data-run=(log.run()) data-newest=(newest)
            data-stream={ "/api/v1/stream?events=callback" (stream) } hidden[rows.is_empty()]
            tabindex="0" role="region" aria-label=(words.live_list) {
            table.stack {
                thead { tr {
                    th scope="col" { (words.time) " (UTC)" }
                    th scope="col" { (words.vendor) }
                    th scope="col" { (words.outcome) }
                    th scope="col" { (words.command) }
                    th.number scope="col" { (words.latency) }
                } }
                tbody { @for Numbered { number, entry } in &rows { (row(visit, *number, entry)) } }
            }
        }
        @if rows.is_empty() && !nobody_yet { p.empty #none { (none) } }
    })
}

fn row(visit: &Visit, number: u64, entry: &Entry) -> Markup {
    let (language, words) = (visit.language, visit.words());
    let micros = u64::try_from(entry.took.as_micros()).unwrap_or(u64::MAX);
    let reason = entry.outcome.reason();
    html! {
        tr.row {
            td { a href={ "/callbacks/" (number) } { (time_of_day(entry.at)) } }
            td.short { (vendor(language, entry.vendor)) @if let Some(app) = entry.app() { " " small { bdi { (app) } } } }
            td.wide {
                span class={ "tag " (outcome_class(&entry.outcome)) } { (outcome(words, &entry.outcome)) }
                @if !reason.is_empty() {
                    " " (explained(language, reason).unwrap_or_default()) " " small.code { (reason) }
                }
            }
            td.event { @if let Some(command) = entry.command() { code { (command) } } }
            td.number { (latency(micros)) }
        }
    }
}

fn filter(visit: &Visit, wanted: &Wanted) -> Markup {
    let words = visit.words();
    let texts =
        [words.accepted, words.duplicate, words.ignored, words.malformed, words.rejected, words.unavailable];
    html! {
        form.filter method="get" action="/" {
            label { (words.vendor)
                (vendor_choice(visit.language, Some(words.any), wanted.vendor.map(VendorName::as_str))) }
            label { (words.outcome)
                select name="outcome" {
                    option value="" { (words.any) }
                    @for (outcome, text) in OUTCOMES.into_iter().zip(texts) {
                        option value=(outcome) selected[wanted.outcome == Some(outcome)] { (text) }
                    }
                }
            }
            button { (words.find) }
        }
    }
}

/// The parts that the script replaces as a whole: who calls, and the charts.
fn overview(admin: &Admin, visit: &Visit, log: &CallbackLog) -> Markup {
    let now = clock::now();
    let history = log.history(now, STEP);
    let bars: Vec<Bar> = history
        .iter()
        .map(|point| {
            let mut sum = Tally::NONE;
            point.vendors.iter().for_each(|tally| sum.add(tally));
            let [accepted, duplicate, ignored, malformed, rejected, unavailable] =
                sum.outcomes.map(u64::from);
            let micros = |share| sum.quantile(share).and_then(|took| u64::try_from(took.as_micros()).ok());
            Bar {
                at: point.at,
                stored: accepted,
                other: duplicate + ignored,
                bad: malformed + rejected + unavailable,
                median: micros(0.5),
                slowest: micros(0.99),
            }
        })
        .collect();
    let tally_of = |place: usize| {
        let mut sum = Tally::NONE;
        history.iter().filter_map(|point| point.vendors.get(place)).for_each(|tally| sum.add(tally));
        sum
    };
    let called = admin.metrics.last_callbacks();
    html! {
        div #overview data-part {
            div.cards.vendors {
                @for (place, name) in VendorName::ALL.into_iter().enumerate() {
                    @let apps: Vec<_> = called.iter().filter(|(vendor, ..)| *vendor == name).collect();
                    @if !apps.is_empty() { (card(visit, name, &tally_of(place), &apps, now.as_millis())) }
                }
            }
            div.cards.charts { (chart::rate(visit, &bars)) (chart::latencies(visit, &bars)) }
            (chart::table(visit, &bars))
        }
    }
}

/// A vendor's last 15 minutes, and since when each app is silent.
fn card(
    visit: &Visit,
    name: VendorName,
    tally: &Tally,
    apps: &[&(VendorName, String, Option<Timestamp>)],
    now: i64,
) -> Markup {
    let words = visit.words();
    let [.., malformed, rejected, unavailable] = tally.outcomes.map(u64::from);
    let bad = malformed + rejected + unavailable;
    html! {
        section.card {
            h2 { (vendor(visit.language, name)) " " small { (words.last_minutes) } }
            p {
                span.big { (number(tally.total())) } " " (words.callbacks)
                @if bad > 0 { br; strong.bad { (number(bad)) " " (words.not_usable) } }
            }
            @for (_, app, at) in apps {
                p.app {
                    strong { bdi { (app) } } br;
                    span.soft { (words.last_callback) (words.colon)
                        @match at {
                            Some(at) => (ago(visit.language, now - at.as_millis())),
                            None => (words.never),
                        }
                    }
                }
            }
        }
    }
}
