//! A CSV file as a header and a stream of rows, each with the row number a spreadsheet shows.
use std::{borrow::Cow, collections::HashMap};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Problem,
    encodings::{self, EncodingError},
    quotes::{self, QuoteError},
    rows::{Records, Rows},
};

/// How a file is to be read. What is absent has a fixed default and is never guessed from the content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FileOptions {
    /// Label of the encoding; absent, the byte-order mark decides, and without a mark the file must be UTF-8.
    pub encoding: Option<String>,
    /// What stands between two cells.
    pub delimiter: Delimiter,
}

/// What stands between two cells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum Delimiter {
    /// `,`
    #[default]
    #[serde(rename = ",")]
    Comma,
    /// `;`, usual where the comma separates decimals
    #[serde(rename = ";")]
    Semicolon,
    /// The tab character; `tab` is understood too.
    #[serde(rename = "\t", alias = "tab")]
    Tab,
    /// `|`
    #[serde(rename = "|")]
    Pipe,
}

impl Delimiter {
    /// Every delimiter a file may use.
    pub const ALL: [Self; 4] = [Self::Comma, Self::Semicolon, Self::Tab, Self::Pipe];

    /// The character itself.
    pub fn as_byte(self) -> u8 {
        match self {
            Self::Comma => b',',
            Self::Semicolon => b';',
            Self::Tab => b'\t',
            Self::Pipe => b'|',
        }
    }
}

/// Why nothing can be imported from a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// The bytes are not text in the encoding.
    #[error(transparent)]
    Encoding(#[from] EncodingError),
    /// The text cannot be cut into rows.
    #[error(transparent)]
    Quotes(#[from] QuoteError),
    /// No row holds anything.
    #[error("the file is empty: expected a header row with the names of the columns")]
    Empty,
    /// A column cannot be mapped for want of a name.
    #[error("column {column} has no name in the header row")]
    UnnamedColumn {
        /// Place of the column, from 1.
        column: usize,
    },
    /// A mapping by name would be ambiguous.
    #[error("columns {first} and {second} are both named “{name}”: a column's name must be its own")]
    DuplicateColumn {
        /// The name, trimmed.
        name: String,
        /// Place of the first such column, from 1.
        first: usize,
        /// Place of the second, from 1.
        second: usize,
    },
}

impl FileError {
    /// The stable word for this error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Encoding(error) => error.code(),
            Self::Quotes(QuoteError::Unclosed { .. }) => "unclosed_quote",
            Self::Quotes(QuoteError::TooWide { .. }) => "too_many_columns",
            Self::Empty => "empty_file",
            Self::UnnamedColumn { .. } => "unnamed_column",
            Self::DuplicateColumn { .. } => "duplicate_column",
        }
    }
}

impl From<&FileError> for Problem {
    fn from(error: &FileError) -> Self {
        Self { code: error.code().to_owned(), message: error.to_string() }
    }
}

/// A file that can be imported: decoded, every quote closed, every column with a name of its own.
#[derive(Debug)]
pub struct CsvFile<'b> {
    text: Cow<'b, str>,
    encoding: &'static str,
    delimiter: Delimiter,
    columns: Vec<String>,
}

impl<'b> CsvFile<'b> {
    /// Decodes the bytes and reads the header row.
    ///
    /// # Errors
    /// See [`FileError`]; a fault within one row is left to [`Self::rows`].
    pub fn open(bytes: &'b [u8], options: &FileOptions) -> Result<Self, FileError> {
        let decoded = encodings::decode(bytes, options.encoding.as_deref())?;
        quotes::check(&decoded.text, options.delimiter.as_byte())?;
        let header = Records::new(&decoded.text, options.delimiter).next().ok_or(FileError::Empty)?;
        let columns: Vec<String> = header.cells.iter().map(|name| name.trim().to_owned()).collect();
        check_names(&columns)?;
        Ok(Self { text: decoded.text, encoding: decoded.encoding, delimiter: options.delimiter, columns })
    }

