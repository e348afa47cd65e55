//! OpenIM: an allow response must leave the request of the server as it is, whatever happens here. Its server copies fields
//! of the response over its own request; for some commands an absent field empties the request's.

use http::Method;
use serde_json::{Value, json};

use crate::house::{House, Reply, demo, exchange};
use crate::upstream::{Manner, Upstream};

const ALLOW: &str = r#"{"actionCode":0,"errCode":0,"errMsg":"","errDlt":"","nextCode":0}"#;

/// Every command that waits for an answer, of every generation, that the plain allow response leaves as it is.
const PLAIN: [&str; 34] = [
    "callbackBeforeSendSingleMsgCommand",
    "callbackBeforeSendGroupMsgCommand",
    "callbackBeforeMsgModifyCommand",
    "callbackBeforeOfflinePushCommand",
    "callbackBeforeOnlinePushCommand",
    "callbackBeforeGroupOnlinePushCommand",
    "callbackBeforeAddFriendCommand",
    "callbackBeforeAddFriendAgreeCommand",
    "callbackBeforeAddBlackCommand",
    "callbackBeforeImportFriendsCommand",
    "callbackBeforeUserRegisterCommand",
    "callbackBeforeUpdateUserInfoCommand",
    "callbackBeforeUpdateUserInfoExCommand",
    "callbackBeforeCreateGroupCommand",
    "callbackBeforeJoinGroupCommand",
    "callbackBeforeMembersJoinGroupCommand",
    "callbackBeforeInviteJoinGroupCommand",
    "callbackBeforeSetGroupMemberInfoCommand",
    "callbackBeforeCreateSingleChatConversationsCommand",
    "callbackBeforeCreateGroupChatConversationsCommand",
    // Before 3.7.
    "callbackBeforeMemberJoinGroupCommand",
    "callbackMsgModifyCommand",
    "callbackOfflinePushCommand",
    "callbackOnlinePushCommand",
    "callbackSuperGroupOnlinePushCommand",
    "callbackBeforeSetMessageReactionExtensionCommand",
    "callbackBeforeDeleteMessageReactionExtensionsCommand",
    "callbackGetMessageListReactionExtensionsCommand",
    "callbackAddMessageListReactionExtensionsCommand",
    // Not asked before anything, but about the same fields.
    "callbackAfterSetGroupInfoCommand",
    "callbackAfterSetGroupInfoExCommand",
    "callbackAfterSetFriendRemarkCommand",
    "callbackAfterSetFriendRemark",
    "callbackBeforeAfterMsgCommand",
];

/// As the server writes it: every field is there, and `ex` and the three numbers are empty and zero where nobody set them.
const RENAME: &str = r#"{"callbackCommand":"callbackBeforeSetGroupInfoCommand","operationID":"","groupID":"g77","groupName":"n \u003c\u2028 群","notification":"","introduction":"","faceURL":"","ex":"","needVerification":0,"lookMemberInfo":0,"applyMemberFriend":0}"#;
const RENAME_ALLOWED: &str = r#"{"actionCode":0,"errCode":0,"errMsg":"","errDlt":"","nextCode":0,"groupID":"g77","groupName":"n \u003c\u2028 群","notification":"","introduction":"","faceURL":""}"#;

async fn ask(house: &House, command: &str, body: &str) -> Reply {
    house.post(&format!("/webhooks/openim/{command}"), &[], body.as_bytes()).await
}

