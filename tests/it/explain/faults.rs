//! For every finding one captured callback with that very fault. The table is long because the ways to be wrong are many;
//! a finding without a row fails.

use std::collections::BTreeSet;
use std::net::IpAddr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use md5::Md5;
use readhook::explain::{Capture, finding_codes};
use readhook::receipt::Timestamp;
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::Doctor;

const CONFIG: &str = r#"
[server]
body_limit_bytes = 4096
trusted_proxies = ["10.9.0.0/16"]
[vendors.easemob.apps.demo]
appkey = "1122334455#demo"
secrets = ["easemob-secret", " padded-secret ", "'quoted-secret'", "Percent%40secret", "MixedCase-Secret"]
[vendors.easemob.apps.other]
appkey = "1122334455#other"
secrets = ["other-app-secret"]
[vendors.tencent.apps.signed]
sdk_app_id = "1400000001"
secrets = ["tencent-token"]
[vendors.tencent.apps.open]
sdk_app_id = "1400000000"
[vendors.openim.apps.token]
path_tokens = ["Path-Token-1", "percent%40token"]
[vendors.openim.apps.basic]
basic_auth = ["openim:s3cr@t"]
[vendors.openim.apps.office]
allowed_ips = ["192.0.2.0/24"]
[vendors.rongcloud.apps.one]
app_key = "key+one"
secrets = ["rong-secret"]
relay_secrets = ["relay-secret"]
freshness_seconds = 600
[vendors.rongcloud.apps.two]
app_key = "key-two"
secrets = ["rong-two"]
"#;

const CALL: &str = "1122334455#demo_1490019900000000102";
/// Easemob's timestamp, and in seconds the moment at which everything arrives here.
const TIME: &str = "1755000000102";
const SECONDS: i64 = 1_755_000_000;

fn md5(text: &str) -> String {
    hex::encode(Md5::digest(text))
}

fn captured(path: &str, query: &str, body: impl Into<Vec<u8>>) -> Capture {
    Capture {
        path: path.to_owned(),
        query: query.to_owned(),
        client: Some([198, 51, 100, 1].into()),
        body: body.into().into(),
        received_at: Timestamp::from_seconds(SECONDS),
        ..Capture::default()
    }
}

/// A read of Easemob with other fields; null takes one away.
fn easemob(changes: Value) -> Capture {
    let mut body = json!({
        "chat_type": "read_ack", "callId": CALL, "security": md5(&format!("{CALL}easemob-secret{TIME}")),
        "appkey": "1122334455#demo", "from": "jonas", "to": "marta", "timestamp": 1_755_000_000_102_u64,
        "payload": { "ack_message_id": "1490011223344556677" },
    });
    for (name, value) in changes.as_object().unwrap() {
        body[name] = value.clone();
    }
    body.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    captured("", "", body.to_string())
}

/// The same, signed over some text.
fn signed(text: &str) -> Capture {
    easemob(json!({ "security": md5(text) }))
}

const REPORT: &str = r#"{"CallbackCommand":"C2C.CallbackAfterMsgReport","Report_Account":"rosa","Peer_Account":"leon","LastReadTime":1755000000}"#;

fn tencent(query: &str) -> Capture {
    captured("", query, REPORT)
}

/// A signed report of Tencent.
fn tencent_at(time: &str) -> Capture {
    let sign = hex::encode(Sha256::digest(format!("tencent-token{time}")));
    tencent(&format!("{TENCENT}&Sign={sign}&RequestTime={time}"))
}

const TENCENT: &str = "SdkAppid=1400000001&CallbackCommand=C2C.CallbackAfterMsgReport";

const SINGLE: &str = "callbackAfterSingleMsgReadCommand";

fn openim(path: &str, headers: &[(&str, &str)]) -> Capture {
    let body = json!({
        "callbackCommand": SINGLE, "conversationID": "si_alice_bob", "userID": "bob", "Seqs": [41], "contentType": 1,
    });
    let path = path.replace("CMD", SINGLE);
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Capture { headers, ..captured(&path, "", body.to_string()) }
}

fn basic(credentials: &str) -> Capture {
    openim("/CMD", &[("Authorization", &format!("Basic {}", BASE64_STANDARD.encode(credentials)))])
}

const FORM: &str = "fromUserId=u1&toUserId=u2&objectName=RC%3AReadNtf&content=%7B%22lastMessageSendTime%22%3A1766999999456%7D&channelType=PERSON&msgTimestamp=1755000000001&msgUID=UID-1";

fn rongcloud(key: &str, nonce: &str, text: &str, body: &str) -> Capture {
    let signature = hex::encode(Sha1::digest(text));
    let query = format!("appKey={key}&nonce={nonce}&timestamp={TIME}&signature={signature}");
    captured("", &query, body)
}

