//! Tests with a real Kubernetes. Run by `cargo xtask test`, which seals them off from the network.

mod control_plane;
mod crd;
mod documents;
mod manifests;
mod objects;
mod rollout;
mod scaling;
mod target;
