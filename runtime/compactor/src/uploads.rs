//! Uploads that a killed process left unfinished: their parts cost money, and no listing of objects shows them.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tempoform_core::Error;

use crate::compactor::Shared;
use crate::metrics;

/// Time between two looks.
pub(crate) const PERIOD: Duration = Duration::from_secs(3600);

/// Ends uploads of blocks' data that were begun too long ago.
pub(crate) async fn sweep(shared: &Shared, now: Timestamp) {
    let age = shared.options.unfinished_upload_age;
    let cutoff = SignedDuration::try_from(age).ok().and_then(|age| now.checked_sub(age).ok());
    let Some(cutoff) = cutoff.filter(|_| !age.is_zero()) else { return };
    let uploads = match shared.store.unfinished_uploads(&shared.account).await {
        Ok(uploads) => uploads,
        Err(error) if error.is_denied() => {
            tracing::info!(
                error = %Error::from(error),
                "unfinished uploads cannot be listed, so none is removed: grant s3:ListBucketMultipartUploads (Google: \
                 storage.multipartUploads.list), or let a lifecycle rule of the bucket abort them"
            );
            return;
        }
        Err(error) => {
            metrics::RETENTION_ERRORS.inc();
            tracing::warn!(error = %Error::from(error), "could not look for unfinished uploads");
            return;
        }
    };
    for upload in uploads.into_iter().filter(|upload| upload.begun < cutoff) {
        match shared.store.abort_upload(&upload, &shared.account).await {
            Ok(()) => {
                metrics::UPLOADS_ABORTED.inc();
                tracing::info!(block = %upload.block, begun = %upload.begun, "removed an upload that nobody finished");
            }
            Err(error) => {
                metrics::RETENTION_ERRORS.inc();
                tracing::warn!(block = %upload.block, error = %Error::from(error), "could not remove an unfinished upload");
            }
        }
    }
}
