use bytes::Bytes;

use crate::{Error, ErrorKind, Result};

/// An encoded OTLP request, compressed once and then sent to several ingesters and kept by those that follow: its length
/// (u32, little-endian) and one block of [LZ4](https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compressed(Bytes);

/// LZ4 makes nothing smaller than this share of it.
const BEST_RATIO: usize = 255;

impl Compressed {
    /// Compresses `payload`.
    pub fn new(payload: &[u8]) -> Self {
        Self(lz4_flex::block::compress_prepend_size(payload).into())
    }

    /// What [`bytes`](Self::bytes) gave elsewhere; [`expand`](Self::expand) sees whether it is whole.
    pub const fn from_bytes(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// As it goes over the wire and to disk.
    pub const fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// Bytes before the compression, as claimed; `None` if these bytes cannot stand for so many.
    pub fn length(&self) -> Option<usize> {
        let length = u32::from_le_bytes(*self.0.first_chunk::<4>()?) as usize;
        (length <= self.0.len().saturating_mul(BEST_RATIO)).then_some(length)
    }

    /// The request.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when these are not the bytes of one. Not more memory is taken than they can stand for.
    pub fn expand(&self) -> Result<Bytes> {
        let corrupt = || Error::new(ErrorKind::Corrupt, "a compressed batch of spans is damaged");
        self.length().ok_or_else(corrupt)?;
        lz4_flex::block::decompress_size_prepended(&self.0).map(Bytes::from).map_err(|_| corrupt())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_compressed_is_expanded(payload in proptest::collection::vec(0..4u8, 0..3000)) {
            let compressed = Compressed::new(&payload);
            prop_assert_eq!(compressed.expand().unwrap(), payload);
        }

        #[test]
        fn damage_is_an_error_or_other_bytes_but_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            drop(Compressed::from_bytes(bytes.into()).expand());
        }
    }

    #[test]
    fn a_length_that_cannot_be_is_not_believed() {
        let claims_much = Compressed::from_bytes(Bytes::from_static(&[255, 255, 255, 255, 0, 0]));
        assert_eq!(claims_much.expand().unwrap_err().kind(), ErrorKind::Corrupt);
        assert!(Compressed::from_bytes(Bytes::new()).expand().is_err());
    }
}
