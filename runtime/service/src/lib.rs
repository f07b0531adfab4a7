//! Wires components into processes: targets, servers, membership, shutdown order, binaries.
