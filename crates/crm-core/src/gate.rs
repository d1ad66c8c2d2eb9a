//! The port through which every action is judged. `crm-policy` decides by policies; [`Roles`] knows the three roles alone.
use std::sync::Arc;

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    Actor, Ctx, Error, Id, Record, Result, Tx, change::FieldDiff, organizations::Organization, proposals::Proposal,
    users::Role,
};

mod approved;

pub use approved::{APPROVER_NEEDS_APPROVAL, APPROVER_NOT_ALLOWED, Approved, check_approver};
pub(crate) use approved::{Rehearsal, Written};

/// What the caller wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Read a record or a list.
    View,
    /// Make a record.
    Create,
    /// Change fields of a record.
    Edit,
    /// Remove a record.
    Delete,
    /// Take many records out of the house.
    ExportData,
    /// Move a deal to another stage.
    ChangeStage,
    /// Close a deal as won or lost, or reopen it.
    MarkWonLost,
    /// Configure the organization: users, units, pipelines, fields.
    Manage,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 8] = [
        Self::View,
        Self::Create,
        Self::Edit,
        Self::Delete,
        Self::ExportData,
        Self::ChangeStage,
        Self::MarkWonLost,
        Self::Manage,
    ];

    /// The action of that word.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == word)
    }

    /// The word on the wire and in policies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Create => "create",
            Self::Edit => "edit",
            Self::Delete => "delete",
            Self::ExportData => "export_data",
            Self::ChangeStage => "change_stage",
            Self::MarkWonLost => "mark_won_lost",
            Self::Manage => "manage",
        }
    }
}

/// One question to the gate.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// What the caller wants to do.
    pub action: Action,
    /// To which kind of record, such as `deal`.
    pub kind: &'static str,
    /// The record as it stands, where there is one.
    pub before: Option<&'a Map<String, Value>>,
    /// The record as it would be, where that is known.
    pub after: Option<&'a Map<String, Value>>,
    /// The fields that would change.
    pub diffs: &'a [FieldDiff],
    /// The fields that the request itself sets, whether they change or not; what rules set besides is not among them. Custom
    /// fields are named by their keys too, `customFields.region`, or `customFields.*` where all of them might go.
    pub given: &'a [String],
}

impl Ask<'_> {
    /// A question before anything of the record is known.
    pub fn about(action: Action, kind: &'static str) -> Self {
        Self { action, kind, before: None, after: None, diffs: &[], given: &[] }
    }
}

/// Decides what is allowed in one organization. A refusal is [`Error::Forbidden`], whose reason names the rule; what
/// somebody else has to approve first is [`Error::NeedsApproval`].
pub trait Gate: Send + Sync {
    /// Allows the action, or says why not. A question without a record asks whether there can be any record at all on which
    /// the action is allowed.
    fn check(&self, ctx: &Ctx, ask: &Ask<'_>) -> Result<()>;

    /// The fields of a kind of record that the caller does not see, sorted: in this record, or without one, in any at
    /// all. What is hidden in some records is not seen where all of them are looked at together.
    fn hidden(&self, _ctx: &Ctx, _kind: &str, _record: Option<&Map<String, Value>>) -> Vec<String> {
        Vec::new()
    }

    /// The fields that the caller sees in no record of a kind, sorted.
    fn never_seen(&self, _ctx: &Ctx, _kind: &str) -> Vec<String> {
        Vec::new()
    }

    /// Why the caller does not see that field in each record of a kind: a sentence that names the rule.
    fn why_hidden(&self, _ctx: &Ctx, kind: &str, field: &str) -> String {
        format!("You may not see `{field}` of each {}.", kind.replace('_', " "))
    }

    /// As [`Gate::hidden`] of many records of a kind, one after the other, where what is hidden depends on the record. `None`,
    /// where the same fields are hidden in all.
    fn hiding<'g>(&'g self, _ctx: &Ctx, _kind: &str) -> Option<Box<dyn Hiding + 'g>> {
        None
    }
}

/// Tells of the records of one kind, one after the other, which fields one caller does not see. Whatever is the same for all
/// of them has been looked up once.
pub trait Hiding {
    /// The members of a record on which it depends, sorted: no others need be told.
    fn depends_on(&self) -> &[String];

