//! Taking an item off the list until something of it changes.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::{Candidate, ReasonCode, reasons};

/// One thing that presses: a reason without its points and words, which change from day to day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ground<E> {
    /// The reason.
    pub code: ReasonCode,
    /// What proves it.
    pub evidence: Option<E>,
}

/// A person's word that they know of an item, with how it stood then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dismissal<E> {
    /// The version of the item's record.
    pub version: i64,
    /// When the record had last been touched, as far as the person saw that.
    pub touched_at: Option<DateTime<Utc>>,
    /// What pressed.
    pub grounds: Vec<Ground<E>>,
}

/// What presses for an item, whatever the other items are worth: its rank among them is no fact of its own.
#[must_use]
pub fn grounds<I, E: Clone>(candidate: &Candidate<I, E>, today: NaiveDate) -> Vec<Ground<E>> {
    let reasons = reasons::reasons(candidate, &[], today).into_iter();
    reasons.map(|reason| Ground { code: reason.code, evidence: reason.evidence }).collect()
}

impl<I, E: Clone + PartialEq> Candidate<I, E> {
    /// Is it off the list? It is while its record is neither changed nor touched and nothing presses that did not then. A
    /// ground that is gone is no news, and days that go by are none either.
    #[must_use]
    pub fn is_dismissed(&self, today: NaiveDate) -> bool {
        self.dismissal.as_ref().is_some_and(|dismissal| {
            dismissal.version == self.version
                && dismissal.touched_at == self.touched_at
                && grounds(self, today).iter().all(|ground| dismissal.grounds.contains(ground))
        })
    }
}
