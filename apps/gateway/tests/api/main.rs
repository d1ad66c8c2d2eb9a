//! Every route over HTTP against a real PostgreSQL: the happy way, bad input, nobody, too low a role, another's ids.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
mod approvals;
mod business_units;
mod chronicle;
mod client;
mod companies;
mod conventions;
mod copilot;
mod coverage;
mod deals;
mod decision_memory;
mod forecasting;
mod foresight;
mod imports;
mod leads;
mod masks;
mod matrix;
mod openapi;
mod organization;
mod pipelines;
mod policies;
mod robustness;
mod sign_in;
mod system;
mod tidy;
mod verdicts;
mod work;
