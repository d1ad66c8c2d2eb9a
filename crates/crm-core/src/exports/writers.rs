//! Tables written row by row to any sink: CSV for spreadsheets, a JSON array for programs.
use std::io::{self, Write};

use serde::Serialize;

use super::Cell;

/// Spreadsheets take a CSV file for UTF-8 only when it starts with this mark.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A CSV file in the making (RFC 4180): UTF-8 with its mark, CRLF, every row as wide as the header.
///
/// ```
/// use crm_core::exports::{Cell, CsvExport};
///
/// let mut export = CsvExport::begin(Vec::new(), ["name", "value"])?;
/// export.write_row([Cell::from("=1+1"), Cell::Integer(-5)])?;
/// assert_eq!(export.end()?, "\u{feff}name,value\r\n'=1+1,-5\r\n".as_bytes());
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct CsvExport<W: Write> {
    writer: csv::Writer<W>,
}

impl<W: Write> CsvExport<W> {
    /// Writes the mark and the header row.
    ///
    /// # Errors
    /// What the sink answers.
    pub fn begin<'h>(mut sink: W, header: impl IntoIterator<Item = &'h str>) -> io::Result<Self> {
        sink.write_all(BYTE_ORDER_MARK)?;
        let writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(sink);
        let mut export = Self { writer };
        export.write_row(header.into_iter().map(Cell::from))?;
        Ok(export)
    }

    /// Writes one row.
    ///
    /// # Errors
    /// What the sink answers; `Other` when the row is not as wide as the header.
    pub fn write_row<'c>(&mut self, cells: impl IntoIterator<Item = Cell<'c>>) -> io::Result<()> {
        for cell in cells {
            self.writer.write_field(cell.render().as_bytes()).map_err(io::Error::from)?;
        }
        self.writer.write_record(None::<&[u8]>).map_err(io::Error::from)
    }

    /// Hands the rows written so far to the sink, so that a reader sees them.
    ///
    /// # Errors
    /// What the sink answers.
    pub fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }

    /// Flushes and gives the sink back.
    ///
    /// # Errors
    /// What the sink answers.
    pub fn end(self) -> io::Result<W> {
        self.writer.into_inner().map_err(csv::IntoInnerError::into_error)
    }
}

/// A JSON array in the making. One that was never ended is not valid JSON, so a cut-off export cannot pass for a whole.
///
/// ```
/// let mut export = crm_core::exports::JsonExport::begin(Vec::new())?;
/// export.write_item(&1)?;
/// export.write_item(&"two")?;
/// assert_eq!(export.end()?, b"[\n1,\n\"two\"\n]\n");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct JsonExport<W: Write> {
    sink: W,
    is_empty: bool,
}

impl<W: Write> JsonExport<W> {
    /// Opens the array.
    ///
    /// # Errors
    /// What the sink answers.
    pub fn begin(mut sink: W) -> io::Result<Self> {
        sink.write_all(b"[")?;
        Ok(Self { sink, is_empty: true })
    }

    /// Writes one item on a line of its own.
    ///
    /// # Errors
    /// What the sink answers, or why the item is no JSON.
    pub fn write_item(&mut self, item: &impl Serialize) -> io::Result<()> {
        let json = serde_json::to_vec(item)?;
        self.sink.write_all(if self.is_empty { b"\n" } else { b",\n" })?;
        self.is_empty = false;
        self.sink.write_all(&json)
    }

    /// Closes the array, flushes and gives the sink back.
    ///
    /// # Errors
    /// What the sink answers.
    pub fn end(mut self) -> io::Result<W> {
        self.sink.write_all(if self.is_empty { b"]\n" } else { b"\n]\n" })?;
        self.sink.flush()?;
        Ok(self.sink)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn written(row: Vec<Cell<'_>>) -> String {
        let names: Vec<String> = (0..row.len()).map(|i| format!("c{i}")).collect();
        let mut export = CsvExport::begin(Vec::new(), names.iter().map(String::as_str)).unwrap();
        export.write_row(row).unwrap();
        let text = String::from_utf8(export.end().unwrap()).unwrap();
        text.split_once("\r\n").unwrap().1.to_owned()
    }

    #[test]
    fn rows_follow_rfc_4180() {
        let rows = [
            (vec![Cell::from("=1+1")], "'=1+1\r\n"),
            (vec![Cell::from("a,\"b\"")], "\"a,\"\"b\"\"\"\r\n"),
            (vec![Cell::Integer(-5), Cell::from("-5")], "-5,'-5\r\n"),
            (vec![Cell::from("two\nlines"), Cell::Empty], "\"two\nlines\",\r\n"),
            (vec![Cell::from("=\"x\",1")], "\"'=\"\"x\"\",1\"\r\n"),
            (vec![Cell::Empty], "\"\"\r\n"),
        ];
        for (row, wanted) in rows {
            assert_eq!(written(row), wanted);
        }
    }

    #[test]
    fn a_header_is_guarded_and_a_narrow_row_is_refused() {
        let mut export = CsvExport::begin(Vec::new(), ["=a", "b"]).unwrap();
        assert!(export.write_row([Cell::Empty]).is_err());
        let export = CsvExport::begin(Vec::new(), ["=a", "b"]).unwrap();
        assert_eq!(export.end().unwrap(), "\u{feff}'=a,b\r\n".as_bytes());
    }

    #[test]
    fn a_json_export_is_an_array_only_once_it_ended() {
        for items in [vec![], vec![json!({"a": 1})], vec![json!(1), json!("]"), json!(null)]] {
            let mut sink = Vec::new();
            let mut export = JsonExport::begin(&mut sink).unwrap();
            items.iter().for_each(|item| export.write_item(item).unwrap());
            export.end().unwrap();
            assert_eq!(serde_json::from_slice::<Vec<Value>>(&sink).unwrap(), items);
        }
        let mut cut = Vec::new();
        JsonExport::begin(&mut cut).unwrap().write_item(&1).unwrap();
        assert!(serde_json::from_slice::<Value>(&cut).is_err());
    }
}
