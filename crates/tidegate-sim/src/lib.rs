//! The deterministic world that tests live in.
