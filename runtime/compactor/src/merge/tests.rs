//! The two ways of merging come to the same.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tempoform_core::TenantId;

use super::*;
use crate::rewrite::fingerprints;
use crate::tests::{now, read, write};

/// Merges blocks in both ways; gives what each wrote.
async fn both(store: &BlockStore, inputs: &[Arc<BlockMeta>], without: BTreeSet<TraceId>) -> [Merged; 2] {
    let account = Account::default();
    let changes = Changes { without, dedicated_columns: None };
    let options = WriterOptions { row_group_bytes: 4 << 10, ..WriterOptions::default() };
    let outputs = [Uuid::new_v4(), Uuid::new_v4()].map(|id| BlockPath::new(TenantId::single(), id));
    let mut readers = Vec::new();
    for meta in inputs {
        readers.push(open(store, &outputs[0], meta, &account).await.expect("opened"));
    }
    let memory = MemoryBudget::new(1 << 30);
    let merge = |output| Merge {
        store,
        inputs,
        output,
        changes: &changes,
        options: options.clone(),
        memory: &memory,
        account: &account,
    };
    let copied = copy::merge(&merge(&outputs[0]), &readers).await.expect("copied");
    let decoded = merge(&outputs[1]).decode(readers).await.expect("decoded");
    [copied.expect("these can be copied"), decoded]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn copied_and_decoded_blocks_are_equal(
        blocks in prop::collection::vec(prop::collection::btree_map(0..20u8, prop::collection::vec(1..9u8, 1..6), 1..12), 1..5),
        without in prop::collection::btree_set(0..20u8, 0..3)
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (store, account) = (BlockStore::in_memory(), Account::default());
            let mut inputs = Vec::new();
            for block in &blocks {
                let path = BlockPath::new(TenantId::single(), write(&store, block, now()).await);
                inputs.push(Arc::new(store.read_meta(&path, &account).await.expect("a meta")));
            }
            let without = without.into_iter().map(|id| TraceId::new([id; 16])).collect();
            let [copied, decoded] = both(&store, &inputs, without).await;
            assert_eq!(copied.duplicate_spans, decoded.duplicate_spans);
            let metas = [copied.meta, decoded.meta].map(|meta| meta.map(|meta| (meta.block_id, meta)));
            let [Some((copied, meta)), Some((decoded, other))] = metas else {
                assert_eq!(metas, [None, None]);
                return;
            };
            assert_eq!(
                (meta.total_objects, meta.compaction_level, meta.bloom_shards, meta.start_time, meta.end_time),
                (other.total_objects, other.compaction_level, other.bloom_shards, other.start_time, other.end_time)
            );
            let of = async |block| -> BTreeMap<TraceId, _> {
                read(&store, block).await.iter().map(|(id, trace)| (*id, fingerprints(trace))).collect()
            };
            assert_eq!(of(copied).await, of(decoded).await);
        });
    }
}
