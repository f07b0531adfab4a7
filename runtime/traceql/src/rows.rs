//! Values of single spans.

use crate::{Batch, Field, Static};

/// The value of `field` for a span row: of the resource, scope or trace the span belongs to, of its
/// first event or link that has one. `None` when it is missing.
pub fn value_of(_batch: &Batch, _field: &Field, _span: u32) -> Option<Static> {
    None
}
