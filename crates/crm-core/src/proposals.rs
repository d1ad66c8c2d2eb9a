//! Changes that are allowed once somebody else has approved them.
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{Error, Result, Tx, change::FieldDiff, gate::Ask};

/// How many requests for approval one request, or one import, can make: somebody has to look at each.
pub const MOST_AT_ONCE: usize = 100;

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
    /// What would change of other records with it.
    pub besides: Vec<Beside>,
    /// The policies that ask for the approval, each once.
    pub policies: Vec<RequiringPolicy>,
    /// Why, in sentences that name them.
    pub reason: String,
    /// The body that would do it, where the request was another.
    pub body: Option<Map<String, Value>>,
    /// What would be done with the record, where it is neither made nor changed nor deleted by its own command.
    pub command: Option<&'static str>,
}

/// A policy that asks for an approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RequiringPolicy {
    /// Its id.
    pub id: String,
    /// Its name, as it was when it asked.
    #[schema(example = "Large deals need a second pair of eyes")]
    pub name: String,
}

/// What would change of another record than the one that is asked about.
#[derive(Debug, Clone, PartialEq)]
pub struct Beside {
    /// What kind of record.
    pub kind: &'static str,
    /// Which one; none where it would be a new one.
    pub id: Option<Uuid>,
    /// The fields that would change.
    pub diffs: Vec<FieldDiff>,
}

impl Proposal {
    /// What a question to the gate would come to, once it is approved.
    pub fn of(ask: &Ask<'_>, policies: Vec<RequiringPolicy>, reason: impl Into<String>) -> Self {
        Self {
            action: ask.action.as_str(),
            kind: ask.kind,
            id: None,
            version: None,
            business_unit: ask.before.or(ask.after).and_then(business_unit),
            diffs: ask.diffs.to_vec(),
            besides: Vec::new(),
            policies,
            reason: reason.into(),
            body: None,
            command: None,
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

    /// The same, asked for by this body where it is about that record, or a new one of the kind; a body is about no other that
    /// changes with it.
    #[must_use]
    pub(crate) fn asked(self, kind: &str, id: Option<Uuid>, body: Map<String, Value>) -> Self {
        if self.kind == kind && self.id == id { self.by(body) } else { self }
    }

    /// Adds what else of the same request has to be approved: whoever decides is told of every policy.
    pub(crate) fn join(&mut self, other: Self) {
        for policy in other.policies {
            if !self.policies.contains(&policy) {
                self.policies.push(policy);
            }
        }
        if !self.reason.contains(&other.reason) {
            self.reason = format!("{} {}", self.reason, other.reason);
        }
    }
}

/// What changes, as whoever decides is told: `[{fieldName, oldValue, newValue}]`, with `resource` and `resourceId` where it is
/// of another record.
///
/// # Errors
/// [`Error::Internal`] where it is no JSON.
pub fn told(diffs: &[FieldDiff], besides: &[Beside]) -> Result<Value> {
    let internal = |error| Error::Internal(Box::new(error));
    let mut told: Vec<Value> = diffs.iter().map(serde_json::to_value).collect::<Result<_, _>>().map_err(internal)?;
    for beside in besides {
        for diff in &beside.diffs {
            let mut change = serde_json::to_value(diff).map_err(internal)?;
            change["resource"] = beside.kind.into();
            change["resourceId"] = beside.id.map_or(Value::Null, |id| id.to_string().into());
            told.push(change);
        }
    }
    Ok(Value::Array(told))
}

/// Changes what is proposed, where something is.
pub(crate) fn proposing<T>(done: Result<T>, amend: impl FnOnce(Proposal) -> Proposal) -> Result<T> {
    done.map_err(|error| match error {
        Error::NeedsApproval(proposal) => Error::NeedsApproval(Box::new(amend(*proposal))),
        error => error,
    })
}

/// Keeps what has to be approved as a request for that, and gives back its id.
///
/// # Errors
/// [`Error::NeedsApproval`] where it cannot wait.
pub(crate) fn keep(tx: &mut Tx<'_>, proposal: Proposal) -> Result<Uuid> {
    let gates = Arc::clone(&tx.ctx.gates);
    gates.wait(tx, proposal)
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
