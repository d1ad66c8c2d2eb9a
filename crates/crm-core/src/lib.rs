//! The ground of Heimdell CRM.

pub mod database;
#[cfg(feature = "testing")]
pub mod testing;
