//! Every route over HTTP against a real PostgreSQL: the happy way, bad input, nobody, too low a role, another's ids.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
mod business_units;
mod chronicle;
mod client;
mod companies;
mod conventions;
mod copilot;
mod coverage;
mod deals;
mod decision_memory;
mod events;
mod forecasting;
mod idempotency;
mod imports;
mod leads;
mod masks;
mod notifications;
mod openapi;
mod organization;
mod pipelines;
mod policies;
mod robustness;
mod sign_in;
mod tidy;
mod work;
