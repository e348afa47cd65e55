//! Receipts into a Redis stream: with real servers, alone, with a replica and as a cluster, through failures and with
//! what operators get wrong. Long, because each of these wants its server and little else.

mod cluster;

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use readhook::config::{ConfigError, Environment, load};
use readhook::journal::Stored;
use readhook::sink::{DeliverError, Sink, open};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::endurance::{RECEIPTS, complete, endures, receipt, sink_config};
use crate::house::PATIENCE;
use crate::servers::{self, Server, free_address, program};
use crate::wire::Wire;

/// Replicas and clusters come to their terms by timers of seconds, and two cores may have other things to do.
const ENOUGH: Duration = Duration::from_secs(120);

fn sink(url: &str, more: &str) -> Arc<dyn Sink> {
    open(&sink_config(&format!("type = \"redis\"\nurl = \"{url}\"\n{more}"))).unwrap()
}

async fn deliver(sink: &Arc<dyn Sink>, numbers: RangeInclusive<u64>) -> Result<(), DeliverError> {
    let stored = |number: u64| Stored {
        seq: number.cast_signed(),
        received_at: 1_767_323_045_678,
        json: receipt(number).to_string().into(),
        trace: None,
    };
    let batch: Vec<Stored> = numbers.map(stored).collect();
    timeout(PATIENCE, sink.deliver(&batch)).await.expect("an answer in time")
}

/// How much was done nevertheless, and why not all.
fn retry(delivered: Result<(), DeliverError>) -> (usize, String) {
    match delivered {
        Err(DeliverError::Retry { done, why, .. }) => (done, why.to_string()),
        other => panic!("should be Retry: {other:?}"),
    }
}

/// Delivers as `dispatch` would.
async fn insist(sink: &Arc<dyn Sink>, mut numbers: RangeInclusive<u64>) {
    let mut last = String::new();
    let insisting = async {
        while let Err(failed) = deliver(sink, numbers.clone()).await {
            let (done, why) = retry(Err(failed));
            (numbers, last) = (numbers.start() + done as u64..=*numbers.end(), why);
            sleep(Duration::from_millis(20)).await;
        }
    };
    let ended = timeout(ENOUGH, insisting).await;
    ended.unwrap_or_else(|_| panic!("{numbers:?} should have been delivered: {last}"));
}

