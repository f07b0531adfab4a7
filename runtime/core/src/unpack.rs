use std::io::{self, Read};

use zstd::stream::read::Decoder as Zstd;

/// How a client may compress a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// [RFC 1952](https://www.rfc-editor.org/rfc/rfc1952).
    Gzip,
    /// [RFC 8878](https://www.rfc-editor.org/rfc/rfc8878), with windows as in RFC 9659.
    Zstd,
}

/// Why a request was not unpacked.
#[derive(Debug)]
pub enum UnpackError<E> {
    /// It is larger than the limit.
    TooLarge,
    /// Not the format.
    Broken(io::Error),
    /// There was no room.
    Refused(E),
}

impl Packing {
    /// That of a content encoding.
    pub fn named(encoding: &str) -> Option<Self> {
        match encoding {
            "gzip" => Some(Self::Gzip),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// How much smaller spans get by compression, as a rule.
const USUAL_RATIO: usize = 8;
/// Largest window, as a power of two: 8 MiB, which is what [RFC 9659](https://www.rfc-editor.org/rfc/rfc9659) lets an
/// HTTP client use.
const ZSTD_WINDOW_LOG: u32 = 23;

/// Everything that `packed` unpacks to, at most `limit` bytes. `reserve` hears how many bytes all of it takes, `packed` and
/// what was unpacked, before more is taken.
///
/// # Errors
/// When it is larger, broken, or `reserve` refuses.
pub fn unpack<E>(
    packing: Packing,
    packed: &[u8],
    limit: usize,
    reserve: impl FnMut(u64) -> Result<(), E>,
) -> Result<Vec<u8>, UnpackError<E>> {
    let size = packed.len();
    match packing {
        Packing::Gzip => fill(flate2::read::MultiGzDecoder::new(packed), size, 0, limit, reserve),
        Packing::Zstd => {
            let mut decoder = Zstd::with_buffer(packed).map_err(UnpackError::Broken)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(UnpackError::Broken)?;
            fill(decoder, size, 1 << ZSTD_WINDOW_LOG, limit, reserve)
        }
    }
}

/// Reads all; `window` is what the decoder keeps of that at most.
fn fill<E>(
    mut reader: impl Read,
    packed: usize,
    window: usize,
    limit: usize,
    mut reserve: impl FnMut(u64) -> Result<(), E>,
) -> Result<Vec<u8>, UnpackError<E>> {
    // The byte above the limit tells that there is more.
    let most = limit.saturating_add(1);
    let mut bytes = Vec::new();
    let mut capacity = packed.saturating_mul(USUAL_RATIO).clamp(1, most);
    loop {
        // While it is moved to a larger place, both places are there.
        reserve((packed + bytes.len() + capacity + window.min(capacity)) as u64)
            .map_err(UnpackError::Refused)?;
        bytes.reserve_exact(capacity - bytes.len());
        let room = capacity - bytes.len();
        let read = reader.by_ref().take(room as u64).read_to_end(&mut bytes).map_err(UnpackError::Broken)?;
        if bytes.len() > limit {
            return Err(UnpackError::TooLarge);
        }
        if read < room {
            return Ok(bytes);
        }
        capacity = capacity.saturating_mul(2).min(most);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn pack(packing: Packing, bytes: &[u8]) -> Vec<u8> {
        match packing {
            Packing::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(bytes).expect("to memory");
                encoder.finish().expect("to memory")
            }
            Packing::Zstd => zstd::encode_all(bytes, 1).expect("to memory"),
        }
    }

    fn packings() -> impl Strategy<Value = Packing> {
        prop_oneof![Just(Packing::Gzip), Just(Packing::Zstd)]
    }

    proptest! {
        #[test]
        fn what_was_packed_is_unpacked_within_what_was_reserved(
            packing in packings(),
            bytes in proptest::collection::vec(0..3u8, 0..20_000),
        ) {
            let mut reserved = 0;
            let packed = pack(packing, &bytes);
            let unpacked = unpack(packing, &packed, bytes.len(), |bytes| {
                reserved = bytes;
                Ok::<_, ()>(())
            });
            let unpacked = unpacked.expect("of the size that is allowed");
            prop_assert!((packed.len() + unpacked.len()) as u64 <= reserved);
            prop_assert_eq!(&unpacked, &bytes);
            if !bytes.is_empty() {
                let smaller = unpack(packing, &packed, bytes.len() - 1, |_| Ok::<_, ()>(()));
                prop_assert!(matches!(smaller, Err(UnpackError::TooLarge)));
            }
        }

        #[test]
        fn damage_is_an_error_or_other_bytes_but_no_panic(
            packing in packings(),
            packed in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            drop(unpack(packing, &packed, 1000, |_| Ok::<_, ()>(())));
        }
    }

    #[test]
    fn a_bomb_takes_no_more_than_there_is_room_for() {
        for packing in [Packing::Gzip, Packing::Zstd] {
            let bomb = pack(packing, &vec![0; 16 << 20]);
            let mut granted = 0;
            let refused = unpack(packing, &bomb, 16 << 20, |bytes| {
                let fits = bytes <= 4 << 20;
                granted = if fits { bytes } else { granted };
                fits.then_some(()).ok_or(bytes)
            });
            assert!(matches!(refused, Err(UnpackError::Refused(bytes)) if bytes > 4 << 20), "{packing:?}");
            assert!(granted > 0, "some of it was taken");
        }
    }
}
