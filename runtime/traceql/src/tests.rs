//! Tests of the crate as a whole.

mod every_way;
mod examples;
mod generate;
mod golden;
mod model;
mod naive;
mod properties;
mod results;
