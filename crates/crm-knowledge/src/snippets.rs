//! A hit's context with the matched words highlighted.
//!
//! The headlines of PostgreSQL's full-text search are no safe HTML. So the search puts two private-use characters
//! around matches instead of tags; here the text is escaped and they become `<mark>`.

use pulldown_cmark::{Event, html};
use serde::Serialize;

/// Stands before a matched word; PostgreSQL's `StartSel`.
pub const START: char = '\u{E000}';
/// Stands after a matched word; PostgreSQL's `StopSel`.
pub const STOP: char = '\u{E001}';

/// A piece of plain text and where in it the search has matched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Snippet {
    /// The text without marks.
    pub text: String,
    /// The matches as `[start, end)` in UTF-16 code units of `text`, as JavaScript slices strings; in order, not empty,
    /// apart from each other.
    pub highlights: Vec<[usize; 2]>,
    /// The text as HTML, escaped, with each match in `<mark>`.
    pub html: String,
}

impl Snippet {
    /// Reads `marked`, plain text with [`START`] and [`STOP`] around matches.
    ///
    /// A match without an end lasts to the end of the text; marks that change nothing are left out.
    pub fn from_marked(marked: &str) -> Self {
        let mut snippet = Self::default();
        let mut matched = false;
        let mut position = 0;
        for piece in marked.split_inclusive([START, STOP]) {
            let words = piece.trim_end_matches([START, STOP]);
            let end = position + words.encode_utf16().count();
            snippet.push(words, (matched && !words.is_empty()).then_some([position, end]));
            position = end;
            matched = if piece.len() == words.len() { matched } else { piece.ends_with(START) };
        }
        snippet
    }

    fn push(&mut self, words: &str, highlight: Option<[usize; 2]>) {
        let (before, after) = if highlight.is_some() { ("<mark>", "</mark>") } else { ("", "") };
        self.text.push_str(words);
        self.highlights.extend(highlight);
        self.html.push_str(before);
        html::push_html(&mut self.html, std::iter::once(Event::Text(words.into())));
        self.html.push_str(after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn matches_become_marks_and_ranges() {
        let table: [(&str, &str, &[[usize; 2]], &str); 8] = [
            ("", "", &[], ""),
            ("plain", "plain", &[], "plain"),
            ("the \u{E000}price\u{E001} is", "the price is", &[[4, 9]], "the <mark>price</mark> is"),
            ("\u{E000}a\u{E001}\u{E000}b\u{E001}", "ab", &[[0, 1], [1, 2]], "<mark>a</mark><mark>b</mark>"),
            // A character beyond the first plane takes two units.
            (
                "\u{1F600}\u{E000}\u{E4}\u{1F600}\u{E001}",
                "\u{1F600}\u{E4}\u{1F600}",
                &[[2, 5]],
                "\u{1F600}<mark>\u{E4}\u{1F600}</mark>",
            ),
            (
                "<img src=x onerror=alert(1)> \u{E000}<b>&\u{E001}",
                "<img src=x onerror=alert(1)> <b>&",
                &[[29, 33]],
                "&lt;img src=x onerror=alert(1)&gt; <mark>&lt;b&gt;&amp;</mark>",
            ),
            ("a\u{E001}b\u{E000}\u{E001}c", "abc", &[], "abc"),
            ("a \u{E000}b", "a b", &[[2, 3]], "a <mark>b</mark>"),
        ];
        for (marked, text, highlights, html) in table {
            let expected = Snippet { text: text.into(), highlights: highlights.to_vec(), html: html.into() };
            assert_eq!(Snippet::from_marked(marked), expected, "{marked:?}");
        }
    }

    #[test]
    fn a_snippet_reads_as_the_api_says() {
        let json = serde_json::to_string(&Snippet::from_marked("a \u{E000}b\u{E001}")).unwrap();
        assert_eq!(json, r#"{"text":"a b","highlights":[[2,3]],"html":"a <mark>b</mark>"}"#);
    }

    proptest! {
        #[test]
        fn ranges_and_html_say_the_same(marked in "[a<>&\"'\n\u{1F600}\u{E000}\u{E001}]{0,40}") {
            let Snippet { text, highlights, html } = Snippet::from_marked(&marked);
            prop_assert!(!text.contains([START, STOP]));
            let ends: Vec<_> = highlights.concat();
            prop_assert!(ends.is_sorted() && highlights.iter().all(|[start, end]| start < end));
            let units: Vec<_> = text.encode_utf16().collect();
            let matched = highlights.iter().map(|[start, end]| String::from_utf16(&units[*start..*end]).unwrap());
            let in_marks = html.split("<mark>").skip(1).map(|rest| unescaped(rest.split_once("</mark>").unwrap().0));
            prop_assert_eq!(matched.collect::<Vec<_>>(), in_marks.collect::<Vec<_>>());
            prop_assert_eq!(unescaped(&html.replace("<mark>", "").replace("</mark>", "")), text);
        }
    }

    fn unescaped(html: &str) -> String {
        assert!(!html.contains(['<', '>']));
        html.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    }
}
