//! HTTP: a POST for each batch, a JSON array of receipts in their envelopes, and its answer read to the end. Nothing is
//! signed.

use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use readhook_bench::rate::Rate;
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use serde::Serialize;
use serde_json::value::RawValue;

use super::receipt::{EVENT_TYPE, Receipt, SPEC_VERSION};

#[derive(Serialize)]
struct Event<'a> {
    specversion: &'static str,
    id: &'a str,
    source: String,
    #[serde(rename = "type")]
    kind: &'static str,
    time: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    datacontenttype: &'static str,
    partitionkey: String,
    data: &'a RawValue,
}

pub(crate) async fn push(url: &str, batches: &[&[Receipt<'_>]], rate: &mut Rate) -> Result<()> {
    // The client wants a TLS configuration even where no TLS is spoken.
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let client = Client::builder().tls_backend_preconfigured(tls).no_proxy().http1_only().build()?;
    let prepared = batches.iter().map(|batch| body(batch)).collect::<Result<Vec<_>>>()?;
    for (batch, body) in batches.iter().zip(prepared) {
        let request =
            client.post(url).header(CONTENT_TYPE, "application/cloudevents-batch+json; charset=utf-8");
        request.body(body).send().await?.error_for_status()?.bytes().await?;
        rate.add(batch.len());
    }
    Ok(())
}

fn body(batch: &[Receipt<'_>]) -> Result<Bytes> {
    let events = batch.iter().map(Event::of).collect::<serde_json::Result<Vec<_>>>()?;
    Ok(serde_json::to_vec(&events)?.into())
}

impl<'a> Event<'a> {
    fn of(receipt: &'a Receipt<'_>) -> serde_json::Result<Self> {
        Ok(Self {
            specversion: SPEC_VERSION,
            id: &receipt.id,
            source: receipt.source(),
            kind: EVENT_TYPE,
            time: &receipt.received_at,
            subject: receipt.conversation.id.as_deref(),
            datacontenttype: "application/json",
            partitionkey: receipt.key(),
            data: serde_json::from_str(receipt.json)?,
        })
    }
}
