//! The local target: components as supervised child processes on this machine.
