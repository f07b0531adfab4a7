//! What must not change by accident, read from a document.

use std::path::Path;

use tempoform_api::{BLOCKS_FOLDER, Component, Storage, ValidatedTempo};

use crate::object::Guarded;

/// The guarded facts of a document. `folder` is where a relative path of the local backend starts.
pub fn guarded(tempo: &ValidatedTempo, folder: &Path) -> Guarded {
    let holds_spans = tempo.components.values().find(|settings| settings.component.has_wal());
    let single = tempo.component(Component::Tempo).is_some();
    Guarded {
        replication_factor: if single { 1 } else { tempo.replication.factor },
        ingesters: holds_spans.map_or(0, |settings| settings.replicas),
        storage: place(&tempo.storage, folder),
        multitenancy: tempo.tenancy.enabled,
    }
}

/// Where blocks are, for people: `s3://bucket/prefix at endpoint`, `local:/path`.
pub fn place(storage: &Storage, folder: &Path) -> String {
    let below = |prefix: &str| {
        if prefix.is_empty() { String::new() } else { format!("/{}", prefix.trim_matches('/')) }
    };
    match storage {
        Storage::Local(local) => {
            format!("local:{}", folder.join(local.path.as_deref().unwrap_or(BLOCKS_FOLDER)).display())
        }
        Storage::S3(s3) => format!("s3://{}{} at {}", s3.bucket, below(&s3.prefix), s3.endpoint),
        Storage::Gcs(gcs) => format!("gs://{}{}", gcs.bucket, below(&gcs.prefix)),
        Storage::Azure(azure) => {
            format!("azure://{}/{}{}", azure.account, azure.container, below(&azure.prefix))
        }
    }
}
