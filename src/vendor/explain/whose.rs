//! Whose callback a request looks like, by marks that no other vendor's has. A guess for people: nothing rests on it.

use super::super::form::Form;
use super::super::json::{Json, Object};
use super::super::request::Incoming;

/// The route that the request looks made for, when it is another than `route`.
pub(crate) fn other_vendor(request: &Incoming, route: &str) -> Option<&'static str> {
    let text = std::str::from_utf8(&request.body).unwrap_or_default();
    let by_body = match Json::parse(text) {
        Ok(Json::Object(body)) => by_object(&body),
        Ok(_) => None,
        Err(_) => Form::parse(text).ok().filter(|form| form.has("objectName")).map(|_| "rongcloud"),
    };
    let has = |name: &str| request.parameters(name).next().is_some();
    let by_query = || {
        if has("SdkAppid") || has("CallbackCommand") {
            return Some("tencent");
        }
        // Both of RongCloud's routes are signed so.
        let signed = has("nonce") && has("signature") && (has("timestamp") || has("signTimestamp"));
        (signed && !route.starts_with("rongcloud")).then_some("rongcloud")
    };
    by_body.or_else(by_query).filter(|other| *other != route)
}

fn by_object(body: &Object<'_>) -> Option<&'static str> {
    let has = |name| body.find(name).is_some();
    let text = |name| body.find(name).and_then(Json::as_text).unwrap_or_default();
    if has("relay_user_id") && has("event") {
        Some("rongcloud/relay")
    } else if has("callId") && (has("security") || has("chat_type")) {
        Some("easemob")
    } else if text("callbackCommand").starts_with("callback") {
        Some("openim")
    } else if has("CallbackCommand") {
        Some("tencent")
    } else if text("type") == "message:send" && has("data") {
        Some("rongcloud")
    } else {
        None
    }
}
