//! Webhooks: what proves who sent a message, and where one may be sent.

pub mod addresses;
pub mod signature;
