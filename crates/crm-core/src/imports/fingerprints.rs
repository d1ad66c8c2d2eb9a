//! What makes a row of a file the same row when the file comes a second time.
use std::{collections::HashMap, fmt};

use sha2::{Digest, Sha256};

/// SHA-256 over the kind of record, the row's mapped cells and its number among equal rows of the file.
///
/// It depends on the values and the fields they go to: neither on the order of columns nor on columns not imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowFingerprint([u8; 32]);

impl RowFingerprint {
    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for RowFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// Gives each row of one file its fingerprint, counting rows that are equal.
///
/// The rows must be given from the first one on, in order, also where an import resumes: the third of three equal rows
/// is known only by the two before it.
///
/// ```
/// use crm_core::imports::RowFingerprints;
///
/// let file = [[("name", "Ann")], [("name", "Bob")], [("name", "Ann")]];
/// let mut first = RowFingerprints::new("lead");
/// let mut second = RowFingerprints::new("lead");
/// let seen: Vec<_> = file.iter().map(|row| first.next(row)).collect();
/// assert_ne!(seen[0], seen[2]);
/// assert_eq!(seen, file.iter().map(|row| second.next(row)).collect::<Vec<_>>());
/// ```
#[derive(Debug)]
pub struct RowFingerprints {
    entity_type: String,
    occurrences: HashMap<[u8; 32], u64>,
}

impl RowFingerprints {
    /// Starts a file whose rows become records of this kind.
    pub fn new(entity_type: &str) -> Self {
        Self { entity_type: entity_type.to_owned(), occurrences: HashMap::new() }
    }

    /// The fingerprint of the next row, given as field and raw cell in any order.
    pub fn next(&mut self, mapped: &[(&str, &str)]) -> RowFingerprint {
        let mut sorted = mapped.to_vec();
        sorted.sort_unstable();
        let mut content = Sha256::new();
        add(&mut content, &self.entity_type);
        for (field, cell) in sorted {
            add(&mut content, field);
            add(&mut content, cell);
        }
        let content: [u8; 32] = content.finalize().into();
        let occurrence = self.occurrences.entry(content).or_default();
        *occurrence += 1;
        RowFingerprint(Sha256::new().chain_update(content).chain_update(occurrence.to_be_bytes()).finalize().into())
    }
}

/// The length goes first, so that no two lists of texts run together into the same bytes.
fn add(digest: &mut Sha256, text: &str) {
    digest.update((text.len() as u64).to_be_bytes());
    digest.update(text);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn first(entity_type: &str, row: &[(&str, &str)]) -> RowFingerprint {
        RowFingerprints::new(entity_type).next(row)
    }

    #[test]
    fn the_same_row_has_the_same_fingerprint_for_ever() {
        let row = [("name", "Ann"), ("email", "ann@example.org")];
        let wanted = "9c89389718206ce56cbf1bd740e957b8d633808578c09ad83652979a4dc0aea1";
        assert_eq!(first("lead", &row).to_string(), wanted);
        assert_eq!(first("lead", &[row[1], row[0]]).to_string(), wanted);
    }

    #[test]
    fn what_differs_in_anything_differs() {
        let mut fingerprints = RowFingerprints::new("lead");
        let mut seen: HashSet<_> = (0..3).map(|_| fingerprints.next(&[("a", "b"), ("c", "d")])).collect();
        let others = [
            first("deal", &[("a", "b"), ("c", "d")]),
            first("lead", &[("a", "d"), ("c", "b")]),
            first("lead", &[("a", "bc"), ("", "d")]),
            first("lead", &[("a", "b")]),
            first("lead", &[("a", "B"), ("c", "d")]),
            first("leada", &[("", "b"), ("c", "d")]),
            first("lead", &[]),
        ];
        seen.extend(others);
        assert_eq!(seen.len(), 3 + others.len());
    }

    proptest! {
        #[test]
        fn every_row_of_a_file_is_its_own_and_known_again(cells in proptest::collection::vec("[ab]{0,2}", 0..30)) {
            let read = || {
                let mut fingerprints = RowFingerprints::new("company");
                cells.iter().map(|cell| fingerprints.next(&[("name", cell)])).collect::<Vec<_>>()
            };
            prop_assert_eq!(read(), read());
            prop_assert_eq!(read().into_iter().collect::<HashSet<_>>().len(), cells.len());
        }
    }
}
