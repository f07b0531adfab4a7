//! What a lookup by id costs at the object store, by the store's own request log.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tempoform_block::{BlockMeta, TenantIndex};
use tempoform_core::{Account, RemoteBlocks, TenantId, TraceSource as _};
use tempoform_test_support::{
    Load, Minio, Server, ServerConfig, SlowProxy, StoreRequest, free_port, skipped, write_block,
};
use tempoform_wire::internal::{FindTraceRequest, FindTraceResponse};
use tonic::transport::Endpoint;
use uuid::Uuid;

const BLOCKS: usize = 1000;
const LATENCY: Duration = Duration::from_millis(30);
const SECOND: u64 = 1_000_000_000;
/// Traces of a block that holds what is looked up; enough that it is not read as a whole.
const TRACES_OF_HOLDERS: u64 = 3000;
const TRACES_OF_OTHERS: u64 = 10;
/// What is looked up: in one block, in three, in none.
const IN_ONE: u64 = 10_000_000;
const IN_THREE: u64 = 10_000_001;
const IN_NONE: u64 = 10_000_002;

/// The promise.
const MOST_DEPENDENT_READS: u64 = 3;
const MOST_REQUESTS_OF_A_HOLDER: usize = 4;

struct Bucket {
    minio: Minio,
    load: Load,
    /// Those of the time that is asked for come first.
    metas: Vec<BlockMeta>,
    in_one: Uuid,
    in_three: Vec<Uuid>,
}

impl Bucket {
    async fn fill(minio: Minio) -> Result<Self> {
        let load = Load::new(7);
        let long_ago = Load { start_unix_nano: load.start_unix_nano - 10 * 24 * 3600 * SECOND, ..load };
        let store = minio.store()?;
        let metas: Vec<BlockMeta> = stream::iter(0..BLOCKS)
            .map(|at| {
                let store = &store;
                let load = if at < BLOCKS / 2 { &load } else { &long_ago };
                async move {
                    let count = if at < 4 { TRACES_OF_HOLDERS } else { TRACES_OF_OTHERS };
                    let mut traces: Vec<u64> =
                        (0..count).map(|n| at as u64 * TRACES_OF_HOLDERS + n).collect();
                    traces.extend((at == 0).then_some(IN_ONE));
                    traces.extend((1..4).contains(&at).then_some(IN_THREE));
                    write_block(store, Uuid::from_u128(at as u128 + 1), load, &traces).await
                }
            })
            .buffered(16)
            .try_collect()
            .await?;
        let index =
            TenantIndex { created_at: jiff::Timestamp::now(), live: metas.clone(), compacted: Vec::new() };
        store.write_tenant_index(&TenantId::single(), &index, &Account::default()).await?;
        let id = |at: usize| metas[at].block_id;
        Ok(Self { in_one: id(0), in_three: vec![id(1), id(2), id(3)], minio, load, metas })
    }

    /// Seconds: the time of the first half of the blocks.
    fn range(&self) -> (u64, u64) {
        let start = self.load.start_unix_nano / SECOND;
        (start - 3600, start + 24 * 3600)
    }
}

/// What a lookup did: as the retriever told, and as the store logged.
struct Seen {
    answer: FindTraceResponse,
    log: Vec<StoreRequest>,
    took: Duration,
}

/// A retriever process of its own, with an empty cache. It does not hedge, so that each request has its reason.
async fn retriever(endpoint: &str, folder: &std::path::Path) -> Result<(Server, RemoteBlocks)> {
    let mut config = ServerConfig::new(folder)?;
    config.storage = Minio::storage_yaml(endpoint);
    config.extra = format!(
        "target: retriever\nretriever:\n  cache_bytes: 256MiB\n  hedged_requests_percent: 0\nmemory:\n  limit_bytes: 2GiB\nmemberlist:\n  bind_addr: [127.0.0.1]\n  bind_port: {}\n",
        free_port()?
    );
    let server = Server::start(config).await?;
    let channel = Endpoint::from_shared(format!("http://{}", server.grpc()))?.connect_lazy();
    Ok((server, RemoteBlocks::new(channel, 64 << 20)))
}

/// Requests for what lookups read: not those of the poll, which reads the index and lists.
fn of_lookups(request: &StoreRequest) -> bool {
    request.api == "GetObject" && !request.object.contains("/index.")
}

