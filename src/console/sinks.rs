//! The sinks: how far each is behind and why, and what an operator can tell it.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;
use maud::{Markup, html};

use super::form::{Form, query, segment};
use super::page::{Room, Visit};
use super::see;
use super::text::{ago, number, time, time_or_none};
use super::words::Words;
use crate::admin::{Admin, Problem, give};
use crate::clock;
use crate::dispatch::{Command, LetterFilter, PauseCause, Standing};
use crate::receipt::Timestamp;

pub(super) async fn show(State(admin): State<Admin>, visit: Visit) -> Response {
    let content = content(&admin, &visit);
    visit.page(Room::Sinks, visit.words().sinks, Ok(content))
}

/// An order by a button; ends at the page of all sinks, which says what came of it.
pub(super) async fn order(
    State(admin): State<Admin>,
    visit: Visit,
    Path((name, order)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    let position = Form::read(&body).number("position");
    let command = match (&*order, position) {
        ("pause", _) => Ok(Command::Pause),
        ("resume", _) => Ok(Command::Resume),
        ("redrive", None) => Ok(Command::Redrive(LetterFilter::All)),
        ("redrive", Some(position)) => Ok(Command::Redrive(LetterFilter::Position(position))),
        ("discard", Some(position)) => Ok(Command::Discard(LetterFilter::Position(position))),
        _ => Err(Problem::bad_request("a sink can pause, resume, redrive, and discard one dead letter")),
    };
    let report = match command {
        Ok(command) => give(&admin, &name, command).await,
        Err(problem) => Err(problem),
    };
    match report {
        Ok(report) => {
            let (delivered, refused) = (report.delivered.to_string(), report.refused.to_string());
            let said = [("done", &*order), ("sink", &name), ("delivered", &delivered), ("refused", &refused)];
            see(&format!("/sinks?{}", query(said)))
        }
        Err(problem) => visit.page(Room::Sinks, visit.words().sinks, Err(problem)),
    }
}

fn content(admin: &Admin, visit: &Visit) -> Markup {
    let words = visit.words();
    let head = admin.store.head();
    html! {
        (done(visit))
        p.lead { (words.sinks_lead) }
        @if admin.sinks.config.is_empty() { p.empty { (words.sinks_none) } }
        div.cards {
            @for (name, config) in &admin.sinks.config {
                @if let Some(standing) = admin.sinks.standings.get(name) {
                    @let dead = standing.dead_letters().entries;
                    section.card aria-labelledby={ "sink-" (name) } {
                        h2 id={ "sink-" (name) } { (name) " " small { (config.kind.word()) } }
                        (state(words, standing))
                        (facts(visit, name, standing, head, dead))
                        @if admin.sinks.handles.contains_key(name) { (buttons(words, name, standing, dead)) }
                    }
                }
            }
        }
    }
}

fn state(words: &Words, standing: &Standing) -> Markup {
    let (class, text) = match (standing.paused(), standing.is_failing()) {
        (Some(PauseCause::Operator), _) => ("tag warn", words.sink_paused),
        (Some(PauseCause::DeadLettersFull), _) => ("tag bad", words.sink_paused_full),
        (Some(PauseCause::Gone), _) => ("tag bad", words.sink_paused_gone),
        (None, true) => ("tag bad", words.sink_failing),
        (None, false) => ("tag good", words.sink_delivering),
    };
    html! { p { span class=(class) { (text) } } }
}

fn facts(visit: &Visit, name: &str, standing: &Standing, head: i64, dead: i64) -> Markup {
    let words = visit.words();
    let lag = standing.lag(head);
    let oldest = standing.oldest_waiting().filter(|_| lag > 0);
    let now = clock::now().as_millis();
    html! {
        dl.facts {
            div { dt { (words.sink_lag) } dd { (number(lag)) } }
            @if let Some(oldest) = oldest {
                div { dt { (words.sink_oldest) } dd { (ago(visit.language, now - oldest)) } }
            }
            div { dt { (words.sink_cursor) } dd { (number(standing.cursor())) " / " (number(head)) } }
            div { dt { (words.sink_dead) } dd {
                @if dead > 0 { a href={ "/sinks/" (segment(name)) "/dead-letters" } { (number(dead)) } } @else { "0" }
            } }
            @if let Some(at) = standing.next_try() {
                div { dt { (words.sink_next_try) } dd { (time_or_none(Timestamp::from_millis(at))) } }
            }
            @if let Some(lost) = standing.let_go() {
                div.wide {
                    dt { (words.sink_let_go) }
                    dd { strong { (number(lost.total)) } " " (words.sink_let_go_last) " " (number(lost.from)) "–" (number(lost.to)) }
                }
            }
            @if let Some(failure) = standing.last_error() {
                div.wide {
                    dt { (words.sink_last_error) " " (time(failure.at)) }
                    dd { code { (failure.why) } @if !standing.is_failing() { " " (words.sink_overcome) } }
                }
            }
        }
    }
}

fn buttons(words: &Words, name: &str, standing: &Standing, dead: i64) -> Markup {
    let form = |order: &str, text: &str| {
        html! {
            form method="post" action={ "/sinks/" (segment(name)) "/" (order) } {
                button aria-label={ (text) (words.colon) (name) } { (text) }
            }
        }
    };
    html! {
        div.buttons {
            @if standing.next_try().is_some() { (form("resume", words.sink_try_now)) }
            @if standing.is_paused() { (form("resume", words.sink_resume)) }
            @else { (form("pause", words.sink_pause)) }
            @if dead > 0 { (form("redrive", words.sink_redrive)) }
        }
    }
}

/// What came of the order that led here.
fn done(visit: &Visit) -> Markup {
    let (words, form) = (visit.words(), Form::read(visit.query().as_bytes()));
    let said = match form.field("done") {
        Some("pause") => words.sink_done_pause,
        Some("resume") => words.sink_done_resume,
        Some("redrive") => words.sink_done_redrive,
        Some("discard") => words.sink_done_discard,
        Some(_) | None => return html! {},
    };
    let count = |name| number(form.number(name).unwrap_or(0));
    html! {
        p.banner.good role="status" {
            @if let Some(sink) = form.field("sink") { strong { (sink) } (words.colon) }
            (said)
            @if form.field("done") == Some("redrive") {
                " " (words.sink_delivered) (words.colon) (count("delivered")) (words.comma) (words.sink_refused) (words.colon) (count("refused"))
            }
        }
    }
}
