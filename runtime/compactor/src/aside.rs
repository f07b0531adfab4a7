//! Blocks that merging leaves out, so that one bad block holds up no other.
//!
//! What is wrong with a block itself is noted beside it, see [`tempoform_block::SetAside`]: a restart, or another compactor,
//! then does not find it out again by a merge that fails. Whatever may pass is only remembered here, for a shorter time.
//! Either way the block stays as it is: readers read what they can of it, and retention deletes it as any other.

use jiff::{SignedDuration, Timestamp};
use tempoform_block::{BlockList, BlockObject, BlockState, SetAside};
use tempoform_core::ErrorKind;
use uuid::Uuid;

use crate::merge::{Cause, Failed};
use crate::metrics;
use crate::status::SetAsideBlock;
use crate::tenant::Tenant;

/// After this time a block with a note is tried again: a newer version may read it.
const NOTED_FOR: SignedDuration = SignedDuration::from_hours(7 * 24);
/// After this time a block without a note is tried again.
const PAUSE: SignedDuration = SignedDuration::from_mins(10);
/// The same for blocks with a trace that would be too large in one, and those that are too large together. That lasts, but how large is too large follows from
/// the memory there is.
const APART: SignedDuration = SignedDuration::from_hours(24);

/// Why a block is left out.
#[derive(Clone, Debug)]
pub(crate) struct Aside {
    why: String,
    since: Timestamp,
    until: Timestamp,
    /// Whether there is a note beside the block. Who deletes it wants the block to be tried again.
    is_noted: bool,
}

/// For how long a block is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lasts {
    /// It is noted beside the block.
    Noted,
    Pause,
    Apart,
}

impl Lasts {
    const fn duration(self) -> SignedDuration {
        match self {
            Self::Noted => NOTED_FOR,
            Self::Pause => PAUSE,
            Self::Apart => APART,
        }
    }
}

/// Whose fault a failed merge is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// That of a block, which will not mend.
    Block(Uuid, String),
    /// That of a block, as it looks now.
    Perhaps(Uuid, String),
    /// That of a block, but of which it is not known.
    OneOf,
    /// These have a trace that is too large to be merged.
    TooLarge(Vec<Uuid>, Lasts),
    /// Each block is fine, and together they are more than one block may be.
    Together,
    /// Nobody's: short of memory, a store that is down, blocks that somebody else has merged meanwhile.
    Nobody,
}

impl Tenant {
    /// Takes over what the notes in the listing say.
    pub(crate) async fn learn_aside(&mut self, blocks: &BlockList, now: Timestamp) {
        self.known.aside.retain(|block, aside| {
            aside.until > now && (!aside.is_noted || blocks.set_aside.contains_key(block))
        });
        for live in &blocks.live {
            let Some(since) = blocks.set_aside.get(&live.block) else { continue };
            let until = since.saturating_add(NOTED_FOR).unwrap_or(Timestamp::MAX);
            if until <= now || self.known.aside.contains_key(&live.block) {
                continue;
            }
            let note = self.shared.store.why_aside(&self.path(live.block), &self.shared.account).await;
            let why = note.map_or_else(|error| format!("its note cannot be read: {error}"), |note| note.why);
            self.known.aside.insert(live.block, Aside { why, since: *since, until, is_noted: true });
        }
        self.show_aside();
    }

    /// Leaves a block out from now on.
    pub(crate) async fn set_aside(&mut self, block: Uuid, why: &str, lasts: Lasts) {
        if self.known.aside.contains_key(&block) {
            return;
        }
        let (path, since) = (self.path(block), Timestamp::now());
        if lasts == Lasts::Apart {
            tracing::warn!(block = %path, why, "a block is not merged with others");
        } else {
            tracing::error!(
                block = %path, why, ?lasts,
                "a block is set aside: it is not merged, and stays readable as far as it can be; `tempoform blocks verify` \
                 tells all that is wrong with it"
            );
        }
        let mut is_noted = false;
        if lasts == Lasts::Noted {
            let note = SetAside { why: why.to_owned(), since, version: env!("CARGO_PKG_VERSION").to_owned() };
            match self.shared.store.set_aside(&path, &note, &self.shared.account).await {
                Ok(()) => is_noted = true,
                Err(error) => {
                    tracing::warn!(block = %path, %error, "could not note beside the block why it is set aside");
                }
            }
        }
        let until = since.saturating_add(lasts.duration()).unwrap_or(Timestamp::MAX);
        self.known.aside.insert(block, Aside { why: why.to_owned(), since, until, is_noted });
        self.show_aside();
    }

