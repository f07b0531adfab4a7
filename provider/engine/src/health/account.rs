use std::time::Duration;

use serde::{Deserialize, Serialize};
use tempoform_wire::internal::AccountRequest;
use tempoform_wire::internal::blocks_client::BlocksClient;

use super::chain;
use crate::object::Instance;

/// What the readers of object storage spent there since they started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectStoreAccount {
    /// Requests made.
    pub requests: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Milliseconds waited for them, over all requests.
    pub wait_ms: u64,
    /// Reads that a cache answered.
    pub cache_hits: u64,
    /// Bytes that came from a cache.
    pub cache_bytes: u64,
}

/// The sum over every retriever (or the single binaries).
///
/// # Errors
/// When one of them does not answer; the text names it.
pub async fn object_store_account(
    instances: &[Instance],
    timeout: Duration,
) -> Result<ObjectStoreAccount, String> {
    let mut sum = ObjectStoreAccount::default();
    for instance in
        instances.iter().filter(|instance| ["retriever", "tempo"].contains(&instance.name.as_str()))
    {
        let Some(address) = instance.endpoints.get("grpc") else { continue };
        let one =
            fetch(address, timeout).await.map_err(|reason| format!("{}: {reason}", instance.instance))?;
        sum.requests += one.requests;
        sum.bytes += one.bytes;
        sum.wait_ms += one.wait_ms;
        sum.cache_hits += one.cache_hits;
        sum.cache_bytes += one.cache_bytes;
    }
    Ok(sum)
}

async fn fetch(address: &str, timeout: Duration) -> Result<ObjectStoreAccount, String> {
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| chain(&error))?
        .connect_timeout(timeout)
        .timeout(timeout)
        .connect()
        .await
        .map_err(|error| chain(&error))?;
    let answer = BlocksClient::new(channel)
        .account(AccountRequest {})
        .await
        .map_err(|status| status.to_string())?
        .into_inner();
    Ok(ObjectStoreAccount {
        requests: answer.requests,
        bytes: answer.bytes,
        wait_ms: answer.wait_nanos / 1_000_000,
        cache_hits: answer.cache_hits,
        cache_bytes: answer.cache_bytes,
    })
}
