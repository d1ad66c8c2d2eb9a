//! The records and what is done with many of them, on a real database.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod activities;
mod bulk_edits;
mod chains;
mod companies;
mod conversions;
mod events;
mod histories;
mod house;
mod pasts;
mod reasons;
mod reversions;
mod saved_views;
mod searches;
mod tasks;
mod unit_moves;
