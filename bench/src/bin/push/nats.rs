//! NATS JetStream: all messages of a batch on their way, then all their acknowledgements.

use std::time::Duration;

use anyhow::Result;
use async_nats::jetstream::stream::{Config, StorageType};
use async_nats::{HeaderMap, header, jetstream};
use bytes::Bytes;
use readhook_bench::rate::Rate;

use super::receipt::Receipt;

/// What the sink has by default.
const STREAM: &str = "READHOOK";
const PREFIX: &str = "readhook";
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

struct Message<'a> {
    id: &'a str,
    subject: String,
    payload: Bytes,
}

/// The batch must be smaller than what the client lets be on its way, which is 5,000.
pub(crate) async fn push(url: &str, batches: &[&[Receipt<'_>]], rate: &mut Rate) -> Result<()> {
    let context = jetstream::new(async_nats::connect(url).await?);
    let stream = Config {
        name: STREAM.to_owned(),
        subjects: vec![format!("{PREFIX}.>")],
        storage: StorageType::File,
        duplicate_window: DUPLICATE_WINDOW,
        ..Config::default()
    };
    context.get_or_create_stream(stream).await?;
    let prepared: Vec<Vec<Message<'_>>> =
        batches.iter().map(|batch| batch.iter().map(Message::of).collect()).collect();
    for (batch, messages) in batches.iter().zip(prepared) {
        let mut acks = Vec::with_capacity(batch.len());
        for message in messages {
            let mut headers = HeaderMap::new();
            headers.insert(header::NATS_MESSAGE_ID, message.id);
            headers.insert(header::NATS_EXPECTED_STREAM, STREAM);
            headers.insert("Content-Type", "application/json");
            acks.push(context.publish_with_headers(message.subject, headers, message.payload).await?);
        }
        for ack in acks {
            ack.await?;
        }
        rate.add(batch.len());
    }
    Ok(())
}

impl<'a> Message<'a> {
    fn of(receipt: &'a Receipt<'_>) -> Self {
        Self {
            id: &receipt.id,
            subject: receipt.subject(PREFIX),
            payload: Bytes::copy_from_slice(receipt.json.as_bytes()),
        }
    }
}
