//! The second yardstick: the body is appended to a file and `fdatasync`ed before the same constant answer.
//! What durability itself costs: no journal that syncs before it answers can do much less.
//!
//! It does not parse, check, frame or read back what it stores, and never cuts the file.

use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use clap::Parser;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

/// So many bodies wait at most, and go into one group at most.
const LARGEST_GROUP: usize = 1024;

/// Appends every body to a file, syncs it, and answers `{"valid":true}`.
#[derive(Parser)]
struct Args {
    /// Address to listen on.
    #[arg(long)]
    listen: SocketAddr,
    /// File to append to; it must not exist yet.
    #[arg(long)]
    file: PathBuf,
}

/// A body to be stored, and where to say that it is.
type Waiting = (Bytes, oneshot::Sender<()>);

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let file = File::create_new(&args.file).with_context(|| format!("creating {}", args.file.display()))?;
    let (sender, receiver) = mpsc::channel(LARGEST_GROUP);
    thread::Builder::new().name("append".to_owned()).spawn(move || append(file, receiver))?;
    let listener = TcpListener::bind(args.listen).await?;
    axum::serve(listener, Router::new().fallback(answer).with_state(sender)).await?;
    Ok(())
}

/// Answers after the sync; 500 if the writer has ended, which it does at its first error.
async fn answer(State(writer): State<mpsc::Sender<Waiting>>, body: Bytes) -> impl IntoResponse {
    // A request without a body, such as the question whether this server is live, has nothing to store.
    if !body.is_empty() {
        let (stored, told) = oneshot::channel();
        if writer.send((body, stored)).await.is_err() || told.await.is_err() {
            return Err(StatusCode::INTERNAL_SERVER_ERROR);
        }
    }
    Ok(([(CONTENT_TYPE, "application/json")], r#"{"valid":true}"#))
}

/// Stores whatever waits as one group, again and again: while one group is synced, the next gathers.
fn append(mut file: File, mut receiver: mpsc::Receiver<Waiting>) -> std::io::Result<()> {
    let mut group = Vec::with_capacity(LARGEST_GROUP);
    let mut bytes = Vec::new();
    while receiver.blocking_recv_many(&mut group, LARGEST_GROUP) > 0 {
        bytes.clear();
        for (body, _) in &group {
            bytes.extend_from_slice(body);
            bytes.push(b'\n');
        }
        file.write_all(&bytes)?;
        file.sync_data()?;
        for (_, stored) in group.drain(..) {
            // A client that has gone needs no answer.
            let _gone = stored.send(());
        }
    }
    Ok(())
}
