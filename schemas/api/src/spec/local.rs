//! `spec.local`: settings for running on this machine, without a cluster.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings for running on this machine, without a cluster. Elsewhere they have no effect.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct LocalSpec {
    /// Folder for configuration, logs, write-ahead logs and, with the local backend, blocks. A relative path
    /// starts at the document's folder. Default: `.tempoform/<name>` beside the document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_directory: Option<String>,
    /// IP address on which components listen. Default: `127.0.0.1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen_address: Option<String>,
}
