//! The first yardstick: axum reads the body and answers a constant. What HTTP itself costs on this machine.
//!
//! It does not parse, check or store anything, and answers every method and path alike.

use std::net::SocketAddr;

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use clap::Parser;
use tokio::net::TcpListener;

/// Reads every request and answers `{"valid":true}`.
#[derive(Parser)]
struct Args {
    /// Address to listen on.
    #[arg(long)]
    listen: SocketAddr,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let listener = TcpListener::bind(args.listen).await?;
    axum::serve(listener, Router::new().fallback(answer)).await?;
    Ok(())
}

async fn answer(_body: Bytes) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], r#"{"valid":true}"#)
}
