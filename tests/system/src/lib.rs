//! Whole-system tests: the executables as a user runs them.
