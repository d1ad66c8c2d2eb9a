//! Files on their way in: bytes to text, text to rows, cells to typed values, and what to tell a person about each.
//!
//! Everything here is a rule over values given to it. Nothing is guessed: [`detections`] and [`mod@preview`] show what a
//! file looks like so that a person can choose, and the import itself obeys the options alone.
pub mod columns;
pub mod dates;
pub mod detections;
pub mod encodings;
pub mod error_report;
pub mod fields;
pub mod files;
pub mod fingerprints;
pub mod numbers;
pub mod preview;
pub mod quotes;
pub mod rows;
pub mod values;

use serde::Serialize;
use utoipa::ToSchema;

pub use columns::ColumnPreview;
pub use dates::DateFormat;
pub use detections::{Detected, detect};
pub use error_report::{CellError, ErrorReport};
pub use fields::FieldDescriptor;
pub use files::{CsvFile, Delimiter, FileError, FileOptions};
pub use fingerprints::{RowFingerprint, RowFingerprints};
pub use preview::{Preview, PreviewOptions, preview};
pub use rows::{RaggedRow, Row, Rows};
pub use values::{Value, ValueError, ValueOptions, ValueType};

/// Something wrong with a file, a row or a cell, told to a program by its code and to a person by its message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// A stable word such as `raggedRow`.
    pub code: &'static str,
    /// One sentence: what was found and what was expected.
    pub message: String,
}

/// The first `limit` characters of a text, with an ellipsis where something was cut off.
fn cut(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
