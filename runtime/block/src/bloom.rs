//! The bloom filter over a block's trace ids, in shards, byte for byte as Tempo's.
//!
//! An id is in shard `FNV-1(id) mod shards`. A shard is a classic bloom filter of `m` bits and `k`
//! hashes, stored as big-endian 64-bit words: `m`, `k`, `m` again, then the bits, lowest bit of a word
//! first.

use bytes::Bytes;
use tempoform_core::TraceId;

mod murmur3;

use murmur3::murmur3_x64_128;

/// Bytes before a shard's bits.
const HEADER_BYTES: usize = 24;
/// The most shards a block has.
pub(crate) const MAX_SHARDS: u32 = 1000;

/// Builds the shards of one block.
#[derive(Clone, Debug)]
pub struct BloomBuilder {
    shards: Vec<Vec<u64>>,
    bits: u64,
    hashes: u64,
}

impl BloomBuilder {
    /// Shards for `expected` ids at a rate of `false_positive` (between 0 and 1; Tempo's default is
    /// 0.01), each of `shard_bytes` (Tempo's default is 102,400). More ids than expected may be
    /// added, at a higher rate.
    pub fn new(expected: u64, false_positive: f64, shard_bytes: u32) -> Self {
        let expected = expected.max(1) as f64;
        let false_positive = false_positive.clamp(1e-9, 0.999);
        let ln2 = std::f64::consts::LN_2;
        let total_bits = (-expected * false_positive.ln() / (ln2 * ln2)).ceil();
        let hashes = ((ln2 * total_bits / expected).ceil() as u64).max(1);
        let bits = u64::from(shard_bytes.max(8)) * 8;
        let shards = ((total_bits / bits as f64).ceil() as u64).clamp(1, MAX_SHARDS.into());
        let words = bits.div_ceil(64) as usize;
        Self { shards: vec![vec![0; words]; shards as usize], bits, hashes }
    }

    /// Adds an id.
    pub fn add(&mut self, id: &TraceId) {
        let shard = shard_of(id, self.shards.len() as u32) as usize;
        for bit in positions(id, self.hashes, self.bits) {
            self.shards[shard][(bit / 64) as usize] |= 1 << (bit % 64);
        }
    }

    /// The objects `bloom-0`, `bloom-1`, ….
    pub fn finish(self) -> Vec<Bytes> {
        let Self { shards, bits, hashes } = self;
        let serialize = |words: Vec<u64>| {
            let mut object = Vec::with_capacity(HEADER_BYTES + words.len() * 8);
            for word in [bits, hashes, bits].into_iter().chain(words) {
                object.extend_from_slice(&word.to_be_bytes());
            }
            Bytes::from(object)
        };
        shards.into_iter().map(serialize).collect()
    }
}

/// Which of `shards` bloom objects (0 means 10) an id is in.
pub fn shard_of(id: &TraceId, shards: u32) -> u32 {
    const OFFSET_BASIS: u32 = 2_166_136_261;
    const PRIME: u32 = 16_777_619;
    let shards = if shards == 0 { 10 } else { shards };
    let hash =
        id.as_bytes().iter().fold(OFFSET_BASIS, |hash, byte| hash.wrapping_mul(PRIME) ^ u32::from(*byte));
    hash % shards
}

/// Bytes that are not a bloom shard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bloom shard of {length} bytes is corrupt: {problem}")]
pub struct CorruptBloom {
    length: usize,
    problem: &'static str,
}

/// A shard as stored.
#[derive(Clone, Debug)]
pub struct BloomShard {
    object: Bytes,
    bits: u64,
    hashes: u64,
}

impl BloomShard {
    /// The shard in `object`.
    ///
    /// # Errors
    /// When the header and the length do not agree.
    pub fn parse(object: Bytes) -> Result<Self, CorruptBloom> {
        let corrupt = |problem| CorruptBloom { length: object.len(), problem };
        let (header, bits_bytes) =
            object.split_at_checked(HEADER_BYTES).ok_or_else(|| corrupt("shorter than its header"))?;
        let word = |i: usize| read_word(header, i);
        let (bits, hashes, length) = (word(0), word(1), word(2));
        if bits == 0 || bits != length {
            return Err(corrupt("its two lengths differ, or are zero"));
        }
        if hashes == 0 || hashes > 64 {
            return Err(corrupt("its number of hashes is not between 1 and 64"));
        }
        if bits_bytes.len() as u64 != bits.div_ceil(64).saturating_mul(8) {
            return Err(corrupt("it is not as long as its header says"));
        }
        Ok(Self { bits, hashes, object })
    }

    /// Whether the id may be in the block; false is certain.
    pub fn may_contain(&self, id: &TraceId) -> bool {
        let words = &self.object[HEADER_BYTES..];
        positions(id, self.hashes, self.bits)
            .all(|bit| read_word(words, (bit / 64) as usize) >> (bit % 64) & 1 == 1)
    }
}

/// Word `index` of `bytes`, 0 past the end.
fn read_word(bytes: &[u8], index: usize) -> u64 {
    let word = bytes.get(index * 8..).and_then(|rest| rest.first_chunk());
    u64::from_be_bytes(word.copied().unwrap_or_default())
}

/// The bits of an id in a shard of `bits` bits.
fn positions(id: &TraceId, hashes: u64, bits: u64) -> impl Iterator<Item = u64> {
    let mut long = [1; 17];
    long[..16].copy_from_slice(id.as_bytes());
    let (h0, h1) = murmur3_x64_128(id.as_bytes());
    let (h2, h3) = murmur3_x64_128(&long);
    let base = [h0, h1, h2, h3];
    (0..hashes).map(move |i| {
        let step = base[(2 + ((i + i % 2) % 4) / 2) as usize];
        base[(i % 2) as usize].wrapping_add(i.wrapping_mul(step)) % bits
    })
}

#[cfg(test)]
mod tests;
