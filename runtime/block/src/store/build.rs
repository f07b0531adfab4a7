//! A block's data from its writer, which works on a thread of its own, to the upload.

use std::io::{self, Write};

use bytes::Bytes;
use tempoform_core::Account;
use tokio::sync::mpsc;

use super::BlockUpload;
use crate::error::BlockError;
use crate::writer::WrittenBlock;

/// Bytes handed over at a time.
const CHUNK: usize = 1 << 20;
/// Chunks on their way to the store.
const CHUNKS_WAITING: usize = 4;

/// Where a block's writer puts its data: on to the upload, in chunks; it waits when the upload is slower.
#[derive(Debug)]
pub struct BlockOutput {
    chunks: mpsc::Sender<Bytes>,
    pending: Vec<u8>,
}

impl BlockUpload {
    /// Runs `build` on a thread for CPU work and uploads what it writes. Flush the output at the end, as
    /// [`BlockWriter::finish`](crate::BlockWriter::finish) does.
    ///
    /// # Errors
    /// The store's error, or else that of `build`; the upload is then of no more use.
    pub async fn build<E: From<BlockError> + Send + 'static>(
        &mut self,
        account: &Account,
        build: impl FnOnce(BlockOutput) -> Result<WrittenBlock, E> + Send + 'static,
    ) -> Result<WrittenBlock, E> {
        let (chunks, mut received) = mpsc::channel(CHUNKS_WAITING);
        let output = BlockOutput { chunks, pending: Vec::new() };
        let building = tokio::task::spawn_blocking(move || build(output));
        while let Some(chunk) = received.recv().await {
            self.write(chunk, account).await?;
        }
        building.await.unwrap_or_else(|error| {
            Err(BlockError::Building { block: self.block.clone(), what: error.to_string() }.into())
        })
    }
}

impl BlockOutput {
    fn send(&mut self) -> io::Result<()> {
        let chunk = std::mem::take(&mut self.pending);
        if chunk.is_empty() {
            return Ok(());
        }
        self.chunks
            .blocking_send(chunk.into())
            .map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the upload has ended"))
    }
}

impl Write for BlockOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= CHUNK {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}
