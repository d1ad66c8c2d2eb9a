//! The policies of an organization, as its administrators write them.
//!
//! They are records like any other, with a version and a field history. Every change is checked by the grammar of
//! [`Policy`], must leave somebody who can take it back, and counts the organization's `policy_version` on, by which every
//! process notices it at its next request.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use crm_core::change::{Change, Draft};
use crm_core::gate::{Action as GateAction, Ask};
use crm_core::history::kinds::Kind;
use crm_core::record::{Field, FieldKind};
use crm_core::select::Condition as Where;
use crm_core::{Error, Id, Page, Patch, Record, Result, Tx, organizations, page, record_rows};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use validator::Validate;

use crate::attributes::Registry;
use crate::built_in_policies::example_policies;
use crate::catalogue::{built_in, catalogue};
use crate::clocks::RequestAttribute;
use crate::conditions::Condition;
use crate::engine::Engine;
use crate::gate::House;
use crate::lockouts::{POLICY_RESOURCE, check_lockout};
use crate::policies::{Action, Effect, Policy, Role};
use crate::registries::{registry_for, registry_of, unknown_ids};
use crate::schema::policies;
use crate::shadows;
use crate::violations::Violation;

/// A policy of an organization.
#[derive(Debug, Clone, Serialize, Queryable, Selectable, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = policies)]
pub struct StoredPolicy {
    /// Its id.
    pub id: Id<StoredPolicy>,
    /// Its fields.
    #[serde(flatten)]
    #[diesel(embed)]
    pub fields: PolicyFields,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts its changes.
    pub version: i64,
}

/// What can be set of a policy.
#[derive(Debug, Clone, Serialize, Deserialize, Validate, Queryable, Selectable, Insertable, AsChangeset, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = policies, treat_none_as_null = true)]
pub struct PolicyFields {
    /// The name that a refusal gives as its reason.
    #[schema(example = "Large deals need a second pair of eyes")]
    pub name: String,
    /// Whom it speaks about: `ADMIN`, `MANAGER`, `SALES_REP`, or `ANY`.
    pub role: String,
    /// What they want to do.
    #[schema(example = "mark_won_lost")]
    pub action: String,
    /// What they want to do it to: `deal`, `deal.value`, `deal.*` or `*`.
    #[schema(example = "deal")]
    pub resource: String,
    /// The field, where the action is on fields and the resource names none.
    pub field: Option<String>,
    /// `allow`, `deny` or `require_approval`. Where it is left out, `view_field`, `edit_field` and `export_data` are denied.
    #[schema(example = "require_approval")]
    pub effect: String,
    /// When it holds: `{attr, op, value}` or `{attr, op, ref}`, joined by `all`, `any` and `not`; always where there is none.
    /// `attr` is a field of the record, a custom field (`customFields.region`), or of the request: `request.at`, `request.on`,
    /// `request.time` (`HH:MM`), `request.weekday` (`monday` to `sunday`), in the organization's zone. `op` is `eq`, `ne`, `lt`,
    /// `le`, `gt`, `ge`, `in`, `notIn`, `isNull`; for tags `contains` and `containsAny`. `ref` is `caller.id`,
    /// `caller.businessUnitIds`, or `now` and `today`, from which `days` leads away: `{attr: "expectedCloseDate", op: "lt", ref:
    /// "today", days: -30}`. Ids must exist.
    #[schema(value_type = Option<Object>)]
    pub condition: Option<Value>,
    /// An inactive policy does nothing.
    pub is_active: bool,
    /// A draft is watched and not enforced: what it would have decided otherwise goes to the log.
    pub is_draft: bool,
}

impl Default for PolicyFields {
    fn default() -> Self {
        let text = String::new;
        Self {
            name: text(),
            role: text(),
            action: text(),
            resource: text(),
            field: None,
            effect: text(),
            condition: None,
            is_active: true,
            is_draft: false,
        }
    }
}

