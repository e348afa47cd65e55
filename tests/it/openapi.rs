//! The API is what its description says. Continuous integration asks an independent tool, too (`.ci/openapi`).

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};

use crate::house::{House, demo, exchange, repository};
use crate::vendor::{Callback, easemob, openim, rongcloud, tencent};

async fn description(house: &House) -> Value {
    let reply = house.get("/api/v1/openapi.json").await;
    assert_eq!(reply.status, 200);
    serde_json::from_str(&reply.body).unwrap()
}

/// The routes as the source has them, with the words that stand for a sink's order.
fn routed() -> BTreeSet<String> {
    let source = std::fs::read_to_string(repository("src/admin/mod.rs")).unwrap();
    let routes = source.split(".route(\"").skip(1).filter_map(|rest| rest.split_once('"'));
    let routes = routes.map(|(route, _)| route).filter(|route| route.starts_with("/api/"));
    let expanded = routes.flat_map(|route| match route.strip_suffix("{order}") {
        Some(sink) => ["pause", "resume", "redrive", "discard", "replay"]
            .iter()
            .map(|order| format!("{sink}{order}"))
            .collect(),
        None => vec![route.to_owned()],
    });
    expanded.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_described_and_nothing_else_is() {
    let house = House::start(&demo()).await;
    let description = description(&house).await;
    let described: BTreeSet<String> = description["paths"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(described, routed());
    house.end().await;
}

/// Looks whether an answer fits the schema of the operation that gave it.
fn check(description: &Value, operation: &str, status: u16, content: &str, answer: &str) {
    let operation = operation.replace('~', "~0").replace('/', "~1");
    let method = ["get", "post"].into_iter().find(|method| {
        description.pointer(&format!("/paths/{operation}/{method}")).is_some_and(Value::is_object)
    });
    let at = format!("/paths/{operation}/{}/responses/{status}", method.unwrap());
    let response = description.pointer(&at).unwrap_or_else(|| panic!("{at} is not described: {answer}"));
    let at = match response["$ref"].as_str() {
        Some(reference) => reference.to_owned(),
        None => format!("#{at}"),
    };
    let mut schema = description.clone();
    // The whole document, so that what it refers to is there; what is looked at is this part.
    let at = format!("{at}/content/{}/schema", content.replace('/', "~1"));
    schema["$ref"] = json!(at.replace('{', "%7B").replace('}', "%7D"));
    let answer: Value = serde_json::from_str(answer).unwrap();
    let validator = jsonschema::options().with_draft(jsonschema::Draft::Draft202012).build(&schema).unwrap();
    let faults: Vec<String> = validator.iter_errors(&answer).map(|fault| fault.to_string()).collect();
    assert!(faults.is_empty(), "{at}: {faults:?} in {answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_as_described() {
    let house = House::start(&demo()).await;
    let description = description(&house).await;
    for Callback { target, body } in [easemob(1), tencent(2), openim(3), rongcloud(4)] {
        assert_eq!(house.post(&target, &[], body.as_bytes()).await.status, 200);
    }
    assert_eq!(house.post("/webhooks/easemob", &[], b"{\"callId\":").await.status, 400);
    for (operation, target, status) in [
        ("/api/v1/receipts", "/api/v1/receipts", 200),
        ("/api/v1/receipts", "/api/v1/receipts?limit=0", 400),
        (
            "/api/v1/readers",
            "/api/v1/readers?vendor=easemob&app=1122334455%23demo&conversation=peer&message_id=91",
            200,
        ),
        ("/api/v1/readers", "/api/v1/readers?vendor=easemob", 400),
        ("/api/v1/positions", "/api/v1/positions?vendor=openim&app=demo&reader=b", 200),
        ("/api/v1/callbacks", "/api/v1/callbacks", 200),
        ("/api/v1/callbacks/{number}", "/api/v1/callbacks/1", 200),
        ("/api/v1/callbacks/{number}", "/api/v1/callbacks/5", 200),
        ("/api/v1/callbacks/{number}", "/api/v1/callbacks/77", 404),
        ("/api/v1/history", "/api/v1/history", 200),
        ("/api/v1/quarantine", "/api/v1/quarantine", 200),
        ("/api/v1/sinks", "/api/v1/sinks", 200),
        ("/api/v1/sinks/{name}/dead-letters", "/api/v1/sinks/events/dead-letters", 200),
        ("/api/v1/sinks/{name}/dead-letters", "/api/v1/sinks/none/dead-letters", 404),
    ] {
        let reply = house.get(target).await;
        assert_eq!(reply.status, status, "{target}: {}", reply.body);
        let content = if status == 200 { "application/json" } else { "application/problem+json" };
        check(&description, operation, status, content, &reply.body);
    }
    for (operation, body) in [
        ("/api/v1/quarantine/requeue", r#"[null,null]"#),
        ("/api/v1/explain", r#"["easemob","","",{},null,"{}"]"#),
    ] {
        let reply = exchange(house.admin, Method::POST, operation, &[], body.as_bytes().to_vec()).await;
        assert_eq!(reply.status, 400, "a list is no object: {}", reply.body);
        check(&description, operation, 400, "application/problem+json", &reply.body);
    }
    house.end().await;
}
