//! A word with one slip of the finger: a letter wrong, missing or too many, or two neighbours swapped (Damerau, "A
//! technique for computer detection and correction of spelling errors", 1964).
//!
//! A slip leaves the word whole before it and behind it. So whatever one slip makes of a word begins with the word's
//! first letters, or holds its last ones, or is one of the few variants whose slip lies in between. Those pieces have
//! trigrams, by which the index finds candidates; the [`Slips::pattern`] then tells the words among them.
use crate::text;

/// The fewest letters of a word in which a slip is forgiven: in a shorter one it makes any word of any other.
const SHORTEST: usize = 4;
/// The most letters of such a word. In a longer one a slip spoils so few trigrams that its likeness finds the word, and the
/// expression of all its slips would grow with the square of its length.
const LONGEST: usize = 32;
/// The fewest letters of a piece, since shorter ones have no trigram.
const PIECE: usize = 3;
/// What can stand beside a word, for the index: an open class (`[^[:alnum:]]`) would hide the word's first trigrams.
const BESIDE: &str = "[][ .,:;@/()&'\"+_-]";
/// One character of a word.
const ANY: &str = "[^ ]";

/// A word of [`SHORTEST`] to [`LONGEST`] letters in which one slip is forgiven.
pub(super) struct Slips {
    letters: Vec<char>,
    /// Every slip behind these first letters leaves them whole.
    first: usize,
    /// Every slip before these last letters leaves them whole.
    last: usize,
}

impl Slips {
    /// `None` for a word that is too short or too long.
    pub(super) fn of(word: &str) -> Option<Self> {
        let letters: Vec<char> = word.chars().collect();
        let length = letters.len();
        let (first, last) = ((length / 2).max(PIECE), (length / 2).min(length.saturating_sub(PIECE)));
        (SHORTEST..=LONGEST).contains(&length).then_some(Self { letters, first, last })
    }

    /// Patterns for `LIKE`: the last letters, and variants that a slip between first and last letters makes.
    pub(super) fn pieces(&self) -> Vec<String> {
        let mut pieces = vec![text::contains(&self.plain(self.last, self.letters.len()))];
        for at in self.last..self.first {
            pieces.push(text::contains(&format!("{}{}", self.plain(0, at), self.plain(at + 1, self.letters.len()))));
        }
        for at in self.last.saturating_sub(1)..self.first.min(self.letters.len() - 1) {
            let mut swapped = self.letters.clone();
            swapped.swap(at, at + 1);
            pieces.push(text::contains(&swapped.into_iter().collect::<String>()));
        }
        pieces
    }

    /// A regular expression for the index: what begins with the first letters, or is a variant with a letter unknown.
    pub(super) fn beginnings(&self) -> String {
        let mut variants = vec![self.escaped(0, self.first)];
        let mut whole = |at, rest| {
            variants.push(format!("{}{ANY}{}({BESIDE}|$)", self.escaped(0, at), self.escaped(rest, self.letters.len())))
        };
        (self.last..self.first).for_each(|at| whole(at, at + 1));
        (self.last + 1..self.first).for_each(|at| whole(at, at));
        format!("(^|{BESIDE})({})", variants.join("|"))
    }

    /// A regular expression that a text matches where it contains the word, or has one that differs by one slip.
    pub(super) fn pattern(&self) -> String {
        let length = self.letters.len();
        let mut variants = vec![format!("{}{ANY}", self.escaped(0, length))];
        for at in 0..length {
            let (before, rest) = (self.escaped(0, at), self.escaped(at + 1, length));
            variants.push(format!("{before}{ANY}?{rest}"));
            variants.push(format!("{before}{ANY}{}{rest}", self.escaped(at, at + 1)));
            if at + 1 < length {
                let (next, own) = (self.escaped(at + 1, at + 2), self.escaped(at, at + 1));
                variants.push(format!("{before}{next}{own}{}", self.escaped(at + 2, length)));
            }
        }
        let whole = self.escaped(0, length);
        format!("{whole}|(^|[^[:alnum:]])(?:{})([^[:alnum:]]|$)", variants.join("|"))
    }

    fn plain(&self, from: usize, to: usize) -> String {
        self.letters[from..to].iter().collect()
    }

    /// Letters of the word as a regular expression has them.
    fn escaped(&self, from: usize, to: usize) -> String {
        let escape = |c: &char| if c.is_alphanumeric() { c.to_string() } else { format!("\\{c}") };
        self.letters[from..to].iter().map(escape).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_leave_no_slip_out() {
        for word in ["isdo", "konex", "globex", "cancity", "hottechi"] {
            let slips = Slips::of(word).unwrap();
            let pieces: Vec<_> = slips.pieces().iter().map(|piece| piece.trim_matches('%').to_owned()).collect();
            let first = slips.plain(0, slips.first);
            for variant in variants(word) {
                let begins = variant.starts_with(&first);
                let holds = pieces.iter().any(|piece| variant.contains(piece));
                let unknown = slips.beginnings().contains(&wildcard(word, &variant));
                assert!(begins || holds || unknown, "{variant} of {word}");
            }
        }
        assert!(Slips::of("ibm").is_none() && Slips::of(&"x".repeat(LONGEST + 1)).is_none());
    }

    #[test]
    fn pieces_are_long_enough_for_the_index() {
        for word in ["isdo", "konex", "globex", "cancity", "a.b-", "kan-code"] {
            let slips = Slips::of(word).unwrap();
            assert!(slips.first >= PIECE && slips.pieces().len() <= 6, "{word}");
            assert!(slips.pieces().iter().all(|piece| piece.trim_matches('%').chars().count() >= PIECE), "{word}");
        }
    }

    /// The variant as `beginnings` writes it, with its new letter unknown.
    fn wildcard(word: &str, variant: &str) -> String {
        let same = word.chars().zip(variant.chars()).take_while(|(a, b)| a == b).count();
        let rest: String = variant.chars().skip(same + 1).collect();
        format!("{}{ANY}{rest}(", &word[..same])
    }

    /// Every word that one slip makes, with `q` as the new letter.
    fn variants(word: &str) -> Vec<String> {
        let letters: Vec<char> = word.chars().collect();
        let mut made = Vec::new();
        let mut make = |edit: &dyn Fn(&mut Vec<char>)| {
            let mut letters = letters.clone();
            edit(&mut letters);
            made.push(letters.into_iter().collect::<String>());
        };
        for at in 0..letters.len() {
            make(&|letters| {
                letters.remove(at);
            });
            make(&|letters| letters[at] = 'q');
            make(&|letters| letters.insert(at, 'q'));
            make(&|letters| letters.swap(at, (at + 1).min(word.len() - 1)));
        }
        make(&|letters| letters.push('q'));
        made
    }
}
