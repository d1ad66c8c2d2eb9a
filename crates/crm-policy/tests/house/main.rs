//! Policies in a database: the gate of the house, with real organizations, users and records.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
mod clocks;
mod gates;
mod matrix;
mod policies;
mod sights;
mod simulations;
mod world;
