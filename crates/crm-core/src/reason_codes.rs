//! Why fields change, and why deals are won and lost: codes that can be counted, beside free notes.
use diesel::sql_types::{Integer, Text};

use crate::{Error, Id, Result, Tx};

/// A code of the organization's list.
#[derive(Debug)]
pub enum ReasonCode {}

/// What a new organization starts with: for changes, for won and for lost deals.
pub const DEFAULTS: [(&str, &[&str]); 3] = [
    ("change", &["progressed", "regressed", "correction", "customer_request", "data_quality", "revert", "other"]),
    ("won", &["best_price", "best_fit", "relationship", "timing", "other"]),
    ("lost", &["price", "competitor", "no_budget", "no_decision", "timing", "missing_feature", "other"]),
];

/// Gives a new organization its first codes.
pub(crate) fn seed(tx: &mut Tx<'_>) -> Result<()> {
    for (outcome, codes) in DEFAULTS {
        for (position, code) in (1..).zip(codes) {
            tx.sql::<Integer>(
                "INSERT INTO reason_codes (organization_id, id, outcome, code, label, position) VALUES ({org}, {}, {}, {}, {}, {})",
            )
            .with(|s| s.bind(Id::<ReasonCode>::new()).bind(outcome).bind(*code).bind(label(code)).bind(position))
            .run(tx)?;
        }
    }
    Ok(())
}

fn label(code: &str) -> String {
    let mut label = code.replace('_', " ");
    if let Some(first) = label.get_mut(0..1) {
        first.make_ascii_uppercase();
    }
    label
}

/// The codes in force for an outcome (`change`, `won` or `lost`), in their order.
///
/// # Errors
/// What the database says.
pub fn active(tx: &mut Tx<'_>, outcome: &str) -> Result<Vec<String>> {
    tx.sql::<Text>(
        "SELECT code FROM reason_codes WHERE organization_id = {org} AND outcome = {} AND is_active ORDER BY position",
    )
    .with(|s| s.bind(outcome))
    .all(tx)
    .map_err(Error::from)
}
