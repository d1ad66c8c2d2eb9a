//! Webhooks: telling others of events, and hearing from them, by Standard Webhooks 1.0.0.
//!
//! Out: [`subscriptions`] say who is told; [`dispatch`] makes a message of each event for each of them; [`deliveries`]
//! sends it, as often as [`attempts`] says, over a [`courier`] that reaches public addresses alone; [`holding`] keeps it back
//! after a restore. In: [`sources`] say
//! who may tell us; [`receiving`] verifies, stores and processes. All [`messages`] are listed and can be replayed.

pub mod addresses;
pub mod attempts;
pub mod courier;
pub mod deliveries;
pub mod dispatch;
pub mod events;
pub mod holding;
mod mail_events;
pub mod messages;
mod payloads;
pub mod pruning;
pub mod receiving;
pub mod replays;
mod secrets;
pub mod signature;
pub mod sources;
pub mod subscriptions;

pub use secrets::SEALED_COLUMNS;
