//! Changes that are allowed once somebody else has approved them.
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{change::FieldDiff, gate::Ask};

/// What was asked for, as far as it is known where it was stopped.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// What the caller wants to do, as in a policy.
    pub action: &'static str,
    /// To which kind of record.
    pub kind: &'static str,
    /// To which record; none where it would be a new one.
    pub id: Option<Uuid>,
    /// At which of its versions.
    pub version: Option<i64>,
    /// The business unit that it belongs to, or would.
    pub business_unit: Option<Uuid>,
    /// The fields that would change.
    pub diffs: Vec<FieldDiff>,
    /// The policy that asks for the approval.
    pub policy_id: String,
    /// Why, in a sentence that names the policy.
    pub reason: String,
    /// The body that would change the record so by its own command, where the request was another.
    pub body: Option<Map<String, Value>>,
}

impl Proposal {
    /// What a question to the gate would come to, once it is approved.
    pub fn of(ask: &Ask<'_>, policy_id: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            action: ask.action.as_str(),
            kind: ask.kind,
            id: None,
            version: None,
            business_unit: ask.before.or(ask.after).and_then(business_unit),
            diffs: ask.diffs.to_vec(),
            policy_id: policy_id.into(),
            reason: reason.into(),
            body: None,
        }
    }

    /// The same, asked for by this body.
    #[must_use]
    pub(crate) fn by(self, body: Map<String, Value>) -> Self {
        Self { body: Some(body), ..self }
    }

    /// The same, of this record.
    #[must_use]
    pub(crate) fn about(self, id: Uuid, version: i64) -> Self {
        Self { id: Some(id), version: Some(version), ..self }
    }
}

/// A request that waits for the caller's decision: as much of it as everybody may know who may decide it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Awaited {
    /// Its id.
    pub id: Uuid,
    /// Counts its changes.
    pub version: i64,
    /// What the requester wants to do, as in a policy.
    pub action: String,
    /// To which kind of record.
    pub resource: String,
    /// When it was asked for.
    pub since: DateTime<Utc>,
}

fn business_unit(members: &Map<String, Value>) -> Option<Uuid> {
    members.get("businessUnitId")?.as_str()?.parse().ok()
}
