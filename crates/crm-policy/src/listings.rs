//! Policies as administrators read them: their own, and the built-in ones beside them, in one shape.

use chrono::{DateTime, Utc};
use crm_core::{Error, Page, Result, Tx};
use serde::Serialize;
use utoipa::ToSchema;

use crate::catalogue::built_in;
use crate::policies::Policy;
use crate::stored_policies::{self, PolicyFields, StoredPolicy};

/// A policy as administrators read it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListedPolicy {
    /// Its id: a UUID, or for a built-in one a text that names role, action and resource.
    pub id: String,
    /// Its fields.
    #[serde(flatten)]
    pub fields: PolicyFields,
    /// Built-in policies are the same in every organization. They can be read and not changed.
    pub built_in: bool,
    /// When it was made; built-in ones never were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<DateTime<Utc>>,
    /// When it was last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<DateTime<Utc>>,
    /// Counts its changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
}

impl From<StoredPolicy> for ListedPolicy {
    fn from(stored: StoredPolicy) -> Self {
        let StoredPolicy { id, fields, created_at, updated_at, version } = stored;
        Self {
            id: id.to_string(),
            fields,
            built_in: false,
            created_at: Some(created_at),
            updated_at: Some(updated_at),
            version: Some(version),
        }
    }
}

impl From<&Policy> for ListedPolicy {
    fn from(policy: &Policy) -> Self {
        let fields = PolicyFields {
            name: policy.name.clone(),
            role: policy.role.to_string(),
            action: policy.action.to_string(),
            resource: policy.resource.to_string(),
            field: policy.field.clone(),
            effect: policy.effect.to_string(),
            condition: policy.condition.as_ref().and_then(|condition| serde_json::to_value(condition).ok()),
            is_active: policy.is_active,
            is_draft: policy.is_draft,
        };
        let id = policy.id.clone();
        Self { id, fields, built_in: policy.is_built_in, created_at: None, updated_at: None, version: None }
    }
}

/// A page of the organization's own policies.
///
/// # Errors
/// As [`stored_policies::list`].
pub fn own(tx: &mut Tx<'_>, query: &[(String, String)]) -> Result<Page<ListedPolicy>> {
    let Page { items, next_cursor, total } = stored_policies::list(tx, query)?;
    Ok(Page { items: items.into_iter().map(ListedPolicy::from).collect(), next_cursor, total })
}

/// All built-in policies, on one page.
///
/// # Errors
/// [`Error::Forbidden`].
pub fn built_in_ones(tx: &mut Tx<'_>) -> Result<Page<ListedPolicy>> {
    stored_policies::check_may_manage(tx)?;
    let items = built_in()?.iter().map(ListedPolicy::from).collect();
    Ok(Page { items, next_cursor: None, total: None })
}

/// One policy by its id, a built-in one too.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::NotFound`].
pub fn one(tx: &mut Tx<'_>, id: &str) -> Result<ListedPolicy> {
    stored_policies::check_may_manage(tx)?;
    if let Some(policy) = built_in()?.iter().find(|policy| policy.id == id) {
        return Ok(policy.into());
    }
    stored_policies::read(tx, id.parse().map_err(|_| Error::NotFound)?).map(ListedPolicy::from)
}

/// The id of a policy that can be changed.
///
/// # Errors
/// [`Error::Forbidden`] `built_in` for a built-in one, [`Error::NotFound`] for what is no id.
pub fn changeable<T>(id: &str) -> Result<crm_core::Id<T>> {
    if built_in()?.iter().any(|policy| policy.id == id) {
        let reason = "A built-in policy can be read and not changed; write one that denies what it allows.".into();
        return Err(Error::Forbidden { code: "built_in", reason });
    }
    id.parse().map_err(|_| Error::NotFound)
}
