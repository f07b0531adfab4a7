//! The `Tempo` custom resource: its types as written, their defaults and checks, the resolved view, the CRD.
//!
//! * [`load`] reads documents from YAML and reports every problem with path, line and column.
//! * [`Tempo`] and [`spec`] are the resource as it is written; [`validate`] resolves it into [`ValidatedTempo`],
//!   from which everything downstream works.
//! * [`crd`] and [`crd_yaml`] give the `CustomResourceDefinition`.
//!
//! No I/O, and no knowledge of clusters, templates or the runtime.

mod component;
mod crd;
mod defaults;
mod load;
pub mod spec;
mod status;
mod validate;
mod validated;

pub use component::{Component, UnknownComponent};
pub use crd::{crd, crd_yaml};
pub use defaults::{
    BLOCKS_FOLDER, GRPC_PORT, HTTP_PORT, IMAGE_REPOSITORY, LIMITS as DEFAULT_LIMITS, OTLP_GRPC_PORT,
    OTLP_HTTP_PORT, QUERY as DEFAULT_QUERY,
};
pub use load::{TempoDocument, load, load_sound};
pub use spec::{Tempo, TempoSpec};
pub use status::{ComponentStatus, Health, PROGRESSING, READY, TempoStatus, VALID};
pub use tempoform_document::{ByteSize, GoDuration, Problem, Problems};
pub use validate::{MAX_NAME_LENGTH, validate};
pub use validated::*;

/// The API group of our resources.
pub const GROUP: &str = "tempoform.io";
/// The version of the resource that this crate reads and writes.
pub const VERSION: &str = "v1alpha1";
/// `apiVersion` of a document.
pub const API_VERSION: &str = "tempoform.io/v1alpha1";
/// `kind` of a document.
pub const KIND: &str = "Tempo";
