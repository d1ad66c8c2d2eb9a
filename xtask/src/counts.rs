//! How many tests passed, failed and were skipped, read from what a test runner prints.

use std::fmt;
use std::iter::Sum;
use std::ops::Add;

/// Tests by their outcome. Its text is the line that `cargo xtask test` ends with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Ran and held.
    pub(crate) passed: u64,
    /// Ran and did not hold, or could not be run at all.
    pub(crate) failed: u64,
    /// Marked as not to be run.
    pub(crate) skipped: u64,
}

impl Counts {
    /// One failure: what a step counts for that ended badly without naming a test, such as a lint or a build that
    /// breaks. Without it the closing line could say "0 failed" of a run that failed.
    pub(crate) const ONE_FAILURE: Self = Self { passed: 0, failed: 1, skipped: 0 };
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }
}

impl Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// Reads one line of output as libtest's closing line of a test binary, which `cargo test` prints once for each:
/// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s`. `None` for any
/// other line.
///
/// The word between the colon and the full stop is not looked at: it may be coloured.
pub(crate) fn libtest(line: &str) -> Option<Counts> {
    let (_, numbers) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let number_of = |outcome: &str| {
        numbers.split("; ").find_map(|part| part.trim_end().strip_suffix(outcome)?.trim_end().parse().ok())
    };
    Some(Counts { passed: number_of("passed")?, failed: number_of("failed")?, skipped: number_of("ignored")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(passed: u64, failed: u64, skipped: u64) -> Counts {
        Counts { passed, failed, skipped }
    }

    #[test]
    fn a_closing_line_of_libtest_is_counted_and_any_other_line_is_not() {
        let cases = [
            (
                "test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out; finished in 0.00s",
                Some(counts(12, 0, 3)),
            ),
            (
                "test result: FAILED. 1 passed; 2 failed; 0 ignored; 7 measured; 9 filtered out; finished in 61.20s",
                Some(counts(1, 2, 0)),
            ),
            (
                "test result: \u{1b}[32mok\u{1b}(B\u{1b}[m. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
                Some(counts(5, 0, 0)),
            ),
            ("test result: ok. 12 passed; 0 failed", None),
            ("test result: ok. many passed; 0 failed; 0 ignored; 0 measured; 0 filtered out", None),
            ("test result: ok", None),
            ("    test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out", None),
            ("test counts::tests::failed ... ok", None),
            ("running 3 tests", None),
            ("", None),
        ];
        for (line, expected) in cases {
            assert_eq!(libtest(line), expected, "{line}");
        }
    }

    #[test]
    fn counts_add_up_outcome_by_outcome() {
        let total: Counts = [counts(1, 2, 3), counts(10, 20, 30), Counts::ONE_FAILURE].into_iter().sum();
        assert_eq!(total, counts(11, 23, 33));
        assert_eq!([].into_iter().sum::<Counts>(), counts(0, 0, 0));
    }

    #[test]
    fn the_closing_line_names_all_three_outcomes() {
        assert_eq!(counts(41, 0, 2).to_string(), "41 passed, 0 failed, 2 skipped");
    }
}
