//! Kafka: against librdkafka's own cluster of brokers, which listens on ports of the loopback, in this process. It keeps
//! no track of sequence numbers, so what a client sends twice or too early is there twice or too early. Long, because
//! every way in which brokers fail is a test of its own with the same cluster.

use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, OwnedMessage};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr as Refusal};
use rdkafka::{Message, Timestamp};
use readhook::config::SinkConfig;
use readhook::dispatch::Dispatcher;
use readhook::journal::{Journal, Stored};
use readhook::metrics::Metrics;
use readhook::sink::{DeliverError, Sink, open};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::endurance::{RECEIPTS, complete, endures, entry, journal, receipt, sink_config};
use crate::house::PATIENCE;
use crate::servers::{Server, free_address};
use crate::wire::Wire;

const TOPIC: &str = "readhook.receipts";
const BROKERS: i32 = 3;
const ALL: i32 = -1;
/// Long enough for two cores that have other things to do.
const ENOUGH: Duration = Duration::from_secs(240);
/// What the sink's header says in the envelope.
const CONVERSATION: &str = "easemob/1122334455#demo/group/g.1 *";

/// Three brokers and a topic.
struct Cluster {
    mock: MockCluster<'static, DefaultProducerContext>,
    partitions: i32,
}

impl Cluster {
    fn with(partitions: i32) -> Self {
        let mock = MockCluster::new(BROKERS).unwrap();
        mock.create_topic(TOPIC, partitions, BROKERS).unwrap();
        Self { mock, partitions }
    }

    fn config(&self, more: &str) -> SinkConfig {
        config_of(&self.mock.bootstrap_servers(), more)
    }

    fn sink(&self, more: &str) -> Arc<dyn Sink> {
        open(&self.config(more)).unwrap()
    }

    /// So far away that a client has time to send another request before it hears of the first.
    fn far_away(&self) {
        self.mock.broker_round_trip_time(ALL, Duration::from_millis(60)).unwrap();
    }

    /// The next requests to store messages get these answers.
    fn answer(&self, answers: &[Refusal]) {
        self.mock.request_errors(RDKafkaApiKey::Produce, answers);
    }

    fn messages(&self) -> Vec<OwnedMessage> {
        messages(&self.mock.bootstrap_servers(), self.partitions)
    }

    fn receipts(&self) -> Vec<Value> {
        self.messages().iter().map(receipt_in).collect()
    }
}

