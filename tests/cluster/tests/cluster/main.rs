//! Tests with a real Kubernetes. Run by `cargo xtask test`, which seals them off from the network.

mod cli;
mod control_plane;
mod crd;
mod documents;
mod manifests;
mod objects;
mod real_pod;
mod rollout;
mod scaling;
mod target;
