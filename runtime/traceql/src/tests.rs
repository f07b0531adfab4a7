//! Tests of the crate as a whole.

mod examples;
mod generate;
mod golden;
mod model;
mod naive;
mod properties;
mod results;
