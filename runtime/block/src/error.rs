use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path;
use tempoform_core::ErrorKind;

use crate::meta::BlockVersion;
use crate::paths::BlockPath;

/// What went wrong with a block or the store it lies in.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// The store cannot be opened as configured.
    #[error("{setting}: {problem}")]
    Configuration {
        /// The setting, as in the configuration file.
        setting: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The object store refused or failed.
    #[error("{operation} of {} failed", named(path))]
    Store {
        /// GET, PUT, LIST, ...
        operation: &'static str,
        /// The object or folder.
        path: Path,
        /// The store's answer.
        #[source]
        source: object_store::Error,
    },
    /// The object store did not answer in time.
    #[error("{operation} of object {path} took more than {after:?}")]
    Timeout {
        /// GET, PUT, LIST, ...
        operation: &'static str,
        /// The object or folder.
        path: Path,
        /// The time allowed.
        after: Duration,
    },
    /// The query may not ask the object store for more.
    #[error(
        "GET of object {path} was not sent: the query has made the {max} requests that it may \
         (retriever.max_requests_per_query)"
    )]
    TooManyRequests {
        /// The object.
        path: Path,
        /// How many it may make.
        max: u64,
    },
    /// The error of an equal read, of which there was one for several.
    #[error(transparent)]
    Shared(Arc<BlockError>),
    /// An object that must be there is not.
    #[error("object {path} does not exist")]
    NotFound {
        /// The object.
        path: Path,
    },
    /// Bytes in a block are not what the format says.
    #[error("block {block}: {object} {what}")]
    Corrupt {
        /// The block.
        block: BlockPath,
        /// Object, and column if it is one column's fault.
        object: String,
        /// What is wrong.
        what: String,
    },
    /// An object outside of blocks cannot be read.
    #[error("object {path} {what}")]
    CorruptObject {
        /// The object.
        path: Path,
        /// What is wrong.
        what: String,
    },
    /// A block of a format that cannot be read.
    #[error("block {block} has format {version}; readable are vParquet3, vParquet4 and vParquet5")]
    Unsupported {
        /// The block.
        block: BlockPath,
        /// Its format.
        version: BlockVersion,
    },
    /// What was uploaded is not what was sent; the block is not to be trusted.
    #[error("upload of block {block} is not verified: {what}")]
    Upload {
        /// The block.
        block: BlockPath,
        /// What differs.
        what: String,
    },
    /// The writer of a block ended unexpectedly: a bug.
    #[error("block {block} cannot be built, its writer failed: {what}")]
    Building {
        /// The block.
        block: BlockPath,
        /// How.
        what: String,
    },
}

/// The top of a bucket has an empty path.
fn named(path: &Path) -> String {
    if path.as_ref().is_empty() { "the bucket".to_owned() } else { format!("object {path}") }
}

impl BlockError {
    /// What a caller should do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Configuration { .. } => ErrorKind::Invalid,
            Self::Store { source: object_store::Error::NotFound { .. }, .. } | Self::NotFound { .. } => {
                ErrorKind::NotFound
            }
            Self::Store { .. } | Self::Upload { .. } => ErrorKind::Unavailable,
            Self::Building { .. } => ErrorKind::Internal,
            Self::Timeout { .. } => ErrorKind::Timeout,
            Self::TooManyRequests { .. } => ErrorKind::Exhausted,
            Self::Shared(error) => error.kind(),
            Self::Corrupt { .. } | Self::CorruptObject { .. } | Self::Unsupported { .. } => {
                ErrorKind::Corrupt
            }
        }
    }

    /// Whether the store refused: no credentials, wrong ones, or a right that they lack.
    pub fn is_denied(&self) -> bool {
        use object_store::Error::{PermissionDenied, Unauthenticated};
        match self {
            Self::Store { source: PermissionDenied { .. } | Unauthenticated { .. }, .. } => true,
            // A refused listing has no kind of its own; the status stands only in the text.
            Self::Store { source, .. } => {
                let text = source.to_string();
                text.contains("403 Forbidden") || text.contains("401 Unauthorized")
            }
            _ => false,
        }
    }

    /// Whether the object asked for is not there.
    pub fn is_not_found(&self) -> bool {
        self.kind() == ErrorKind::NotFound
    }
}

impl From<BlockError> for tempoform_core::Error {
    fn from(error: BlockError) -> Self {
        let mut message = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        Self::new(error.kind(), message)
    }
}

/// `Result` with [`BlockError`].
pub type Result<T, E = BlockError> = std::result::Result<T, E>;