async fn until(what: &str, mut reached: impl AsyncFnMut() -> bool) {
    timeout(ENOUGH, async {
        while !reached().await {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("waited for {what}"));
}

/// An operator at a server.
struct Operator(MultiplexedConnection);

impl Operator {
    async fn at(address: SocketAddr) -> Self {
        let times = AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
        let client = Client::open(format!("redis://{address}")).unwrap();
        Self(client.get_multiplexed_async_connection_with_config(&times).await.unwrap())
    }

    async fn ask<T: FromRedisValue>(&mut self, words: &str) -> T {
        let mut command = redis::Cmd::new();
        words.split(' ').for_each(|word| _ = command.arg(word));
        command.query_async(&mut self.0).await.unwrap_or_else(|error| panic!("{words}: {error}"))
    }

    async fn info(&mut self, section: &str, key: &str) -> String {
        let info: String = self.ask(&format!("INFO {section}")).await;
        let line = info.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("{key} in {info}")).to_owned()
    }

    /// What a consumer sees of `readhook`, in its order.
    async fn entries(&mut self) -> Vec<Vec<String>> {
        let (mut from, mut all) = ("-".to_owned(), Vec::new());
        loop {
            let page: Vec<(String, Vec<String>)> =
                self.ask(&format!("XRANGE readhook {from} + COUNT 2000")).await;
            let Some((last, _)) = page.last() else { return all };
            from = format!("({last}");
            all.extend(page.into_iter().map(|(_, fields)| fields));
        }
    }

    async fn receipts(&mut self) -> Vec<Value> {
        self.entries().await.iter().map(|fields| serde_json::from_str(&fields[7]).unwrap()).collect()
    }
}

/// A server with settings of its own, which need not sync.
async fn server(dir: &Path, settings: &[&str]) -> Server {
    let address = free_address();
    let mut command = Command::new(program("redis-server"));
    command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string(), "--save", "", "--dir"]);
    command.arg(dir).args(settings);
    Server::start(command, address).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn all_arrive_in_order_through_cuts_stalls_and_a_killed_server() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = servers::redis(dir.path()).await;
    let wire = Wire::to(server.address).await;
    let config = sink_config(&format!(
        "type = \"redis\"\nurl = \"redis://{}\"\ntimeout_ms = 1000\nbatch = 300",
        wire.address
    ));
    endures(config, &wire, async || {
        server.kill();
        server.restart().await;
    })
    .await;
    let mut operator = Operator::at(server.address).await;
    until("the server's data", async || operator.info("persistence", "loading").await == "0").await;
    complete(&operator.receipts().await, RECEIPTS);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn an_entry_has_the_fields_that_are_promised() {
    let dir = tempfile::tempdir().unwrap();
    let server = servers::redis(dir.path()).await;
    let sink = sink(&format!("redis://{}", server.address), "");
    let mut operator = Operator::at(server.address).await;
    sink.probe().await.unwrap();
    assert_eq!(operator.ask::<u64>("EXISTS readhook").await, 0, "a probe delivers nothing");
    deliver(&sink, 1..=2).await.unwrap();
    let one = |number: u64| {
        let json = receipt(number);
        let text = |key: &str| json[key].as_str().unwrap().to_owned();
        [
            "id".to_owned(),
            text("id"),
            "vendor".to_owned(),
            text("vendor"),
            "app".to_owned(),
            text("app"),
            "receipt".to_owned(),
            json.to_string(),
        ]
    };
    assert_eq!(operator.entries().await, [one(1), one(2)]);
    sink.probe().await.unwrap();
    assert_eq!(operator.ask::<u64>("XLEN readhook").await, 2, "a probe delivers nothing");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_stream_with_an_end_loses_its_oldest() {
    let dir = tempfile::tempdir().unwrap();
    let server = servers::redis(dir.path()).await;
    let sink = sink(&format!("redis://{}", server.address), "maxlen = 1000");
    deliver(&sink, 1..=5_000).await.unwrap();
    let kept = Operator::at(server.address).await.receipts().await;
    assert!((1_000..1_500).contains(&kept.len()), "about 1000 of {}", kept.len());
    let first = 5_001 - kept.len() as u64;
    let numbers: Vec<u64> = kept.iter().map(|receipt| receipt["message_seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (first..=5_000).collect::<Vec<u64>>());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_batch_counts_once_the_replicas_have_it() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let primary = server(dirs[0].path(), &["--repl-diskless-sync-delay", "0"]).await;
    let wire = Wire::to(primary.address).await;
    let port = wire.address.port().to_string();
    let mut replica = server(dirs[1].path(), &["--replicaof", "127.0.0.1", &port]).await;
    let mut at_replica = Operator::at(replica.address).await;
    let mut at_primary = Operator::at(primary.address).await;
    until("the replica", async || at_primary.ask::<u64>("WAIT 1 100").await == 1).await;
    let sink = sink(&format!("redis://{}", primary.address), "wait_replicas = 1\ntimeout_ms = 12000");
    insist(&sink, 1..=2_500).await;
    let had: u64 = at_primary.ask("XLEN readhook").await;
    assert_eq!(at_replica.ask::<u64>("XLEN readhook").await, had, "at once");

    // The replica falls silent while a batch of many transactions is under way.
    let silence = async {
        until("a beginning", async || at_primary.ask::<u64>("XLEN readhook").await > had).await;
        wire.stall();
    };
    let (delivered, ()) = tokio::join!(deliver(&sink, 2_501..=40_000), silence);
    let (done, why) = retry(delivered);
    let done = done as u64;
    assert!(why.contains("0 of the 1 replicas") && why.contains("come again"), "{why}");
    assert!(at_replica.ask::<u64>("XLEN readhook").await >= had + done, "{done}");
    let before: u64 = at_primary.ask("XLEN readhook").await;
    assert!(before > had + done, "{before}: what the replica has not counts for nothing");
    let (_, why) = retry(deliver(&sink, 2_501 + done..=40_000).await);
    assert!(why.contains("nothing was written"), "{why}");
    assert_eq!(at_primary.ask::<u64>("XLEN readhook").await, before, "no repeats pile up");
    wire.mend();
    insist(&sink, 2_501 + done..=40_000).await;
    complete(&at_replica.receipts().await, 40_000);

    replica.kill();
    until("its absence", async || at_primary.info("replication", "connected_slaves").await == "0").await;
    let before: u64 = at_primary.ask("XLEN readhook").await;
    let (_, why) = retry(deliver(&sink, 40_001..=40_010).await);
    assert!(why.contains("nothing was written"), "{why}");
    assert_eq!(at_primary.ask::<u64>("XLEN readhook").await, before, "no repeats pile up");
    replica.restart().await;
    insist(&sink, 40_001..=40_010).await;
    complete(&at_primary.receipts().await, 40_010);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_key_that_is_no_stream_is_told_and_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let server = servers::redis(dir.path()).await;
    let mut operator = Operator::at(server.address).await;
    let sink = sink(&format!("redis://{}", server.address), "");
    let told = "the key `readhook` holds something else (WRONGTYPE); give the sink a key of its own";
    () = operator.ask("SET readhook x").await;
    assert_eq!(retry(deliver(&sink, 1..=3).await), (0, told.to_owned()));
    assert_eq!(sink.probe().await.unwrap_err().to_string(), told);
    () = operator.ask("DEL readhook").await;
    deliver(&sink, 1..=3).await.unwrap();
    // Also when that happens to a connection that stands.
    () = operator.ask("RENAME readhook aside").await;
    () = operator.ask("SET readhook x").await;
    assert_eq!(retry(deliver(&sink, 4..=6).await), (0, told.to_owned()));
    () = operator.ask("RENAME aside readhook").await;
    deliver(&sink, 4..=6).await.unwrap();
    assert_eq!(complete(&operator.receipts().await, 6), 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_server_without_memory_takes_a_beginning_in_whole_transactions() {
    let dir = tempfile::tempdir().unwrap();
    let server = servers::redis(dir.path()).await;
    let mut operator = Operator::at(server.address).await;
    let sink = sink(&format!("redis://{}", server.address), "");
    let used: u64 = operator.info("memory", "used_memory").await.parse().unwrap();
    () =
        operator.ask(&format!("CONFIG SET maxmemory {} maxmemory-policy noeviction", used + (5 << 20))).await;
    let (done, why) = retry(deliver(&sink, 1..=20_000).await);
    assert!(why.contains("OOM") && why.contains("maxmemory"), "{why}");
    assert!(done > 0 && done < 20_000 && done.is_multiple_of(1_000), "{done}");
    assert_eq!(operator.ask::<usize>("XLEN readhook").await, done);
    let (none, why) = retry(deliver(&sink, done as u64 + 1..=20_000).await);
    assert!(none == 0 && why.contains("OOM"), "{none}: {why}");
    () = operator.ask("CONFIG SET maxmemory 0").await;
    deliver(&sink, done as u64 + 1..=20_000).await.unwrap();
    assert_eq!(complete(&operator.receipts().await, 20_000), 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_login_may_hold_any_sign_and_is_never_told() {
    let dir = tempfile::tempdir().unwrap();
    let server = servers::redis(dir.path()).await;
    let (user, password) = ("re@d:h/ok%", "p@ss:w/rd#?%&,+é");
    let mut operator = Operator::at(server.address).await;
    () = operator
        .ask(&format!(
            "ACL SETUSER {user} on >{password} ~readhook +select +ping +type +multi +xadd +exec +discard"
        ))
        .await;
    () = operator.ask("CONFIG SET requirepass other").await;
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let url =
        |password: &str| format!("redis://{}:{}@{}/3", encoded(user), encoded(password), server.address);
    let right = sink(&url(password), "");
    right.probe().await.unwrap();
    deliver(&right, 1..=3).await.unwrap();
    () = operator.ask("SELECT 3").await;
    assert_eq!(complete(&operator.receipts().await, 3), 0);

    let (_, why) = retry(deliver(&sink(&url("wrong-password"), ""), 4..=4).await);
    assert!(why.contains("refused the user or the password"), "{why}");
    assert!(!why.contains("wrong-password") && !why.contains(user), "{why}");
    let (_, why) = retry(deliver(&sink(&format!("redis://{}", server.address), ""), 4..=4).await);
    assert!(why.contains("NOAUTH") && why.contains("password into"), "{why}");
    () = operator.ask(&format!("ACL SETUSER {user} -multi")).await;
    let (_, why) = retry(deliver(&sink(&url(password), ""), 4..=4).await);
    assert!(why.contains("NOPERM") && why.contains("multi"), "{why}");
    assert_eq!(operator.ask::<u64>("XLEN readhook").await, 3, "what cannot be a transaction is not written");

    let no_database =
        format!("type = \"redis\"\nurl = \"redis://u:{password}@h/none\"", password = "hunter2");
    let error = open(&sink_config(&no_database)).map(drop).unwrap_err().to_string();
    assert!(error.contains("database") && !error.contains("hunter2"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_silent_server_is_given_up_and_a_dropped_delivery_spoils_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = servers::redis(dir.path()).await;
    let wire = Wire::to(server.address).await;
    let sink = sink(&format!("redis://{}", wire.address), "timeout_ms = 300");
    insist(&sink, 1..=10).await;
    for _ in 0..2 {
        // First over the connection that stands, then over one that is to be made.
        wire.stall();
        let (done, why) = retry(deliver(&sink, 11..=20).await);
        assert!(done == 0 && why.contains("300 ms"), "{done}: {why}");
    }
    assert!(sink.probe().await.unwrap_err().to_string().contains("300 ms"));
    wire.mend();
    insist(&sink, 11..=20).await;
    wire.stall();
    let dropped = timeout(Duration::from_millis(20), deliver(&sink, 21..=30)).await;
    assert!(dropped.is_err(), "nothing moves, so it cannot have come back: {dropped:?}");
    wire.mend();
    insist(&sink, 21..=30).await;
    // And one that is gone is not tried for ever.
    wire.cut();
    retry(deliver(&sink, 31..=40).await);
    wire.mend();
    insist(&sink, 31..=40).await;
    complete(&Operator::at(server.address).await.receipts().await, 40);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn only_the_right_server_is_believed_and_certificates_are_read_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let authority = |name: &str| {
        let mut params = rcgen::CertificateParams::new([]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap()
    };
    let (right, wrong) = (authority("right"), authority("wrong"));
    for name in ["server", "client"] {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(path(&format!("{name}.pem")), params.signed_by(&key, &right).unwrap().pem()).unwrap();
        std::fs::write(path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }
    std::fs::write(path("right.pem"), right.pem()).unwrap();
    std::fs::write(path("ca.pem"), wrong.pem()).unwrap();
    let secure = free_address();
    // The server asks every client for a certificate of its own; that is its default.
    let server = server(
        dir.path(),
        &[
            "--tls-port",
            &secure.port().to_string(),
            "--tls-cert-file",
            &path("server.pem"),
            "--tls-key-file",
            &path("server.key"),
            "--tls-ca-cert-file",
            &path("right.pem"),
        ],
    )
    .await;
    let (url, ca_file) = (format!("rediss://{secure}"), format!("ca_file = \"{}\"\n", path("ca.pem")));
    let own = format!(
        "client_cert_file = \"{}\"\nclient_key_file = \"{}\"\n",
        path("client.pem"),
        path("client.key")
    );
    let known = sink(&url, &format!("{ca_file}{own}"));
    let nobody = sink(&url, &ca_file);
    let (_, why) = retry(deliver(&known, 1..=3).await);
    assert!(why.contains("certificate") && why.contains(&secure.to_string()), "{why}");
    // Without `ca_file`, the system's authorities do not know it.
    let (_, why) = retry(deliver(&sink(&url, &own), 1..=3).await);
    assert!(why.contains("certificate"), "{why}");

    std::fs::write(path("ca.pem"), right.pem()).unwrap();
    deliver(&known, 1..=3).await.unwrap();
    retry(deliver(&nobody, 4..=6).await);
    assert_eq!(complete(&Operator::at(server.address).await.receipts().await, 3), 0);

    std::fs::write(path("ca.pem"), "nothing").unwrap();
    let (_, why) = retry(deliver(&nobody, 4..=6).await);
    assert!(why.contains("ca.pem") && why.contains("PEM"), "{why}");
}

#[test]
fn contradictions_are_refused_before_anything_starts() {
    let dir = tempfile::tempdir().unwrap();
    let (file, pem) = (dir.path().join("readhook.toml"), dir.path().join("ca.pem"));
    std::fs::write(&pem, "").unwrap();
    let ca_file = format!("\"\nca_file = \"{}", pem.display());
    for (url, says) in [
        ("redis://a,redis://b", "cluster = true"),
        ("redis://u:hunter2,x@b", "redis://"),
        (&format!("redis://hunter2@a{ca_file}"), "rediss://"),
        ("rediss://:hunter2@a/#insecure", "ca_file"),
        ("rediss://:hunter2#x@a", "url"),
    ] {
        std::fs::write(&file, format!("[sinks.s]\ntype = \"redis\"\nurl = \"{url}\"")).unwrap();
        let error: ConfigError = load(Some(&file), &Environment::new()).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("sinks.s.url") && error.contains(says), "{url}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
