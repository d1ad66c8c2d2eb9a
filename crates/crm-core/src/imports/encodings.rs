//! The bytes of an uploaded file as text, by the encoding that was named or the mark the file bears.
use std::borrow::Cow;

use encoding_rs::{DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// A file's text without its byte-order mark, and the encoding it was read in.
#[derive(Debug)]
pub struct Decoded<'b> {
    /// The whole text; borrowed from the bytes where they are UTF-8 already.
    pub text: Cow<'b, str>,
    /// The encoding's name in the WHATWG Encoding Standard, such as `windows-1252`.
    pub encoding: &'static str,
}

/// Why bytes could not be read as text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodingError {
    /// The label is in no standard.
    #[error("“{0}” is not a known encoding: expected a label such as utf-8, utf-16le or windows-1252")]
    Unknown(String),
    /// The option and the file's own mark disagree.
    #[error("the file is marked as {mark}, but it was to be read as {asked}: choose {mark}")]
    Conflict {
        /// The encoding in the options.
        asked: &'static str,
        /// The encoding the byte-order mark stands for.
        mark: &'static str,
    },
    /// A byte sequence has no meaning in the encoding.
    #[error("the file is not valid {encoding}: line {line} holds bytes that mean nothing, at byte {offset}")]
    Malformed {
        /// The encoding tried.
        encoding: &'static str,
        /// Line of text, from 1; a line break within quotes counts too.
        line: u64,
        /// Offset of the first bad byte from the start of the file, from 0.
        offset: usize,
    },
}

impl EncodingError {
    /// The stable word for this error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "unknown_encoding",
            Self::Conflict { .. } => "encoding_conflict",
            Self::Malformed { .. } => "malformed_text",
        }
    }
}

/// Decodes a file by the label of its encoding (WHATWG Encoding Standard, so `iso-8859-1` reads as windows-1252).
///
/// Without a label the byte-order mark decides, and without a mark the file must be UTF-8. `utf-16` leaves the byte
/// order to the mark, little-endian without one.
///
/// # Errors
/// See [`EncodingError`]; no character is ever replaced.
pub fn decode<'b>(bytes: &'b [u8], label: Option<&str>) -> Result<Decoded<'b>, EncodingError> {
    let (encoding, mark_length) = choose(bytes, label)?;
    let body = &bytes[mark_length..];
    let text = encoding
        .decode_without_bom_handling_and_without_replacement(body)
        .ok_or_else(|| malformed(body, mark_length, encoding))?;
    Ok(Decoded { text, encoding: encoding.name() })
}

fn choose(bytes: &[u8], label: Option<&str>) -> Result<(&'static Encoding, usize), EncodingError> {
    let mark = Encoding::for_bom(bytes);
    let Some(label) = label else { return Ok(mark.unwrap_or((UTF_8, 0))) };
    let unknown = || EncodingError::Unknown(super::cut(label, 50));
    let asked = Encoding::for_label_no_replacement(label.as_bytes()).ok_or_else(unknown)?;
    match mark {
        None => Ok((asked, 0)),
        Some((found, length)) if found == asked || is_either_utf_16(label, found) => Ok((found, length)),
        Some((found, _)) => Err(EncodingError::Conflict { asked: asked.name(), mark: found.name() }),
    }
}

fn is_either_utf_16(label: &str, mark: &'static Encoding) -> bool {
    label.trim().eq_ignore_ascii_case("utf-16") && (mark == UTF_16LE || mark == UTF_16BE)
}

/// Finds the first bad sequence again, this time counting lines.
fn malformed(body: &[u8], mark_length: usize, encoding: &'static Encoding) -> EncodingError {
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let mut chunk = String::with_capacity(8 * 1024);
    let (mut lines, mut read) = (LineCount::default(), 0);
    loop {
        chunk.clear();
        let (result, consumed) = decoder.decode_to_string_without_replacement(&body[read..], &mut chunk, true);
        lines.add(&chunk);
        read += consumed;
        let bad = match result {
            DecoderResult::OutputFull => continue,
            DecoderResult::InputEmpty => 0,
            DecoderResult::Malformed(length, after) => usize::from(length) + usize::from(after),
        };
        let offset = mark_length + read.saturating_sub(bad);
        return EncodingError::Malformed { encoding: encoding.name(), line: lines.breaks + 1, offset };
    }
}

