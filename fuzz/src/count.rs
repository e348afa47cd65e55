//! How many receipts a callback must give: one for everybody and everything that it says was read, by the
//! table in docs/reference.md. Fewer would be a loss.

use readhook::vendor::Incoming;
use serde_json::Value;

use crate::Target;

/// The number, for a callback whose receipts could be read. `None` where the body holds something that serde
/// takes for no JSON.
pub fn count(target: Target, request: &Incoming, command: &str) -> Option<usize> {
    let body = || serde_json::from_slice::<Value>(&request.body).ok();
    match target {
        Target::Easemob => Some(1),
        Target::Tencent => Some(tencent(&body()?, command)),
        Target::OpenIm => {
            let body = body()?;
            let group = command.contains("Group");
            Some(if group { 1 } else { (list(&body, "Seqs").len() + list(&body, "seqs").len()).max(1) })
        }
        Target::RongCloud => rongcloud(request, command),
        Target::Relay => Some(relay(&body()?, command)),
    }
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// An integer, or a text of digits and nothing else.
fn integer(value: &Value) -> Option<i64> {
    let digits = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
    value.as_i64().or_else(|| value.as_str().filter(digits)?.parse().ok())
}

fn tencent(body: &Value, command: &str) -> usize {
    match command {
        "Group.CallbackAfterReadReceipt" => {
            let messages = list(body, "GroupMsgReceiptList").iter();
            messages.map(|message| list(message, "ReadReceiptMembers").len()).sum()
        }
        "C2C.CallbackAfterMsgReadReceipt" => list(body, "C2CMsgInfo").len(),
        "C2C.CallbackAfterMsgReadAll" => list(body, "GroupReadInfo").len() + 1,
        _ => 1,
    }
}

fn rongcloud(request: &Incoming, command: &str) -> Option<usize> {
    let body = request.body.trim_ascii_start();
    if body.starts_with(b"{") {
        let envelope: Value = serde_json::from_slice(body).ok()?;
        let messages = list(&envelope, "data").iter().filter_map(|message| {
            let name = message.get("messageType")?.as_str()?;
            let read = matches!(
                (name, integer(message.get("channelType")?)),
                ("RC:ReadNtf", Some(1)) | ("RC:RRRspMsg", Some(3))
            );
            read.then(|| content(name, message.get("content")?.as_str()?))
        });
        return messages.sum();
    }
    let (_, text) = form_urlencoded::parse(body).find(|(name, _)| name == "content")?;
    content(command, text.trim_end_matches(['\r', '\n']))
}

/// The receipts in a message of RongCloud.
fn content(name: &str, content: &str) -> Option<usize> {
    let content: Value = serde_json::from_str(content).ok()?;
    if name == "RC:ReadNtf" {
        return Some(1);
    }
    let authors = content.get("receiptMessageDic")?.as_object()?.values();
    let messages = authors.flat_map(|messages| messages.as_array().into_iter().flatten());
    Some(messages.filter(|message| *message != "").count())
}

fn relay(body: &Value, event: &str) -> usize {
    let data = body.get("data").unwrap_or(&Value::Null);
    let readers = |message: &Value| -> usize {
        let lists = ["readerList", "userIdList", "respondUserIds", "users"].iter();
        let names = lists.filter(|name| (**name == "users") == (event == "onMessageReadReceiptV5Received"));
        let names = names.filter(|name| (**name == "respondUserIds") == event.starts_with("onGroup"));
        let lists = names.filter_map(|name| message.get(*name));
        lists
            .map(|list| list.as_array().map(Vec::len).or(list.as_object().map(|map| map.len())).unwrap_or(0))
            .sum()
    };
    match event {
        "onReceiveReadReceipt" => {
            let kind =
                ["cType", "ctype"].iter().find_map(|name| data.get(*name).filter(|kind| !kind.is_null()));
            kind.is_none_or(|kind| integer(kind) == Some(1)).into()
        }
        "onPrivateReadReceiptReceived" => 1,
        "onMessageReadReceiptV5Received" => list(body, "data").iter().map(readers).sum(),
        _ => readers(data),
    }
}
