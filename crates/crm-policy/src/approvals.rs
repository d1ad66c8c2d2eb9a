//! Requests that somebody else has to approve: frozen as they were made, decided once, and then done exactly as asked.
//!
//! What is approved is done in the requester's name, through the record's own commands, in the transaction of the decision:
//! the rights that the requester has by then, and every rule, hold again. Nobody decides a request of their own. A request
//! that is not decided in time is over, and so is one whose fields somebody has changed meanwhile.

mod awaited;
mod expiry;
mod requests;
mod verdicts;
mod voiding;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use crm_core::business_units::BusinessUnit;
use crm_core::events::{self, Announcement};
use crm_core::gate::{Action, Ask};
use crm_core::proposals::RequiringPolicy;
use crm_core::record::{Field, FieldKind};
use crm_core::select::Condition;
use crm_core::users::{Role, User};
use crm_core::{Ctx, Error, Id, Page, Record, Result, Tx, masks, page, record_rows};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

pub use self::awaited::awaited;
pub use self::expiry::ExpiryJob;
pub use self::requests::request;
pub use self::verdicts::{approve, cancel, close, ending, reject};
pub(crate) use self::voiding::{void, withdraw};
use crate::schema::approvals;

/// How long a request waits for its decision.
pub const LIFE: TimeDelta = TimeDelta::hours(72);

/// A request that somebody else has to approve.
#[derive(Debug, Clone, Serialize, Queryable, Selectable, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = approvals)]
pub struct Approval {
    /// Its id.
    pub id: Id<Approval>,
    /// What is asked for, and what became of it.
    #[serde(flatten)]
    #[diesel(embed)]
    pub fields: ApprovalFields,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts its changes.
    pub version: i64,
}

/// What is asked for, and what became of it. Nobody sets it but the rules.
#[derive(Debug, Clone, Serialize, Deserialize, Validate, Queryable, Selectable, Insertable, AsChangeset, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = approvals, treat_none_as_null = true)]
pub struct ApprovalFields {
    /// The business unit of the record.
    pub business_unit_id: Option<Id<BusinessUnit>>,
    /// What the requester wants to do, as in a policy.
    #[schema(example = "mark_won_lost")]
    pub action: String,
    /// To which kind of record.
    #[schema(example = "deal")]
    pub resource: String,
    /// To which record; of a new one, once it is made.
    pub resource_id: Option<Uuid>,
    /// At which of its versions.
    pub resource_version: Option<i64>,
    /// What is done with the record, where that is neither its creation nor its change nor its deletion: `convert`.
    pub command: Option<String>,
    /// The fields that would change: `[{fieldName, oldValue, newValue}]`, with `resource` and `resourceId` for those of another
    /// record that would be made or changed with it. A close tells its review (`winLossReview.notes`), a deletion what would
    /// be lost.
    #[schema(value_type = Vec<Object>)]
    pub changes: Value,
    /// Why it has to be approved, in sentences that name the policies.
    pub reason: String,
    /// The first of the policies.
    pub policy_id: String,
    /// Every policy that wants the approval, with its name as it was.
    #[schema(value_type = Vec<RequiringPolicy>)]
    pub policies: Value,
    /// `pending`, `executed`, `rejected`, `expired`, `stale`, `failed` or `cancelled`.
    pub status: String,
    /// Who asks.
    pub requested_by: Id<User>,
    /// The API key that asks in their name, where one does.
    pub api_key_id: Option<Uuid>,
    /// Who has decided.
    pub decided_by: Option<Id<User>>,
    /// When.
    pub decided_at: Option<DateTime<Utc>>,
    /// Finds what was done in the field history.
    pub change_set_id: Option<Uuid>,
    /// Why it could not be done.
    pub failure: Option<String>,
    /// When it is over, if nobody decides.
    pub expires_at: DateTime<Utc>,
}

impl Default for ApprovalFields {
    fn default() -> Self {
        Self {
            business_unit_id: None,
            action: String::new(),
            resource: String::new(),
            resource_id: None,
            resource_version: None,
            command: None,
            changes: Value::Array(Vec::new()),
            reason: String::new(),
            policy_id: String::new(),
            policies: Value::Array(Vec::new()),
            status: PENDING.into(),
            requested_by: Id::default(),
            api_key_id: None,
            decided_by: None,
            decided_at: None,
            change_set_id: None,
            failure: None,
            expires_at: DateTime::UNIX_EPOCH,
        }
    }
}

const PENDING: &str = "pending";
const CANCELLED: &str = "cancelled";
/// How a request ended that nobody decided in time; also the code of what then refuses to decide it.
pub const EXPIRED: &str = "expired";

/// What a request can be.
pub const STATUSES: [&str; 7] = [PENDING, "executed", "rejected", EXPIRED, "stale", "failed", CANCELLED];

