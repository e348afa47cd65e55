//! Redis: a transaction for each batch, one `XADD` for each receipt.

use anyhow::Result;
use readhook_bench::rate::Rate;
use redis::{AsyncConnectionConfig, Client};

use super::receipt::Receipt;

/// What the sink has by default.
const STREAM: &str = "readhook";

pub(crate) async fn push(url: &str, batches: &[&[Receipt<'_>]], rate: &mut Rate) -> Result<()> {
    // A server that syncs may take longer than the half second after which the client would give up.
    let patient = AsyncConnectionConfig::new().set_response_timeout(None);
    let client = Client::open(url)?;
    let mut connection = client.get_multiplexed_async_connection_with_config(&patient).await?;
    for batch in batches {
        let mut pipeline = redis::pipe();
        pipeline.atomic();
        for receipt in *batch {
            pipeline.cmd("XADD").arg(STREAM).arg("*").arg("id").arg(&*receipt.id);
            pipeline.arg("vendor").arg(&*receipt.vendor).arg("app").arg(&*receipt.app);
            pipeline.arg("receipt").arg(receipt.json);
        }
        pipeline.exec_async(&mut connection).await?;
        rate.add(batch.len());
    }
    Ok(())
}