/// Finding, vendor, callback.
fn faults() -> Vec<(&'static str, &'static str, Capture)> {
    let right = md5(&format!("{CALL}easemob-secret{TIME}"));
    let signed_with = |secret: &str| signed(&format!("{CALL}{secret}{TIME}"));
    let security = |text: &str| easemob(json!({ "security": text }));
    let mut twice = openim("/CMD", &[("Authorization", "Basic eA==")]);
    twice.headers.push(("Authorization".to_owned(), "Basic eA==".to_owned()));
    let proxied: IpAddr = [198, 51, 100, 1].into();
    vec![
        ("wrong_secret", "easemob", signed_with("nobody's")),
        ("body_not_signed", "easemob", signed_with("nobody's")),
        ("secret_of_other_app", "easemob", signed_with("other-app-secret")),
        (
            "secret_of_other_list",
            "rongcloud",
            rongcloud("key-two", "7", &format!("relay-secret7{TIME}"), FORM),
        ),
        ("secret_white_space", "easemob", signed_with("padded-secret")),
        ("signed_with_white_space", "easemob", signed_with("easemob-secret\n")),
        ("secret_in_quotes", "easemob", signed_with("quoted-secret")),
        ("secret_case", "easemob", signed_with("mixedcase-secret")),
        ("secret_percent_encoded", "easemob", signed_with("Percent@secret")),
        ("legacy_secret", "easemob", signed_with("123456")),
        ("signed_without_secret", "easemob", signed_with("")),
        ("secret_as_signature", "easemob", security("easemob-secret")),
        ("other_order", "easemob", signed(&format!("easemob-secret{CALL}{TIME}"))),
        ("other_order", "tencent", {
            let sign = hex::encode(Sha256::digest(format!("{SECONDS}tencent-token")));
            tencent(&format!("{TENCENT}&Sign={sign}&RequestTime={SECONDS}"))
        }),
        ("other_order", "rongcloud", rongcloud("key-two", "7", &format!("7{TIME}rong-two"), FORM)),
        ("separator", "easemob", signed(&format!("{CALL}&easemob-secret&{TIME}"))),
        (
            "other_hash",
            "easemob",
            security(&hex::encode(Sha256::digest(format!("{CALL}easemob-secret{TIME}")))),
        ),
        ("hmac_instead", "easemob", security("468d38df60384573e29b9e67f5441eac")),
        ("signature_base64", "easemob", security(&BASE64_STANDARD.encode(hex::decode(&right).unwrap()))),
        ("signature_decorated", "easemob", security(&format!("md5={right}\n"))),
        ("upper_case_hex", "easemob", security(&right.to_uppercase())),
        ("time_in_seconds", "easemob", signed(&format!("{CALL}easemob-secret1755000000"))),
        ("time_in_milliseconds", "tencent", tencent_at(&format!("{SECONDS}000"))),
        ("time_as_float", "easemob", signed(&format!("{CALL}easemob-secret1.755000000102E12"))),
        ("time_as_float", "easemob", signed(&format!("{CALL}easemob-secret{TIME}.0"))),
        ("raw_values", "rongcloud", rongcloud("key-two", "a%2Bb", &format!("rong-twoa%2Bb{TIME}"), FORM)),
        (
            "values_escaped",
            "easemob",
            easemob(json!({ "callId": CALL.replace('#', "%23"), "security": right })),
        ),
        ("plus_as_space", "rongcloud", rongcloud("key+one", "7", &format!("rong-secret7{TIME}"), FORM)),
        ("plus_as_space", "rongcloud", rongcloud("key-two", "a+b", &format!("rong-twoa+b{TIME}"), FORM)),
        ("value_white_space", "easemob", easemob(json!({ "callId": format!("{CALL} "), "security": right }))),
        ("parameter_missing", "easemob", easemob(json!({ "security": null }))),
        ("parameter_missing", "rongcloud", captured("", "nonce=1&timestamp=2", FORM)),
        ("parameter_spelling", "tencent", tencent(&format!("{TENCENT}&sign=0&RequestTime={SECONDS}"))),
        ("parameter_spelling", "easemob", easemob(json!({ "callId": null, "callid": CALL }))),
        ("parameter_repeated", "tencent", tencent(&format!("{TENCENT}&Sign=0&Sign=0&RequestTime={SECONDS}"))),
        (
            "parameter_repeated",
            "rongcloud",
            captured("", "appKey=key-two&nonce=1&nonce=1&timestamp=2&signature=00", FORM),
        ),
        ("signature_elsewhere", "easemob", {
            let capture = easemob(json!({ "security": null }));
            Capture { query: format!("security={right}"), ..capture }
        }),
        ("signature_elsewhere", "rongcloud", captured("", "appKey=key-two", format!("{FORM}&signature=00"))),
        (
            "sign_not_checked",
            "tencent",
            tencent("SdkAppid=1400000000&CallbackCommand=C2C.CallbackAfterMsgReport&Sign=00"),
        ),
        ("authentication_off", "tencent", tencent(TENCENT)),
        ("clock_skew", "tencent", tencent_at(&(SECONDS - 90).to_string())),
        (
            "clock_skew",
            "rongcloud",
            Capture {
                received_at: Timestamp::from_seconds(SECONDS + 601 + 1),
                ..rongcloud("key%2Bone", "7", &format!("rong-secret7{TIME}"), FORM)
            },
        ),
        ("time_zone", "tencent", tencent_at(&(SECONDS + 8 * 3600).to_string())),
        ("judged_as_of_now", "tencent", Capture { received_at: None, ..tencent_at(&SECONDS.to_string()) }),
        ("time_no_number", "tencent", tencent_at(&format!("{SECONDS}x"))),
        ("app_unknown", "easemob", easemob(json!({ "appkey": "99#nobody" }))),
        ("app_unknown", "tencent", tencent("SdkAppid=1499999999&CallbackCommand=C2C.CallbackAfterMsgReport")),
        ("app_missing", "easemob", easemob(json!({ "appkey": null, "callId": "x" }))),
        ("app_missing", "tencent", tencent("CallbackCommand=C2C.CallbackAfterMsgReport")),
        ("app_missing", "rongcloud", captured("", &format!("nonce=1&timestamp={TIME}&signature=00"), FORM)),
        ("app_almost", "easemob", easemob(json!({ "appkey": "1122334455#Demo" }))),
        ("app_repeated", "tencent", tencent(&format!("{TENCENT}&SdkAppid=1400000001"))),
        ("other_vendor", "easemob", captured("", "", REPORT)),
        ("other_vendor", "tencent", easemob(json!({}))),
        ("other_vendor", "rongcloud", easemob(json!({}))),
        ("other_vendor", "easemob", captured("", "", FORM)),
        (
            "other_vendor",
            "rongcloud",
            captured("", "", r#"{"event":"onReceiveReadReceipt","relay_user_id":"u","data":{}}"#),
        ),
        ("route_trailing_slash", "easemob", captured("/webhooks/easemob//", "", "{}")),
        ("route_unknown", "easemob", captured("/hooks", "", "{}")),
        ("route_of_other", "easemob", captured("/webhooks/tencent", "", "{}")),
        ("path_prefix", "easemob", captured("/im/webhooks/easemob", "", "{}")),
        ("token_missing", "openim", openim("/CMD", &[])),
        ("token_missing", "openim", openim("", &[])),
        ("token_unknown", "openim", openim("/nobodys-token/CMD", &[])),
        ("token_case", "openim", openim("/path-token-1/CMD", &[])),
        ("token_slash", "openim", openim("/Path-Token-1%2F/CMD", &[])),
        ("token_white_space", "openim", openim("/Path-Token-1%20/CMD", &[])),
        ("token_escaped", "openim", openim("/percent@token/CMD", &[])),
        ("token_elsewhere", "openim", openim("/hooks/Path-Token-1/CMD", &[])),
        ("token_elsewhere", "openim", Capture { query: "t=Path-Token-1".to_owned(), ..openim("", &[]) }),
        ("basic_missing", "openim", openim("/CMD", &[])),
        ("basic_not_kept", "openim", Capture { kept: true, ..openim("/CMD", &[]) }),
        ("basic_repeated", "openim", twice),
        ("basic_scheme", "openim", openim("/CMD", &[("Authorization", "Bearer abc")])),
        ("basic_not_base64", "openim", openim("/CMD", &[("Authorization", "Basic b3BlbmltOnM")])),
        ("basic_no_colon", "openim", basic("openim")),
        ("basic_unknown", "openim", basic("openim:nobody's")),
        ("basic_white_space", "openim", basic("openim:s3cr@t\n")),
        ("basic_case", "openim", basic("openim:S3cr@t")),
        ("basic_escaped", "openim", basic("openim:s3cr%40t")),
        ("address_refused", "openim", openim("/CMD", &[])),
        (
            "forwarded_for_not_trusted",
            "openim",
            Capture { client: Some(proxied), ..openim("/CMD", &[("X-Forwarded-For", "192.0.2.7")]) },
        ),
        ("client_not_given", "openim", Capture { client: None, ..openim("/CMD", &[]) }),
        (
            "query_swallowed_command",
            "openim",
            Capture { query: format!("x=1/{SINGLE}"), ..openim("/Path-Token-1", &[]) },
        ),
        ("no_read_event", "easemob", easemob(json!({ "chat_type": "chat" }))),
        ("command_spelling", "easemob", easemob(json!({ "chat_type": "Read_Ack" }))),
        (
            "command_spelling",
            "tencent",
            captured("", "SdkAppid=1400000001&CallbackCommand=c2c.callbackaftermsgreport", "{}"),
        ),
        ("command_only_in_body", "tencent", tencent("SdkAppid=1400000001")),
        (
            "command_contradicting",
            "tencent",
            tencent("SdkAppid=1400000001&CallbackCommand=C2C.CallbackAfterSendMsg"),
        ),
        ("command_contradicting", "openim", openim("/Path-Token-1/callbackAfterGroupMsgReadCommand", &[])),
        ("command_repeated", "tencent", tencent(&format!("{TENCENT}&CallbackCommand=x"))),
        ("other_conversation", "rongcloud", captured("", "", FORM.replace("PERSON", "GROUP"))),
        ("not_utf8", "easemob", captured("", "", b"{\"a\":\"\xff\"}".to_vec())),
        (
            "body_compressed",
            "easemob",
            Capture {
                headers: vec![("Content-Encoding".to_owned(), "gzip".to_owned())],
                ..easemob(json!({}))
            },
        ),
        ("body_empty", "easemob", captured("", "", "\n")),
        ("body_empty", "rongcloud", captured("", "", "")),
        ("not_json", "easemob", captured("", "", "{\"a\":")),
        ("not_form", "rongcloud", captured("", "", "hello")),
        ("wrong_root", "easemob", captured("", "", "[]")),
        ("duplicate_key", "easemob", captured("", "", r#"{"callId":1,"callId":2}"#)),
        ("body_too_large", "easemob", captured("", "", "x".repeat(4097))),
        ("field_unusable", "easemob", easemob(json!({ "from": null }))),
    ]
}

#[test]
fn every_fault_is_found_in_a_callback_that_has_it() {
    let doctor = Doctor::new(CONFIG);
    let mut found = BTreeSet::new();
    for (code, vendor, capture) in faults() {
        let explanation = doctor.explain(vendor, capture);
        let codes: Vec<&str> = explanation.findings.iter().map(|finding| finding.code).collect();
        assert!(codes.contains(&code), "{vendor}: no {code} in {codes:?}, {}", json!(explanation));
        doctor.silent(code, &explanation);
        // A mistake that has been proven is not called a wrong secret besides.
        let proven = explanation.steps.iter().any(|step| step.code == "proof_differs");
        if proven && code != "wrong_secret" && code != "body_not_signed" && code != "time_no_number" {
            assert!(!codes.contains(&"wrong_secret"), "{vendor}, {code}: {codes:?}");
        }
        found.insert(code);
    }
    let all: BTreeSet<&str> = finding_codes().map(|(code, _, _)| code).collect();
    assert_eq!(found, all, "a finding without a row, or a row without a finding");
}

/// Two mistakes at once are both named.
#[test]
fn two_mistakes_together_are_found() {
    let doctor = Doctor::new(CONFIG);
    for (text, wanted) in [
        (format!("other-app-secret{CALL}{TIME}"), ["secret_of_other_app", "other_order"]),
        (format!("{CALL}padded-secret1755000000"), ["secret_white_space", "time_in_seconds"]),
    ] {
        let explanation = doctor.explain("easemob", signed(&text));
        let codes: Vec<&str> = explanation.findings.iter().map(|finding| finding.code).collect();
        assert_eq!(codes, wanted, "{text}");
        assert!(explanation.findings.iter().all(|finding| finding.certain));
    }
}

/// What is right has nothing found about it.
#[test]
fn nothing_is_found_in_what_is_right() {
    let doctor = Doctor::new(CONFIG);
    for (vendor, capture) in [
        ("easemob", easemob(json!({}))),
        ("tencent", tencent_at(&SECONDS.to_string())),
        ("openim", openim("/Path-Token-1/CMD", &[])),
        ("openim", basic("openim:s3cr@t")),
        ("openim", Capture { client: Some([192, 0, 2, 7].into()), ..openim("//CMD", &[]) }),
        (
            "openim",
            Capture {
                client: Some([10, 9, 0, 1].into()),
                ..openim("/CMD", &[("X-Forwarded-For", "192.0.2.7")])
            },
        ),
        ("rongcloud", rongcloud("key%2Bone", "7", &format!("rong-secret7{TIME}"), FORM)),
    ] {
        let explanation = doctor.explain(vendor, capture);
        assert_eq!(explanation.outcome, "accepted", "{}", json!(explanation));
        assert!(explanation.findings.is_empty(), "{}", json!(explanation));
    }
}
