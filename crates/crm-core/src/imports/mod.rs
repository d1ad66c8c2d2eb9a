//! Files on their way in: bytes to text, text to rows, cells to typed values, and what to tell a person about each.
//!
//! Nothing is guessed: [`detections`] and [`mod@preview`] show what a file looks like so that a person can choose, and the
//! import itself obeys the options alone. [`create`] takes a file in, [`ImportJob`] reads it in the background, through
//! the same commands as every request, and [`revert`] takes it back. All else here is a rule over values given to it.
pub mod approvals;
pub mod columns;
mod countries;
pub mod dates;
pub mod detections;
mod duplicates;
pub mod encodings;
mod entities;
pub mod error_report;
pub mod fields;
pub mod files;
pub mod fingerprints;
mod intake;
mod interpretation;
mod job;
mod landing;
mod lookups;
pub mod numbers;
mod options;
mod order;
mod plan;
pub mod preview;
pub mod quotes;
mod records;
mod refusals;
mod reverting;
pub mod rows;
mod samples;
mod targets;
pub mod values;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use columns::ColumnPreview;
pub use dates::DateFormat;
pub use detections::{Detected, detect};
pub use entities::ENTITY_TYPES;
pub use error_report::{CellError, ErrorReport};
pub use fields::FieldDescriptor;
pub use files::{CsvFile, Delimiter, FileError, FileOptions};
pub use fingerprints::{RowFingerprint, RowFingerprints};
pub use intake::{LARGEST_DRY_RUN, NewImport, create, importable_fields, preview_file};
pub use job::{BATCH, ImportJob};
pub use options::{Dedupe, ImportOptions, UnknownReferences};
pub use preview::{Preview, PreviewOptions, preview};
pub use records::{Import, ImportFields, STATUSES, cancel, list, read};
pub use refusals::{errors, warnings};
pub use reverting::{RevertJob, revert};
pub use rows::{RaggedRow, Row, Rows};
pub use samples::RefusedValues;
pub use values::{Value, ValueError, ValueOptions, ValueType};

/// Something wrong with a file, a row or a cell, told to a program by its code and to a person by its message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = CellProblem)]
pub struct Problem {
    /// A stable word such as `ragged_row`.
    pub code: String,
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