    /// Takes note of what the record holds in the member of this place among them.
    fn note(&mut self, place: usize, fact: &Fact<'_>);

    /// The fields that are hidden in the record that has been told of, sorted, as [`Gate::hidden`]; what was not told is not
    /// known. Then it is the next one's turn.
    fn hidden(&mut self) -> Arc<[String]>;
}

/// What a record holds in one member, as far as conditions can compare it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact<'f> {
    /// Nothing.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number as JSON writes it.
    Number(&'f str),
    /// A text, be it an id, a day or an instant.
    Text(&'f str),
    /// Texts, and nothing else: tags.
    Texts(&'f [String]),
    /// Something of many parts.
    Other,
}

/// Where gates come from. Every organization has its own, made from its policies.
pub trait Gates: Send + Sync {
    /// The gate of the transaction's organization as its policies stand at `policy_version`, or newer. It is asked for
    /// before the transaction writes anything.
    ///
    /// # Errors
    /// What the database says. Without a gate nothing is allowed.
    fn of(&self, tx: &mut Tx<'_>, policy_version: i64) -> Result<Arc<dyn Gate>>;

    /// Gives a new organization the policies that it starts with.
    ///
    /// # Errors
    /// What the database says.
    fn seed(&self, tx: &mut Tx<'_>) -> Result<()>;

    /// Keeps what has to be approved as a request for that, as part of the transaction. Gives back its id.
    ///
    /// # Errors
    /// [`Error::NeedsApproval`] with the proposal where it cannot wait, as where nobody keeps such requests.
    fn wait(&self, _tx: &mut Tx<'_>, proposal: Proposal) -> Result<Uuid> {
        Err(Error::NeedsApproval(Box::new(proposal)))
    }

    /// Takes back those of these requests for approval that still wait.
    ///
    /// # Errors
    /// What the database says.
    fn withdraw(&self, _tx: &mut Tx<'_>, _requests: &[Uuid]) -> Result<()> {
        Ok(())
    }

    /// Ends the requests for approval that no longer hold since the transaction has changed these fields. It is asked before
    /// the transaction ends, where such requests may be concerned.
    ///
    /// # Errors
    /// What the database says.
    fn changed(&self, _tx: &mut Tx<'_>, _fields: &[ChangedField]) -> Result<()> {
        Ok(())
    }

    /// The organizations of which the gates have noted something while they decided that is not written down yet.
    fn noted(&self) -> Vec<Id<Organization>> {
        Vec::new()
    }

    /// Writes down what is noted of the transaction's organization.
    ///
    /// # Errors
    /// What the database says.
    fn keep(&self, _tx: &mut Tx<'_>) -> Result<()> {
        Ok(())
    }
}

/// A field that a transaction has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedField {
    /// What kind of record.
    pub kind: String,
    /// Which one.
    pub id: Uuid,
    /// The wire name, `customFields.region` for a custom field, `deletedAt` where the record was deleted.
    pub name: String,
    /// Does the field hold anything now, other than `false`?
    pub is_set: bool,
}

/// The gate of the program itself, which may do everything; it lets nobody else through.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Program;

impl Gate for Program {
    fn check(&self, ctx: &Ctx, _ask: &Ask<'_>) -> Result<()> {
        match ctx.actor {
            Actor::System => Ok(()),
            _ => Err(Error::internal("somebody acts with the rights of the program")),
        }
    }
}

/// Refuses who may change no record of this kind in any way, before anything is said about the change itself.
pub(crate) fn check_any<R: Record>(ctx: &Ctx) -> Result<()> {
    let mut refusal = Ok(());
    for action in R::CHANGES {
        let answer = ctx.gate.check(ctx, &Ask::about(*action, R::KIND));
        if answer.is_ok() {
            return answer;
        }
        refusal = refusal.and(answer);
    }
    refusal
}

/// The gate that knows the three roles and nothing else.
#[derive(Debug, Clone, Copy, Default)]
pub struct Roles;

/// Kinds that only an ADMIN may configure.
const ADMIN_ONLY: [&str; 5] = ["organization", "business_unit", "user", "reason_code", "reason_rule"];

/// Kinds that configure the work of everybody, for ADMIN and MANAGER.
const CONFIGURATION: [&str; 5] = ["pipeline", "stage", "custom_field", "exchange_rate", "suppression"];

/// Kinds that a SALES_REP may remove: their own working notes and keys.
const OWN_THINGS: [&str; 4] = ["activity", "task", "saved_view", "api_key"];

impl Gates for Roles {
    fn of(&self, _tx: &mut Tx<'_>, _policy_version: i64) -> Result<Arc<dyn Gate>> {
        Ok(Arc::new(*self))
    }

    fn seed(&self, _tx: &mut Tx<'_>) -> Result<()> {
        Ok(())
    }
}

impl Gate for Roles {
    fn check(&self, ctx: &Ctx, ask: &Ask<'_>) -> Result<()> {
        let writes = !matches!(ask.action, Action::View);
        let needed = match ask.action {
            Action::View if ask.kind == "field_history" => Role::Manager,
            Action::View => Role::SalesRep,
            Action::Delete if ask.kind == "suppression" => Role::Admin,
            _ if ADMIN_ONLY.contains(&ask.kind) && writes => Role::Admin,
            _ if CONFIGURATION.contains(&ask.kind) && writes => Role::Manager,
            Action::Create | Action::Edit | Action::ChangeStage => Role::SalesRep,
            Action::Delete if OWN_THINGS.contains(&ask.kind) => Role::SalesRep,
            Action::Delete | Action::ExportData | Action::MarkWonLost => Role::Manager,
            Action::Manage => Role::Admin,
        };
        if ctx.role >= needed {
            return Ok(());
        }
        let allowed = if needed == Role::Admin { "an ADMIN" } else { "a MANAGER or an ADMIN" };
        let what = ask.kind.replace('_', " ");
        Err(Error::Forbidden {
            code: "role_required",
            reason: format!("Your role {} may not {} a {what}; {allowed} may.", ctx.role, verb(ask.action)),
        })
    }
}

fn verb(action: Action) -> &'static str {
    match action {
        Action::View => "see",
        Action::Create => "create",
        Action::Edit => "change",
        Action::Delete => "delete",
        Action::ExportData => "export",
        Action::ChangeStage => "move",
        Action::MarkWonLost => "win, lose or reopen",
        Action::Manage => "configure",
    }
}
