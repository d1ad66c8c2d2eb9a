//! What somebody looks for, as conditions and as a score.
use super::slips::Slips;
use crate::{Result, filters::malformed, select::Condition, statement::Bind, text};

/// Legal forms of companies. People type them where the record lacks them and leave them out where it has them, so
/// beside other words they only rank.
const LEGAL_FORMS: [&str; 21] = [
    "ab",
    "ag",
    "bv",
    "co",
    "company",
    "corp",
    "corporation",
    "gmbh",
    "inc",
    "incorporated",
    "kg",
    "limited",
    "llc",
    "llp",
    "ltd",
    "nv",
    "oy",
    "plc",
    "sa",
    "sarl",
    "srl",
];

/// What is looked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Needle {
    /// As it was typed, in lower case.
    plain: String,
    /// Folded.
    pub(super) folded: String,
    /// Its words.
    words: Vec<String>,
    /// The digits, where it looks like a telephone number.
    digits: Option<String>,
}

impl Needle {
    /// How many words count; more only rank.
    const WORDS: usize = 8;
    /// By how many last digits a telephone number is found, so that country codes and trunk zeros may differ.
    const DIGITS: usize = 8;

    pub(super) fn new(q: &str) -> Result<Self> {
        let q = q.trim();
        let folded = text::fold(bare_domain(q));
        if q.contains(char::is_control) || !(2..=200).contains(&folded.chars().count()) {
            return Err(malformed("invalid_value", "`q` has 2 to 200 characters, none of them a control character."));
        }
        let digits = text::digits(q);
        let is_phone = digits.len() >= 4 && q.chars().all(|c| c.is_ascii_digit() || " +-()./".contains(c));
        let mut words: Vec<_> = folded.split(' ').map(without_stop).collect();
        for counts in [has_letters, is_no_legal_form] {
            if words.iter().any(|word| counts(word)) {
                words.retain(|word| counts(word));
            }
        }
        words.truncate(Self::WORDS);
        Ok(Self { plain: q.to_lowercase(), folded, words, digits: is_phone.then_some(digits) })
    }

    /// Every word occurs, or resembles one that does; or the digits of a telephone number do.
    pub(super) fn condition(&self) -> Condition {
        let words = Condition::All(self.words.iter().map(|word| word_occurs(word)).collect());
        match &self.digits {
            None => words,
            Some(digits) => Condition::Any(vec![words, like(text::contains(self.last(digits)))]),
        }
    }

    fn last<'d>(&self, digits: &'d str) -> &'d str {
        &digits[digits.len().saturating_sub(Self::DIGITS)..]
    }

    /// The steps of the score, best first: what a record is worth, and the condition in SQL that its value completes.
    pub(super) fn steps(&self, title: &str) -> Vec<(&'static str, String, Bind)> {
        let contained: Vec<_> = self.words.iter().map(|word| text::contains(word)).collect();
        let is_address = self.words.len() == 1 && self.folded.contains(['@', '.']);
        let called = vec![self.folded.clone(), self.plain.clone()];
        let mut steps = vec![("1", format!("lower({title}) = ANY"), Bind::from(called))];
        let mut step = |score, sql: &str, value: Bind| steps.push((score, sql.to_owned(), value));
        if is_address {
            step("1", "string_to_array(search_text, ' ') @> ", vec![self.folded.clone()].into());
        }
        if let Some(digits) = &self.digits {
            step("0.95", "search_text LIKE ", text::contains(digits).into());
            step("0.8", "search_text LIKE ", text::contains(self.last(digits)).into());
        }
        step("0.95", "search_text || ' ' LIKE ", text::begins(&format!("{} ", self.folded)).into());
        step("0.9", "search_text LIKE ", text::begins(&self.folded).into());
        step("0.8", "search_text LIKE ALL ", contained.into());
        let slips: Vec<_> = self.words.iter().filter_map(|word| Slips::of(word)).map(|slips| slips.pattern()).collect();
        if !slips.is_empty() {
            step("0.75", "search_text ~ ALL ", slips.into());
        }
        steps
    }
}

/// The word without the punctuation that ends it in a sentence.
fn without_stop(word: &str) -> String {
    let bare = word.trim_end_matches(['.', ',', ';', ':']);
    if bare.is_empty() { word.to_owned() } else { bare.to_owned() }
}

fn is_no_legal_form(word: &str) -> bool {
    !LEGAL_FORMS.contains(&word)
}

fn has_letters(word: &str) -> bool {
    word.contains(char::is_alphanumeric)
}

fn like(pattern: String) -> Condition {
    Condition::Compare("search_text".into(), "LIKE", pattern.into())
}

fn word_occurs(word: &str) -> Condition {
    let contained = || like(text::contains(word));
    let resembles = || Condition::Resembles("search_text", word.into());
    match (word.chars().count(), Slips::of(word)) {
        // Where words are not set apart, what is looked for may stand anywhere. No trigram finds it, but few look for so little.
        (0..=2, _) if word.chars().any(text::is_unspaced) => contained(),
        (0..=2, _) => Condition::Any(vec![like(text::begins(word)), like(format!("% {}", text::begins(word)))]),
        (3, _) => contained(),
        (_, None) => Condition::Any(vec![contained(), resembles()]),
        (_, Some(slips)) => Condition::Any(vec![contained(), resembles(), with_a_slip(&slips)]),
    }
}

/// The index finds the pieces, and the pattern the words among them.
fn with_a_slip(slips: &Slips) -> Condition {
    let candidates = Condition::Any(vec![
        Condition::LikeAny("search_text", slips.pieces().into()),
        Condition::Compare("search_text".into(), "~", slips.beginnings().into()),
    ]);
    Condition::All(vec![candidates, Condition::Among("search_text", slips.pattern().into())])
}

/// The domain in the address of a web page; anything else stays as it is.
fn bare_domain(q: &str) -> &str {
    let host = match q.split_once("://") {
        Some((_, rest)) => rest.split(['/', '?', '#', ':']).next().unwrap_or_default(),
        None => q,
    };
    host.strip_prefix("www.").unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_needle_is_words_or_digits() {
        let cases: [(&str, &str, &[&str], Option<&str>); 9] = [
            ("  Köln  GmbH ", "koln gmbh", &["koln"], None),
            ("A & B", "a & b", &["a", "b"], None),
            ("&&", "&&", &["&&"], None),
            ("Konex Co., Harbour", "konex co., harbour", &["konex", "harbour"], None),
            ("Co", "co", &["co"], None),
            ("+44 (0)20 7946", "+44 (0)20 7946", &["+44", "(0)20", "7946"], Some("440207946")),
            ("2024 plan", "2024 plan", &["2024", "plan"], None),
            ("https://www.Acme.example:8080/a?b", "acme.example", &["acme.example"], None),
            ("www.acme.example", "acme.example", &["acme.example"], None),
        ];
        for (q, folded, words, digits) in cases {
            let needle = Needle::new(q).unwrap();
            assert_eq!((needle.folded.as_str(), needle.digits.as_deref()), (folded, digits), "{q}");
            assert_eq!(needle.words, words, "{q}");
        }
        for q in ["", " ", "x", "é", "a\0b", "a\u{1}b", "a\tb", "ab\u{7f}", &"x".repeat(201)] {
            assert_eq!(Needle::new(q).unwrap_err().code(), "invalid_value", "{q}");
        }
    }
}
