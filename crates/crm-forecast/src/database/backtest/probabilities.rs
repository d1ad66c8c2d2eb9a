//! What people said of stages, as it was then.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use crm_core::{Result, Tx};
use diesel::sql_types as st;
use rust_decimal::Decimal;
use serde_json::Value;
use uuid::Uuid;

use crate::probability::Probability;

/// When a probability was changed, and what it was until then.
type Before = (DateTime<Utc>, Option<Decimal>);

/// The stages' configured probabilities at any instant.
pub(in super::super) struct Probabilities {
    present: BTreeMap<Uuid, Option<Decimal>>,
    /// What each was before it was changed, and when that was, ascending.
    before: BTreeMap<Uuid, Vec<Before>>,
}

impl Probabilities {
    pub(in super::super) fn read(tx: &mut Tx<'_>) -> Result<Self> {
        let present: Vec<(Uuid, Option<Decimal>)> = tx
            .sql::<(st::Uuid, st::Nullable<st::Numeric>)>(
                "SELECT id, probability FROM stages WHERE organization_id = {org}",
            )
            .all(tx)?;
        let rows: Vec<(Uuid, Option<Value>, DateTime<Utc>)> = tx
            .sql::<(st::Uuid, st::Nullable<st::Jsonb>, st::Timestamptz)>(
                "SELECT entity_id, old_value, changed_at FROM field_history WHERE organization_id = {org} \
                 AND entity_type = 'stage' AND field_name = 'probability' ORDER BY changed_at, seq",
            )
            .all(tx)?;
        let mut before: BTreeMap<Uuid, Vec<Before>> = BTreeMap::new();
        for (stage, old, changed_at) in rows {
            let told =
                old.and_then(|old| if old.is_null() { Some(None) } else { old.to_string().parse().ok().map(Some) });
            if let Some(old) = told {
                before.entry(stage).or_default().push((changed_at, old));
            }
        }
        Ok(Self { present: present.into_iter().collect(), before })
    }

    pub(in super::super) fn at(&self, stage: Uuid, at: DateTime<Utc>) -> Option<Probability> {
        let later = self.before.get(&stage).and_then(|changes| changes.iter().find(|(changed_at, _)| *changed_at > at));
        let configured = later.map(|(_, old)| *old).or_else(|| self.present.get(&stage).copied()).flatten()?;
        Probability::new(configured).ok()
    }
}
