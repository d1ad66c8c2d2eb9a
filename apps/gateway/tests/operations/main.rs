//! The program as those who run it know it: started, stopped, cut off from its database, backed up and restored.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
mod backups;
mod doctor;
mod draining;
mod gateways;
mod held_webhooks;
mod keys;
mod kit;
mod outages;
mod process;
mod receiver;
mod runbook;
mod traces;
