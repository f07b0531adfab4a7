//! The tempoform executable.
fn main() {}
