//! The yardstick of readhook without a journal: axum reads the body, publishes it to a stream of JetStream, and answers
//! when the stream has acknowledged it. What the way through a broker costs here, whoever goes it.
//!
//! The message has the headers that the sink's has, and a subject as long. It is the body as it came: nothing is parsed,
//! checked or made. There is no time-out but the client's own and no second try; what fails is answered 503.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use async_nats::jetstream::Context;
use async_nats::jetstream::context::PublishError;
use async_nats::jetstream::stream::{Config, StorageType};
use async_nats::{HeaderMap, header, jetstream};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use clap::Parser;
use tokio::net::TcpListener;

/// readhook has it, too; with another one the comparison would be one of allocators.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What the sink has by default.
const STREAM: &str = "READHOOK";
const SUBJECTS: &str = "readhook.>";
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);
/// What the sink makes of the generator's callbacks.
const SUBJECT: &str = "readhook.easemob.1122334455_demo.group";

/// Publishes every request's body, waits for its acknowledgement and answers `{"valid":true}`.
#[derive(Parser)]
struct Args {
    /// Address to listen on.
    #[arg(long)]
    listen: SocketAddr,
    /// The server, `nats://…`; the stream is made if it is missing.
    #[arg(long)]
    url: String,
}

struct Publisher {
    context: Context,
    /// How many messages there were, which is what makes their ids: the stream must be empty at first.
    count: AtomicU64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let context = jetstream::new(async_nats::connect(&args.url).await?);
    let stream = Config {
        name: STREAM.to_owned(),
        subjects: vec![SUBJECTS.to_owned()],
        storage: StorageType::File,
        duplicate_window: DUPLICATE_WINDOW,
        ..Config::default()
    };
    context.get_or_create_stream(stream).await?;
    let publisher = Arc::new(Publisher { context, count: AtomicU64::default() });
    let listener = TcpListener::bind(args.listen).await?;
    axum::serve(listener, Router::new().fallback(answer).with_state(publisher)).await?;
    Ok(())
}

async fn answer(State(publisher): State<Arc<Publisher>>, body: Bytes) -> Response {
    match publisher.publish(body).await {
        Ok(()) => ([(CONTENT_TYPE, "application/json")], r#"{"valid":true}"#).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}

impl Publisher {
    /// `Ok` means that the stream has it.
    async fn publish(&self, body: Bytes) -> Result<(), PublishError> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let mut headers = HeaderMap::new();
        // As long as a receipt's id.
        headers.insert(header::NATS_MESSAGE_ID, format!("{number:032x}"));
        headers.insert(header::NATS_EXPECTED_STREAM, STREAM);
        headers.insert("Content-Type", "application/json");
        self.context.publish_with_headers(SUBJECT, headers, body).await?.await?;
        Ok(())
    }
}