    /// Whose fault it is that a merge failed.
    pub(crate) async fn fault(&self, failed: &Failed) -> Fault {
        let Failed { cause, error } = failed;
        let passes = matches!(
            error.kind(),
            ErrorKind::Exhausted | ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::NotFound
        );
        match cause {
            Cause::Other if passes => Fault::Nobody,
            Cause::Other => Fault::OneOf,
            Cause::LargeTogether => Fault::Together,
            Cause::LargeTrace(blocks) => {
                Fault::TooLarge(blocks.clone(), if passes { Lasts::Pause } else { Lasts::Apart })
            }
            Cause::Unreadable(_) if error.kind() == ErrorKind::Exhausted => Fault::Nobody,
            Cause::Unreadable(block) if error.kind() == ErrorKind::Corrupt => {
                Fault::Block(*block, error.to_string())
            }
            Cause::Unreadable(block) => self.look(*block, &error.to_string()).await,
        }
    }

    /// Looks whether a block that could not be read is all there.
    async fn look(&self, block: Uuid, why: &str) -> Fault {
        let perhaps = || Fault::Perhaps(block, why.to_owned());
        let folder = match self.shared.store.folder(&self.path(block), &self.shared.account).await {
            Ok(folder) => folder,
            // Gone since, or the store is down.
            Err(_) => return Fault::Nobody,
        };
        if folder.state != BlockState::Live {
            return Fault::Nobody;
        }
        let size = self.meta(&block).map_or(0, |meta| meta.size);
        match folder.object(&BlockObject::Data) {
            None => Fault::Block(block, "its data.parquet does not exist".to_owned()),
            Some(data) if data.size < size => {
                Fault::Block(block, format!("its data.parquet has {} of {size} bytes", data.size))
            }
            Some(_) => perhaps(),
        }
    }

    fn show_aside(&self) {
        let blocks = self.known.aside.iter().map(|(block, aside)| {
            let Aside { why, since, until, is_noted: _ } = aside.clone();
            SetAsideBlock { block: *block, why, since, until }
        });
        self.shared.status.set_aside(&self.id, blocks.collect());
    }

    /// Counts a failed merge and, if it was a block's fault, leaves that out. Gives whether that is so.
    pub(crate) async fn take_fault(&mut self, fault: Fault, inputs: &[Uuid], failed: &Failed) -> bool {
        metrics::ERRORS.inc();
        let error = &failed.error;
        match fault {
            Fault::Block(block, why) => self.set_aside(block, &why, Lasts::Noted).await,
            Fault::Perhaps(block, why) => self.set_aside(block, &why, Lasts::Pause).await,
            Fault::TooLarge(blocks, lasts) => {
                metrics::LEFT_APART.inc_by(blocks.len() as u64);
                for block in blocks {
                    self.set_aside(block, &error.to_string(), lasts).await;
                }
            }
            Fault::Together => {
                metrics::LEFT_APART.inc_by(inputs.len() as u64);
                for block in inputs {
                    self.set_aside(*block, &error.to_string(), Lasts::Apart).await;
                }
            }
            Fault::OneOf => {
                for block in inputs {
                    let why = format!("merging it with others fails: {error}");
                    self.set_aside(*block, &why, Lasts::Pause).await;
                }
            }
            Fault::Nobody => {
                tracing::error!(tenant = %self.id, ?inputs, %error, "could not merge blocks; they are tried again");
                return false;
            }
        }
        true
    }
}
