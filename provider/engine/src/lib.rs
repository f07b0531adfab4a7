//! The engine: render, plan, apply, wait, health.
