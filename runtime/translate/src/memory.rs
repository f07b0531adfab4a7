//! How much memory reading may take: a few bytes on the wire can stand for a structure.

use crate::fault::Fault;

/// Memory that is still free for what is read.
#[derive(Debug)]
pub(crate) struct Memory {
    limit: usize,
    left: usize,
}

impl Memory {
    pub(crate) const fn new(limit: usize) -> Self {
        Self { limit, left: limit }
    }

    /// Takes room for `bytes` more bytes.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), Fault> {
        self.left = self.left.checked_sub(bytes).ok_or_else(|| {
            Fault::new(format!(
                "holds so many tiny parts that they would take more than {} bytes of memory; send smaller batches",
                self.limit
            ))
        })?;
        Ok(())
    }
}
