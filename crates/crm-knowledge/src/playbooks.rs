//! Checklists of a pipeline's stages: items that keep their identity through edits, and a deal's progress in them.

use std::collections::HashMap;
use std::hash::Hash;
use thiserror::Error;

/// One thing to do at a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item<I> {
    /// What a deal's tick refers to; stays while the item does.
    pub id: I,
    /// What is to be done.
    pub text: String,
    /// Whether it must be done before the deal moves on.
    pub required: bool,
}

/// An item as an editor writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemDraft<I> {
    /// The item it goes on, where the editor says so; needed to reword one.
    pub id: Option<I>,
    /// What is to be done.
    pub text: String,
    /// Whether it must be done before the deal moves on.
    pub required: bool,
}

/// Why a checklist cannot be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PlaybookError {
    /// An item says nothing; its place in the list, from 0.
    #[error("Item {0} of the checklist has no text.")]
    TextMissing(usize),
    /// An item goes on one that the playbook does not have; its place in the list, from 0.
    #[error("Item {0} of the checklist has an id that the playbook does not know.")]
    UnknownItem(usize),
    /// Two items go on the same one; the second's place in the list, from 0.
    #[error("Item {0} of the checklist has the id of an earlier one.")]
    RepeatedItem(usize),
}

/// How far a deal has come in a checklist. `T` is what is known of a tick: who, when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress<'a, I, T> {
    /// The checklist in order, each item with its tick if it is done.
    pub items: Vec<(&'a Item<I>, Option<&'a T>)>,
    /// How many items are done.
    pub done_count: usize,
    /// How many items there are.
    pub total_count: usize,
    /// Whether all required items are done; so too if there are none.
    pub required_done: bool,
}

/// The checklist `old` replaced by `drafts`.
///
/// A draft that names an id goes on that item, whatever its text is now. Any other goes on the first free item with the
/// same text, letter case and spacing aside, wherever it stood. What remains is new and gets its id from `next_id`:
/// a changed text without an id is another task, for which no deal may inherit a tick.
pub fn edited<I: Copy + Eq + Hash>(
    old: &[Item<I>],
    drafts: Vec<ItemDraft<I>>,
    mut next_id: impl FnMut() -> I,
) -> Result<Vec<Item<I>>, PlaybookError> {
    let mut free: Vec<(I, String)> = old.iter().map(|item| (item.id, folded(&item.text))).collect();
    let mut named = HashMap::new();
    for (place, draft) in drafts.iter().enumerate() {
        if draft.text.trim().is_empty() {
            return Err(PlaybookError::TextMissing(place));
        }
        let Some(id) = draft.id else { continue };
        if named.insert(id, place).is_some() {
            return Err(PlaybookError::RepeatedItem(place));
        }
        let index = free.iter().position(|(known, _)| *known == id).ok_or(PlaybookError::UnknownItem(place))?;
        free.remove(index);
    }
    let mut id_of_text = |text: &str| {
        let index = free.iter().position(|(_, known)| *known == folded(text))?;
        Some(free.remove(index).0)
    };
    let item = |ItemDraft { id, text, required }: ItemDraft<I>| {
        let id = id.or_else(|| id_of_text(&text)).unwrap_or_else(&mut next_id);
        Item { id, text: text.trim().to_owned(), required }
    };
    Ok(drafts.into_iter().map(item).collect())
}

impl<'a, I: Eq + Hash, T> Progress<'a, I, T> {
    /// The progress that `ticks`, by item id, amount to; ticks of items that are gone do not count.
    pub fn of(items: &'a [Item<I>], ticks: &'a HashMap<I, T>) -> Self {
        let items: Vec<_> = items.iter().map(|item| (item, ticks.get(&item.id))).collect();
        Self {
            done_count: items.iter().filter(|(_, tick)| tick.is_some()).count(),
            total_count: items.len(),
            required_done: items.iter().all(|(item, tick)| tick.is_some() || !item.required),
            items,
        }
    }
}

impl<I> From<&str> for ItemDraft<I> {
    /// An optional item without an id, as plain lists of texts mean it.
    fn from(text: &str) -> Self {
        Self { id: None, text: text.to_owned(), required: false }
    }
}