    /// The columns' names, trimmed, in the file's order.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The name of the encoding the file was read in.
    pub fn encoding(&self) -> &'static str {
        self.encoding
    }

    /// Every data row, read from the text as it is asked for.
    pub fn rows(&self) -> Rows<'_> {
        self.rows_from(0)
    }

    /// The data rows without the first `index`, so that an interrupted import goes on where it stopped. The rows
    /// passed over are scanned but not copied.
    pub fn rows_from(&self, index: u64) -> Rows<'_> {
        Rows::new(Records::new(&self.text, self.delimiter), index, self.columns.len())
    }
}

fn check_names(columns: &[String]) -> Result<(), FileError> {
    let mut places = HashMap::with_capacity(columns.len());
    for (name, place) in columns.iter().zip(1..) {
        if name.is_empty() {
            return Err(FileError::UnnamedColumn { column: place });
        }
        if let Some(first) = places.insert(name, place) {
            return Err(FileError::DuplicateColumn { name: name.clone(), first, second: place });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::exports::{Cell, CsvExport};

    #[test]
    fn a_header_must_name_every_column_once() {
        let duplicate = |name: &str, first, second| FileError::DuplicateColumn { name: name.into(), first, second };
        let cases = [
            ("", FileError::Empty),
            ("\n\n , \n", FileError::Empty),
            ("a,,c\n1,2,3\n", FileError::UnnamedColumn { column: 2 }),
            ("a, \n", FileError::UnnamedColumn { column: 2 }),
            (" a ,b,a\n", duplicate("a", 1, 3)),
            ("a,b\n\"1,2\n", FileError::Quotes(QuoteError::Unclosed { row: 2 })),
        ];
        for (text, wanted) in cases {
            assert_eq!(CsvFile::open(text.as_bytes(), &FileOptions::default()).unwrap_err(), wanted, "{text:?}");
        }
        let file = CsvFile::open(b"\xef\xbb\xbf name ,A\n", &FileOptions::default()).unwrap();
        assert_eq!(file.columns(), ["name", "A"]);
    }

    #[test]
    fn options_are_read_from_json() {
        let options: FileOptions = serde_json::from_str(r#"{"encoding":"latin1","delimiter":"tab"}"#).unwrap();
        assert_eq!(options, FileOptions { encoding: Some("latin1".into()), delimiter: Delimiter::Tab });
        assert_eq!(serde_json::from_str::<FileOptions>("{}").unwrap(), FileOptions::default());
        assert!(serde_json::from_str::<FileOptions>(r#"{"delimiter":"x"}"#).is_err());
    }

    proptest! {
        #[test]
        fn what_was_exported_comes_back(
            rows in proptest::collection::vec(("[a-z]", "['=+@\\-\t\r\n \u{0}\u{feff}\u{ff1d}a\",;]{0,12}"), 0..6),
        ) {
            let mut export = CsvExport::begin(Vec::new(), ["key", "text"]).unwrap();
            for (key, text) in &rows {
                export.write_row([Cell::from(key.as_str()), Cell::from(text.as_str())]).unwrap();
            }
            let bytes = export.end().unwrap();
            let file = CsvFile::open(&bytes, &FileOptions::default()).unwrap();
            let found: Vec<_> = file.rows().map(|row| row.unwrap()).collect();
            for (place, (row, (key, text))) in found.iter().zip(&rows).enumerate() {
                prop_assert_eq!(row.number, place as u64 + 2);
                prop_assert_eq!(&row.cells, &vec![key.clone(), text.clone()]);
            }
            prop_assert_eq!(found.len(), rows.len());
        }

        #[test]
        fn rows_from_passes_over_as_many(text in "[a,\"\r\n ]{0,40}", start in 0_u64..6) {
            let text = format!("h,i\n{text}");
            if let Ok(file) = CsvFile::open(text.as_bytes(), &FileOptions::default()) {
                let skipped: Vec<_> = file.rows().skip(start as usize).collect();
                prop_assert_eq!(file.rows_from(start).collect::<Vec<_>>(), skipped);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            label in proptest::option::of(prop_oneof!["utf-8", "utf-16le", "utf-16be", "windows-1252", "[a-z0-9-]{0,12}"]),
            delimiter in proptest::sample::select(&Delimiter::ALL[..]),
        ) {
            if let Ok(file) = CsvFile::open(&bytes, &FileOptions { encoding: label, delimiter }) {
                prop_assert!(file.rows().count() <= bytes.len());
            }
        }
    }
}