/// All messages of the topic, partition by partition, as a consumer gets them.
fn messages(brokers: &str, partitions: i32) -> Vec<OwnedMessage> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "tests")
        .set("enable.partition.eof", "true")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut messages = Vec::new();
    for partition in 0..partitions {
        let mut from = TopicPartitionList::new();
        from.add_partition_offset(TOPIC, partition, Offset::Beginning).unwrap();
        consumer.assign(&from).unwrap();
        loop {
            match consumer.poll(PATIENCE).expect("a message or the partition's end") {
                Ok(message) => messages.push(message.detach()),
                Err(KafkaError::PartitionEOF(_)) => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    messages
}

fn config_of(brokers: &str, more: &str) -> SinkConfig {
    let brokers: Vec<&str> = brokers.split(',').collect();
    sink_config(&format!("type = \"kafka\"\nbrokers = {brokers:?}\n{more}"))
}

fn receipt_in(message: &OwnedMessage) -> Value {
    serde_json::from_slice(message.payload().unwrap()).unwrap()
}

fn stored(receipt: &Value) -> Stored {
    let seq = receipt["message_seq"].as_i64().unwrap();
    Stored { seq, received_at: 1_767_323_045_678, json: receipt.to_string().into(), trace: None }
}

fn batch(count: u64) -> Vec<Stored> {
    (1..=count).map(|number| stored(&receipt(number))).collect()
}

/// Why it is to be tried again, and how many need not be.
fn retry(delivered: Result<(), DeliverError>) -> (usize, String) {
    match delivered {
        Err(DeliverError::Retry { done, why, .. }) => (done, why.to_string()),
        Ok(())
        | Err(DeliverError::Reject { .. } | DeliverError::Halt { .. } | DeliverError::Rewind { .. }) => {
            panic!("{delivered:?}")
        }
    }
}

async fn deliver(sink: &Arc<dyn Sink>, batch: &[Stored]) -> Result<(), DeliverError> {
    timeout(PATIENCE, sink.deliver(batch)).await.expect("a delivery ends")
}

/// A sink's task and what tells of it.
struct Dispatching {
    metrics: Metrics,
    stop: CancellationToken,
    give_up: CancellationToken,
    task: JoinHandle<()>,
}

impl Dispatching {
    fn start(config: SinkConfig, journal: &Journal, metrics: &Metrics) -> Self {
        let (stop, give_up) = (CancellationToken::new(), CancellationToken::new());
        let dispatcher = Dispatcher {
            name: "s".to_owned(),
            sink: open(&config).unwrap(),
            config,
            journal: journal.clone(),
            metrics: metrics.clone(),
            standing: Arc::default(),
        };
        let (_handle, orders) = dispatcher.handle();
        #[expect(clippy::disallowed_methods, reason = "each test waits for it")]
        let task = tokio::spawn(dispatcher.run(orders, stop.clone(), give_up.clone()));
        Self { metrics: metrics.clone(), stop, give_up, task }
    }

    fn count(&self, result: &str) -> u64 {
        self.metrics.sink_deliveries.with_label_values(&["s", result]).get()
    }

    async fn until(&self, result: &str, count: u64) {
        let reached = async {
            while self.count(result) < count {
                sleep(Duration::from_millis(1)).await;
            }
        };
        let waited = timeout(ENOUGH, reached).await;
        waited.unwrap_or_else(|_| {
            panic!("{count} {result}: ok {}, retry {}", self.count("ok"), self.count("retry"))
        });
    }

    async fn until_a_retry(&self, trouble: impl FnOnce()) {
        let before = self.count("retry");
        trouble();
        self.until("retry", before + 1).await;
    }

    async fn ended(self) {
        timeout(PATIENCE, self.task).await.expect("it ends").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_out_as_headers() {
    let cluster = Cluster::with(1);
    let context = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut batch = batch(2);
    batch[0].trace = readhook::receipt::TraceContext::parse(context);
    timeout(ENOUGH, cluster.sink("").deliver(&batch)).await.unwrap().unwrap();
    let named = |message: &OwnedMessage, name: &str| {
        let headers = message.headers().unwrap();
        let found = headers.iter().find(|header| header.key == name);
        found.map(|header| String::from_utf8(header.value.unwrap().to_vec()).unwrap())
    };
    let messages = cluster.messages();
    for name in ["traceparent", "ce_traceparent"] {
        assert_eq!(named(&messages[0], name).as_deref(), Some(context), "{name}");
        assert_eq!(named(&messages[1], name), None, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_no_conversation_out_of_order_while_brokers_go_and_come() {
    let cluster = Cluster::with(12);
    let mock = &cluster.mock;
    let (journal, metrics, _dir) = journal(RECEIPTS).await;
    let sink = Dispatching::start(cluster.config("batch = 500\ntimeout_ms = 2000"), &journal, &metrics);
    sink.until("ok", 1_000).await;
    sink.until_a_retry(|| mock.broker_down(1).unwrap()).await;
    mock.broker_up(1).unwrap();
    sink.until("ok", 4_000).await;
    cluster.answer(&[
        Refusal::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        Refusal::RD_KAFKA_RESP_ERR_NO_ERROR,
        Refusal::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        Refusal::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        Refusal::RD_KAFKA_RESP_ERR__TRANSPORT,
        Refusal::RD_KAFKA_RESP_ERR_NO_ERROR,
        Refusal::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
    ]);
    sink.until("ok", 7_000).await;
    sink.until_a_retry(|| mock.broker_down(ALL).unwrap()).await;
    mock.broker_up(ALL).unwrap();
    sink.until("ok", 10_000).await;
    // Stored, but the answer comes too late.
    sink.until_a_retry(|| mock.broker_round_trip_time(ALL, Duration::from_secs(5)).unwrap()).await;
    mock.broker_round_trip_time(ALL, Duration::ZERO).unwrap();
    sink.until("ok", 13_000).await;
    sink.until_a_retry(|| cluster.answer(&[Refusal::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED])).await;
    sink.until("ok", 16_000).await;
    for partition in 0..cluster.partitions {
        mock.partition_leader(TOPIC, partition, Some(1 + (partition + 1) % BROKERS)).unwrap();
    }
    sink.until("ok", RECEIPTS).await;
    assert_eq!((sink.count("ok"), sink.count("rejected")), (RECEIPTS, 0));
    sink.stop.cancel();
    sink.ended().await;
    complete(&cluster.receipts(), RECEIPTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_a_cloud_event_where_a_java_client_would_put_it() {
    let cluster = Cluster::with(12);
    let sink = cluster.sink("compression = \"lz4\"");
    sink.probe().await.unwrap();
    deliver(&sink, &batch(1)).await.unwrap();
    let messages = cluster.messages();
    let [message] = messages.as_slice() else { panic!("{messages:?}") };
    assert_eq!(message.payload().unwrap(), receipt(1).to_string().as_bytes(), "as it was stored");
    assert_eq!(message.key().unwrap(), CONVERSATION.as_bytes());
    // (org.apache.kafka.common.utils.Utils.murmur2(key) & 0x7fffffff) % 12
    assert_eq!(message.partition(), 6);
    assert_eq!(message.timestamp(), Timestamp::CreateTime(1_767_323_045_678));
    let headers: Vec<_> = message
        .headers()
        .unwrap()
        .iter()
        .map(|header| (header.key, str::from_utf8(header.value.unwrap()).unwrap()))
        .collect();
    let expected = [
        ("content-type", "application/json"),
        ("ce_specversion", "1.0"),
        ("ce_id", "00000000000000000000000000000001"),
        ("ce_source", "/readhook/easemob/1122334455%23demo"),
        ("ce_type", "readhook.receipt.v1"),
        ("ce_time", "2026-01-02T03:04:05.678Z"),
        ("ce_partitionkey", CONVERSATION),
    ];
    assert_eq!(headers, expected);
}

/// So large that a request holds only two. librdkafka keeps back the second request to a partition while more than four
/// messages are on their way; these it does not keep back by itself.
fn heavy(count: u64) -> Vec<Stored> {
    let heavy = |number| {
        let mut receipt = receipt(number);
        receipt["extra"] = json!({ "text": "x".repeat(100_000) });
        stored(&receipt)
    };
    (1..=count).map(heavy).collect()
}

fn numbers(receipts: &[Value]) -> Vec<u64> {
    receipts.iter().map(|receipt| receipt["message_seq"].as_u64().unwrap()).collect()
}

/// One partition, so that a batch is many requests to it.
#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_of_a_batch_that_fails_is_its_beginning() {
    for (answer, batch) in [
        (Refusal::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, batch(2_000)),
        (Refusal::RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP, heavy(40)),
        (Refusal::RD_KAFKA_RESP_ERR_POLICY_VIOLATION, heavy(40)),
    ] {
        let cluster = Cluster::with(1);
        let sink = cluster.sink("timeout_ms = 10000");
        cluster.far_away();
        cluster.answer(&[Refusal::RD_KAFKA_RESP_ERR_NO_ERROR, answer]);
        let (done, why) = retry(deliver(&sink, &batch).await);
        let arrived = numbers(&cluster.receipts());
        assert!(!arrived.is_empty() && arrived.len() < batch.len(), "{} arrived: {why}", arrived.len());
        assert_eq!(arrived, (1..=done as u64).collect::<Vec<_>>(), "what it says is there: {why}");
        deliver(&sink, &batch[done..]).await.unwrap();
        let arrived = numbers(&cluster.receipts());
        assert_eq!(arrived, (1..=batch.len() as u64).collect::<Vec<_>>(), "what was done did not come again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_broker_wants_again_is_not_overtaken() {
    let cluster = Cluster::with(1);
    let sink = cluster.sink("timeout_ms = 10000");
    cluster.far_away();
    cluster.answer(&[
        Refusal::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        Refusal::RD_KAFKA_RESP_ERR_NO_ERROR,
        Refusal::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
    ]);
    deliver(&sink, &heavy(40)).await.unwrap();
    assert_eq!(numbers(&cluster.receipts()), (1..=40).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_is_too_large_is_parked_and_the_rest_goes_on() {
    let cluster = Cluster::with(1);
    let (journal, metrics, _dir) = journal(5).await;
    let mut large = receipt(6);
    large["extra"] = json!({ "text": "x".repeat(9 << 20) });
    journal.commit(smallvec::smallvec![entry(&large)]).await.unwrap();
    journal.commit((7..=10).map(|number| entry(&receipt(number))).collect()).await.unwrap();
    let sink = Dispatching::start(cluster.config(""), &journal, &metrics);
    sink.until("ok", 9).await;
    assert_eq!(sink.count("rejected"), 1);
    sink.stop.cancel();
    sink.ended().await;
    assert_eq!(journal.dead_letters().await.unwrap(), [("s".to_owned(), 1)]);
    let arrived = cluster.receipts();
    let expected: Vec<Value> = (1..=5).chain(7..=10).map(receipt).collect();
    assert_eq!(arrived, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_receipt_that_a_broker_refuses_by_itself_is_refused() {
    for refusal in [
        Refusal::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
        Refusal::RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE,
        Refusal::RD_KAFKA_RESP_ERR_INVALID_RECORD,
    ] {
        let cluster = Cluster::with(1);
        let sink = cluster.sink("");
        let batch = batch(10);
        // The request as a whole, but none of its messages.
        cluster.answer(&[refusal]);
        deliver(&sink, &batch).await.unwrap();
        assert_eq!(complete(&cluster.receipts(), 10), 0);
        // And now the first of them, too.
        cluster.answer(&[refusal, refusal]);
        let delivered = deliver(&sink, &batch).await;
        assert!(
            matches!(&delivered, Err(DeliverError::Reject { refused, .. }) if *refused == (0..1)),
            "{delivered:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_brokers_it_says_so_and_goes_on_when_they_are_back() {
    let cluster = Cluster::with(4);
    cluster.mock.broker_down(ALL).unwrap();
    let sink = cluster.sink("");
    let (done, why) = retry(deliver(&sink, &batch(10)).await);
    assert_eq!(done, 0);
    assert!(why.contains("no broker answers"), "{why}");
    assert!(sink.probe().await.is_err());

    let (journal, metrics, _dir) = journal(3_000).await;
    let sink = Dispatching::start(cluster.config(""), &journal, &metrics);
    sink.until("retry", 1).await;
    cluster.mock.broker_up(ALL).unwrap();
    sink.until("ok", 3_000).await;
    sink.stop.cancel();
    sink.ended().await;
    complete(&cluster.receipts(), 3_000);
}

/// Takes connections and says nothing.
fn silent_broker() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_says_nothing_is_given_up() {
    let (_listener, address) = silent_broker();
    let sink = open(&config_of(&address, "timeout_ms = 1500")).unwrap();
    let (done, why) = retry(deliver(&sink, &batch(10)).await);
    assert_eq!(done, 0);
    assert!(why.contains("no broker answers"), "{why}");
    assert!(timeout(PATIENCE, sink.probe()).await.expect("a probe ends").is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_fall_silent_in_the_midst_are_given_up() {
    let cluster = Cluster::with(4);
    let sink = cluster.sink("timeout_ms = 1500");
    deliver(&sink, &batch(10)).await.unwrap();
    cluster.mock.broker_round_trip_time(ALL, Duration::from_secs(600)).unwrap();
    let (done, why) = retry(deliver(&sink, &batch(20)[10..]).await);
    assert_eq!(done, 0);
    assert!(why.contains("not acknowledged within 1.5s"), "{why}");
    cluster.mock.broker_round_trip_time(ALL, Duration::ZERO).unwrap();
    deliver(&sink, &batch(20)[10..]).await.unwrap();
    complete(&cluster.receipts(), 20);
}

/// Whoever ends the process waits for all that blocks, so none of it may take as long as a batch may.
#[test]
fn an_end_does_not_wait_for_brokers() {
    let (ended, end) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let (_listener, silent) = silent_broker();
        let cluster = Cluster::with(4);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let (journal, metrics, _dir) = journal(100).await;
            let never = Dispatching::start(config_of(&silent, "timeout_ms = 600000"), &journal, &metrics);
            let config = cluster.config("timeout_ms = 600000");
            let midst = Dispatching::start(config, &journal, &metrics);
            midst.until("ok", 100).await;
            cluster.mock.broker_round_trip_time(ALL, Duration::from_secs(600)).unwrap();
            journal.commit((101..=200).map(|number| entry(&receipt(number))).collect()).await.unwrap();
            never.give_up.cancel();
            never.ended().await;
            midst.give_up.cancel();
            midst.ended().await;
        });
        drop(runtime);
        ended.send(()).unwrap();
    });
    end.recv_timeout(ENOUGH).expect("the runtime ends");
    thread.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_is_dropped_half_way_spoils_nothing() {
    let cluster = Cluster::with(4);
    let sink = cluster.sink("");
    let batch = batch(2_000);
    deliver(&sink, &batch[..100]).await.unwrap();
    cluster.mock.broker_round_trip_time(ALL, Duration::from_millis(200)).unwrap();
    for _ in 0..3 {
        // Long enough for some of it to be on its way, too short for all.
        assert!(timeout(Duration::from_millis(300), sink.deliver(&batch[100..])).await.is_err());
    }
    cluster.mock.broker_round_trip_time(ALL, Duration::ZERO).unwrap();
    deliver(&sink, &batch[100..]).await.unwrap();
    complete(&cluster.receipts(), 2_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_can_mend_is_tried_again_and_named() {
    let cluster = Cluster::with(1);
    let unknown = Refusal::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    cluster.mock.topic_error(TOPIC, unknown).unwrap();
    let sink = cluster.sink("");
    let why = sink.probe().await.unwrap_err().to_string();
    assert!(why.contains("there is no topic `readhook.receipts`; create it"), "{why}");
    let (_, why) = retry(deliver(&sink, &batch(3)).await);
    assert!(why.contains("create it"), "{why}");
    cluster.mock.topic_error(TOPIC, Refusal::RD_KAFKA_RESP_ERR_NO_ERROR).unwrap();
    for (answer, advice) in [
        (Refusal::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, "grant it Write"),
        (Refusal::RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP, "message.timestamp.before.max.ms"),
    ] {
        cluster.answer(&[answer]);
        let (done, why) = retry(deliver(&sink, &batch(3)).await);
        assert_eq!(done, 0);
        assert!(why.contains(advice), "{why}");
    }
    deliver(&sink, &batch(3)).await.unwrap();
    assert_eq!(complete(&cluster.receipts(), 3), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_over_tls_that_nobody_speaks_is_named_without_its_password() {
    let cluster = Cluster::with(1);
    for tls in [true, false] {
        let sink = cluster
            .sink(&format!("tls = {tls}\nusername = \"me\"\npassword = \"hunter2\"\ntimeout_ms = 3000"));
        let why = timeout(PATIENCE, sink.probe()).await.expect("a probe ends").unwrap_err().to_string();
        assert!(why.contains(if tls { "`tls`" } else { "`sasl_mechanism`" }), "{why}");
        assert!(!why.contains("hunter2"), "{why}");
        let (_, why) = retry(deliver(&sink, &batch(1)).await);
        assert!(!why.contains("hunter2"), "{why}");
    }
}

/// Against a broker that is not librdkafka's own. `bench/kafka-broker` gets one, which takes ten minutes, and says where
/// it is. It keeps its messages in memory, so it is cut off but not killed.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs tansu; bench/kafka-broker gets it and runs this"]
async fn a_broker_of_others_has_everything_in_order() {
    let tansu =
        std::env::var_os("READHOOK_TANSU").expect("READHOOK_TANSU names the broker; run bench/kafka-broker");
    let address = free_address();
    let wire = Wire::to(address).await;
    let advertised = format!("tcp://{}", wire.address);
    let mut command = Command::new(&tansu);
    command.args([
        "broker",
        "--listener-url",
        &format!("tcp://{address}"),
        "--storage-engine",
        "memory://tansu/",
    ]);
    command.args(["--advertised-listener-url", &advertised]);
    let _broker = Server::start(command, address).await;
    let create = ["topic", "create", "--partitions", "6", "--broker", &advertised, TOPIC];
    assert!(Command::new(&tansu).args(create).status().unwrap().success());
    let config = config_of(&wire.address.to_string(), "batch = 500\ntimeout_ms = 3000");
    endures(config, &wire, async || {}).await;
    let receipts: Vec<_> = messages(&wire.address.to_string(), 6).iter().map(receipt_in).collect();
    let repeats = complete(&receipts, RECEIPTS);
    assert!(repeats < receipts.len() / 2, "{repeats} repeats");
}
