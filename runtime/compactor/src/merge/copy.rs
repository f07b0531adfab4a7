//! Blocks that are merged column by column.

use futures::future::try_join_all;
use tempoform_block::copy::{CopyError, CopySource, copy_blocks};
use tempoform_block::{BlockError, BlockReader};
use tempoform_core::{Error, ErrorKind};
use uuid::Uuid;

use super::{Failed, Merge, Merged, not_written, too_large};

/// Why the building of a block ended.
enum Ended {
    Store(BlockError),
    Copy(CopyError),
}

impl From<BlockError> for Ended {
    fn from(error: BlockError) -> Self {
        Self::Store(error)
    }
}

/// Merges blocks by copying them; `None` when some cannot be copied, so that traces have to be decoded.
pub(super) async fn merge(merge: &Merge<'_>, readers: &[BlockReader]) -> Result<Option<Merged>, Failed> {
    let Merge { store, output, changes, options, memory, account, .. } = merge;
    let opening = readers.iter().map(|reader| async {
        let opened = CopySource::open(reader.clone(), &options.dedicated_columns, account).await;
        opened.map_err(|error| of_input(reader.meta().block_id, error))
    });
    let opened: Option<Vec<_>> = try_join_all(opening).await?.into_iter().collect();
    let Some(sources) = opened else { return Ok(None) };
    let (pages, inputs): (Vec<_>, Vec<_>) = sources.into_iter().map(CopySource::split).unzip();
    let reading = pages.into_iter().zip(readers).map(|(pages, reader)| async {
        pages.run(account).await.map_err(|error| of_input(reader.meta().block_id, error))
    });
    let mut upload = store.upload((*output).clone());
    let (without, options) = (changes.without.clone(), options.clone());
    let most_bytes = memory.trace_part_bytes();
    let building = upload.build(account, move |output| {
        copy_blocks(inputs, &without, most_bytes, output, &options).map_err(Ended::Copy)
    });
    let (read, written) = tokio::join!(try_join_all(reading), building);
    // What stopped the reading is the cause of whatever else failed.
    read?;
    let written = match written {
        Ok(written) => written,
        Err(Ended::Copy(CopyError::HasTwice(block, trace))) => {
            tracing::info!(%block, %trace, "a block has a trace twice: traces are decoded to merge it");
            return Ok(None);
        }
        Err(Ended::Copy(CopyError::TooLarge { trace, bytes, blocks })) => {
            return Err(too_large(trace, bytes, blocks, most_bytes));
        }
        Err(ended) => return Err(failed(ended)),
    };
    let duplicate_spans = written.duplicate_spans;
    merge.finish(upload, written, duplicate_spans).await.map(Some)
}

fn of_input(block: Uuid, error: BlockError) -> Failed {
    Failed::unreadable(block, error)
}

fn failed(ended: Ended) -> Failed {
    match ended {
        Ended::Store(error) => Error::from(error).into(),
        Ended::Copy(CopyError::Input { block, error }) => of_input(block, *error),
        Ended::Copy(CopyError::Write(error)) => not_written(&error),
        Ended::Copy(error) => Error::new(ErrorKind::Internal, error.to_string()).into(),
    }
}
