//! What a file looks like, shown in the preview so that a person can choose; an import never acts on it.
use std::cmp::Reverse;

use encoding_rs::{Encoding, MACINTOSH, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1250, WINDOWS_1251, WINDOWS_1252};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Delimiter, rows::Records};

/// How much of the file is looked at for line breaks and delimiters, in bytes.
const SAMPLE: usize = 64 * 1024;
/// How many rows of the sample are compared.
const COMPARED_ROWS: usize = 100;

/// What was found in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Detected {
    /// Whether the file starts with a byte-order mark.
    pub has_bom: bool,
    /// How its lines end.
    pub newline: NewlineStyle,
    /// Encodings in which the whole file can be read, likeliest first.
    pub encodings: Vec<EncodingCandidate>,
    /// Delimiters that give more than one column, likeliest first.
    pub delimiters: Vec<DelimiterCandidate>,
}

/// How lines end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum NewlineStyle {
    /// There is one line.
    None,
    /// Unix
    Lf,
    /// Windows and RFC 4180
    Crlf,
    /// Old Macintosh
    Cr,
    /// More than one of these, as where a cell holds line breaks of its own.
    Mixed,
}

/// An encoding that the bytes allow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EncodingCandidate {
    /// The label to give as the option `encoding`.
    pub encoding: &'static str,
    /// What speaks for it; where others are possible, how the first unusual text reads in it.
    pub evidence: String,
}

/// A delimiter that cuts the first rows into columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DelimiterCandidate {
    /// The delimiter.
    pub delimiter: Delimiter,
    /// How many columns the header row then has.
    pub columns: usize,
    /// How many rows were compared, the header among them.
    pub rows_read: usize,
    /// How many of them have as many cells as the header.
    pub rows_agreeing: usize,
}

/// Looks at the bytes of a file. The first 64 KiB stand for the rest in all but its encoding.
pub fn detect(bytes: &[u8]) -> Detected {
    let mark = Encoding::for_bom(bytes);
    let encodings = match mark {
        Some((encoding, _)) => vec![candidate(encoding, "the file starts with its byte-order mark".to_owned())],
        None => encoding_candidates(bytes),
    };
    let encoding = encodings.first().and_then(|found| Encoding::for_label(found.encoding.as_bytes())).unwrap_or(UTF_8);
    let body = &bytes[mark.map_or(0, |(_, length)| length)..];
    let (text, _) = encoding.decode_without_bom_handling(&body[..body.len().min(SAMPLE)]);
    let whole_lines = if body.len() > SAMPLE { without_last_line(&text) } else { &text };
    Detected {
        has_bom: mark.is_some(),
        newline: newline_style(whole_lines),
        encodings,
        delimiters: delimiter_candidates(whole_lines),
    }
}

/// The sample may end within a line, even between its two line-break characters.
fn without_last_line(text: &str) -> &str {
    text.rfind('\n').or_else(|| text.rfind('\r')).map_or(text, |end| &text[..=end])
}

fn candidate(encoding: &'static Encoding, evidence: String) -> EncodingCandidate {
    EncodingCandidate { encoding: encoding.name(), evidence }
}

fn encoding_candidates(bytes: &[u8]) -> Vec<EncodingCandidate> {
    if let Some(encoding) = looks_like_utf_16(bytes) {
        return vec![candidate(encoding, "every other byte is mostly zero".to_owned())];
    }
    let Some(first) = bytes.iter().position(|byte| !byte.is_ascii()) else {
        return vec![candidate(UTF_8, "every byte is ASCII, which most encodings read alike".to_owned())];
    };
    if std::str::from_utf8(bytes).is_ok() {
        return vec![candidate(UTF_8, "the bytes beyond ASCII are valid UTF-8, which is rare by chance".to_owned())];
    }
    let word = word_around(bytes, first);
    let single_byte = [WINDOWS_1252, WINDOWS_1250, WINDOWS_1251, MACINTOSH].into_iter();
    let readable = single_byte.filter(|encoding| has_no_controls(bytes, encoding));
    readable.map(|encoding| candidate(encoding, format!("“{}” stands in it", encoding.decode(word).0))).collect()
}

/// ASCII in UTF-16 has a zero in each pair of bytes, always on the same side; other encodings have none.
fn looks_like_utf_16(bytes: &[u8]) -> Option<&'static Encoding> {
    let pairs = bytes[..bytes.len().min(SAMPLE)].chunks_exact(2);
    let enough = pairs.len().div_ceil(2).max(1);
    let (first, second) = pairs
        .fold((0, 0), |(first, second), pair| (first + usize::from(pair[0] == 0), second + usize::from(pair[1] == 0)));
    match (first >= enough, second >= enough) {
        (false, true) => Some(UTF_16LE),
        (true, false) => Some(UTF_16BE),
        _ => None,
    }
}

/// The cell, or up to 40 bytes of it, in which the byte stands.
fn word_around(bytes: &[u8], at: usize) -> &[u8] {
    let is_edge = |byte: &u8| matches!(byte, b',' | b';' | b'\t' | b'|' | b'"' | b'\r' | b'\n');
    let before = bytes[..at].iter().rev().take(20).take_while(|byte| !is_edge(byte)).count();
    let after = bytes[at..].iter().take(20).take_while(|byte| !is_edge(byte)).count();
    &bytes[at - before..at + after]
}

