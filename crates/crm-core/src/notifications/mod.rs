//! Notifications: what a user is told of, written in the transaction of what causes it.
//!
//! A notification holds ids and facts. Its words are made when it is read, from the record as its reader may see it then:
//! one about a record that they may no longer see is not there. What one request does of a kind is told once: "12 deals were
//! assigned to you".
//!
//! ```no_run
//! # use crm_core::{Id, Result, Tx, notifications::{self, Kind, Notice}, users::User};
//! # use uuid::Uuid;
//! /// Tells somebody that their request was decided.
//! fn decided(tx: &mut Tx<'_>, approval: Uuid, requested_by: Id<User>) -> Result<()> {
//!     notifications::tell(tx, requested_by, &Notice::about(Kind::ApprovalDecided, approval))
//! }
//! ```
use chrono::{DateTime, TimeDelta, Utc};
use diesel::sql_types as st;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    Actor, Id, Record, Result, Tx,
    business_units::BusinessUnit,
    change::Change,
    events,
    patch::object,
    users::{Role, User},
};

mod reading;

pub use reading::{Notifications, list, read, read_all};

/// How long a notification is kept.
pub const KEPT: TimeDelta = TimeDelta::days(90);

/// What a user can be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Somebody else gave them a task.
    TaskAssigned,
    /// Somebody else made them the owner of a lead.
    LeadAssigned,
    /// Somebody else made them the owner of a deal.
    DealAssigned,
    /// An import of theirs has read its file in.
    ImportCompleted,
    /// An import of theirs was given up.
    ImportFailed,
    /// The system has raised an alert; for ADMINs.
    AlertRaised,
    /// Somebody needs their approval.
    ApprovalRequested,
    /// What they asked approval for was decided.
    ApprovalDecided,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::TaskAssigned,
        Self::LeadAssigned,
        Self::DealAssigned,
        Self::ImportCompleted,
        Self::ImportFailed,
        Self::AlertRaised,
        Self::ApprovalRequested,
        Self::ApprovalDecided,
    ];

    /// The word in the column `kind` and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TaskAssigned => "task_assigned",
            Self::LeadAssigned => "lead_assigned",
            Self::DealAssigned => "deal_assigned",
            Self::ImportCompleted => "import_completed",
            Self::ImportFailed => "import_failed",
            Self::AlertRaised => "alert_raised",
            Self::ApprovalRequested => "approval_requested",
            Self::ApprovalDecided => "approval_decided",
        }
    }

    /// What kind of thing such a notification leads to.
    pub fn entity_type(self) -> &'static str {
        match self {
            Self::TaskAssigned => "task",
            Self::LeadAssigned => "lead",
            Self::DealAssigned => "deal",
            Self::ImportCompleted | Self::ImportFailed => "import",
            Self::AlertRaised => "alert",
            Self::ApprovalRequested | Self::ApprovalDecided => "approval",
        }
    }

    /// The sentence that tells of one, or of several.
    fn title(self, count: i32) -> String {
        let (one, many) = match self {
            Self::TaskAssigned => ("A task was assigned to you", "tasks were assigned to you"),
            Self::LeadAssigned => ("A lead was assigned to you", "leads were assigned to you"),
            Self::DealAssigned => ("A deal was assigned to you", "deals were assigned to you"),
            Self::ImportCompleted => ("Your import is done", "of your imports are done"),
            Self::ImportFailed => ("Your import has failed", "of your imports have failed"),
            Self::AlertRaised => ("An alert was raised", "alerts were raised"),
            Self::ApprovalRequested => ("Your approval is wanted", "requests want your approval"),
            Self::ApprovalDecided => ("Your request was decided", "of your requests were decided"),
        };
        if count == 1 { one.to_owned() } else { format!("{count} {many}") }
    }
}

/// What a user is told.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Notification {
    /// Its id.
    pub id: Id<Notification>,
    /// Of what it tells.
    pub kind: Kind,
    /// That as a sentence.
    #[schema(example = "A deal was assigned to you")]
    pub title: String,
    /// How the record reads, where there is one and the reader may see that.
    #[schema(example = "Acme: 40 seats")]
    pub body: Option<String>,
    /// What kind of thing it leads to.
    #[schema(example = "deal")]
    pub entity_type: String,
    /// To which one; `null` where it tells of several.
    pub entity_id: Option<Uuid>,
    /// Of how many it tells.
    pub entities_count: i32,
    /// Who has caused it; nobody where the program did.
    pub actor: Option<NotificationActor>,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When its user has read it; `null` while they have not.
    pub read_at: Option<DateTime<Utc>>,
}

/// Who has caused a notification.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct NotificationActor {
    /// Their id.
    pub id: Id<User>,
    /// Their name.
    pub name: String,
}

/// Something to be told.
#[derive(Debug, Clone)]
pub struct Notice {
    /// Of what.
    pub kind: Kind,
    /// The thing that it leads to.
    pub entity_id: Uuid,
    /// The business unit of that thing: who does not see the unit is not told.
    pub business_unit_id: Option<Id<BusinessUnit>>,
    /// What is told besides, where that is no field of a record: the title of an alert. Nothing personal.
    pub body: Option<String>,
}

