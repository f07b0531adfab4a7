//! Enums in protobuf JSON.

use serde::{Serialize, Serializer};

/// An enum's value as protobuf JSON writes it: its name, or the number when it has none.
pub(crate) struct NameOrNumber<E>(pub(crate) Result<E, i32>);

impl<E: Serialize> Serialize for NameOrNumber<E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Ok(named) => named.serialize(serializer),
            Err(number) => serializer.serialize_i32(*number),
        }
    }
}
