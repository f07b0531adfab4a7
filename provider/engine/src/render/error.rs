//! Why a document could not be rendered.

use tempoform_api::Problems;
use thiserror::Error;

/// Why a document could not be rendered.
#[derive(Debug, Error)]
pub enum RenderError {
    /// The runtime would refuse the configuration, mostly for what `spec.config` says. Every problem has the path of
    /// its field in the document: `spec.config.ingester.max_block_bytes`.
    #[error("{0}")]
    Config(Problems),
    /// The user's pod template overrides do not fit the object they are laid over.
    #[error("{path}: {message}")]
    Override {
        /// The field of the document: `spec.ingester.podTemplate`.
        path: String,
        /// What is wrong with it.
        message: String,
    },
    /// Two sources want the same object name.
    #[error("{kind} {name} would be rendered twice; rename the Tempo resource")]
    Duplicate {
        /// The kind of both objects.
        kind: String,
        /// Their name.
        name: String,
    },
    /// A template does not fit its values. This is a defect of tempoform, not of the document.
    #[error("template {template} cannot be rendered; please report this as a defect of tempoform")]
    Template {
        /// The template's name.
        template: &'static str,
        /// What the template engine says.
        #[source]
        source: Box<handlebars::RenderError>,
    },
    /// A template's text is not the object it should be. This is a defect of tempoform, not of the document.
    #[error(
        "template {template} does not render a valid {kind}: {message}; please report this as a defect of tempoform"
    )]
    Object {
        /// The template's name.
        template: &'static str,
        /// The kind that was expected.
        kind: &'static str,
        /// What is wrong with the text.
        message: String,
    },
}
