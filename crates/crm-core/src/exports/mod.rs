//! Records on their way out: cells that no spreadsheet runs as a formula, CSV and JSON written as a stream.
//!
//! [`records`] reads what the caller may export; [`cells`] and [`writers`] know nothing of records.
pub mod cells;
pub mod records;
pub mod writers;

pub use cells::{Cell, guard, unguard};
pub use writers::{CsvExport, JsonExport};
