//! Kafka: all messages of a batch into the producer's queue, then all their delivery reports. The producer is
//! idempotent and waits for all replicas; everything else is as the client comes.

use std::io::{copy, sink, stdin};

use anyhow::{Context as _, Result};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{FutureProducer, FutureRecord};
use readhook_bench::rate::Rate;

use super::receipt::{EVENT_TYPE, Receipt, SPEC_VERSION};

/// What the sink has by default.
const TOPIC: &str = "readhook.receipts";
const BROKERS: i32 = 3;
const PARTITIONS: i32 = 3;

struct Message<'a> {
    receipt: &'a Receipt<'a>,
    key: String,
    source: String,
}

pub(crate) async fn push(brokers: &str, batches: &[&[Receipt<'_>]], rate: &mut Rate) -> Result<()> {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .create()?;
    let prepared: Vec<Vec<Message<'_>>> =
        batches.iter().map(|batch| batch.iter().map(Message::of).collect()).collect();
    for messages in &prepared {
        let mut reports = Vec::with_capacity(messages.len());
        for message in messages {
            reports.push(producer.send_result(message.record()).map_err(|(error, _)| error)?);
        }
        for report in reports {
            report.await?.map_err(|(error, _)| error)?;
        }
        rate.add(messages.len());
    }
    Ok(())
}

impl<'a> Message<'a> {
    fn of(receipt: &'a Receipt<'a>) -> Self {
        Self { receipt, key: receipt.key(), source: receipt.source() }
    }

    fn record(&self) -> FutureRecord<'_, str, str> {
        let headers = [
            ("content-type", "application/json"),
            ("ce_specversion", SPEC_VERSION),
            ("ce_id", &self.receipt.id),
            ("ce_source", &self.source),
            ("ce_type", EVENT_TYPE),
            ("ce_time", &self.receipt.received_at),
            ("ce_partitionkey", &self.key),
        ];
        let none = OwnedHeaders::new_with_capacity(headers.len());
        let headers = headers
            .into_iter()
            .fold(none, |all, (key, value)| all.insert(Header { key, value: Some(value) }));
        FutureRecord::to(TOPIC).key(&*self.key).payload(self.receipt.json).headers(headers)
    }
}

/// Brokers that keep what they get in memory, a few MiB of it, until standard input ends.
#[expect(clippy::print_stdout, reason = "whoever started it reads there where the brokers are")]
pub(crate) fn mock() -> Result<()> {
    let cluster = MockCluster::new(BROKERS)?;
    cluster.create_topic(TOPIC, PARTITIONS, BROKERS)?;
    println!("{}", cluster.bootstrap_servers());
    copy(&mut stdin(), &mut sink()).context("waiting for the end of standard input")?;
    Ok(())
}