const ROLES: [&str; 4] = ["ANY", Role::Admin.as_str(), Role::Manager.as_str(), Role::SalesRep.as_str()];

impl Record for StoredPolicy {
    const KIND: &'static str = POLICY_RESOURCE;
    const TABLE: &'static str = "policies";
    const FIELDS: &'static [Field] = &[
        Field::new("name", "name", FieldKind::Text).required().sortable(),
        Field::new("role", "role", FieldKind::Choice(&ROLES)).required(),
        Field::new("action", "action", FieldKind::Choice(Action::NAMES)).required(),
        Field::new("resource", "resource", FieldKind::Text).required(),
        Field::new("field", "field", FieldKind::Text),
        Field::new("effect", "effect", FieldKind::Choice(Effect::NAMES)),
        Field::new("condition", "condition", FieldKind::Json),
        Field::new("isActive", "is_active", FieldKind::Bool),
        Field::new("isDraft", "is_draft", FieldKind::Bool),
    ];
    const DEFAULT_SORT: &'static str = "createdAt";
    record_rows!(PolicyFields, policies);

    fn check_new(tx: &mut Tx<'_>, draft: &mut Draft<Self>) -> Result<()> {
        let count = "SELECT count(*) FROM policies WHERE organization_id = {org}";
        let there: i64 = tx.sql::<BigInt>(count).one(tx)?;
        if there >= MOST {
            draft.refuse("name", "too_many", format!("An organization can have {MOST} policies at most."));
        }
        Ok(())
    }
}

/// A policy in the field history, read as it stood and set back under the rules for any change of one.
pub const HISTORY: Kind = Kind::of::<StoredPolicy>(|tx, id, patch| update(tx, id.into(), patch).map(drop));

/// More policies than this in one organization nobody could explain, and loading them would take too long.
const MOST: i64 = 500;

impl StoredPolicy {
    /// The policy as the engine takes it.
    fn policy(&self, registry: &Registry) -> Result<Policy> {
        let policy = Policy::stored(self.id.to_string(), &self.fields.json(), registry);
        policy.map_err(|faults| Error::internal(format!("policy {} cannot be read: {faults:?}", self.id)))
    }
}

impl PolicyFields {
    /// The policy as somebody would write it.
    fn json(&self) -> Value {
        let mut json = serde_json::to_value(self).unwrap_or_default();
        if let (true, Some(members)) = (self.effect.is_empty(), json.as_object_mut()) {
            members.shift_remove("effect");
        }
        json
    }

    /// Every fault of the policy by the grammar, and by what the house asks about. What was checked when it was written and
    /// what it speaks of may be gone since.
    fn judge(&self, registry: &Registry, was_checked: bool) -> Result<Policy, Vec<Violation>> {
        let read = if was_checked { Policy::stored } else { Policy::read };
        let policy = read("candidate".to_owned(), &self.json(), registry)?;
        let faults = unanswerable(&policy);
        if faults.is_empty() { Ok(policy) } else { Err(faults) }
    }
}

/// What is asked once for all records, before any is known, can't depend on one, and nobody could approve it later.
fn unanswerable(policy: &Policy) -> Vec<Violation> {
    if !is_asked_at_once(policy.action) {
        return Vec::new();
    }
    let asks_record = policy.condition.as_ref().is_some_and(Condition::asks_record);
    let conditional = asks_record.then(|| {
        let known = RequestAttribute::NAMES.join(", ");
        let message =
            format!("{} is asked about all records at once: a condition compares {known} alone.", policy.action);
        Violation::new("/condition", "condition_not_applicable", message)
    });
    let waits = (policy.effect == Effect::RequireApproval).then(|| {
        let message = format!("{} is asked about all records at once and takes no approval.", policy.action);
        Violation::new("/effect", "invalid_effect", message)
    });
    conditional.into_iter().chain(waits).collect()
}

