//! The order in which companies of a file are made: parents before those that belong to them.
use std::collections::HashMap;

/// The places of rows, given as name and parent's name, in an order in which each comes after its parent where that is
/// in the file too. Rows keep the file's order otherwise. Where rows form a circle, the first of it comes last.
pub(super) fn parents_first(rows: &[(String, String)]) -> Vec<usize> {
    let mut places = HashMap::with_capacity(rows.len());
    for (place, (name, _)) in rows.iter().enumerate() {
        places.entry(name.as_str()).or_insert(place);
    }
    let mut order = Vec::with_capacity(rows.len());
    let mut is_placed = vec![false; rows.len()];
    for start in 0..rows.len() {
        let mut chain = Vec::new();
        let mut next = Some(start);
        while let Some(place) = next.filter(|place| !is_placed[*place]) {
            is_placed[place] = true;
            chain.push(place);
            let parent = rows[place].1.as_str();
            next = if parent.is_empty() { None } else { places.get(parent).copied() };
        }
        order.extend(chain.into_iter().rev());
    }
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn order(rows: &[(&str, &str)]) -> Vec<usize> {
        parents_first(&rows.iter().map(|(name, parent)| ((*name).into(), (*parent).into())).collect::<Vec<_>>())
    }

    #[test]
    fn parents_come_first_whatever_the_order_of_the_file() {
        assert_eq!(order(&[("a", "b"), ("b", "c"), ("c", ""), ("d", "a")]), [2, 1, 0, 3]);
        assert_eq!(order(&[("a", ""), ("b", "elsewhere"), ("c", "a")]), [0, 1, 2]);
        assert_eq!(order(&[("a", "b"), ("b", "a"), ("c", "c")]), [1, 0, 2]);
        assert_eq!(order(&[("a", ""), ("a", ""), ("b", "a"), ("", "")]), [0, 1, 2, 3]);
    }

    proptest! {
        #[test]
        fn each_row_has_one_place(rows in proptest::collection::vec(("[a-e]", "[a-f]?"), 0..12)) {
            let mut places = parents_first(&rows);
            places.sort_unstable();
            prop_assert_eq!(places, (0..rows.len()).collect::<Vec<_>>());
        }
    }
}
