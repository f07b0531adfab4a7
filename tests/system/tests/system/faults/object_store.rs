//! An object store that fails, hangs, and sends half of what it should.

use std::time::Duration;

use anyhow::{Result, ensure};
use tempoform_test_support::{ClusterConfig, Minio, StoreFault, StoreProxy};
use tokio::time::sleep;

use super::suite::Suite;
use crate::object_storage::minio_program;

const FAULTS: [(&str, StoreFault); 11] = [
    ("object store answers 500 for 6 s", StoreFault::Status(500)),
    ("object store answers 503 for 6 s", StoreFault::Status(503)),
    ("object store answers 403 for 6 s", StoreFault::Status(403)),
    ("object store answers 500 to HEAD alone for 6 s", StoreFault::StatusOfHeads(500)),
    ("object store answers 403 to HEAD alone for 6 s", StoreFault::StatusOfHeads(403)),
    ("object store does not answer for 6 s", StoreFault::Hold),
    ("object store 200 ms slower for 6 s", StoreFault::Slow(Duration::from_millis(200))),
    ("connections to the object store dropped amid uploads for 6 s", StoreFault::CutUploads),
    ("object store takes uploads, but its answers are lost for 6 s", StoreFault::LoseAnswers),
    ("half of what is read from the object store, for 6 s", StoreFault::Shorten),
    ("connections to the object store dropped amid reads for 6 s", StoreFault::CutDownloads),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_object_store_fails() -> Result<()> {
    let Some(program) = minio_program() else { return Ok(()) };
    let minio = Minio::start(&program).await?;
    let proxy = StoreProxy::start(minio.address().to_owned()).await?;
    let folder = tempfile::tempdir()?;
    let endpoint = proxy.address();
    let config = ClusterConfig {
        ingester: "  max_block_duration: 2s\n  take_over_after: 2s\n".to_owned(),
        storage: Minio::storage_yaml(&format!("http://{endpoint}")),
        extra: "compactor:\n  compaction:\n    compaction_cycle: 2s\n".to_owned(),
        ..ClusterConfig::default()
    };
    let mut suite = Suite::start(folder.path(), config, 3000).await?;
    for (fault, kind) in FAULTS {
        suite
            .fault(fault, async |cluster| {
                // Something is there to be read.
                cluster.flush().await?;
                let before = proxy.hits();
                proxy.set(kind);
                sleep(Duration::from_secs(6)).await;
                proxy.set(StoreFault::None);
                ensure!(proxy.hits() > before, "no request met the fault");
                Ok(())
            })
            .await?;
    }
    suite.read_all_from_storage("after all of that, everything flushed to the object store").await
}