/// Is the action asked about a whole kind of record, and never again about one of them?
pub(crate) fn is_asked_at_once(action: Action) -> bool {
    matches!(action, Action::View | Action::ExportData | Action::Manage | Action::SendEmail)
}

/// The place of a fault as every body names it: `/condition/all/0/op` is `condition.all[0].op`.
pub(crate) fn field_at(pointer: &str) -> String {
    let mut place = String::new();
    for step in pointer.split('/').skip(1) {
        match step.parse::<usize>() {
            Ok(index) => place.push_str(&format!("[{index}]")),
            Err(_) if place.is_empty() => place.push_str(step),
            Err(_) => place.push_str(&format!(".{}", step.replace("~1", "/").replace("~0", "~"))),
        }
    }
    place
}

/// Creates a policy.
///
/// # Errors
/// [`Error::Forbidden`]; [`Error::Invalid`] with every fault, `lockout` where nobody could take it back.
pub fn create(tx: &mut Tx<'_>, patch: Patch) -> Result<StoredPolicy> {
    check_may_manage(tx)?;
    let mut draft = Draft::<StoredPolicy>::new(tx, patch)?;
    organizations::renew_policies(tx)?;
    match judge(tx, draft.fields(), &Judging::NEW)? {
        Ok(policy) => draft.amend(|fields| fields.effect = policy.effect.to_string()),
        Err(faults) => faults.into_iter().for_each(|it| draft.refuse(field_at(&it.pointer), it.code, it.message)),
    }
    tx.permit_new(draft)?.insert(tx)
}

/// Changes a policy.
///
/// # Errors
/// As [`create`]; [`Error::NotFound`], [`Error::Stale`].
pub fn update(tx: &mut Tx<'_>, id: Id<StoredPolicy>, patch: Patch) -> Result<StoredPolicy> {
    check_may_manage(tx)?;
    organizations::renew_policies(tx)?;
    let policy = tx.lock(id)?;
    let mut change = Change::new(tx, policy, patch)?;
    let judging = Judging::of(&change);
    if let Err(faults) = judge(tx, change.after(), &judging)? {
        faults.into_iter().for_each(|it| change.refuse(field_at(&it.pointer), it.code, it.message));
    }
    let permitted = tx.permit(change)?;
    shadows::forget(tx, id)?;
    permitted.save(tx)
}

/// Removes a policy.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::NotFound`], [`Error::Stale`].
pub fn delete(tx: &mut Tx<'_>, id: Id<StoredPolicy>, patch: &Patch) -> Result<()> {
    check_may_manage(tx)?;
    organizations::renew_policies(tx)?;
    tx.delete(id, patch).map(drop)
}

/// A page of the organization's own policies.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::Malformed`].
pub fn list(tx: &mut Tx<'_>, query: &[(String, String)]) -> Result<Page<StoredPolicy>> {
    check_may_manage(tx)?;
    page::list(tx, query)
}

/// One policy.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::NotFound`].
pub fn read(tx: &mut Tx<'_>, id: Id<StoredPolicy>) -> Result<StoredPolicy> {
    check_may_manage(tx)?;
    tx.find(id)
}

/// Gives a new organization its first policies.
///
/// # Errors
/// What the database says.
pub fn seed(tx: &mut Tx<'_>) -> Result<()> {
    let examples = example_policies(catalogue(), String::new);
    let examples =
        examples.map_err(|faults| Error::internal(format!("the first policies cannot be read: {faults:?}")))?;
    for example in examples {
        let Value::Object(mut members) = serde_json::to_value(&example).unwrap_or_default() else { continue };
        members.retain(|name, _| StoredPolicy::FIELDS.iter().any(|field| field.name == name));
        create(tx, Patch::from(members))?;
    }
    Ok(())
}

/// Who may not manage policies may not even look at them: a policy tells what is hidden, and how to be told.
///
/// # Errors
/// [`Error::Forbidden`].
pub fn check_may_manage(tx: &Tx<'_>) -> Result<()> {
    tx.ctx.gate.check(tx.ctx, &Ask::about(GateAction::Manage, StoredPolicy::KIND))
}

