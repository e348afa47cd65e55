//! Many hostile clients at once, at the program itself: what it takes of memory and files, and that vendors'
//! callbacks go through meanwhile. The bounds are generous: what is shown is that there are any.

use std::process::Command;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{ALLOW, of_each};
use crate::house::PATIENCE;
use crate::process::{Process, write_config};
use crate::raw::{Raw, posted, request};
use crate::vendor::Callback;

/// A process whose `[server]` has these settings, after a first callback of each vendor.
async fn process(dir: &tempfile::TempDir, server: &str) -> Process {
    let config = write_config(dir.path());
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("[server]\n", &format!("[server]\n{server}\n"))).unwrap();
    let process = Process::start_behind("ulimit -n \"$(ulimit -Hn)\"", &config);
    others_are_served(&process, 1).await;
    process
}

/// Every vendor's callbacks go through: those are small, and come on connections of their own.
async fn others_are_served(process: &Process, number: u64) {
    for callback in of_each(number) {
        let answer = Raw::to(process.public).await.ask(posted(&callback)).await;
        assert_eq!(answer.status, 200, "{}: {answer:?}", callback.target);
    }
}

/// Lets this process, too, have as many sockets as it may.
fn raise_own_limit(least: usize) {
    let id = std::process::id().to_string();
    let raised = Command::new("sh")
        .args([
            "-c",
            "hard=$(ulimit -Hn); prlimit --pid \"$0\" --nofile=\"$hard:$hard\" && echo \"$hard\"",
            &id,
        ])
        .output();
    let limit = String::from_utf8(raised.unwrap().stdout).unwrap();
    let enough = limit.trim() == "unlimited" || limit.trim().parse().is_ok_and(|limit: usize| limit > least);
    assert!(enough, "this needs {least} sockets on either side: raise the hard limit (ulimit -Hn)");
}

