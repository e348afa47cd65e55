//! Reason codes in plain words: what it means, and what to do about it. `docs/reference.md` has them all, and a test
//! compares.

use crate::console::language::Language;

/// A reason code, in every language.
struct Reason {
    code: &'static str,
    english: &'static str,
    chinese: &'static str,
}

const fn reason(code: &'static str, english: &'static str, chinese: &'static str) -> Reason {
    Reason { code, english, chinese }
}

const REASONS: [Reason; 33] = [
    reason("not_utf8", "The body is not UTF-8.", "请求体不是 UTF-8 编码。"),
    reason(
        "content_encoding",
        "The body is compressed; no vendor does that. Look for a proxy in between.",
        "请求体经过压缩。厂商不会这样做，请检查中间的代理。",
    ),
    reason("not_json", "The body is not JSON.", "请求体不是 JSON。"),
    reason("not_form", "The body is neither JSON nor a form.", "请求体既不是 JSON 也不是表单。"),
    reason(
        "wrong_root",
        "It is JSON, but not what this vendor sends.",
        "是 JSON，但根元素不是该厂商发送的类型。",
    ),
    reason(
        "duplicate_key",
        "A JSON object names a key twice that is read.",
        "JSON 对象中有重复的键，且该键会被读取。",
    ),
    reason("command_missing", "CallbackCommand is missing in the query.", "查询参数缺少 CallbackCommand。"),
    reason("command_repeated", "CallbackCommand is there more than once.", "CallbackCommand 出现了多次。"),
    reason(
        "command_contradicting",
        "Query and body name different commands.",
        "查询参数与请求体中的命令不一致。",
    ),
    reason(
        "app_repeated",
        "SdkAppid is there more than once. Remove it from the URL in the console; Tencent adds it.",
        "SdkAppid 出现了多次。请从控制台的 URL 中删除，腾讯云会自动附加。",
    ),
    reason(
        "body_too_large",
        "The body is larger than server.body_limit_bytes.",
        "请求体超过 server.body_limit_bytes。",
    ),
    reason("body_timeout", "The body did not come in time.", "请求体未在限定时间内到达。"),
    reason("body_broken", "The body broke off.", "请求体传输中断。"),
    reason("wrong_method", "It was not a POST.", "请求方法不是 POST。"),
    reason(
        "unknown_path",
        "The path is below the vendor's route, but none of its own. Correct the URL in the vendor's console.",
        "路径在该厂商的路由之下，但不是它的路由。请在厂商控制台中更正 URL。",
    ),
    reason("throttled", "Too many wrong credentials came from this address.", "该地址多次提交错误的凭据。"),
    reason(
        "unknown_app",
        "It names no app, or one that is not configured.",
        "未指明应用，或该应用未在配置中。",
    ),
    reason(
        "signature_missing",
        "The signature or a value that it covers is missing.",
        "缺少签名或参与签名的值。",
    ),
    reason(
        "signature_repeated",
        "The signature or a value that it covers is there more than once.",
        "签名或参与签名的值出现了多次。",
    ),
    reason(
        "bad_signature",
        "No secret of the app gives this signature. The signature doctor says why.",
        "应用的所有密钥都无法得出该签名。原因可用“签名诊断”查看。",
    ),
    reason("bad_time", "The signed time is not a plain number.", "签名时间不是纯数字。"),
    reason(
        "stale",
        "The signed time is too far from ours. Look at the clocks; or it is an old request sent again.",
        "签名时间与本机时间相差过大。请检查时钟；也可能是旧请求被重放。",
    ),
    reason("bad_token", "The token in the path is missing or wrong.", "路径令牌缺失或不正确。"),
    reason("bad_credentials", "The Basic credentials are missing or wrong.", "Basic 认证信息缺失或不正确。"),
    reason(
        "bad_address",
        "The client's address is not among allowed_ips.",
        "客户端地址不在 allowed_ips 中。",
    ),
    reason("field_missing", "Genuine, but a field is missing.", "验证通过，但缺少字段。"),
    reason("field_repeated", "Genuine, but a field is there more than once.", "验证通过，但字段重复。"),
    reason("field_wrong_type", "Genuine, but a field has the wrong type.", "验证通过，但字段类型错误。"),
    reason(
        "field_out_of_range",
        "Genuine, but a number, time or length does not fit.",
        "验证通过，但数值、时间或长度超出范围。",
    ),
    reason(
        "field_not_json",
        "Genuine, but a text that should hold JSON does not.",
        "验证通过，但应为 JSON 的文本无法解析。",
    ),
    reason(
        "conflict",
        "The same event id is stored with another reader or message. The first stays; this one is in quarantine.",
        "同一事件 ID 已存有另一个读者或另一条消息。保留先到的一条，本条进入隔离区。",
    ),
    reason(
        "differing",
        "A duplicate that says something else (a time, author, conversation or scope) than what is stored. The first stays; \
         this one is in quarantine, because it may be the genuine one.",
        "重复回调，但内容（时间、作者、会话或范围）与已存的不同。保留先到的一条，本条进入隔离区，因为它可能才是真实的。",
    ),
    reason(
        "unavailable",
        "It could not be made durable in time: look at the disk and at the log.",
        "未能及时写入磁盘。请检查磁盘和日志。",
    ),
];

/// What a reason code means; the code itself where it is none of ours.
pub(crate) fn explained(language: Language, code: &str) -> Option<&'static str> {
    let reason = REASONS.iter().find(|reason| reason.code == code)?;
    Some(language.of(reason.english, reason.chinese))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_of_the_reference_is_explained() {
        let reference = include_str!("../../../docs/reference.md");
        let table = reference.split_once("## Reason codes").unwrap().1;
        let table = table.split_once("\n## ").unwrap().0;
        let mut found = 0;
        for line in table.lines().filter(|line| line.starts_with("| ")) {
            let codes = line.split('|').nth(2).unwrap_or_default();
            for code in codes.split('`').skip(1).step_by(2) {
                assert!(explained(Language::English, code).is_some(), "{code} has no words");
                found += 1;
            }
        }
        assert!(found >= 30, "the table is where it was: {found}");
    }
}