/// What the transaction's organization decides by, as it stands.
///
/// # Errors
/// What the database says.
pub(crate) fn house(tx: &mut Tx<'_>) -> Result<House> {
    let zone = organizations::zone(tx)?;
    let (policies, registry) = all(tx, None)?;
    let engine = Engine::compile(policies).map_err(|error| Error::Internal(Box::new(error)))?;
    Ok(House { engine, registry, zone })
}

/// Every policy of the organization that is in force or watched, the built-in ones first, and what they speak about.
fn all(tx: &mut Tx<'_>, except: Option<Id<StoredPolicy>>) -> Result<(Vec<Policy>, Cow<'static, Registry>)> {
    let mut set = built_in()?.to_vec();
    let select = tx.records::<StoredPolicy>().order("created_at", false);
    let select = match except {
        Some(id) => select.and(Where::Compare("id".into(), "<>", id.into())),
        None => select,
    };
    let stored = StoredPolicy::load(tx, select)?;
    let conditions = stored.iter().map(|it| &it.fields);
    let registry = registry_of(tx, conditions.filter_map(|it| Some((it.resource.as_str(), it.condition.as_ref()?))))?;
    for stored in stored {
        set.push(stored.policy(&registry)?);
    }
    Ok((set, registry))
}

/// How much of a policy has to be judged anew, and where a fault of the whole set stands.
struct Judging {
    /// The policy that it replaces.
    replaced: Option<Id<StoredPolicy>>,
    /// Neither what it speaks about nor its condition are set now, nor is it put in force.
    was_checked: bool,
    /// The members that are set and by which it can lock everybody out.
    set: Vec<String>,
}

/// Of these members depends what a policy speaks about.
const TERMS: [&str; 4] = ["action", "resource", "field", "condition"];

impl Judging {
    const NEW: Self = Self { replaced: None, was_checked: false, set: Vec::new() };

    fn of(change: &Change<StoredPolicy>) -> Self {
        let (before, after) = (&change.before().fields, change.after());
        let starts = (after.is_active && !before.is_active) || (before.is_draft && !after.is_draft);
        let decides = |name: &&str| !matches!(*name, "name");
        let set =
            change.diffs().iter().map(|diff| diff.field_name.as_str()).filter(decides).map(str::to_owned).collect();
        Self {
            replaced: Some(change.before().id),
            was_checked: !starts && !TERMS.iter().any(|term| change.touches(term)),
            set,
        }
    }
}

/// Judges a policy by itself, and then the set that it would belong to.
fn judge(tx: &mut Tx<'_>, fields: &PolicyFields, judging: &Judging) -> Result<Result<Policy, Vec<Violation>>> {
    let registry = registry_for(tx, &fields.resource)?;
    let policy = match fields.judge(&registry, judging.was_checked) {
        Ok(policy) => policy,
        Err(faults) => return Ok(Err(faults)),
    };
    if !judging.was_checked {
        let faults = unknown_ids(tx, &policy, &registry)?;
        if !faults.is_empty() {
            return Ok(Err(faults));
        }
    }
    if judging.replaced.is_some() && judging.set.is_empty() {
        // Another name locks nobody out.
        return Ok(Ok(policy));
    }
    let (mut set, _) = all(tx, judging.replaced)?;
    set.push(policy.clone());
    let engine = Engine::compile(set).map_err(|error| Error::Internal(Box::new(error)))?;
    let Err(lockout) = check_lockout(&engine) else { return Ok(Ok(policy)) };
    let set = judging.set.iter().map(String::as_str);
    let named: Vec<&str> = if judging.replaced.is_none() { vec!["effect"] } else { set.collect() };
    let fault = |name: &str| Violation::new(format!("/{name}"), "lockout", lockout.to_string());
    Ok(Err(named.into_iter().map(fault).collect()))
}
