//! YAML documents with positions, schema checks that find every problem at once, and human units.
//!
//! [`Document::parse_all`] reads YAML and remembers where every value stands; [`Document::decode`] checks
//! a document against the JSON schema of a Rust type and reports every [`Problem`], each with path, line,
//! column and what would be right, before it makes the type. [`GoDuration`], [`ByteSize`] and [`Secret`]
//! are the units that our documents share.

mod decode;
mod document;
mod explain;
mod load;
pub mod path;
mod problem;
mod units;

pub use decode::Scalars;
pub use document::Document;
pub use problem::{Problem, Problems};
pub use units::{ByteSize, GoDuration, ParseByteSizeError, ParseDurationError, Secret};
