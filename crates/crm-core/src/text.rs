//! Text as people search it: without case and accents.
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// Folds text for comparison: compatibility forms (NFKD), no accents, lower case, single spaces.
pub fn fold(text: &str) -> String {
    let folded: String = text.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase).collect();
    folded.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The digits of a telephone number, so that it is found in any notation.
pub fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// A pattern for `LIKE` that finds `word` anywhere.
pub fn contains(word: &str) -> String {
    format!("%{}", begins(word))
}

/// A pattern for `LIKE` that finds what begins with `word`.
pub fn begins(word: &str) -> String {
    let mut pattern = String::with_capacity(word.len() + 2);
    for c in word.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

/// Is it a letter of a script that is written without spaces between words: Han, kana, Thai, Lao, Myanmar or Khmer?
pub fn is_unspaced(c: char) -> bool {
    matches!(u32::from(c), 0x0E00..=0x0EFF | 0x1000..=0x109F | 0x1780..=0x17FF | 0x3040..=0x30FF | 0x3400..=0x4DBF
        | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x20000..=0x3FFFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_drops_case_accents_and_extra_spaces() {
        for (text, folded) in
            [("  Köln  GmbH ", "koln gmbh"), ("ÉCOLE", "ecole"), ("ﬁne", "fine"), ("Straße", "straße")]
        {
            assert_eq!(fold(text), folded);
        }
        assert_eq!(contains("50%_\\"), "%50\\%\\_\\\\%");
        assert_eq!(begins("a_b"), "a\\_b%");
        assert_eq!(digits("+44 (0)20 7946-0958"), "4402079460958");
    }
}