impl Notice {
    /// A notice about a thing that belongs to no unit.
    pub fn about(kind: Kind, entity_id: Uuid) -> Self {
        Self { kind, entity_id, business_unit_id: None, body: None }
    }
}

/// Tells a user, unless they are no longer active or do not see the unit. A second notice of the kind in the same request
/// counts on the first.
///
/// # Errors
/// What the database says.
pub fn tell(tx: &mut Tx<'_>, user: Id<User>, notice: &Notice) -> Result<()> {
    write(tx, &[user], notice)
}

/// Tells everybody whose role is at least this, but for who causes it.
///
/// # Errors
/// What the database says.
pub fn tell_from(tx: &mut Tx<'_>, role: Role, notice: &Notice) -> Result<()> {
    let text =
        "SELECT id FROM users WHERE organization_id = {org} AND role = ANY({}) AND id IS DISTINCT FROM {} ORDER BY id";
    let roles = [Role::SalesRep, Role::Manager, Role::Admin].into_iter().filter(|it| *it >= role);
    let (roles, actor): (Vec<_>, _) = (roles.map(|role| role.to_string()).collect(), tx.ctx.actor.user());
    let users: Vec<Uuid> = tx.sql::<st::Uuid>(text).with(|s| s.bind(roles).bind(actor)).all(tx)?;
    write(tx, &users.into_iter().map(Id::from).collect::<Vec<_>>(), notice)
}

/// Throws away at most `limit` notifications that are older than [`KEPT`], and says how many there were.
///
/// # Errors
/// What the database says.
pub fn prune(tx: &mut Tx<'_>, limit: i64) -> Result<usize> {
    tx.check_writable()?;
    let text = "DELETE FROM notifications WHERE organization_id = {org} AND id IN (SELECT id FROM notifications \
                WHERE organization_id = {org} AND created_at <= {} LIMIT {})";
    let until = tx.ctx.now - KEPT;
    Ok(tx.sql::<st::Integer>(text).with(|s| s.bind(until).bind(limit)).run(tx)?)
}

/// Tells whoever a new record is given to.
pub(crate) fn assigned<R: Record>(tx: &mut Tx<'_>, record: &R) -> Result<()> {
    let (Some((field, kind)), true) = (R::ASSIGNED, is_somebody(&tx.ctx.actor)) else { return Ok(()) };
    let members = object(record.fields())?;
    let id = |name: &str| members.get(name).and_then(Value::as_str).and_then(|text| text.parse::<Uuid>().ok());
    let Some(user) = id(field).map(Id::from).filter(|user| tx.ctx.actor.user() != Some(*user)) else { return Ok(()) };
    let unit = id("businessUnitId").map(Id::from);
    tell(tx, user, &Notice { business_unit_id: unit, ..Notice::about(kind, record.id().uuid()) })
}

/// Tells whoever a record is given to by a change.
pub(crate) fn reassigned<R: Record>(tx: &mut Tx<'_>, change: &Change<R>, after: &R) -> Result<()> {
    match R::ASSIGNED {
        Some((field, _)) if change.touches(field) => assigned(tx, after),
        _ => Ok(()),
    }
}

/// Is it a person who assigns things, by hand or by a program of theirs? An import tells of its end alone.
fn is_somebody(actor: &Actor) -> bool {
    matches!(actor, Actor::User(_) | Actor::ApiKey { .. })
}

fn write(tx: &mut Tx<'_>, users: &[Id<User>], notice: &Notice) -> Result<()> {
    tx.check_writable()?;
    for user in users {
        let id = Id::<Notification>::new();
        let (now, actor, change_set) = (tx.ctx.now, tx.ctx.actor.user(), tx.ctx.change_set);
        let unit = notice.business_unit_id;
        let written = tx
            .sql::<st::Uuid>(INSERT)
            .with(|s| {
                s.bind(id)
                    .bind(notice.kind.as_str())
                    .bind(notice.kind.entity_type())
                    .bind(notice.entity_id)
                    .bind(notice.body.clone())
                    .bind(actor)
                    .bind(change_set)
                    .bind(now)
                    .bind(*user)
                    .bind(unit)
                    .bind(unit)
            })
            .first::<Uuid>(tx)?;
        if written == Some(id.uuid()) {
            events::told(tx, id.uuid(), *user);
        }
    }
    Ok(())
}

/// Who works in some units sees those, and what belongs to none; everybody else sees all.
const INSERT: &str = "INSERT INTO notifications (organization_id, id, user_id, kind, entity_type, entity_id, body, actor_id, \
     change_set_id, created_at) \
     SELECT u.organization_id, {}, u.id, {}, {}, {}, {}, {}, {}, {} FROM users u \
     WHERE u.organization_id = {org} AND u.id = {} AND u.is_active AND (u.role = 'ADMIN' OR {}::uuid IS NULL \
     OR coalesce((SELECT bool_or(m.business_unit_id = {}) FROM business_unit_members m \
     WHERE m.organization_id = u.organization_id AND m.user_id = u.id), true)) \
     ON CONFLICT (organization_id, change_set_id, user_id, kind) DO UPDATE \
     SET entities_count = notifications.entities_count + 1, entity_id = NULL, body = NULL RETURNING id";
