//! What was read lately, in memory: by kind, so that reading many columns leaves blooms and footers alone.
//!
//! Within a kind the cache is W-TinyLFU: what was read once in a scan does not displace what is read again and again.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use foyer::{Cache, CacheBuilder, Code, LfuConfig};
use object_store::path::Path;
use tempoform_core::RequestKind;

use super::Content;
use super::disk::DiskCache;
use crate::paths::BlockPath;
use crate::reader::ParsedFile;

/// Cost of an entry besides its bytes.
const OVERHEAD: usize = 256;
/// Locks of a cache.
const SHARDS: usize = 2;
/// An entry takes at most this part of its cache.
const LARGEST: usize = 8;

/// What is cached: of an object of a block of this content, all (`None`) or a range.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    path: String,
    content: Content,
    range: Option<(u64, u64)>,
}

impl Key {
    pub(super) fn new(path: &Path, content: Content, range: Option<&Range<u64>>) -> Self {
        let range = range.map(|range| (range.start, range.end));
        Self { path: path.to_string(), content, range }
    }

    fn bytes(&self) -> usize {
        self.path.len() + OVERHEAD
    }
}

/// A part of the cache with a budget of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pool {
    Blooms,
    /// Footers and what belongs to them: page indexes, sidecars.
    Footers,
    Pages,
}

impl Pool {
    pub(super) const ALL: [Self; 3] = [Self::Blooms, Self::Footers, Self::Pages];

    pub(super) fn of(kind: RequestKind) -> Self {
        match kind {
            RequestKind::Bloom => Self::Blooms,
            RequestKind::Range => Self::Pages,
            _ => Self::Footers,
        }
    }

    /// Its share of `bytes`: a lookup may need the blooms of all blocks, and little of each block.
    pub(super) fn share(self, bytes: u64) -> u64 {
        match self {
            Self::Blooms => bytes / 2,
            Self::Footers | Self::Pages => bytes / 4,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Blooms => "blooms",
            Self::Footers => "footers",
            Self::Pages => "pages",
        }
    }
}

/// Memory, and the disk behind it if there is one.
#[derive(Debug)]
pub(super) struct Caches {
    pools: [Bounded<Key, Bytes>; 3],
    /// Footers are kept as they were parsed, and not as bytes.
    parsed: Bounded<(BlockPath, Content), Arc<ParsedFile>>,
    pub(super) disk: OnceLock<DiskCache>,
}

impl Caches {
    /// Caches of `bytes` in memory together.
    pub(super) fn new(bytes: usize) -> Self {
        let share = |pool: Pool| pool.share(bytes as u64) as usize;
        // What belongs to footers but is not parsed with them is little.
        let beside_footers = share(Pool::Footers) / 4;
        let of_bytes =
            |capacity: usize| Bounded::new(capacity, |key: &Key, bytes: &Bytes| key.bytes() + bytes.len());
        Self {
            pools: [of_bytes(share(Pool::Blooms)), of_bytes(beside_footers), of_bytes(share(Pool::Pages))],
            parsed: Bounded::new(share(Pool::Footers) - beside_footers, |_, file: &Arc<ParsedFile>| {
                file.memory() + OVERHEAD
            }),
            disk: OnceLock::new(),
        }
    }

    pub(super) fn get(&self, kind: RequestKind, key: &Key) -> Option<Bytes> {
        self.pools[Pool::of(kind) as usize].get(key)
    }

    pub(super) fn put(&self, kind: RequestKind, key: &Key, bytes: &Bytes) {
        if kind != RequestKind::Footer {
            self.pools[Pool::of(kind) as usize].put(key.clone(), bytes.clone());
        }
    }

    pub(super) fn parsed(&self, block: &BlockPath, content: Content) -> Option<Arc<ParsedFile>> {
        self.parsed.get(&(block.clone(), content))
    }

    pub(super) fn put_parsed(&self, block: &BlockPath, content: Content, file: &Arc<ParsedFile>) {
        self.parsed.put((block.clone(), content), Arc::clone(file));
    }

    /// Bytes held in memory.
    pub(super) fn used(&self) -> usize {
        self.pools.iter().map(Bounded::used).sum::<usize>() + self.parsed.used()
    }
}

/// A cache bounded in bytes; one of none holds nothing.
#[derive(Debug)]
struct Bounded<K: foyer::Key, V: foyer::Value> {
    cache: Option<Cache<K, V>>,
    weight: fn(&K, &V) -> usize,
}

impl<K: foyer::Key, V: foyer::Value + Clone> Bounded<K, V> {
    fn new(capacity: usize, weight: fn(&K, &V) -> usize) -> Self {
        let cache = (capacity > 0).then(|| {
            CacheBuilder::new(capacity)
                .with_shards(SHARDS)
                .with_eviction_config(LfuConfig::default())
                .with_weighter(weight)
                .build()
        });
        Self { cache, weight }
    }

