//! The promises of the `nats` sink, against a real nats-server: complete and in order whatever happens to the
//! connection, each receipt once, and errors that an operator can use. Long, because each way to log in or to go wrong
//! wants its own server and little else.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, Context};
use async_nats::{Client, Subject};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures_util::{StreamExt, TryStreamExt};
use readhook::config::SinkConfig;
use readhook::dispatch::Dispatcher;
use readhook::journal::Stored;
use readhook::sink::{DeliverError, Sink};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::endurance::{RECEIPTS, complete, endures, entry, journal, receipt, sink_config};
use crate::house::PATIENCE;
use crate::servers::{Server, free_address, nats, program};
use crate::wire::Wire;

/// The sink for a server, with more settings.
fn config(address: impl std::fmt::Display, more: &str) -> SinkConfig {
    sink_config(&format!("type = 'nats'\nurl = 'nats://{address}'\n{more}"))
}

fn sink(address: impl std::fmt::Display, more: &str) -> std::sync::Arc<dyn Sink> {
    readhook::sink::open(&config(address, more)).unwrap()
}

fn stored(receipt: &Value) -> Stored {
    Stored { seq: 1, received_at: 1, json: receipt.to_string().into(), trace: None }
}

fn batch(numbers: std::ops::RangeInclusive<u64>) -> Vec<Stored> {
    numbers.map(|number| stored(&receipt(number))).collect()
}

/// A receipt of the first conversation, with a text of some length.
fn long(number: u64, length: usize) -> Value {
    let mut long = receipt(number);
    long["conversation"]["id"] = "the same".into();
    long["extra"]["text"] = "x".repeat(length).into();
    long
}

/// What the error says that a delivery must end in, and how much of the batch was done.
async fn retry(sink: &dyn Sink, batch: &[Stored]) -> (usize, String) {
    match timeout(PATIENCE, sink.deliver(batch)).await.unwrap() {
        Err(DeliverError::Retry { done, why, .. }) => (done, why.to_string()),
        other => panic!("{other:?} should be a retry"),
    }
}

pub(crate) async fn plain(address: impl std::fmt::Display) -> Client {
    async_nats::connect(format!("nats://{address}")).await.unwrap()
}

/// Everything in the stream, from its first sequence on. A cluster that chooses a new leader, or makes room for a
/// consumer, answers nobody until it has: it is asked again.
async fn messages(context: &Context, stream: &str) -> Vec<jetstream::Message> {
    let begun = Instant::now();
    loop {
        match read(context, stream).await {
            Ok(messages) => return messages,
            Err(error) => assert!(begun.elapsed() < 4 * PATIENCE, "{error}"),
        }
    }
}

async fn read(context: &Context, stream: &str) -> Result<Vec<jetstream::Message>, async_nats::Error> {
    let mut stream = context.get_stream(stream).await?;
    let count = usize::try_from(stream.info().await?.state.messages)?;
    let pull = pull::OrderedConfig { deliver_policy: DeliverPolicy::All, ..Default::default() };
    let messages = stream.create_consumer(pull).await?.messages().await?;
    Ok(timeout(PATIENCE, messages.take(count).try_collect()).await??)
}

pub(crate) async fn receipts(context: &Context, stream: &str) -> Vec<Value> {
    let messages = messages(context, stream).await;
    messages.iter().map(|message| serde_json::from_slice(&message.payload).unwrap()).collect()
}