async fn idle_connections_cost_little(count: usize) {
    raise_own_limit(count + 500);
    let dir = tempfile::tempdir().unwrap();
    let process = process(&dir, "").await;
    let (memory, files) = (process.mebibytes("VmRSS"), process.open_files());
    let mut idle = Vec::new();
    for _ in 0..count {
        idle.push(TcpStream::connect(process.public).await.unwrap());
    }
    let until = async |what: &str, reached: &dyn Fn() -> bool| {
        let waited = timeout(PATIENCE, async {
            while !reached() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("{what}: {} files", process.open_files()));
    };
    // What else it has open comes and goes.
    until("all are accepted", &|| process.open_files() >= count).await;
    others_are_served(&process, 2).await;
    let grown = process.mebibytes("VmRSS").saturating_sub(memory);
    assert!(grown < 16 + count as u64 / 32, "{count} idle connections took {grown} MiB");
    drop(idle);
    until("all are gone", &|| process.open_files() < files + 20).await;
    others_are_served(&process, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn four_thousand_idle_connections_cost_little_and_hold_up_nobody() {
    idle_connections_cost_little(4_000).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a hard limit of more than 10,500 open files"]
async fn ten_thousand_idle_connections_cost_little_and_hold_up_nobody() {
    idle_connections_cost_little(10_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_never_end_are_ended_and_hold_up_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let process = process(&dir, "header_timeout_ms = 500").await;
    let mut slow = JoinSet::new();
    for _ in 0..300 {
        let address = process.public;
        slow.spawn(async move {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(b"POST /webhooks/easemob HTTP/1.1\r\nx: ").await.unwrap();
            // A byte now and then does not buy time.
            while client.write_all(b"y").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
    }
    others_are_served(&process, 2).await;
    let ended = timeout(PATIENCE, async { while slow.join_next().await.is_some() {} }).await;
    ended.expect("every one of them should be cut off");
}

/// Without a bound for all of them together, these would be 280 MiB of bodies at the least.
#[tokio::test(flavor = "multi_thread")]
async fn many_large_bodies_at_once_share_one_room() {
    const CLIENTS: usize = 400;
    let dir = tempfile::tempdir().unwrap();
    let process = process(&dir, "bodies_limit_bytes = 16777216\nbody_timeout_ms = 60000").await;
    let memory = process.mebibytes("VmRSS");
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let address = process.public;
        clients.spawn(async move {
            let mut client = TcpStream::connect(address).await.unwrap();
            let head = "POST /webhooks/openim HTTP/1.1\r\nhost: x\r\ncontent-length: 1048576\r\n\r\n";
            client.write_all(head.as_bytes()).await.unwrap();
            // Whoever has no room is not read from, so this may never get through.
            let _held = timeout(Duration::from_secs(4), client.write_all(&vec![b' '; 700 << 10])).await;
            client
        });
    }
    let held = clients.join_all().await;
    others_are_served(&process, 2).await;
    let grown = process.mebibytes("VmHWM").saturating_sub(memory);
    assert!(grown < 120, "{CLIENTS} large bodies took {grown} MiB");
    drop(held);
    others_are_served(&process, 3).await;
}

/// Each receipt repeats the reader and the conversation, so a list of many beside a long name multiplies.
#[tokio::test(flavor = "multi_thread")]
async fn a_callback_cannot_be_multiplied_into_gigabytes() {
    let dir = tempfile::tempdir().unwrap();
    let process = process(&dir, "").await;
    let name = "n".repeat(500_000);
    let list = |item: &str, size: usize| vec![item; size / (item.len() + 1)].join(",");
    let openim = |user: &str, seqs: &str| Callback {
        target: of_each(0)[2].target.clone(),
        body: format!(
            r#"{{"callbackCommand":"callbackAfterSingleMsgReadCommand","conversationID":"si_a_b","userID":"{user}","Seqs":[{seqs}]}}"#
        ),
    };
    let tencent = |group: &str, size: usize| Callback {
        target: "/webhooks/tencent?SdkAppid=1400000000&CallbackCommand=Group.CallbackAfterReadReceipt"
            .to_owned(),
        body: format!(
            r#"{{"GroupId":"{group}","GroupMsgReceiptList":[{{"MsgSeq":1,"ReadReceiptMembers":[{}]}}]}}"#,
            list(r#"{"Member_Account":"m"}"#, size)
        ),
    };
    let before = process.mebibytes("VmHWM");
    let mut client = Raw::to(process.public).await;
    for callback in [openim("b", &list("1", 1_000_000)), openim(&name, &list("1", 15_000))] {
        assert_eq!(client.ask(posted(&callback)).await.says(), (400, ALLOW));
    }
    let said = r#"{"ActionStatus":"FAIL","ErrorInfo":"field_out_of_range","ErrorCode":400}"#;
    for callback in [tencent(&"g".repeat(200), 1_000_000), tencent(&name, 400_000)] {
        assert_eq!(client.ask(posted(&callback)).await.says(), (400, said));
    }
    let grown = process.mebibytes("VmHWM").saturating_sub(before);
    assert!(grown < 200, "four callbacks took {grown} MiB");
    others_are_served(&process, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_and_never_listens_is_not_read_any_further() {
    const MOST: usize = 64 << 20;
    let dir = tempfile::tempdir().unwrap();
    let process = process(&dir, "").await;
    let memory = process.mebibytes("VmRSS");
    let requests = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n".repeat(2_000);
    let mut client = Raw::to(process.public).await;
    let mut sent = 0;
    while timeout(Duration::from_secs(3), client.stream().write_all(&requests)).await.is_ok() {
        sent += requests.len();
        assert!(sent < MOST, "it reads on and on, and keeps the answers");
    }
    let grown = process.mebibytes("VmHWM").saturating_sub(memory);
    assert!(grown < 64, "answers that nobody fetched took {grown} MiB");
    others_are_served(&process, 2).await;
}

/// Bad callbacks as large as they may be, faster than quarantine can write them.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_large_bad_callbacks_is_not_kept_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let process = process(&dir, "").await;
    let before = process.mebibytes("VmHWM");
    let mut flood = JoinSet::new();
    for _ in 0..16 {
        let address = process.public;
        flood.spawn(async move {
            let bad = request("/webhooks/tencent?SdkAppid=1", "", &vec![b'x'; 1 << 20]);
            let mut client = Raw::to(address).await;
            for _ in 0..40 {
                assert_eq!(client.ask(&bad).await.status, 403);
            }
        });
    }
    others_are_served(&process, 2).await;
    flood.join_all().await;
    let grown = process.mebibytes("VmHWM").saturating_sub(before);
    assert!(grown < 160, "a flood of bad callbacks took {grown} MiB");
    others_are_served(&process, 3).await;
}