impl Record for Approval {
    const KIND: &'static str = "approval";
    const TABLE: &'static str = "approvals";
    const FIELDS: &'static [Field] = &[
        Field::new("businessUnitId", "business_unit_id", FieldKind::Reference("business_units")),
        Field::new("action", "action", FieldKind::Text).read_only(),
        Field::new("resource", "resource", FieldKind::Text).read_only(),
        Field::new("resourceId", "resource_id", FieldKind::Json).read_only(),
        Field::new("resourceVersion", "resource_version", FieldKind::Json).read_only(),
        Field::new("command", "command", FieldKind::Text).read_only(),
        Field::new("changes", "changes", FieldKind::Json).read_only(),
        Field::new("reason", "reason", FieldKind::LongText).read_only(),
        Field::new("policyId", "policy_id", FieldKind::Text).read_only(),
        Field::new("policies", "policies", FieldKind::Json).read_only(),
        Field::new("status", "status", FieldKind::Choice(&STATUSES)).read_only(),
        Field::new("requestedBy", "requested_by", FieldKind::Reference("users")).read_only(),
        Field::new("apiKeyId", "api_key_id", FieldKind::Json).read_only(),
        Field::new("decidedBy", "decided_by", FieldKind::Reference("users")).read_only(),
        Field::new("decidedAt", "decided_at", FieldKind::Instant).read_only(),
        Field::new("changeSetId", "change_set_id", FieldKind::Json).read_only(),
        Field::new("failure", "failure", FieldKind::LongText).read_only(),
        Field::new("expiresAt", "expires_at", FieldKind::Instant).read_only(),
    ];
    const IN_UNITS: bool = true;
    record_rows!(ApprovalFields, approvals);
}

/// A page of requests: those of the caller, and for ADMIN and MANAGER all of their business units.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::Malformed`].
pub fn list(tx: &mut Tx<'_>, query: &[(String, String)]) -> Result<Page<Approval>> {
    let mut query = query.to_vec();
    let mut conditions = Vec::new();
    if sees_own_alone(tx.ctx) {
        conditions.push(Condition::Compare("requested_by".into(), "=", tx.ctx.actor.user().into()));
    }
    // A request is over at an instant, not when somebody notes it.
    let is = |op, status: &str| Condition::Compare("status".into(), op, status.into());
    let over = |op| Condition::Compare("expires_at".into(), op, tx.ctx.now.into());
    match query.iter().find(|(name, _)| name == "status").map(|(_, value)| value.as_str()) {
        Some(PENDING) => conditions.push(over(">")),
        Some(EXPIRED) => {
            conditions.push(Condition::Any(vec![is("=", EXPIRED), Condition::All(vec![is("=", PENDING), over("<=")])]));
            query.retain(|(name, _)| name != "status");
        }
        _ => {}
    }
    page::list_where(tx, &query, conditions)
}

/// One request.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::NotFound`].
pub fn read(tx: &mut Tx<'_>, id: Id<Approval>) -> Result<Approval> {
    tx.ctx.gate.check(tx.ctx, &Ask::about(Action::View, Approval::KIND))?;
    let approval = tx.find(id)?;
    check_visible(tx.ctx, &approval)?;
    Ok(approval)
}

/// A request as the caller sees it: without the fields that are hidden from them, and over when its time is.
///
/// # Errors
/// [`Error::Internal`] where it is no JSON object.
pub fn seen(ctx: &Ctx, approval: &Approval) -> Result<Map<String, Value>> {
    let mut members = masks::withheld(ctx, approval, &[])?;
    masks::mask(ctx, Approval::KIND, &mut members);
    if approval.fields.status == PENDING && approval.fields.expires_at <= ctx.now {
        members.insert("status".into(), EXPIRED.into());
    }
    if let Some(Value::Array(changes)) = members.get_mut("changes") {
        let resource = |change: &Value| change["resource"].as_str().unwrap_or(&approval.fields.resource).to_owned();
        let hidden: BTreeMap<_, _> = changes
            .iter()
            .map(&resource)
            .map(|resource| (ctx.gate.hidden(ctx, &resource, None), resource))
            .map(|(hidden, resource)| (resource, hidden))
            .collect();
        let is_hidden = |change: &Value| {
            let hidden = hidden.get(&resource(change)).map_or(&[][..], Vec::as_slice);
            change["fieldName"].as_str().is_some_and(|name| masks::is_hidden(hidden, name))
        };
        changes.retain(|change| !is_hidden(change));
    }
    Ok(members)
}

fn sees_own_alone(ctx: &Ctx) -> bool {
    ctx.role < Role::Manager
}

fn check_visible(ctx: &Ctx, approval: &Approval) -> Result<()> {
    let is_own = ctx.actor.user() == Some(approval.fields.requested_by);
    if is_own || !sees_own_alone(ctx) { Ok(()) } else { Err(Error::NotFound) }
}

/// Tells others of a request, without what it would change.
fn announce(tx: &mut Tx<'_>, kind: &'static str, approval: &Approval) -> Result<()> {
    let fields = &approval.fields;
    let details = json!({
        "action": fields.action,
        "resource": fields.resource,
        "resourceId": fields.resource_id,
        "status": fields.status,
    });
    let (entity_type, entity_id) = (Approval::KIND, approval.id.uuid());
    let business_unit_id = fields.business_unit_id;
    events::announce(tx, Announcement { kind, entity_type, entity_id, business_unit_id, details: Some(details) })
}