/// A server with a configuration file of its own.
async fn server_with(dir: &Path, more: &str) -> Server {
    let address = free_address();
    let file = dir.join("nats.conf");
    let store = dir.join("store");
    let text = format!(
        "listen: \"{address}\"\njetstream {{ store_dir: \"{}\" }}\n{more}\n",
        store.to_str().unwrap()
    );
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(program("nats-server"));
    command.arg("-c").arg(file);
    Server::start(command, address).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn nothing_is_lost_repeated_or_out_of_order_whatever_happens_to_the_connection() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = nats(dir.path()).await;
    let wire = Wire::to(server.address).await;
    let config = config(wire.address, "timeout_ms = 2000");
    endures(config, &wire, async || {
        server.kill();
        server.restart().await;
    })
    .await;
    let context = jetstream::new(plain(server.address).await);
    assert_eq!(complete(&receipts(&context, "READHOOK").await, RECEIPTS), 0, "repeats in the stream");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn a_client_that_connects_anew_by_itself_lets_nothing_pass() {
    let dir = tempfile::tempdir().unwrap();
    let server = nats(dir.path()).await;
    let wire = Wire::to(server.address).await;
    let sink = sink(wire.address, "timeout_ms = 2000");
    let batch = batch(1..=20_000);
    let deliver = async {
        let mut rest = &batch[..];
        let mut retries = 0;
        while !rest.is_empty() {
            // No wait in between, so that what the last client still sends meets what the next one does.
            match sink.deliver(&rest[..rest.len().min(2_000)]).await {
                Ok(()) => rest = &rest[rest.len().min(2_000)..],
                Err(DeliverError::Retry { done, .. }) => {
                    rest = &rest[done..];
                    retries += 1;
                }
                Err(
                    refusal @ (DeliverError::Reject { .. }
                    | DeliverError::Halt { .. }
                    | DeliverError::Rewind { .. }),
                ) => panic!("{refusal:?}"),
            }
        }
        retries
    };
    // Cut so shortly that the client finds the wire whole again at once.
    let disturb = async {
        loop {
            tokio::time::sleep(Duration::from_millis(15)).await;
            wire.cut();
            tokio::task::yield_now().await;
            wire.mend();
        }
    };
    let retries = tokio::select! {
        retries = timeout(4 * PATIENCE, deliver) => retries.unwrap(),
        () = disturb => unreachable!("it has no end"),
    };
    assert!(retries > 0, "the wire was cut in the midst of batches");
    let context = jetstream::new(plain(server.address).await);
    assert_eq!(complete(&receipts(&context, "READHOOK").await, 20_000), 0, "repeats in the stream");
}

/// Three servers that keep a stream together.
async fn cluster(dir: &Path) -> Vec<Server> {
    let routes: Vec<SocketAddr> = (0..3).map(|_| free_address()).collect();
    let urls: Vec<String> = routes.iter().map(|route| format!("\"nats://{route}\"")).collect();
    let starting = routes.iter().enumerate().map(async |(number, route)| {
        let dir = dir.join(number.to_string());
        std::fs::create_dir(&dir).unwrap();
        let cluster = format!(
            "server_name: n{number}\ncluster {{ name: c, listen: \"{route}\", routes: [{}] }}",
            urls.join(", ")
        );
        server_with(&dir, &cluster).await
    });
    futures_util::future::join_all(starting).await
}

/// The server that leads a stream, once there is one again.
async fn leader(context: &Context, stream: &str) -> String {
    loop {
        if let Ok(stream) = context.get_stream(stream).await
            && let Some(leader) =
                stream.cached_info().cluster.as_ref().and_then(|cluster| cluster.leader.clone())
        {
            return leader;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn a_cluster_that_loses_the_streams_leader_keeps_everything_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut servers = cluster(dir.path()).await;
    let urls: Vec<String> = servers.iter().map(|server| format!("nats://{}", server.address)).collect();
    let urls = urls.join(",");
    let sink = sink(urls.trim_start_matches("nats://"), "replicas = 3\ntimeout_ms = 3000");
    // Until the cluster has found itself.
    timeout(4 * PATIENCE, async { while sink.probe().await.is_err() {} }).await.unwrap();
    let client = async_nats::connect(urls.split(',').collect::<Vec<_>>()).await.unwrap();
    let context = jetstream::new(client);
    let batch = batch(1..=20_000);
    let reached = tokio::sync::watch::channel(0).0;
    let deliver = async {
        let mut rest = &batch[..];
        while !rest.is_empty() {
            let next = rest.len().min(1_000);
            match sink.deliver(&rest[..next]).await {
                Ok(()) => rest = &rest[next..],
                Err(DeliverError::Retry { done, .. }) => rest = &rest[done..],
                Err(
                    refusal @ (DeliverError::Reject { .. }
                    | DeliverError::Halt { .. }
                    | DeliverError::Rewind { .. }),
                ) => panic!("{refusal:?}"),
            }
            reached.send_replace(batch.len() - rest.len());
        }
    };
    let disturb = async {
        let mut reached = reached.subscribe();
        for progress in [3_000, 9_000, 15_000] {
            reached.wait_for(|reached| *reached >= progress).await.unwrap();
            let leader = timeout(4 * PATIENCE, leader(&context, "READHOOK")).await.unwrap();
            let leader: usize = leader.trim_start_matches('n').parse().unwrap();
            servers[leader].kill();
            servers[leader].restart().await;
        }
    };
    timeout(8 * PATIENCE, async { tokio::join!(deliver, disturb) }).await.unwrap();
    assert_eq!(complete(&receipts(&context, "READHOOK").await, 20_000), 0, "repeats in the stream");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn the_stream_is_made_and_the_messages_say_what_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let server = nats(dir.path()).await;
    let sink = sink(server.address, "stream = 'R'\nsubject_prefix = 'im.read'\ndedupe_seconds = 77");
    let mut batch = Vec::new();
    for (number, app, kind) in [(1, "a.b#c *", "one_to_one"), (2, "ж>\n", "group"), (3, "", "a.>")] {
        let mut receipt = receipt(number);
        receipt["app"] = app.into();
        receipt["conversation"]["type"] = kind.into();
        batch.push(stored(&receipt));
    }
    sink.deliver(&batch).await.unwrap();
    let context = jetstream::new(plain(server.address).await);
    let stream = context.get_stream("R").await.unwrap();
    let made = &stream.cached_info().config;
    assert_eq!(made.subjects, ["im.read.>"]);
    assert_eq!((made.storage, made.retention), (StorageType::File, RetentionPolicy::Limits));
    assert_eq!((made.num_replicas, made.duplicate_window), (1, Duration::from_secs(77)));
    assert!(made.description.as_deref().unwrap().contains("readhook"));
    let got = messages(&context, "R").await;
    let subjects: Vec<&Subject> = got.iter().map(|message| &message.subject).collect();
    let expected =
        ["im.read.easemob.a_b_c__.one_to_one", "im.read.easemob.___.group", "im.read.easemob._.a__"];
    assert_eq!(subjects.iter().map(|subject| subject.as_str()).collect::<Vec<_>>(), expected);
    for (number, (message, sent)) in (1..).zip(got.iter().zip(&batch)) {
        let headers: HashMap<String, String> = message
            .headers
            .iter()
            .flat_map(|headers| headers.iter())
            .map(|(name, values)| (name.to_string(), values[0].to_string()))
            .collect();
        let expected: [(&str, String); 3] = [
            ("Nats-Msg-Id", format!("{number:032x}")),
            ("Nats-Expected-Stream", "R".to_owned()),
            ("Content-Type", "application/json".to_owned()),
        ];
        assert_eq!(headers, expected.map(|(name, value)| (name.to_owned(), value)).into());
        assert_eq!(message.payload, sent.json.as_bytes());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn a_probe_makes_the_stream_and_delivers_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = nats(dir.path()).await;
    sink(server.address, "").probe().await.unwrap();
    let context = jetstream::new(plain(server.address).await);
    assert_eq!(context.get_stream("READHOOK").await.unwrap().cached_info().state.messages, 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn two_sinks_at_once_make_one_stream_and_store_each_receipt_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = nats(dir.path()).await;
    // Different windows: whoever comes second finds the name taken, with other settings.
    let (one, other) = (sink(server.address, ""), sink(server.address, "dedupe_seconds = 60"));
    let batch = batch(1..=10_000);
    let (first, second) = tokio::join!(one.deliver(&batch), other.deliver(&batch));
    first.unwrap();
    second.unwrap();
    let context = jetstream::new(plain(server.address).await);
    assert_eq!(complete(&receipts(&context, "READHOOK").await, 10_000), 0, "repeats in the stream");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn a_stream_that_does_not_fit_is_left_alone_and_said_so_until_it_is_mended() {
    let dir = tempfile::tempdir().unwrap();
    let server = nats(dir.path()).await;
    let context = jetstream::new(plain(server.address).await);
    let mut foreign =
        Config { name: "READHOOK".to_owned(), subjects: vec!["orders.>".to_owned()], ..Default::default() };
    context.create_stream(&foreign).await.unwrap();
    let sink = sink(server.address, "");
    let batch = batch(1..=100);
    let (done, why) = retry(&*sink, &batch).await;
    assert_eq!(done, 0);
    for said in ["`READHOOK`", "orders.>", "readhook.*.*.*", "add `readhook.>`"] {
        assert!(why.contains(said), "{why}");
    }
    let found = context.get_stream("READHOOK").await.unwrap().cached_info().config.clone();
    assert_eq!(found.subjects, ["orders.>"]);
    foreign.subjects.push("readhook.>".to_owned());
    foreign.no_ack = true;
    context.update_stream(&foreign).await.unwrap();
    assert!(retry(&*sink, &batch).await.1.contains("no_ack"));
    foreign.no_ack = false;
    context.update_stream(&foreign).await.unwrap();
    sink.deliver(&batch).await.unwrap();
    // Gone under a connection that stands: the next try makes it anew.
    context.delete_stream("READHOOK").await.unwrap();
    let (done, why) = retry(&*sink, &batch).await;
    assert!(done == 0 && why.contains("is gone"), "{why}");
    sink.deliver(&batch).await.unwrap();
    assert_eq!(complete(&receipts(&context, "READHOOK").await, 100), 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn what_a_full_stream_refuses_is_not_overtaken_within_its_conversation() {
    let dir = tempfile::tempdir().unwrap();
    let server = nats(dir.path()).await;
    let context = jetstream::new(plain(server.address).await);
    let full = |max_bytes| Config {
        name: "READHOOK".to_owned(),
        subjects: vec!["readhook.>".to_owned()],
        discard: DiscardPolicy::New,
        max_bytes,
        ..Default::default()
    };
    context.create_stream(full(20_000)).await.unwrap();
    let sink = sink(server.address, "");
    let receipts_sent = [long(1, 10), long(2, 30_000), long(3, 10), receipt(4)];
    let batch: Vec<Stored> = receipts_sent.iter().map(stored).collect();
    let (done, why) = retry(&*sink, &batch).await;
    assert_eq!(done, 1);
    assert!(why.contains("make room"), "{why}");
    let there: Vec<Value> = receipts(&context, "READHOOK").await;
    assert!(!there.contains(&receipts_sent[2]), "the third waits for the second");
    context.update_stream(full(1_000_000)).await.unwrap();
    sink.deliver(&batch[done..]).await.unwrap();
    let order: Vec<u64> = receipts(&context, "READHOOK")
        .await
        .iter()
        .filter(|receipt| receipt["conversation"]["id"] == "the same")
        .map(|receipt| receipt["message_seq"].as_u64().unwrap())
        .collect();
    assert_eq!(order, [1, 2, 3]);
}

/// Delivers three receipts, of which the second is too long, and returns why it is in the dead letters.
async fn parks_the_second(server: &Server, length: usize) -> String {
    let (journal, metrics, _dir) = journal(0).await;
    let receipts_sent = [long(1, 10), long(2, length), long(3, 10)];
    journal.commit(receipts_sent.iter().map(entry).collect()).await.unwrap();
    let config = config(server.address, "");
    let dispatcher = Dispatcher {
        name: "s".to_owned(),
        sink: readhook::sink::open(&config).unwrap(),
        config,
        journal: journal.clone(),
        metrics,
        standing: std::sync::Arc::default(),
    };
    let stop = CancellationToken::new();
    // It goes on until everything is delivered.
    stop.cancel();
    let (_handle, orders) = dispatcher.handle();
    timeout(PATIENCE, dispatcher.run(orders, stop, CancellationToken::new())).await.unwrap();
    assert_eq!(journal.cursor("s", 0).await.unwrap(), 3);
    assert_eq!(journal.dead_letters().await.unwrap(), [("s".to_owned(), 1)]);
    let context = jetstream::new(plain(server.address).await);
    let [first, _, third] = receipts_sent;
    assert_eq!(receipts(&context, "READHOOK").await, [first, third]);
    let sink = readhook::sink::open(&self::config(server.address, "")).unwrap();
    match sink.deliver(&[stored(&receipt(9)), stored(&long(2, length))]).await {
        Err(DeliverError::Reject { refused: std::ops::Range { start: 1, end: 2 }, why }) => why.to_string(),
        other => panic!("{other:?} should be a refusal"),
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn a_receipt_that_is_too_long_for_the_server_is_parked_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let server = server_with(dir.path(), "max_payload: 4096").await;
    let why = parks_the_second(&server, 5_000).await;
    assert!(why.contains("size limit of 4096"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn a_receipt_that_is_too_long_for_the_stream_is_parked_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let server = nats(dir.path()).await;
    let config = Config {
        name: "READHOOK".to_owned(),
        subjects: vec!["readhook.*.*.*".to_owned()],
        max_message_size: 4096,
        ..Default::default()
    };
    jetstream::new(plain(server.address).await).create_stream(config).await.unwrap();
    let why = parks_the_second(&server, 5_000).await;
    assert!(why.contains("10054"), "{why}");
}

/// Delivers with the right proof, and sees the wrong one refused without its being shown.
async fn signs_in(server: &Server, user: &str, right: &str, wrong: (&str, &str)) {
    let with = |user: &str| format!("{user}{}", server.address);
    sink(with(user), right).deliver(&batch(1..=10)).await.unwrap();
    let (wrong_user, wrong_settings) = wrong;
    let (_, why) = retry(&*sink(with(wrong_user), wrong_settings), &batch(1..=10)).await;
    assert!(why.contains("does not know the user"), "{why}");
    assert!(!why.contains("wrong"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn it_signs_in_with_user_and_password() {
    let dir = tempfile::tempdir().unwrap();
    let server = server_with(dir.path(), "authorization { user: \"a b\", password: \"p@ss:1\" }").await;
    signs_in(&server, "a%20b:p%40ss%3A1@", "", ("a%20b:wrong@", "")).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn it_signs_in_with_a_token() {
    let dir = tempfile::tempdir().unwrap();
    let server = server_with(dir.path(), "authorization { token: \"t0k3n\" }").await;
    signs_in(&server, "", "token = 't0k3n'", ("", "token = 'wrong'")).await;
    signs_in(&server, "t0k3n@", "", ("wrong@", "")).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn it_signs_in_with_an_nkey() {
    let dir = tempfile::tempdir().unwrap();
    let (key, stranger) = (nkeys::KeyPair::new_user(), nkeys::KeyPair::new_user());
    let users = format!("authorization {{ users: [ {{ nkey: \"{}\" }} ] }}", key.public_key());
    let server = server_with(dir.path(), &users).await;
    let seed = |key: &nkeys::KeyPair| format!("nkey_seed = '{}'", key.seed().unwrap());
    signs_in(&server, "", &seed(&key), ("", &seed(&stranger))).await;
    // What is no seed at all is said at the start, when somebody looks.
    let no_seed = config(server.address, "nkey_seed = 'SUwrong'");
    let why = readhook::sink::open(&no_seed).map(|_| ()).unwrap_err().to_string();
    assert!(why.contains("`nkey_seed`") && !why.contains("wrong"), "{why}");
}

/// A JWT as NATS has it: claims about a key, signed by the one above it.
fn jwt(kind: &str, about: &nkeys::KeyPair, by: &nkeys::KeyPair, limits: Value) -> String {
    let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let mut claims = json!({
        "iat": 1_700_000_000, "iss": by.public_key(), "name": kind, "sub": about.public_key(), "nats": limits,
    });
    claims["nats"]["type"] = kind.into();
    claims["nats"]["version"] = 2.into();
    claims["jti"] = hex::encode(Sha256::digest(claims.to_string())).into();
    let signed = format!("{}.{}", encode(&json!({ "typ": "JWT", "alg": "ed25519-nkey" })), encode(&claims));
    let signature = by.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn it_signs_in_with_credentials() {
    let dir = tempfile::tempdir().unwrap();
    let operator = nkeys::KeyPair::new_operator();
    let (account, system) = (nkeys::KeyPair::new_account(), nkeys::KeyPair::new_account());
    let (user, stranger) = (nkeys::KeyPair::new_user(), nkeys::KeyPair::new_user());
    let no_limits = json!({ "limits": {
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1,
        "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
    } });
    let plain_limits = json!({ "limits": { "subs": -1, "data": -1, "payload": -1, "conn": -1 } });
    let resolver = format!(
        "operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{ {}: {}, {}: {} }}",
        jwt("operator", &operator, &operator, json!({})),
        system.public_key(),
        account.public_key(),
        jwt("account", &account, &operator, no_limits),
        system.public_key(),
        jwt("account", &system, &operator, plain_limits),
    );
    let server = server_with(dir.path(), &resolver).await;
    let user_jwt = jwt("user", &user, &account, json!({ "subs": -1, "data": -1, "payload": -1 }));
    let credentials = |name: &str, key: &nkeys::KeyPair| {
        let file = dir.path().join(name);
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{user_jwt}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            key.seed().unwrap()
        );
        std::fs::write(&file, text).unwrap();
        format!("credentials_file = '{}'", file.to_str().unwrap())
    };
    signs_in(&server, "", &credentials("a.creds", &user), ("", &credentials("b.creds", &stranger))).await;
    let unreadable = readhook::sink::open(&config(server.address, "credentials = 'nonsense'")).map(drop);
    let why = unreadable.unwrap_err().to_string();
    assert!(!why.contains("nonsense"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn a_missing_permission_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let users = "authorization { users: [
        { user: all, password: p },
        { user: some, password: p, permissions: { publish: \"$JS.API.STREAM.INFO.READHOOK\" } },
        { user: none, password: p, permissions: { publish: \"x\" } },
    ] }";
    let server = server_with(dir.path(), users).await;
    let with = |user: &str| sink(format!("{user}:p@{}", server.address), "");
    with("all").probe().await.unwrap();
    let (_, why) = retry(&*with("none"), &batch(1..=1)).await;
    assert!(why.contains("Permissions Violation") && why.contains("STREAM.INFO.READHOOK"), "{why}");
    let (_, why) = retry(&*with("some"), &batch(1..=1)).await;
    assert!(why.contains("Permissions Violation") && why.contains("readhook.easemob"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn tls_wants_the_right_authority_and_shows_a_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let mut parameters = rcgen::CertificateParams::new([]).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(path("ca.pem"), parameters.self_signed(&key).unwrap().pem()).unwrap();
    let stranger = rcgen::KeyPair::generate().unwrap();
    std::fs::write(path("stranger.pem"), parameters.self_signed(&stranger).unwrap().pem()).unwrap();
    let authority = rcgen::Issuer::new(parameters, key);
    for name in ["server", "client"] {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(path(&format!("{name}.pem")), parameters.signed_by(&key, &authority).unwrap().pem())
            .unwrap();
        std::fs::write(path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }
    let tls = format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true }}",
        path("server.pem"),
        path("server.key"),
        path("ca.pem"),
    );
    let server = server_with(dir.path(), &tls).await;
    let ours =
        format!("client_cert_file = '{}'\nclient_key_file = '{}'", path("client.pem"), path("client.key"));
    let believing = |name: &str| format!("ca_file = '{}'", path(name));
    let tls_url = |more: &str| {
        let section = format!("type = 'nats'\nurl = 'tls://{}'\n{more}", server.address);
        readhook::sink::open(&sink_config(&section)).unwrap()
    };
    let right = format!("{ours}\n{}", believing("ca.pem"));
    tls_url(&right).deliver(&batch(1..=10)).await.unwrap();
    // Who names certificates gets TLS with `nats://`, too.
    sink(server.address, &right).deliver(&batch(11..=20)).await.unwrap();
    let (_, why) = retry(&*tls_url(&format!("{ours}\n{}", believing("stranger.pem"))), &batch(1..=1)).await;
    assert!(why.contains("certificate"), "{why}");
    retry(&*tls_url(&believing("ca.pem")), &batch(1..=1)).await;
    // A server that offers none gets no password in the clear.
    let dir = tempfile::tempdir().unwrap();
    let open = nats(dir.path()).await;
    retry(&*sink(open.address, &right), &batch(1..=1)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn a_server_that_was_restarted_is_connected_to_anew() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = nats(dir.path()).await;
    let sink = sink(server.address, "");
    sink.deliver(&batch(1..=100)).await.unwrap();
    server.kill();
    // The first may still find the old connection, and hear of its end.
    retry(&*sink, &batch(101..=200)).await;
    let (done, why) = retry(&*sink, &batch(101..=200)).await;
    assert!(done == 0 && why.contains(&server.address.to_string()), "{why}");
    server.restart().await;
    sink.deliver(&batch(101..=200)).await.unwrap();
    let context = jetstream::new(plain(server.address).await);
    assert_eq!(complete(&receipts(&context, "READHOOK").await, 200), 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn a_connection_that_stalls_ends_in_a_retry() {
    let dir = tempfile::tempdir().unwrap();
    let server = nats(dir.path()).await;
    let wire = Wire::to(server.address).await;
    let sink = sink(wire.address, "timeout_ms = 500");
    sink.deliver(&batch(1..=100)).await.unwrap();
    wire.stall();
    let (_, why) = retry(&*sink, &batch(101..=200)).await;
    assert!(why.contains("not acknowledged within 500ms"), "{why}");
    let (_, why) = retry(&*sink, &batch(101..=200)).await;
    assert!(why.contains("within 500ms"), "{why}");
    wire.mend();
    sink.deliver(&batch(101..=200)).await.unwrap();
    let context = jetstream::new(plain(server.address).await);
    assert_eq!(complete(&receipts(&context, "READHOOK").await, 200), 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn one_of_several_servers_is_enough() {
    let dir = tempfile::tempdir().unwrap();
    let server = nats(dir.path()).await;
    let (dead, stalled) = (free_address(), Wire::to(server.address).await);
    stalled.stall();
    let urls = format!("{dead}, nats://{}, nats://u:secret@{}", stalled.address, server.address);
    let sink = sink(urls, "timeout_ms = 3000");
    for number in 1..=3 {
        timeout(PATIENCE, sink.deliver(&batch(number..=number))).await.unwrap().unwrap();
        sink.probe().await.unwrap();
    }
    drop(server);
    retry(&*sink, &batch(4..=4)).await;
    let (_, why) = retry(&*sink, &batch(4..=4)).await;
    assert!(why.contains(&dead.to_string()) && !why.contains("secret"), "{why}");
}
