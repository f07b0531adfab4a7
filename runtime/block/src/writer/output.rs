//! The output, remembering how long it is and how it ends.

use std::io::{self, Write};

/// Passes everything on to `inner`.
#[derive(Debug)]
pub(super) struct TailWriter<W> {
    inner: W,
    length: u64,
    tail: [u8; 8],
}

impl<W: Write> TailWriter<W> {
    pub(super) const fn new(inner: W) -> Self {
        Self { inner, length: 0, tail: [0; 8] }
    }

    /// Bytes written.
    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    /// Length of the footer of the Parquet file written, without its last 8 bytes.
    pub(super) fn footer_length(&self) -> u32 {
        let [a, b, c, d, ..] = self.tail;
        u32::from_le_bytes([a, b, c, d])
    }

    fn remember(&mut self, written: &[u8]) {
        self.length += written.len() as u64;
        if let Some(last) = written.last_chunk() {
            self.tail = *last;
        } else {
            self.tail.rotate_left(written.len());
            self.tail[8 - written.len()..].copy_from_slice(written);
        }
    }
}

impl<W: Write> Write for TailWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.remember(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_remembered_however_it_comes() {
        let mut writer = TailWriter::new(Vec::new());
        for piece in [&b"0123456789"[..], b"\x01\x02", b"", b"\0\0PAR1"] {
            writer.write_all(piece).unwrap();
        }
        assert_eq!(writer.length(), 18);
        assert_eq!(writer.footer_length(), 0x0201);
    }
}
