//! Several blocks copied into one, column by column.
//!
//! Inputs are sorted by trace id. A trace that one input alone has, in one row, is copied as it stands in the columns, without
//! its spans being put together. Those that several inputs have are decoded, combined, and written as a small block in
//! memory, whose rows are then copied like the others. So every row comes by the same way, in order.
//!
//! [`CopySource`] reads the inputs' pages, ahead by a window; [`copy_blocks`] is the work, for a thread of its own.
//! In memory are, of each input, a window of pages as stored, those decoded that the traces at hand are in, and a row group's
//! dictionaries; of the output, a page of each column, and a row group as it will be stored.

mod batch;
mod combined;
mod input;
mod read;

use std::collections::BTreeSet;
use std::io::Write;

use tempoform_core::TraceId;
use uuid::Uuid;

pub use input::CopyInput;
pub use read::{CopyReader, CopySource};

use crate::error::BlockError;
use crate::writer::copied::{CopyWriter, Part};
use crate::writer::{WriteError, WriterOptions, WrittenBlock};
use batch::Batch;
use input::Input;

/// Why blocks could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// One of the inputs is damaged.
    #[error("{error}")]
    Input {
        /// Which.
        block: Uuid,
        /// How.
        #[source]
        error: Box<BlockError>,
    },
    /// An input has a trace in two rows, which only decoding puts together.
    #[error("block {0} has trace {1} twice")]
    HasTwice(Uuid, TraceId),
    /// The pieces of a trace that several inputs have are too large to be combined.
    #[error("trace {trace} has {bytes} bytes in {} blocks", blocks.len())]
    TooLarge {
        /// Which.
        trace: TraceId,
        /// Of all pieces, encoded.
        bytes: u64,
        /// Those that have one.
        blocks: Vec<Uuid>,
    },
    /// What was combined cannot be read back: a bug.
    #[error("traces that were combined {0}")]
    Combined(String),
    /// Who reads the inputs has stopped, and says why.
    #[error("the blocks that are copied could not be read to their ends")]
    Stopped,
    /// The output cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Writes the data of the block that `inputs` come to, without some traces. A trace that several have is combined up to
/// `most_bytes` encoded bytes. The dedicated columns of `options` are those that the inputs were opened with. Blocks the
/// thread.
///
/// # Errors
/// See [`CopyError`]; the output is then of no use.
pub fn copy_blocks<W: Write + Send>(
    inputs: Vec<CopyInput>,
    without: &BTreeSet<TraceId>,
    most_bytes: u64,
    output: W,
    options: &WriterOptions,
) -> Result<WrittenBlock, CopyError> {
    let mut writer = CopyWriter::new(output, options)?;
    let mut parts = Vec::with_capacity(inputs.len() + 1);
    let mut sources = Vec::with_capacity(inputs.len());
    for input in inputs {
        let (mut input, mut part) = (Input::new(input), Part::new(Vec::new(), 0, None));
        input.fill(&mut part)?;
        sources.push(input);
        parts.push(part);
    }
    let mut duplicate_spans = 0;
    while let Some(mut batch) = Batch::plan(&mut sources, &mut parts, without, writer.room())? {
        for ((source, part), rows) in sources.iter().zip(&mut parts).zip(&batch.rows) {
            if !rows.is_empty() {
                part.move_to(rows).map_err(|(leaf, error)| source.damaged(leaf, error))?;
            }
        }
        if !batch.combined.is_empty() {
            let combined = combined::combine(&sources, &parts, &batch.combined, most_bytes, options)?;
            duplicate_spans += combined.duplicate_spans;
            batch.place(parts.len(), &combined.ids);
            parts.push(combined.part);
        }
        writer.add(&mut parts, &batch.runs)?;
        parts.truncate(sources.len());
        for (source, part) in sources.iter_mut().zip(&mut parts) {
            source.fill(part)?;
        }
    }
    Ok(WrittenBlock { duplicate_spans, ..writer.finish()? })
}

#[cfg(test)]
mod tests;
