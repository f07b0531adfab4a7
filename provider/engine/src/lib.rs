//! The engine: render, plan, apply, wait, health.

pub mod render;
