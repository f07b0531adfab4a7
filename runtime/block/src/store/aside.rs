//! Notes beside blocks that merging leaves out.
//!
//! A note is an object in the block's folder: it is there after a restart and for other compactors, costs no request to
//! find (the listing shows it), and goes with the block. Tempo passes over objects that it does not know.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tempoform_core::Account;

use super::BlockStore;
use crate::error::{BlockError, Result};
use crate::paths::{self, BlockObject, BlockPath};

/// Why merging leaves a block out. Delete the object `tempoform.aside.json` and the block is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SetAside {
    /// What is wrong with it.
    pub why: String,
    /// Since when.
    pub since: Timestamp,
    /// Which version of this program found that.
    pub version: String,
}

const NOTE: BlockObject = BlockObject::Sidecar(paths::ASIDE);

impl BlockStore {
    /// Notes beside a block why merging leaves it out.
    ///
    /// # Errors
    /// The store's error.
    pub async fn set_aside(&self, block: &BlockPath, why: &SetAside, account: &Account) -> Result<()> {
        let json = serde_json::to_vec_pretty(why).expect("a note is text and a time");
        self.put(&block.object(&NOTE), json.into(), account).await
    }

    /// Why merging leaves a block out.
    ///
    /// # Errors
    /// As [`BlockStore::read`]; [`BlockError::Corrupt`] when the note cannot be understood.
    pub async fn why_aside(&self, block: &BlockPath, account: &Account) -> Result<SetAside> {
        let bytes = self.read(block, &NOTE, account).await?;
        serde_json::from_slice(&bytes).map_err(|error| BlockError::Corrupt {
            block: block.clone(),
            object: paths::ASIDE.to_owned(),
            what: format!("is not a note: {error}"),
        })
    }
}