/// Counts line breaks in a text that arrives in pieces: CRLF, LF and CR are one each.
#[derive(Default)]
struct LineCount {
    breaks: u64,
    after_return: bool,
}

impl LineCount {
    fn add(&mut self, text: &str) {
        for byte in text.bytes() {
            let is_break = byte == b'\r' || (byte == b'\n' && !self.after_return);
            self.breaks += u64::from(is_break);
            self.after_return = byte == b'\r';
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn utf_16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(to_bytes).collect()
    }

    #[test]
    fn text_is_read_by_label_and_mark() {
        let little = utf_16("Zoë", u16::to_le_bytes);
        let big = utf_16("\u{feff}Zoë", u16::to_be_bytes);
        let cases: [(&[u8], Option<&str>, &str); 9] = [
            ("Zoë".as_bytes(), None, "UTF-8"),
            ("\u{feff}Zoë".as_bytes(), None, "UTF-8"),
            ("\u{feff}Zoë".as_bytes(), Some("utf-8"), "UTF-8"),
            (b"Zo\xeb", Some("windows-1252"), "windows-1252"),
            (b"Zo\xeb", Some("ISO-8859-1"), "windows-1252"),
            (&little, Some("utf-16le"), "UTF-16LE"),
            (&big, None, "UTF-16BE"),
            (&big, Some("UTF-16"), "UTF-16BE"),
            (b"Zo\x91", Some("macintosh"), "macintosh"),
        ];
        for (bytes, label, encoding) in cases {
            let decoded = decode(bytes, label).unwrap();
            assert_eq!((decoded.text.as_ref(), decoded.encoding), ("Zoë", encoding), "{bytes:?} {label:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_said_with_its_place() {
        let malformed = |encoding, line, offset| EncodingError::Malformed { encoding, line, offset };
        let cases: [(&[u8], Option<&str>, EncodingError); 8] = [
            (b"a\r\nb\nZo\xeb,x", None, malformed("UTF-8", 3, 7)),
            (b"\xef\xbb\xbfa\r\xff", None, malformed("UTF-8", 2, 5)),
            (b"ab\xe2\x82", None, malformed("UTF-8", 1, 2)),
            (b"a\0b", Some("utf-16le"), malformed("UTF-16LE", 1, 2)),
            (b"a\n\x81\x20x", Some("shift_jis"), malformed("Shift_JIS", 2, 2)),
            (b"a", Some("klingon"), EncodingError::Unknown("klingon".into())),
            (b"a", Some("iso-2022-kr"), EncodingError::Unknown("iso-2022-kr".into())),
            (b"\xef\xbb\xbfa", Some("latin1"), EncodingError::Conflict { asked: "windows-1252", mark: "UTF-8" }),
        ];
        for (bytes, label, wanted) in cases {
            assert_eq!(decode(bytes, label).unwrap_err(), wanted, "{bytes:?} {label:?}");
        }
        let long = [b"0123456789abcde\n".repeat(4096), vec![0xff]].concat();
        assert_eq!(decode(&long, None).unwrap_err(), malformed("UTF-8", 4097, 65536));
    }

    proptest! {
        #[test]
        fn bad_utf_8_is_placed_where_the_standard_library_places_it(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assume!(Encoding::for_bom(&bytes).is_none());
            match (decode(&bytes, None), std::str::from_utf8(&bytes)) {
                (Ok(decoded), Ok(text)) => prop_assert_eq!(decoded.text, text),
                (Err(EncodingError::Malformed { offset, .. }), Err(error)) => {
                    prop_assert_eq!(offset, error.valid_up_to());
                }
                (ours, theirs) => prop_assert!(false, "{:?} {:?}", ours, theirs),
            }
        }
    }
}