    fn get(&self, key: &K) -> Option<V> {
        Some(self.cache.as_ref()?.get(key)?.value().clone())
    }

    fn put(&self, key: K, value: V) {
        let Some(cache) = &self.cache else { return };
        if (self.weight)(&key, &value) <= cache.capacity() / LARGEST {
            cache.insert(key, value);
        } else {
            // One that has grown since it was put there.
            cache.remove(&key);
        }
    }

    fn used(&self) -> usize {
        self.cache.as_ref().map_or(0, Cache::usage)
    }
}

impl Code for Key {
    fn encode(&self, writer: &mut impl std::io::Write) -> foyer::Result<()> {
        let Self { path, content: Content { size, footer_size, traces }, range } = self;
        let (start, end) = range.unwrap_or((u64::MAX, u64::MAX));
        path.encode(writer)?;
        size.encode(writer)?;
        footer_size.encode(writer)?;
        traces.encode(writer)?;
        start.encode(writer)?;
        end.encode(writer)
    }

    fn decode(reader: &mut impl std::io::Read) -> foyer::Result<Self> {
        let path = String::decode(reader)?;
        let content = Content {
            size: u64::decode(reader)?,
            footer_size: u32::decode(reader)?,
            traces: u64::decode(reader)?,
        };
        let range =
            Some((u64::decode(reader)?, u64::decode(reader)?)).filter(|(start, _)| *start != u64::MAX);
        Ok(Self { path, content, range })
    }

    fn estimated_size(&self) -> usize {
        self.path.estimated_size() + 4 * size_of::<u64>() + size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CONTENT: Content = Content { size: 1, footer_size: 2, traces: 3 };

    fn key(number: u64) -> Key {
        Key::new(&Path::from("tenant/block/data.parquet"), CONTENT, Some(&(number..number + 1)))
    }

    fn bytes(length: usize) -> Bytes {
        Bytes::from(vec![0; length])
    }

    #[test]
    fn a_scan_over_many_blocks_does_not_displace_what_is_read_again_and_again() {
        let caches = Caches::new(4 << 20);
        let wanted: Vec<_> = (0..50).map(key).collect();
        caches.put(RequestKind::Bloom, &key(0), &bytes(1000));
        for _ in 0..5 {
            for key in &wanted {
                if caches.get(RequestKind::Range, key).is_none() {
                    caches.put(RequestKind::Range, key, &bytes(10_000));
                }
            }
        }
        for scanned in 1000..2000 {
            assert!(caches.get(RequestKind::Range, &key(scanned)).is_none());
            caches.put(RequestKind::Range, &key(scanned), &bytes(10_000));
        }
        let kept = wanted.iter().filter(|key| caches.get(RequestKind::Range, key).is_some()).count();
        assert!(kept >= 45, "{kept} of 50 are left");
        assert!(caches.get(RequestKind::Bloom, &key(0)).is_some(), "other kinds have their own space");
        assert!(caches.used() <= 4 << 20);
    }

    #[test]
    fn another_upload_of_a_block_is_another_thing_and_oversize_entries_are_not_kept() {
        let caches = Caches::new(1 << 20);
        caches.put(RequestKind::Range, &key(1), &bytes(10));
        let path = Path::from("tenant/block/data.parquet");
        let other = Key::new(&path, Content { size: 4, ..CONTENT }, Some(&(1..2)));
        assert!(caches.get(RequestKind::Range, &other).is_none());
        caches.put(RequestKind::Range, &key(2), &bytes(100_000));
        assert!(caches.get(RequestKind::Range, &key(2)).is_none());
        assert_eq!(caches.get(RequestKind::Range, &key(1)).unwrap().len(), 10);
        let none = Caches::new(0);
        none.put(RequestKind::Range, &key(1), &bytes(10));
        assert_eq!((none.get(RequestKind::Range, &key(1)), none.used()), (None, 0));
    }

    proptest! {
        #[test]
        fn keys_come_back_from_disk(path in "[a-z/]{0,40}", size in any::<u64>(), start in 0..u64::MAX, whole in any::<bool>()) {
            let content = Content { size, footer_size: 7, traces: size / 3 };
            let range = (start, start.saturating_add(9));
            let key = Key { path, content, range: (!whole).then_some(range) };
            let mut encoded = Vec::new();
            key.encode(&mut encoded).unwrap();
            prop_assert_eq!(encoded.len(), key.estimated_size());
            prop_assert_eq!(Key::decode(&mut &encoded[..]).unwrap(), key);
        }
    }
}
