//! The real runner.
