//! A look at a whole CSV text before any row is taken from it: does every quote close, is no row absurdly wide?
//!
//! A CSV reader takes an unclosed quote for a cell that runs to the end of the file and so swallows every row after it.

/// As wide as a spreadsheet can be (column XFD).
pub const MAX_COLUMNS: usize = 16_384;

/// What makes a text unfit to be read as CSV; the row is the one a spreadsheet shows, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuoteError {
    /// A quote opens in the row and never closes.
    #[error("row {row} opens a quote that is never closed, so the rows after it cannot be told apart")]
    Unclosed {
        /// Where the row that holds the quote starts.
        row: u64,
    },
    /// More cells than [`MAX_COLUMNS`].
    #[error("row {row} has more than 16384 cells")]
    TooWide {
        /// The row.
        row: u64,
    },
}

/// Checks the text by the rules of RFC 4180: a quote opens only at the start of a cell and is doubled within one.
///
/// # Errors
/// See [`QuoteError`].
pub fn check(text: &str, delimiter: u8) -> Result<(), QuoteError> {
    let (mut row, mut cells, mut at) = (1, 1, Place::CellStart);
    let mut after_return = false;
    for byte in text.bytes() {
        at = match (at, byte) {
            (Place::Quoted, b'"') => Place::QuoteInQuoted,
            (Place::Quoted, _) => Place::Quoted,
            (Place::QuoteInQuoted | Place::CellStart, b'"') => Place::Quoted,
            (_, b'\r' | b'\n') => {
                row += u64::from(!(byte == b'\n' && after_return));
                cells = 1;
                Place::CellStart
            }
            (_, other) if other == delimiter => {
                cells += 1;
                Place::CellStart
            }
            _ => Place::Plain,
        };
        if cells > MAX_COLUMNS {
            return Err(QuoteError::TooWide { row });
        }
        after_return = byte == b'\r' && at == Place::CellStart;
    }
    if at == Place::Quoted { Err(QuoteError::Unclosed { row }) } else { Ok(()) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    CellStart,
    Plain,
    Quoted,
    QuoteInQuoted,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn unclosed_quotes_and_endless_rows_are_found() {
        let cases = [
            ("", Ok(())),
            ("a,b\n\"x\ny\",2\n", Ok(())),
            ("a\n\"say \"\"hi\"\"\"", Ok(())),
            ("a\n5\" pipe\n", Ok(())),
            ("a\r\n\r\n\"x\r\ny,z", Err(QuoteError::Unclosed { row: 3 })),
            ("\"\"\"", Err(QuoteError::Unclosed { row: 1 })),
        ];
        for (text, wanted) in cases {
            assert_eq!(check(text, b','), wanted, "{text:?}");
        }
        assert_eq!(check(&format!("a\n{}", ";".repeat(MAX_COLUMNS - 1)), b';'), Ok(()));
        assert_eq!(check(&format!("a\n{}", ";".repeat(MAX_COLUMNS)), b';'), Err(QuoteError::TooWide { row: 2 }));
    }

    proptest! {
        /// A line appended to the text is a record of its own exactly when no quote is open.
        #[test]
        fn the_csv_reader_agrees(text in "[a,\"\r\n]{0,20}") {
            let sentinel = format!("{text}\nend");
            let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(sentinel.as_bytes());
            let last = reader.records().last().unwrap().unwrap();
            prop_assert_eq!(check(&text, b',').is_ok(), last == vec!["end"][..]);
        }
    }
}