fn folded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn item(id: u32, text: &str) -> Item<u32> {
        Item { id, text: text.to_owned(), required: false }
    }

    fn named(id: u32, text: &str) -> ItemDraft<u32> {
        ItemDraft { id: Some(id), ..text.into() }
    }

    fn edit(old: &[Item<u32>], drafts: &[ItemDraft<u32>]) -> Result<Vec<Item<u32>>, PlaybookError> {
        let mut fresh = 100..;
        edited(old, drafts.to_vec(), || fresh.next().unwrap())
    }

    /// Drafts, and the ids and texts that come of them.
    type Edit<'a> = (&'a [ItemDraft<u32>], &'a [(u32, &'a str)]);

    #[test]
    fn items_keep_their_ids() {
        let old = [item(1, "Qualify budget"), item(2, "Identify decision makers"), item(3, "Schedule demo")];
        let table: [Edit<'_>; 7] = [
            (&[], &[]),
            (&["Schedule demo".into(), "Qualify budget".into()], &[(3, "Schedule demo"), (1, "Qualify budget")]),
            (&[" qualify  Budget ".into()], &[(1, "qualify  Budget")]),
            (&[named(1, "Qualify the budget"), "Send offer".into()], &[(1, "Qualify the budget"), (100, "Send offer")]),
            // Without an id, another text is another task.
            (&["Qualify the budget".into()], &[(100, "Qualify the budget")]),
            (&["Schedule demo".into(), "Schedule demo".into()], &[(3, "Schedule demo"), (100, "Schedule demo")]),
            // A text whose item was given to another draft is new.
            (&["Qualify budget".into(), named(1, "Sign")], &[(100, "Qualify budget"), (1, "Sign")]),
        ];
        for (drafts, expected) in table {
            let items: Vec<_> = expected.iter().map(|(id, text)| item(*id, text)).collect();
            assert_eq!(edit(&old, drafts), Ok(items), "{drafts:?}");
        }
    }

    #[test]
    fn drafts_that_make_no_sense_are_refused() {
        let old = [item(1, "Qualify budget")];
        let table: [(&[ItemDraft<u32>], PlaybookError); 3] = [
            (&["Sign".into(), " \t".into()], PlaybookError::TextMissing(1)),
            (&[named(2, "Sign")], PlaybookError::UnknownItem(0)),
            (&[named(1, "Sign"), "Pay".into(), named(1, "Ship")], PlaybookError::RepeatedItem(2)),
        ];
        for (drafts, error) in table {
            assert_eq!(edit(&old, drafts), Err(error));
        }
    }

    #[test]
    fn progress_counts_the_items_that_are_there() {
        let items = [Item { required: true, ..item(1, "Qualify budget") }, item(2, "Schedule demo")];
        let table: [(&[u32], usize, bool); 5] =
            [(&[], 0, false), (&[2], 1, false), (&[1], 1, true), (&[1, 2], 2, true), (&[7], 0, false)];
        for (done, done_count, required_done) in table {
            let ticks: HashMap<_, _> = done.iter().map(|id| (*id, "Ada")).collect();
            let progress = Progress::of(&items, &ticks);
            assert_eq!((progress.done_count, progress.total_count), (done_count, 2), "{done:?}");
            assert_eq!(progress.required_done, required_done, "{done:?}");
            assert_eq!(progress.items[1], (&items[1], done.contains(&2).then_some(&"Ada")));
        }
        assert!(Progress::<u32, ()>::of(&[], &HashMap::new()).required_done);
    }

    proptest! {
        #[test]
        fn no_edit_loses_or_doubles_an_id(
            before in prop::collection::vec("[ab]{1,2}", 0..8), after in prop::collection::vec("[abAB ]{1,2}c?", 0..8),
        ) {
            let old: Vec<_> = (0..).zip(&before).map(|(id, text)| item(id, text)).collect();
            let drafts: Vec<ItemDraft<u32>> =
                after.iter().filter(|text| !text.trim().is_empty()).map(|text| text.as_str().into()).collect();
            let new = edit(&old, &drafts).unwrap();
            let ids: std::collections::HashSet<_> = new.iter().map(|item| item.id).collect();
            prop_assert_eq!(ids.len(), new.len());
            for kept in new.iter().filter(|item| item.id < 100) {
                prop_assert_eq!(folded(&kept.text), folded(&old[kept.id as usize].text));
            }
            // As many items of a text are kept as both lists have.
            for text in ["a", "b", "aa", "ab", "ba", "bb"] {
                let count = |items: &[Item<u32>]| items.iter().filter(|item| folded(&item.text) == text).count();
                let kept = new.iter().filter(|item| item.id < 100 && folded(&item.text) == text).count();
                prop_assert_eq!(kept, count(&old).min(count(&new)));
            }
        }
    }
}
