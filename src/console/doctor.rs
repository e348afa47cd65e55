//! The signature doctor: a callback is pasted, and what is wrong with it is said. Nothing of it is stored.

use std::net::IpAddr;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::Response;
use maud::{Markup, html};

use super::explained;
use super::form::Form;
use super::page::{Room, Visit};
use crate::admin::{Admin, Problem, examine};
use crate::explain::Capture;
use crate::receipt::Timestamp;

pub(super) async fn show(State(admin): State<Admin>, visit: Visit) -> Response {
    let content = form(&admin, &visit, &Form::read(visit.query().as_bytes()));
    visit.page(Room::Doctor, visit.words().doctor, Ok(content))
}

pub(super) async fn ask(
    State(admin): State<Admin>,
    visit: Visit,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let content = content(&admin, &visit, body).await;
    visit.page(Room::Doctor, visit.words().doctor, content)
}

async fn content(
    admin: &Admin,
    visit: &Visit,
    body: Result<Bytes, BytesRejection>,
) -> Result<Markup, Problem> {
    let words = visit.words();
    let body = body.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    let asked = Form::read(&body);
    let said = match capture(&asked) {
        Ok(capture) => {
            let explanation =
                examine(admin, asked.field("vendor").unwrap_or_default().to_owned(), capture).await;
            explanation.map(|explanation| {
                html! {
                    div #result role="status" {
                        (explained::verdict(visit, &explanation))
                        (explained::findings(visit, &explanation))
                        (explained::steps(visit, words.doctor_steps, &explanation))
                        (explained::receipts(visit, &explanation))
                    }
                }
            })
        }
        Err(problem) => Err(problem),
    };
    let said = said.unwrap_or_else(|Problem { detail, .. }| {
        html! { p.banner.bad role="alert" lang="en" { (detail) } }
    });
    Ok(html! { (said) (form(admin, visit, &asked)) })
}

/// What was typed in. Browsers end the lines of a text with CR and LF, whatever was pasted; LF alone is likelier.
fn capture(asked: &Form) -> Result<Capture, Problem> {
    let text = |name| asked.field(name).unwrap_or_default();
    let mut headers = Vec::new();
    for line in text("headers").lines().filter(|line| !line.trim().is_empty()) {
        let pair = line.split_once(':');
        let (name, value) =
            pair.ok_or_else(|| Problem::bad_request(format!("headers: no colon in `{line}`")))?;
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    let client = asked.field("client").map(|client| client.trim().parse::<IpAddr>()).transpose();
    let received_at = asked.field("received_at").map(|at| Timestamp::parse_rfc3339(at.trim()));
    let no_time = || Problem::bad_request("received_at: not an RFC 3339 time such as 2026-11-20T08:00:00Z");
    Ok(Capture {
        path: text("path").trim().to_owned(),
        query: text("query").trim().to_owned(),
        headers,
        client: client.map_err(|_| Problem::bad_request("client: not an IP address"))?,
        body: text("body").replace("\r\n", "\n").into(),
        received_at: received_at.map(|at| at.ok_or_else(no_time)).transpose()?,
        kept: false,
    })
}

fn form(admin: &Admin, visit: &Visit, asked: &Form) -> Markup {
    let words = visit.words();
    let served = admin.door.served();
    let routes: Vec<&str> = served.vendors.routes().iter().map(|route| route.path).collect();
    let value = |name| asked.field(name);
    html! {
        p.lead { (words.doctor_lead) }
        @if routes.is_empty() { p.empty { (words.first_no_app) } }
        @else {
            form.card.fields method="post" action="/doctor" {
                label { (words.doctor_route)
                    select name="vendor" {
                        @for route in routes {
                            option value=(route) selected[value("vendor") == Some(route)] { "/webhooks/" (route) }
                        }
                    }
                }
                label { (words.doctor_path)
                    input.code name="path" value=[value("path")] autocomplete="off" spellcheck="false"
                        placeholder="?SdkAppid=1400000000&CallbackCommand=…";
                }
                label { (words.doctor_body)
                    textarea name="body" rows="8" spellcheck="false" { "\n" (value("body").unwrap_or_default()) }
                }
                details open[["headers", "client", "received_at"].into_iter().any(|name| value(name).is_some())] {
                    summary { (words.doctor_more) }
                    div.fields {
                        label { (words.doctor_headers)
                            textarea name="headers" rows="4" spellcheck="false" placeholder="Signature: …" {
                                "\n" (value("headers").unwrap_or_default())
                            }
                        }
                        label { (words.doctor_client)
                            input name="client" value=[value("client")] autocomplete="off" placeholder="192.0.2.17";
                        }
                        label { (words.doctor_at)
                            input name="received_at" value=[value("received_at")] autocomplete="off"
                                placeholder="2026-11-20T08:00:00Z";
                        }
                    }
                }
                div.buttons { button { (words.doctor_look) } }
            }
        }
    }
}