/// Whether no byte beyond ASCII stands for a control character, which no text holds.
fn has_no_controls(bytes: &[u8], encoding: &'static Encoding) -> bool {
    let mut used: Vec<u8> = bytes.iter().copied().filter(|byte| !byte.is_ascii()).collect();
    used.sort_unstable();
    used.dedup();
    let text = encoding.decode_without_bom_handling_and_without_replacement(&used);
    text.is_some_and(|text| !text.chars().any(char::is_control))
}

fn newline_style(text: &str) -> NewlineStyle {
    let pairs = text.matches("\r\n").count();
    let feeds = text.matches('\n').count() - pairs;
    let returns = text.matches('\r').count() - pairs;
    match (pairs > 0, feeds > 0, returns > 0) {
        (false, false, false) => NewlineStyle::None,
        (true, false, false) => NewlineStyle::Crlf,
        (false, true, false) => NewlineStyle::Lf,
        (false, false, true) => NewlineStyle::Cr,
        _ => NewlineStyle::Mixed,
    }
}

fn delimiter_candidates(text: &str) -> Vec<DelimiterCandidate> {
    let mut candidates: Vec<_> = Delimiter::ALL.into_iter().filter_map(|delimiter| compare(text, delimiter)).collect();
    candidates.sort_by_key(|found| Reverse((found.rows_agreeing * COMPARED_ROWS / found.rows_read, found.columns)));
    candidates
}

fn compare(text: &str, delimiter: Delimiter) -> Option<DelimiterCandidate> {
    let widths: Vec<usize> =
        Records::new(text, delimiter).take(COMPARED_ROWS).map(|record| record.cells.len()).collect();
    let columns = *widths.first().filter(|width| **width > 1)?;
    let rows_agreeing = widths.iter().filter(|width| **width == columns).count();
    Some(DelimiterCandidate { delimiter, columns, rows_read: widths.len(), rows_agreeing })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encodings(bytes: &[u8]) -> Vec<&'static str> {
        detect(bytes).encodings.iter().map(|found| found.encoding).collect()
    }

    #[test]
    fn encodings_are_offered_with_evidence() {
        let little: Vec<u8> = "name,größe\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = "name,größe\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(encodings(b"name\nAnn\n"), ["UTF-8"]);
        assert_eq!(encodings("name\nZoë\n".as_bytes()), ["UTF-8"]);
        assert_eq!(encodings(&little), ["UTF-16LE"]);
        assert_eq!(encodings(&big), ["UTF-16BE"]);
        assert_eq!(encodings(b"\xff\xfea\0"), ["UTF-16LE"]);
        assert_eq!(encodings(b""), ["UTF-8"]);
        let latin = detect(b"name\n\"Z\xfcrich, M\xfcller\"\n");
        assert_eq!(latin.encodings[0], candidate(WINDOWS_1252, "“Zürich” stands in it".into()));
        assert_eq!(encodings(b"name\n\x81\xfc\n"), ["windows-1251", "macintosh"]);
    }

    #[test]
    fn delimiters_are_offered_with_evidence() {
        type Found = (Delimiter, usize, usize, usize);
        let cases: [(&str, &[Found]); 6] = [
            ("a,b\n1,2\n", &[(Delimiter::Comma, 2, 2, 2)]),
            ("a;b\n1,5;2\n", &[(Delimiter::Semicolon, 2, 2, 2)]),
            ("a\tb\tc, d\n1\t2\t3\n", &[(Delimiter::Tab, 3, 2, 2), (Delimiter::Comma, 2, 2, 1)]),
            ("a|b;c\n1|2\n3|4\n", &[(Delimiter::Pipe, 2, 3, 3), (Delimiter::Semicolon, 2, 3, 1)]),
            ("\"a;x\",b\n\"1\n;\",2\n", &[(Delimiter::Comma, 2, 2, 2)]),
            ("email\nann@example.org\n", &[]),
        ];
        for (text, wanted) in cases {
            let found: Vec<_> = detect(text.as_bytes())
                .delimiters
                .iter()
                .map(|found| (found.delimiter, found.columns, found.rows_read, found.rows_agreeing))
                .collect();
            assert_eq!(found, wanted, "{text:?}");
        }
    }

    #[test]
    fn line_breaks_are_told_apart() {
        let cases = [
            ("a", NewlineStyle::None),
            ("a\nb", NewlineStyle::Lf),
            ("a\r\nb\r\n", NewlineStyle::Crlf),
            ("a\rb", NewlineStyle::Cr),
            ("a\r\n\"b\nc\"", NewlineStyle::Mixed),
        ];
        for (text, wanted) in cases {
            assert_eq!(detect(text.as_bytes()).newline, wanted, "{text:?}");
        }
        let long = "ä,b\r\n".repeat(SAMPLE);
        let found = detect(long.as_bytes());
        assert_eq!((found.newline, found.delimiters[0].rows_agreeing), (NewlineStyle::Crlf, COMPARED_ROWS));
        assert!(!found.has_bom && detect(b"\xef\xbb\xbfa").has_bom);
    }

    proptest! {
        #[test]
        fn every_encoding_offered_reads_the_file(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            for found in detect(&bytes).encodings {
                let is_marked = Encoding::for_bom(&bytes).is_some();
                let reads = super::super::encodings::decode(&bytes, Some(found.encoding)).is_ok();
                prop_assert!(reads || is_marked || found.encoding.starts_with("UTF-16"), "{}", found.encoding);
            }
        }
    }
}
