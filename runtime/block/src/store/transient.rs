//! Which failures of a read another try may mend.

use std::error::Error as _;
use std::io;

use crate::error::BlockError;

/// The body of an answer that was shorter than its headers promised.
pub(super) fn cut_short(received: u64, promised: u64) -> object_store::Error {
    let source = io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("the answer ended after {received} of {promised} bytes"),
    );
    object_store::Error::Generic { store: "answer", source: Box::new(source) }
}

/// Server errors, refusals for load, timeouts, connections lost, answers cut short. All else stays as it is.
pub(super) fn is_transient(error: &BlockError) -> bool {
    match error {
        BlockError::Timeout { .. } => true,
        BlockError::Store { source: source @ object_store::Error::Generic { .. }, .. } => !is_refusal(source),
        _ => false,
    }
}

/// Whether a status of 4xx is behind the error, but for those that ask for patience. The client's error type is not public;
/// its text is all there is, and a test holds it.
fn is_refusal(error: &object_store::Error) -> bool {
    const STATUS: &str = "status code: ";
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if let Some((_, status)) = text.split_once(STATUS) {
            return status.starts_with('4') && !["408", "429"].iter().any(|later| status.starts_with(later));
        }
        cause = error.source();
    }
    false
}
