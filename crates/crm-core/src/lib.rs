//! Placeholder replaced by the first module.

pub mod exports;
pub mod imports;
