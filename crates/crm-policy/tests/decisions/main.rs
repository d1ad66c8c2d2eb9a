//! What the engine decides: the vectors, the hazards of casbin, and agreement with a reference and with casbin itself.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod agreement;
mod explanations;
mod hazards;
mod masks;
mod matrix;
mod vectors;
mod world;
