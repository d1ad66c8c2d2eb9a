//! Records on their way out: cells that no spreadsheet runs as a formula, CSV and JSON written as a stream.
//!
//! Nothing here reads a record or decides who may see it; callers hand over what is already permitted and masked.
pub mod cells;
pub mod writers;

pub use cells::{Cell, guard, unguard};
pub use writers::{CsvExport, JsonExport};
