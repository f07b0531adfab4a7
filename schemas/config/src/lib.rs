//! The runtime configuration file: Tempo's keys, defaults, strict checks.
