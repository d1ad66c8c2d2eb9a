//! The rows an import refused and why, as a CSV file that can be mended and imported again.
use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::{Problem, Row};
use crate::exports::{Cell, CsvExport};

/// The columns that follow the file's own.
const REPORT_COLUMNS: [&str; 4] = ["row", "field", "code", "message"];

/// One reason for which a row was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellError {
    /// The field whose cell is wrong; `None` where the row as a whole is.
    pub field: Option<String>,
    /// What is wrong.
    #[serde(flatten)]
    pub problem: Problem,
}

impl CellError {
    /// A reason from its parts.
    pub fn new(field: Option<&str>, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.map(str::to_owned), problem: Problem { code: code.into(), message: message.into() } }
    }
}

/// The report in the making: the row's own cells, then `row`, `field`, `code` and `message`; one line for each error.
pub struct ErrorReport<W: Write> {
    export: CsvExport<W>,
    width: usize,
}

impl<W: Write> ErrorReport<W> {
    /// Writes the header for a file with these columns. The columns of an earlier report at their end are replaced, so
    /// that a mended report can be imported and reported on in turn.
    ///
    /// # Errors
    /// What the sink answers.
    pub fn begin(sink: W, columns: &[String]) -> io::Result<Self> {
        let own = match columns.split_last_chunk() {
            Some((own, last)) if last == &REPORT_COLUMNS.map(String::from) => own,
            _ => columns,
        };
        let header = own.iter().map(String::as_str).chain(REPORT_COLUMNS);
        Ok(Self { export: CsvExport::begin(sink, header)?, width: own.len() })
    }

    /// Writes one line for each error of the row. A ragged row is filled up with empty cells, or loses those that no
    /// column has room for.
    ///
    /// # Errors
    /// What the sink answers.
    pub fn write_row(&mut self, row: &Row, errors: &[CellError]) -> io::Result<()> {
        for CellError { field, problem } in errors {
            let own = row.cells.iter().map(|cell| Cell::from(cell.as_str()));
            let reason = [
                Cell::Integer(i64::try_from(row.number).unwrap_or(i64::MAX)),
                field.as_deref().map_or(Cell::Empty, Cell::from),
                Cell::from(problem.code.as_str()),
                Cell::from(problem.message.as_str()),
            ];
            self.export.write_row(own.chain(std::iter::repeat(Cell::Empty)).take(self.width).chain(reason))?;
        }
        Ok(())
    }

    /// Flushes and gives the sink back.
    ///
    /// # Errors
    /// What the sink answers.
    pub fn end(self) -> io::Result<W> {
        self.export.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imports::{CsvFile, FileOptions};

    type Refused<'a> = (&'a [&'a str], &'a [(Option<&'a str>, &'static str)]);

    fn report(columns: &[&str], rows: &[Refused<'_>]) -> String {
        let columns: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
        let mut report = ErrorReport::begin(Vec::new(), &columns).unwrap();
        for ((cells, errors), number) in rows.iter().zip(2..) {
            let row = Row { index: number - 2, number, cells: cells.iter().map(|cell| (*cell).to_owned()).collect() };
            let problem = |code: &str| Problem { code: code.into(), message: format!("it is {code}") };
            let error = |(field, code): &(Option<&str>, &'static str)| CellError {
                field: field.map(str::to_owned),
                problem: problem(code),
            };
            report.write_row(&row, &errors.iter().map(error).collect::<Vec<_>>()).unwrap();
        }
        String::from_utf8(report.end().unwrap()).unwrap()
    }

    #[test]
    fn each_error_has_a_line_and_no_line_is_a_formula() {
        let text = report(
            &["Name", "=x"],
            &[
                (&["=cmd()", "a,b"], &[(Some("name"), "bad"), (Some("email"), "worse")]),
                (&["fine", "row"], &[]),
                (&["short"], &[(None, "ragged_row")]),
                (&["much", "too", "long"], &[(None, "ragged_row")]),
            ],
        );
        let wanted = [
            "\u{feff}Name,'=x,row,field,code,message",
            "'=cmd(),\"a,b\",2,name,bad,it is bad",
            "'=cmd(),\"a,b\",2,email,worse,it is worse",
            "short,,4,,ragged_row,it is ragged_row",
            "much,too,5,,ragged_row,it is ragged_row",
            "",
        ];
        assert_eq!(text, wanted.join("\r\n"));
    }

    #[test]
    fn a_mended_report_can_be_imported_and_reported_on() {
        let first = report(&["Name"], &[(&["=Ann"], &[(Some("name"), "bad")])]);
        let file = CsvFile::open(first.as_bytes(), &FileOptions::default()).unwrap();
        let row = file.rows().next().unwrap().unwrap();
        assert_eq!(row.cells[0], "=Ann");
        let mut again = ErrorReport::begin(Vec::new(), file.columns()).unwrap();
        let problem = Problem { code: "bad".into(), message: "it is bad".into() };
        again.write_row(&row, &[CellError { field: Some("name".into()), problem }]).unwrap();
        assert_eq!(String::from_utf8(again.end().unwrap()).unwrap(), first);
    }
}
