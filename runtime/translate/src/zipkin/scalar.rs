//! Values of attributes in JSON.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use tempoform_wire::otlp::any_value::Value;

/// A text, boolean or number; `None` for anything else, which is passed over and not built: two bytes of it would stand
/// for dozens in memory.
pub(super) struct Scalar(pub(super) Option<Value>);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar(Some(Value::StringValue(text.to_owned()))))
    }

    fn visit_bool<E>(self, boolean: bool) -> Result<Scalar, E> {
        Ok(Scalar(Some(Value::BoolValue(boolean))))
    }

    fn visit_i64<E>(self, int: i64) -> Result<Scalar, E> {
        Ok(Scalar(Some(Value::IntValue(int))))
    }

    fn visit_u64<E>(self, int: u64) -> Result<Scalar, E> {
        Ok(Scalar(Some(i64::try_from(int).map_or(Value::DoubleValue(int as f64), Value::IntValue))))
    }

    fn visit_f64<E>(self, double: f64) -> Result<Scalar, E> {
        Ok(Scalar(Some(Value::DoubleValue(double))))
    }

    fn visit_unit<E>(self) -> Result<Scalar, E> {
        Ok(Scalar(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Scalar, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Scalar, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar(None))
    }
}