async fn look_up(bucket: &Bucket, blocks: &RemoteBlocks, trace: u64) -> Result<Seen> {
    bucket.minio.forget_log().await?;
    let (start, end) = bucket.range();
    let trace_id = bucket.load.trace_id(trace).as_bytes().to_vec().into();
    let request = FindTraceRequest { trace_id, start, end, ..Default::default() };
    let began = Instant::now();
    let answer = blocks.find_trace(&TenantId::single(), request).await?;
    let took = began.elapsed();
    ensure!(answer.failures.is_empty(), "{:?}", answer.failures);
    let requests = answer.account.unwrap_or_default().requests;
    let counted = |log: &[StoreRequest]| log.iter().filter(|one| of_lookups(one)).count() as u64 >= requests;
    let mut log = bucket.minio.take_log(counted).await?;
    // What comes later than what the retriever knows of would be more than it tells.
    tokio::time::sleep(Duration::from_millis(500)).await;
    log.extend(bucket.minio.take_log(|_| true).await?);
    log.retain(of_lookups);
    Ok(Seen { answer, log, took })
}

/// Checks a lookup with an empty cache against the promise.
fn check_cold(bucket: &Bucket, seen: &Seen, holders: &[Uuid]) -> Result<()> {
    let account = seen.answer.account.unwrap_or_default();
    ensure!(seen.answer.pieces.len() == holders.len(), "{} pieces", seen.answer.pieces.len());
    let told = account.requests;
    ensure!(told == seen.log.len() as u64, "told are {told} requests, the store has {}", seen.log.len());
    ensure!(
        account.dependent_reads <= MOST_DEPENDENT_READS,
        "{} reads one after the other",
        account.dependent_reads
    );
    let in_range: BTreeSet<String> =
        bucket.metas[..BLOCKS / 2].iter().map(|meta| meta.block_id.to_string()).collect();
    let mut by_block: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for request in &seen.log {
        let mut parts = request.object.split('/');
        let (block, object) = (parts.nth(1).unwrap_or_default(), parts.next().unwrap_or_default());
        by_block.entry(block.to_owned()).or_default().push(object);
    }
    for (block, objects) in &by_block {
        ensure!(in_range.contains(block), "block {block} is of another time: {objects:?}");
        if holders.iter().any(|holder| holder.to_string() == *block) {
            ensure!(objects.len() <= MOST_REQUESTS_OF_A_HOLDER, "block {block}: {objects:?}");
        } else {
            ensure!(objects.iter().all(|object| object.starts_with("bloom-")), "block {block}: {objects:?}");
        }
    }
    ensure!(by_block.len() == in_range.len(), "{} blocks were asked", by_block.len());
    Ok(())
}

fn row(table: &mut String, what: &str, seen: &Seen) -> Result<()> {
    let account = seen.answer.account.unwrap_or_default();
    let kinds = account.by_kind.unwrap_or_default();
    writeln!(
        table,
        "| {what} | {} | {} | {} | {} | {} | {} | {} | {} | {:.1} MB | {:.0} ms |",
        seen.answer.pieces.len(),
        account.requests,
        seen.log.len(),
        kinds.bloom,
        kinds.footer,
        kinds.range + kinds.page_index,
        kinds.object,
        account.dependent_reads,
        account.bytes as f64 / 1e6,
        seen.took.as_secs_f64() * 1e3,
    )?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_lookup_over_a_thousand_blocks_makes_the_promised_reads() -> Result<()> {
    let Some(program) = Minio::program() else {
        skipped("TEMPOFORM_TEST_MINIO is not set; run `cargo xtask test`");
        return Ok(());
    };
    let bucket = Bucket::fill(Minio::start(&program).await?).await?;
    let endpoint = SlowProxy::start(bucket.minio.address(), LATENCY).await?;
    let mut table = "| lookup | blocks that hold it | requests told | requests the store logged | blooms | footers | pages | sidecars | dependent | bytes | took |\n|---|---|---|---|---|---|---|---|---|---|---|\n".to_owned();
    let cases = [
        ("in one block", IN_ONE, vec![bucket.in_one]),
        ("in three blocks", IN_THREE, bucket.in_three.clone()),
        ("in no block", IN_NONE, Vec::new()),
    ];
    for (what, trace, holders) in cases {
        let folder = tempfile::tempdir()?;
        let (server, blocks) = retriever(&endpoint, folder.path()).await?;
        let cold = look_up(&bucket, &blocks, trace).await?;
        row(&mut table, &format!("cold, {what}"), &cold)?;
        let checked = check_cold(&bucket, &cold, &holders);
        ensure!(checked.is_ok(), "{what}: {checked:?}\n{table}\n{}", server.log_tail());
        let warm = look_up(&bucket, &blocks, trace).await?;
        row(&mut table, &format!("warm, {what}"), &warm)?;
        ensure!(warm.log.is_empty() && warm.answer.pieces.len() == holders.len(), "{what}, warm:\n{table}");
    }
    use std::io::Write as _;
    write!(
        std::io::stderr(),
        "{BLOCKS} blocks, {} in the range, {LATENCY:?} a request\n{table}",
        BLOCKS / 2
    )?;
    Ok(())
}
