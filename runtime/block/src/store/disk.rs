//! What was read lately, on disk. Entries are checksummed: one that was damaged is not there.

use std::path::PathBuf;

use bytes::Bytes;
use foyer::{
    BlockEngineConfig, DeviceBuilder as _, FsDeviceBuilder, HybridCache, HybridCacheBuilder,
    HybridCachePolicy, Load, RecoverMode,
};
use tempoform_core::RequestKind;

use super::cache::{Key, Pool};
use super::options::DiskCacheOptions;
use crate::error::{BlockError, Result};

/// Folder of this form of entries. Another form is another folder.
const FORM: &str = "v1";
/// The part of a pool that is written, and given up, at once. An entry is at most as long.
const PARTS: u64 = 16;
const MAX_PART: u64 = 16 << 20;
const PAGE: u64 = 4096;
const SETTING: &str = "retriever.disk_cache.path";

/// A cache in a folder, in pools like the one in memory.
#[derive(Debug)]
pub(super) struct DiskCache {
    pools: [(HybridCache<Key, Bytes>, usize); 3],
}

impl DiskCache {
    /// Opens the cache; what was kept by the process before is found.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub(super) async fn open(options: &DiskCacheOptions) -> Result<Self> {
        for pool in Pool::ALL {
            // foyer panics where it cannot make its folder.
            let made = tokio::fs::create_dir_all(folder(options, pool)).await;
            made.map_err(|error| wrong(options, &error))?;
        }
        let [blooms, footers, pages] = Pool::ALL.map(|pool| open(options, pool));
        Ok(Self { pools: [blooms.await?, footers.await?, pages.await?] })
    }

    /// The bytes, if they are there and whole.
    pub(super) async fn get(&self, kind: RequestKind, key: &Key) -> Option<Bytes> {
        let (pool, _) = &self.pools[Pool::of(kind) as usize];
        match pool.storage().load(key).await {
            Ok(Load::Entry { value, .. }) => Some(value),
            Ok(Load::Piece { piece, .. }) => Some(piece.value().clone()),
            Ok(Load::Miss | Load::Throttled) => None,
            Err(error) => {
                tracing::debug!(%error, "an entry of the disk cache cannot be read");
                None
            }
        }
    }

    /// Keeps the bytes, some time soon: the disk is written in the background, and too much at once is let go.
    pub(super) fn put(&self, kind: RequestKind, key: &Key, bytes: &Bytes) {
        let (pool, largest) = &self.pools[Pool::of(kind) as usize];
        if bytes.len() <= *largest {
            pool.storage_writer(key.clone()).insert(bytes.clone());
        }
    }

    #[cfg(test)]
    pub(super) async fn written(&self) {
        for (pool, _) in &self.pools {
            pool.storage().wait().await;
        }
    }
}

fn folder(options: &DiskCacheOptions, pool: Pool) -> PathBuf {
    options.path.join(FORM).join(pool.name())
}

fn wrong(options: &DiskCacheOptions, error: &dyn std::fmt::Display) -> BlockError {
    BlockError::Configuration {
        setting: SETTING,
        problem: format!("{}: {error}; name a folder that can be written", options.path.display()),
    }
}

async fn open(options: &DiskCacheOptions, pool: Pool) -> Result<(HybridCache<Key, Bytes>, usize)> {
    let wrong = |error: foyer::Error| wrong(options, &error);
    let bytes = pool.share(options.bytes.max(DiskCacheOptions::MIN_BYTES));
    let part = (bytes / PARTS).min(MAX_PART) / PAGE * PAGE;
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let device =
        FsDeviceBuilder::new(folder(options, pool)).with_capacity(size(bytes)).build().map_err(wrong)?;
    let cache = HybridCacheBuilder::new()
        .with_name(pool.name())
        .with_policy(HybridCachePolicy::WriteOnInsertion)
        .with_flush_on_close(false)
        // Memory is another cache's business.
        .memory(1)
        .storage()
        .with_engine_config(BlockEngineConfig::new(device).with_block_size(size(part)))
        .with_recover_mode(RecoverMode::Quiet)
        .build()
        .await
        .map_err(wrong)?;
    // Header and key need some of the room.
    Ok((cache, size(part / 2)))
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
