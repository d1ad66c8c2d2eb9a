//! The rows of a CSV text, each with the number a spreadsheet shows, read as they are asked for.
use csv::StringRecord;

use super::{Delimiter, Problem};
use crate::exports::unguard;

/// One data row: a cell for each column, as the file has it but for the apostrophe that keeps formulas from running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Place among the data rows, from 0; the argument of [`super::CsvFile::rows_from`] that starts with this row.
    pub index: u64,
    /// The row number a spreadsheet shows: the header is row 1, and rows left empty count.
    pub number: u64,
    /// The cells, neither trimmed nor normalised.
    pub cells: Vec<String>,
}

/// A row with too many or too few cells, so that none can be told to belong to its column.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cells expected: {width}, as in the header; cells found: {}", row.cells.len())]
pub struct RaggedRow {
    /// The row as it is.
    pub row: Row,
    /// How many cells were expected.
    pub width: usize,
}

impl From<&RaggedRow> for Problem {
    fn from(error: &RaggedRow) -> Self {
        Self { code: "ragged_row".to_owned(), message: error.to_string() }
    }
}

/// The data rows of a file, in order. Rows in which every cell is blank are passed over.
pub struct Rows<'f> {
    records: Records<'f>,
    index: u64,
    width: usize,
}

impl<'f> Rows<'f> {
    /// Passes over the header and the first `index` data rows.
    pub(super) fn new(mut records: Records<'f>, index: u64, width: usize) -> Self {
        for _ in 0..=index {
            if !records.advance() {
                break;
            }
        }
        Self { records, index, width }
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<Row, RaggedRow>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.records.next()?;
        let row = Row { index: self.index, number: record.number, cells: record.cells };
        self.index += 1;
        Some(if row.cells.len() == self.width { Ok(row) } else { Err(RaggedRow { row, width: self.width }) })
    }
}

/// A row before it is known whether it is the header.
pub(super) struct NumberedRecord {
    number: u64,
    pub(super) cells: Vec<String>,
}

/// The records of a text that hold anything, with their numbers.
pub(super) struct Records<'t> {
    text: &'t str,
    reader: csv::Reader<&'t [u8]>,
    record: StringRecord,
    number: u64,
}

impl<'t> Records<'t> {
    pub(super) fn new(text: &'t str, delimiter: Delimiter) -> Self {
        let reader = csv::ReaderBuilder::new()
            .delimiter(delimiter.as_byte())
            .has_headers(false)
            .flexible(true)
            .from_reader(text.as_bytes());
        Self { text, reader, record: StringRecord::new(), number: 0 }
    }

    /// Goes to the next record that is not blank; false at the end.
    fn advance(&mut self) -> bool {
        loop {
            let start = self.reader.position().byte();
            if !matches!(self.reader.read_record(&mut self.record), Ok(true)) {
                return false;
            }
            self.number += 1 + empty_lines(self.text, usize::try_from(start).unwrap_or(usize::MAX));
            if self.record.iter().any(|cell| !cell.trim().is_empty()) {
                return true;
            }
        }
    }
}

impl Iterator for Records<'_> {
    type Item = NumberedRecord;

    fn next(&mut self) -> Option<NumberedRecord> {
        self.advance().then(|| NumberedRecord {
            number: self.number,
            cells: self.record.iter().map(|cell| unguard(cell).to_owned()).collect(),
        })
    }
}

/// How many lines without a character stand where a record ended; the reader passes over them in silence.
fn empty_lines(text: &str, start: usize) -> u64 {
    let bytes = text.as_bytes();
    let ends_in_return = start.checked_sub(1).and_then(|before| bytes.get(before)) == Some(&b'\r');
    let rest = bytes.get(start..).unwrap_or_default();
    let rest = if ends_in_return { rest.strip_prefix(b"\n").unwrap_or(rest) } else { rest };
    let breaks = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let pairs = rest[..breaks].windows(2).filter(|pair| pair == b"\r\n").count();
    (breaks - pairs) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imports::{CsvFile, FileOptions};

    fn read(text: &str, delimiter: Delimiter) -> Vec<(u64, Vec<String>)> {
        let options = FileOptions { encoding: None, delimiter };
        let file = CsvFile::open(text.as_bytes(), &options).unwrap();
        file.rows().map(|row| row.unwrap_or_else(|ragged| ragged.row)).map(|row| (row.number, row.cells)).collect()
    }

    #[test]
    fn rows_bear_the_numbers_a_spreadsheet_shows() {
        type Numbered<'a> = (u64, &'a [&'a str]);
        let cases: [(&str, Delimiter, &[Numbered<'_>]); 12] = [
            ("a,b\n1,2\n3,4", Delimiter::Comma, &[(2, &["1", "2"]), (3, &["3", "4"])]),
            ("a;b\r\n1;2,5\r\n", Delimiter::Semicolon, &[(2, &["1", "2,5"])]),
            ("a\tb\n1\t2\n", Delimiter::Tab, &[(2, &["1", "2"])]),
            ("a|b\n1|2\n", Delimiter::Pipe, &[(2, &["1", "2"])]),
            ("a,b\n\"x\ny\",2\n3,4\n", Delimiter::Comma, &[(2, &["x\ny", "2"]), (3, &["3", "4"])]),
            ("a,b\n\n\n1,2\n", Delimiter::Comma, &[(4, &["1", "2"])]),
            ("a,b\r\n\r\n\r\n1,2\r\n", Delimiter::Comma, &[(4, &["1", "2"])]),
            ("a,b\r\r1,2\r3,4", Delimiter::Comma, &[(3, &["1", "2"]), (4, &["3", "4"])]),
            ("a,b\n,\n  ,\n1,2\n,\n", Delimiter::Comma, &[(4, &["1", "2"])]),
            ("\n\na,b\n1,2\n", Delimiter::Comma, &[(4, &["1", "2"])]),
            ("a,b\n'=1+1,''=2\n", Delimiter::Comma, &[(2, &["=1+1", "'=2"])]),
            ("a,b\n \"x\" , y \n", Delimiter::Comma, &[(2, &[" \"x\" ", " y "])]),
        ];
        for (text, delimiter, wanted) in cases {
            let found = read(text, delimiter);
            let wanted: Vec<_> =
                wanted.iter().map(|(n, cells)| (*n, cells.iter().map(|c| c.to_string()).collect())).collect();
            assert_eq!(found, wanted, "{text:?}");
        }
    }

    #[test]
    fn a_ragged_row_is_an_error_of_its_own() {
        let file = CsvFile::open(b"a,b\n1\n2,3\n4,5,6\n", &FileOptions::default()).unwrap();
        let rows: Vec<_> = file.rows().collect();
        let ragged = rows[0].as_ref().unwrap_err();
        assert_eq!(
            (ragged.row.number, ragged.to_string().as_str()),
            (2, "cells expected: 2, as in the header; cells found: 1")
        );
        assert_eq!(rows[1].as_ref().unwrap().index, 1);
        assert_eq!(Problem::from(rows[2].as_ref().unwrap_err()).code, "ragged_row");
    }
}
