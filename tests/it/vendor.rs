//! The test as a vendor: callbacks that are signed as the vendors sign, with the secrets of `config/demo.toml`.

use md5::Md5;
use sha1::Sha1;
use sha2::Digest;

pub(crate) const EASEMOB_SECRET: &str = "test-only-easemob-secret";
pub(crate) const RONGCLOUD_SECRET: &str = "test-only-rongcloud-secret";
pub(crate) const RELAY_SECRET: &str = "test-only-relay-secret";

/// A callback, ready to post.
#[derive(Debug, Clone)]
pub(crate) struct Callback {
    pub(crate) target: String,
    pub(crate) body: String,
}

/// A group read of Easemob with a number of its own.
pub(crate) fn easemob(number: u64) -> Callback {
    easemob_signed_with(number, EASEMOB_SECRET)
}

/// The same, signed with some secret.
pub(crate) fn easemob_signed_with(number: u64, secret: &str) -> Callback {
    let call_id = format!("1122334455#demo_{number}");
    let security = hex::encode(Md5::digest(format!("{call_id}{secret}1755000000102")));
    let body = format!(
        r#"{{"callId":"{call_id}","eventType":"chat","chat_type":"read_ack","security":"{security}","payload":{{"ext":{{}},"ack_message_id":"9{number}","msg_config":{{"allow_group_ack":true}}}},"appkey":"1122334455#demo","from":"reader","to":"281474976710777","msg_id":"{number}","timestamp":1755000000102}}"#
    );
    Callback { target: "/webhooks/easemob".to_owned(), body }
}

/// A report of Tencent with a number of its own.
pub(crate) fn tencent(number: u64) -> Callback {
    Callback {
        target: "/webhooks/tencent?SdkAppid=1400000000&CallbackCommand=C2C.CallbackAfterMsgReport".to_owned(),
        body: format!(r#"{{"Report_Account":"reader","Peer_Account":"peer","LastReadTime":{number}}}"#),
    }
}

/// A single read of OpenIM with a number of its own.
pub(crate) fn openim(number: u64) -> Callback {
    Callback {
        target: "/webhooks/openim/callbackAfterSingleMsgReadCommand".to_owned(),
        body: format!(
            r#"{{"callbackCommand":"callbackAfterSingleMsgReadCommand","conversationID":"si_a_b","userID":"b","Seqs":[{number}],"contentType":1}}"#
        ),
    }
}

/// A direct read of RongCloud with a number of its own.
pub(crate) fn rongcloud(number: u64) -> Callback {
    Callback {
        target: format!("/webhooks/rongcloud?{}", rongcloud_query(RONGCLOUD_SECRET)),
        body: format!(
            "fromUserId=u1&toUserId=u2&objectName=RC%3AReadNtf&content=%7B%22lastMessageSendTime%22%3A{number}%7D&channelType=PERSON&msgTimestamp=1767000000001&msgUID=UID-{number}"
        ),
    }
}

/// RongCloud's signed query.
pub(crate) fn rongcloud_query(secret: &str) -> String {
    let signature = hex::encode(Sha1::digest(format!("{secret}7319041767000000000")));
    format!("appKey=demo-app-key&nonce=731904&timestamp=1767000000000&signature={signature}")
}