fn object(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// `webhookBeforeSetGroupInfo` of the server: what its request is after the response, `ex` and the numbers null where nobody
/// set them.
fn set_group_info(mut request: Value, response: &Value) -> Value {
    for field in ["groupID", "groupName", "faceURL", "introduction"] {
        request[field] = response.get(field).cloned().unwrap_or_else(|| "".into());
    }
    for field in ["ex", "needVerification", "lookMemberInfo", "applyMemberFriend"] {
        if let Some(value) = response.get(field).filter(|value| !value.is_null()) {
            request[field] = value.clone();
        }
    }
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn the_edit_of_a_group_is_allowed_as_it_was_asked_for() {
    let house = House::start(&demo()).await;
    let command = "callbackBeforeSetGroupInfoCommand";
    let reply = ask(&house, command, RENAME).await;
    assert_eq!((reply.status, &*reply.body), (200, RENAME_ALLOWED));
    // Nobody has set `ex` and the numbers, and nobody sets them now.
    let asked = json!({
        "groupID": "g77", "groupName": "n <\u{2028} 群", "introduction": "", "faceURL": "",
        "ex": null, "needVerification": null, "lookMemberInfo": null, "applyMemberFriend": null,
    });
    assert_eq!(set_group_info(asked.clone(), &object(&reply.body)), asked);

    // What was set is repeated, to the byte: text with escapes, numbers beyond 64 bits, values that no server sends.
    let set = r#"{"groupID":"g\/1","groupName" : "\ud83d\ude00","introduction":{"a":[1, 2]},"ex":"{\"k\":\"v\"}","needVerification":2,"lookMemberInfo":123456789012345678901234567890,"applyMemberFriend":1.50,"other":"x","callbackCommand":"callbackBeforeSetGroupInfoCommand"}"#;
    let allowed = r#"{"actionCode":0,"errCode":0,"errMsg":"","errDlt":"","nextCode":0,"groupID":"g\/1","groupName":"\ud83d\ude00","introduction":{"a":[1, 2]},"ex":"{\"k\":\"v\"}","needVerification":2,"lookMemberInfo":123456789012345678901234567890,"applyMemberFriend":1.50}"#;
    assert_eq!(ask(&house, command, set).await.body, allowed);

    // The command may stand in the path or the query alone, and what is absent stays absent.
    for (target, body) in [
        ("callbackBeforeSetGroupInfoCommand", r#"{"groupID":"g77","groupName":"n"}"#),
        ("?command=callbackBeforeSetGroupInfoCommand", r#"{"groupID":"g77","groupName":"n"}"#),
        (
            "?callbackCommand=callbackBeforeSetGroupInfoCommand",
            r#"{"groupID":"g77","groupName":"n","callbackCommand":null}"#,
        ),
        ("", r#"{"callbackCommand":"callbackBeforeSetGroupInfoCommand","groupID":"g77","groupName":"n"}"#),
        (
            "callbackBeforeSendGroupMsgCommand",
            r#"{"callbackCommand":"callbackBeforeSetGroupInfoCommand","groupID":"g77","groupName":"n"}"#,
        ),
    ] {
        let reply = ask(&house, target, body).await;
        let echo = r#","groupID":"g77","groupName":"n"}"#;
        assert_eq!((reply.status, &*reply.body), (200, &*ALLOW.replace('}', echo)), "{target} {body}");
    }
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pointers_and_remarks_are_repeated_as_they_came() {
    let house = House::start(&demo()).await;
    // Here null is "leave it", an empty text is "empty it" and zero is a value.
    let fields = r#""groupID":"g77","groupName":null,"notification":"","introduction":"i","faceURL":null,"ex":"","needVerification":0,"lookMemberInfo":null,"applyMemberFriend":1"#;
    let body =
        format!(r#"{{"callbackCommand":"callbackBeforeSetGroupInfoExCommand","operationID":"op",{fields}}}"#);
    let reply = ask(&house, "callbackBeforeSetGroupInfoExCommand", &body).await;
    assert_eq!((reply.status, &*reply.body), (200, &*ALLOW.replace('}', &format!(",{fields}}}"))));
    for command in ["callbackBeforeSetFriendRemark", "callbackBeforeSetFriendRemarkCommand"] {
        for remark in ["\"old friend\"", "\"\""] {
            let body = format!(
                r#"{{"callbackCommand":"{command}","ownerUserID":"a","friendUserID":"b","remark":{remark}}}"#
            );
            let allowed = ALLOW.replace('}', &format!(",\"remark\":{remark}}}"));
            assert_eq!(ask(&house, command, &body).await.body, allowed, "{command}");
        }
    }
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_other_command_gets_the_plain_allow_response() {
    let house = House::start(&demo()).await;
    // Fields that its server would copy, were they in the response.
    let fields = r#""groupID":"g","groupName":"n","remark":"r","ex":"e","faceURL":"f","content":"c","recvID":"b","userIDList":["a"],"friendUserIDs":["a"],"users":[{"userID":"a"}]"#;
    for command in PLAIN {
        let reply = ask(&house, command, &format!(r#"{{"callbackCommand":"{command}",{fields}}}"#)).await;
        assert_eq!((reply.status, &*reply.body), (200, ALLOW), "{command}");
    }
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_status_and_no_upstream_makes_an_edit_empty() {
    let token = demo().replace("allow_unauthenticated = true", "path_tokens = [\"test-only-token\"]");
    let house = House::start(&token).await;
    let command = "callbackBeforeSetGroupInfoCommand";
    let refused = ask(&house, command, RENAME).await;
    assert_eq!((refused.status, &*refused.body), (401, RENAME_ALLOWED));
    let trusted = format!("test-only-token/{command}");
    // A key that stands twice: unreadable to readhook, and the server would take the last.
    let twice = RENAME.replace(r#""groupID":"g77""#, r#""groupID":"g76","groupID":"g77""#);
    let unreadable = ask(&house, &trusted, &twice).await;
    assert_eq!((unreadable.status, &*unreadable.body), (400, RENAME_ALLOWED));
    let target = format!("/webhooks/openim/{trusted}");
    let put = exchange(house.public, Method::PUT, &target, &[], RENAME.as_bytes().to_vec()).await;
    assert_eq!((put.status, &*put.body), (405, RENAME_ALLOWED));
    let broken = ask(&house, &trusted, "{\"groupID\":\"g77\"").await;
    assert_eq!((broken.status, &*broken.body), (400, ALLOW), "what cannot be read cannot be repeated");
    house.end().await;

    // Nobody has configured OpenIM here, and its server calls all the same.
    let house = House::start("[server]\n").await;
    let nowhere = ask(&house, command, RENAME).await;
    assert_eq!((nowhere.status, &*nowhere.body), (404, RENAME_ALLOWED));
    house.end().await;

    // A passthrough that fails, and one that is late.
    for manner in [Manner::answer("500 No", "", "no"), Manner::Close, Manner::Hang] {
        let upstream = Upstream::start(manner.clone()).await;
        let address = upstream.address;
        let passthrough =
            format!("\n[vendors.openim.passthrough]\nurl = \"http://{address}\"\ntimeout_ms = 300\n");
        let house = House::start(&(demo() + &passthrough)).await;
        let reply = ask(&house, command, RENAME).await;
        assert_eq!((reply.status, &*reply.body), (200, RENAME_ALLOWED), "{manner:?}");
        assert_eq!(upstream.got().len(), 1);
        house.end().await;
    }
}
