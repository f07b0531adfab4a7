//! Trace ids: ascending, found by a lookup, and in the blooms; and the object `index`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use tempoform_core::TraceId;

use super::{BLOOM_BYTES_AT_ONCE, Check, PageCheck, id_column, walk_column};
use crate::bloom::{BloomShard, shard_of};
use crate::error::{BlockError, Result};
use crate::meta::BlockMeta;
use crate::paths::{self, BlockObject};
use crate::reader::{BlockReader, IdBounds, Malformed, TRACE_ID, Values, WalkedPage};
use crate::store::BlockStore;

impl Check<'_> {
    pub(super) async fn ids(
        &mut self,
        store: &BlockStore,
        meta: &BlockMeta,
        reader: &BlockReader,
    ) -> Result<()> {
        let object = format!("{}, {TRACE_ID}", paths::DATA);
        let is_damaged = self.found.findings.iter().any(|finding| finding.object == object);
        let column = id_column(reader);
        let Some(column) = self.note(column)?.filter(|_| !is_damaged) else { return Ok(()) };
        for (pass, shards) in self.shards(meta).into_iter().enumerate() {
            let mut ids = Ids { shard_count: meta.bloom_shard_count(), ..Ids::default() };
            for shard in shards {
                let loaded = self.bloom(store, shard).await;
                if let Some(bloom) = self.note(loaded)? {
                    ids.shards.insert(shard, bloom);
                }
            }
            for row_group in 0..reader.row_groups() {
                let bounds = reader.id_bounds(row_group, self.account).await;
                ids.bounds = self.note(bounds)?;
                let walked = walk_column(reader, row_group, column, ids, self.account).await;
                let Some((walked, _)) = self.note(walked)? else { return Ok(()) };
                ids = walked;
                ids.end_row_group();
            }
            self.tell(&object, &ids, pass == 0);
            if pass == 0 {
                self.index(store, &ids).await?;
            }
        }
        Ok(())
    }

    /// The shards that are there, in portions that fit into memory; one portion at least.
    fn shards(&self, meta: &BlockMeta) -> Vec<Vec<u32>> {
        let mut portions = vec![Vec::new()];
        let mut bytes = 0;
        for shard in 0..meta.bloom_shard_count() {
            let Some(object) = self.folder.object(&BlockObject::Bloom(shard)) else { continue };
            if bytes > 0 && bytes + object.size > BLOOM_BYTES_AT_ONCE {
                portions.push(Vec::new());
                bytes = 0;
            }
            bytes += object.size;
            portions.last_mut().into_iter().for_each(|portion| portion.push(shard));
        }
        portions
    }

    async fn bloom(&self, store: &BlockStore, shard: u32) -> Result<BloomShard> {
        let object = BlockObject::Bloom(shard);
        let bytes = store.read(self.path, &object, self.account).await?;
        BloomShard::parse(bytes).map_err(|error| BlockError::Corrupt {
            block: self.path.clone(),
            object: object.to_string(),
            what: error.to_string(),
        })
    }

    fn tell(&mut self, object: &str, ids: &Ids, with_order: bool) {
        if with_order && let Some((row, before, id)) = ids.unordered {
            self.finding(object, format!("is not ascending: row {row} has {id} after {before}"));
        }
        if with_order && let Some((row, id)) = ids.not_led_to {
            self.finding(object, format!("has bounds by which a lookup misses {id} in row {row}"));
        }
        for (shard, (count, first)) in &ids.not_in_bloom {
            self.finding(
                BlockObject::Bloom(*shard),
                format!("lacks {count} of the block's ids, the first is {first}"),
            );
        }
    }

    /// The object `index`, if there is one: the last id of each row group.
    async fn index(&mut self, store: &BlockStore, ids: &Ids) -> Result<()> {
        if self.folder.object(&BlockObject::Index).is_none() {
            return Ok(());
        }
        let read = store.read(self.path, &BlockObject::Index, self.account).await;
        let Some(bytes) = self.note(read)? else { return Ok(()) };
        match last_ids(&bytes) {
            None => self.finding(BlockObject::Index, "is not a list of trace ids"),
            Some(last) if last != ids.last_ids => {
                self.finding(BlockObject::Index, "has other last ids than the row groups");
            }
            Some(_) => {}
        }
        Ok(())
    }
}

fn last_ids(bytes: &[u8]) -> Option<Vec<TraceId>> {
    #[derive(Deserialize)]
    struct Index {
        #[serde(rename = "rowGroups")]
        row_groups: Vec<String>,
    }
    let index: Index = serde_json::from_slice(bytes).ok()?;
    index.row_groups.iter().map(|id| TraceId::from_slice(&BASE64.decode(id).ok()?)).collect()
}

/// The ids so far.
#[derive(Default)]
struct Ids {
    shard_count: u32,
    shards: BTreeMap<u32, BloomShard>,
    /// Of the row group that is being read.
    bounds: Option<IdBounds>,
    /// Rows of the row groups before.
    rows_before: u64,
    rows: u64,
    last: Option<TraceId>,
    last_ids: Vec<TraceId>,
    /// The first pair out of order, with its row.
    unordered: Option<(u64, TraceId, TraceId)>,
    not_led_to: Option<(u64, TraceId)>,
    /// By shard: how many ids it lacks, and the first.
    not_in_bloom: BTreeMap<u32, (u64, TraceId)>,
}

impl Ids {
    fn end_row_group(&mut self) {
        self.rows_before = self.rows;
        self.last_ids.extend(self.last);
    }

    fn id(&mut self, id: TraceId) {
        if let Some(before) = self.last.filter(|before| *before >= id) {
            self.unordered.get_or_insert((self.rows, before, id));
        }
        let leads =
            self.bounds.as_ref().is_none_or(|bounds| bounds.lead_to(self.rows - self.rows_before, id));
        if !leads {
            self.not_led_to.get_or_insert((self.rows, id));
        }
        let shard = shard_of(&id, self.shard_count);
        if self.shards.get(&shard).is_some_and(|bloom| !bloom.may_contain(&id)) {
            self.not_in_bloom.entry(shard).or_insert((0, id)).0 += 1;
        }
        self.last = Some(id);
        self.rows += 1;
    }
}

impl PageCheck for Ids {
    fn page(&mut self, page: &WalkedPage<'_>) -> Result<(), Malformed> {
        let Values::Strings(strings) = &page.column.values else {
            return Err(Malformed::new("is not a column of bytes"));
        };
        for position in 0..page.column.entries {
            let id = TraceId::from_slice(strings.value(position));
            self.id(id.ok_or(Malformed::new("has an id that has not 16 bytes"))?);
        }
        Ok(())
    }
}
