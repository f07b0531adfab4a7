//! Blocks written straight into a bucket, by the writer of the product.

use anyhow::Result;
use bytes::Bytes;
use prost::Message as _;
use tempoform_block::{
    BlockMeta, BlockPath, BlockStore, BlockVersion, BlockWriter, EncodedResource, EncodedScope, WriterOptions,
};
use tempoform_core::{Account, TenantId};
use uuid::Uuid;

use crate::Load;
use crate::load::{SERVICES, SPANS_PER_SERVICE, resource};

/// Writes traces of a load as one block.
///
/// # Errors
/// The store's.
pub async fn write_block(store: &BlockStore, block: Uuid, load: &Load, traces: &[u64]) -> Result<BlockMeta> {
    let tenant = TenantId::single();
    let mut traces: Vec<_> = traces.iter().map(|trace| (load.trace_id(*trace), *trace)).collect();
    traces.sort_unstable();
    let options = WriterOptions { expected_traces: traces.len() as u64, ..WriterOptions::default() };
    let mut data = Vec::new();
    let mut writer = BlockWriter::new(&mut data, options)?;
    let resources: Vec<_> = SERVICES.iter().map(|service| resource(service).encode_to_vec()).collect();
    for (id, trace) in traces {
        let spans: Vec<Vec<Vec<u8>>> = (0..SERVICES.len() as u64)
            .map(|service| {
                (0..SPANS_PER_SERVICE).map(|n| load.span(trace, service, n).encode_to_vec()).collect()
            })
            .collect();
        let encoded: Vec<_> = resources
            .iter()
            .zip(&spans)
            .map(|(resource, spans)| EncodedResource {
                resource,
                schema_url: b"",
                scopes: vec![EncodedScope {
                    scope: b"",
                    schema_url: b"",
                    spans: spans.iter().map(Vec::as_slice).collect(),
                }],
            })
            .collect();
        writer.add_trace(id, &encoded)?;
    }
    let written = writer.finish()?;
    let at = |nanos: u64| jiff::Timestamp::from_nanosecond(nanos.into());
    let meta = BlockMeta {
        start_time: at(written.start_unix_nano)?,
        end_time: at(written.end_unix_nano)?,
        total_objects: written.total_objects,
        size: written.size,
        total_records: written.total_records,
        bloom_shards: written.blooms.len() as u32,
        footer_size: written.footer_size,
        replication_factor: 1,
        ..BlockMeta::new(BlockVersion::VParquet4, block, tenant.as_str())
    };
    let account = Account::default();
    let mut upload = store.upload(BlockPath::new(tenant, block));
    upload.write(Bytes::from(data), &account).await?;
    upload.finish(written.into(), &meta, &account).await?;
    Ok(meta)
}
