//! The engine: render, plan, apply, wait, health.

pub mod apply;
pub mod guard;
pub mod health;
pub mod object;
pub mod plan;
pub mod render;
pub mod target;
