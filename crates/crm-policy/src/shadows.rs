//! What the drafts among the policies would have decided otherwise: counted, with the latest decisions as examples.
//!
//! Most decisions are made where nothing can be written, so they are noted in memory first and kept from time to time
//! ([`crm_core::Door::keep_notes`]). What a process has not kept when it is killed is lost: a draft is an experiment.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use crm_core::organizations::Organization;
use crm_core::users::User;
use crm_core::{Ctx, Error, Id, Result, Tx};
use diesel::sql_types::{BigInt, Integer, Jsonb, Timestamptz};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::policies::Effect;
use crate::stored_policies::{self, StoredPolicy};

/// How many decisions are kept of each draft.
const KEPT: usize = 20;

/// What a draft would have decided otherwise, since it was last changed.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Shadow {
    /// The draft.
    pub policy_id: Id<StoredPolicy>,
    /// How many decisions.
    pub count: i64,
    /// The first of them.
    pub first_at: Option<DateTime<Utc>>,
    /// The last of them.
    pub last_at: Option<DateTime<Utc>>,
    /// The latest of them, newest first.
    pub examples: Vec<ShadowExample>,
}

/// A decision that a draft would have changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShadowExample {
    /// When.
    pub at: DateTime<Utc>,
    /// Whose request it was.
    #[schema(value_type = Option<String>)]
    pub user_id: Option<Id<User>>,
    /// Their role.
    pub role: String,
    /// What they wanted to do.
    #[schema(example = "edit")]
    pub action: String,
    /// What they wanted to do it to.
    #[schema(example = "deal")]
    pub resource: String,
    /// What would have been decided.
    pub effect: Effect,
    /// Finds the request in the log.
    pub request_id: String,
}

/// What the drafts of an organization come to in a process that has not kept it yet, by their ids.
type Notes = HashMap<String, Note>;

/// What the drafts come to in a process that has not kept it yet.
#[derive(Default)]
pub(crate) struct Shadows(Mutex<HashMap<Id<Organization>, Notes>>);

#[derive(Default)]
struct Note {
    count: i64,
    first_at: DateTime<Utc>,
    examples: VecDeque<ShadowExample>,
}

impl Shadows {
    /// Notes a decision of a draft. What one request is told again and again, about each record of a list say, counts once.
    pub(crate) fn note(&self, ctx: &Ctx, policy: &str, action: &str, resource: &str, effect: Effect) {
        let example = ShadowExample {
            at: ctx.now,
            user_id: ctx.actor.user(),
            role: ctx.role.to_string(),
            action: action.to_owned(),
            resource: resource.to_owned(),
            effect,
            request_id: ctx.request_id.clone(),
        };
        let is_new =
            self.all(|all| all.entry(ctx.organization).or_default().entry(policy.to_owned()).or_default().add(example));
        if is_new {
            tracing::info!(
                request_id = ctx.request_id,
                organization = %ctx.organization,
                policy,
                role = %ctx.role,
                action,
                resource,
                effect = %effect,
                "a draft policy would decide otherwise"
            );
        }
    }

    /// The organizations of which something is not kept yet.
    pub(crate) fn organizations(&self) -> Vec<Id<Organization>> {
        self.all(|all| all.keys().copied().collect())
    }

    /// Keeps what is noted of the transaction's organization.
    ///
    /// # Errors
    /// What the database says; what was noted is lost then.
    pub(crate) fn keep(&self, tx: &mut Tx<'_>) -> Result<()> {
        let notes = self.all(|all| all.remove(&tx.ctx.organization)).unwrap_or_default();
        for (policy, note) in notes {
            let Ok(policy) = policy.parse::<Id<StoredPolicy>>() else { continue };
            let last_at = note.examples.front().map_or(note.first_at, |example| example.at);
            let examples = serde_json::to_value(&note.examples).map_err(|error| Error::Internal(Box::new(error)))?;
            tx.sql::<Integer>(KEEP)
                .with(|s| {
                    s.bind(note.count).bind(note.first_at).bind(last_at).bind(examples).bind(policy).bind(note.first_at)
                })
                .run(tx)?;
        }
        Ok(())
    }

    fn all<T>(&self, work: impl FnOnce(&mut HashMap<Id<Organization>, Notes>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Note {
    fn add(&mut self, example: ShadowExample) -> bool {
        let same = |told: &ShadowExample| {
            (&told.request_id, &told.action, &told.resource)
                == (&example.request_id, &example.action, &example.resource)
        };
        if self.examples.iter().any(same) {
            return false;
        }
        if self.count == 0 {
            self.first_at = example.at;
        }
        self.count += 1;
        self.examples.push_front(example);
        self.examples.truncate(KEPT);
        true
    }
}

/// Adds to what is kept of a draft that is as it was when this was noted.
const KEEP: &str = "INSERT INTO policy_shadows AS s (organization_id, id, count, first_at, last_at, examples) \
     SELECT p.organization_id, p.id, {}, {}, {}, {} FROM policies p \
     WHERE p.organization_id = {org} AND p.id = {} AND p.updated_at <= {} \
     ON CONFLICT (organization_id, id) DO UPDATE SET count = s.count + excluded.count, last_at = excluded.last_at, \
     examples = jsonb_path_query_array(excluded.examples || s.examples, '$[0 to 19]')";

/// What a draft would have decided otherwise, as far as it is kept.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::NotFound`].
pub fn read(tx: &mut Tx<'_>, policy_id: Id<StoredPolicy>) -> Result<Shadow> {
    stored_policies::read(tx, policy_id)?;
    let kept = tx
        .sql::<(BigInt, Timestamptz, Timestamptz, Jsonb)>(
            "SELECT count, first_at, last_at, examples FROM policy_shadows WHERE organization_id = {org} AND id = {}",
        )
        .with(|s| s.bind(policy_id))
        .first::<(i64, DateTime<Utc>, DateTime<Utc>, Value)>(tx)?;
    let Some((count, first_at, last_at, examples)) = kept else {
        return Ok(Shadow { policy_id, count: 0, first_at: None, last_at: None, examples: Vec::new() });
    };
    let examples = serde_json::from_value(examples).map_err(|error| Error::Internal(Box::new(error)))?;
    Ok(Shadow { policy_id, count, first_at: Some(first_at), last_at: Some(last_at), examples })
}

/// Forgets what a draft came to: it is another one now.
///
/// # Errors
/// What the database says.
pub(crate) fn forget(tx: &mut Tx<'_>, policy: Id<StoredPolicy>) -> Result<()> {
    let forget = "DELETE FROM policy_shadows WHERE organization_id = {org} AND id = {}";
    tx.sql::<Integer>(forget).with(|s| s.bind(policy)).run(tx)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_request_is_told_again_counts_once_and_the_latest_are_kept() {
        let example = |request: usize| ShadowExample {
            at: DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(i64::try_from(request).unwrap()),
            user_id: None,
            role: "MANAGER".into(),
            action: "edit".into(),
            resource: "deal".into(),
            effect: Effect::Deny,
            request_id: request.to_string(),
        };
        let mut note = Note::default();
        for request in [1, 1, 2, 1] {
            note.add(example(request));
        }
        assert_eq!((note.count, note.first_at, note.examples.len()), (2, example(1).at, 2));
        (3..100).for_each(|request| assert!(note.add(example(request))));
        assert_eq!((note.count, note.examples.len(), note.examples[0].request_id.as_str()), (99, KEPT, "99"));
    }
}
