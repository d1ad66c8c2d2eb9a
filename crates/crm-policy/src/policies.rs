//! Policies: a role, an action, a resource, an effect, and a condition.

mod grammar;

use std::fmt;

use serde::{Serialize, Serializer};

use crate::attributes::Context;
use crate::conditions::{Condition, Truth};
use crate::names::named;
use crate::resource_patterns::ResourcePattern;

named! {
    /// The roles of the product.
    pub enum Role {
        /// Runs the installation: may do everything.
        Admin = "ADMIN",
        /// Leads a team: everything but administration.
        Manager = "MANAGER",
        /// Works on records in the own business units.
        SalesRep = "SALES_REP",
    }
}

named! {
    /// What somebody wants to do.
    pub enum Action {
        /// See one field of a record.
        ViewField = "view_field",
        /// Write one field of a record.
        EditField = "edit_field",
        /// Take records out as a file.
        ExportData = "export_data",
        /// Move a deal to another stage.
        ChangeStage = "change_stage",
        /// Close a deal as won or lost.
        MarkWonLost = "mark_won_lost",
        /// Make a record.
        Create = "create",
        /// See a record.
        View = "view",
        /// Change a record.
        Edit = "edit",
        /// Remove a record.
        Delete = "delete",
        /// Send mail to a person.
        SendEmail = "send_email",
        /// Administer: policies, users, settings.
        Manage = "manage",
    }
}

named! {
    /// What a policy brings about, and what a decision came to.
    pub enum Effect {
        /// It may be done, unless something refuses it.
        Allow = "allow",
        /// It may not be done, whatever else allows it.
        Deny = "deny",
        /// Where it may be done, somebody else has to approve it first.
        RequireApproval = "require_approval",
    }
}

impl Action {
    /// Whether the action is asked about a field, `deal.value`, and not about the record, `deal`.
    pub const fn is_on_fields(self) -> bool {
        matches!(self, Action::ViewField | Action::EditField)
    }

    /// Whether the action only looks. Looking can't wait for an approval.
    pub const fn is_reading(self) -> bool {
        matches!(self, Action::ViewField | Action::View)
    }
}

/// Whom a policy speaks about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// Every role, written `ANY`.
    Any,
    /// One role.
    Role(Role),
}

impl Subject {
    /// The text on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Subject::Any => "ANY",
            Subject::Role(role) => role.as_str(),
        }
    }

    /// The subject with exactly this text.
    pub fn from_name(name: &str) -> Option<Subject> {
        if name == Subject::Any.as_str() { Some(Subject::Any) } else { Role::from_name(name).map(Subject::Role) }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Subject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One policy. [`Policy::read`] checks what a client wrote.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// The identifier, unique in a set.
    pub id: String,
    /// The name that a refusal gives as its reason.
    pub name: String,
    /// Whom it speaks about.
    pub role: Subject,
    /// What they want to do.
    pub action: Action,
    /// What they want to do it to.
    pub resource: ResourcePattern,
    /// The field of an exact resource, where the action is on fields; `*` or nothing for all of them.
    pub field: Option<String>,
    /// What it brings about.
    pub effect: Effect,
    /// When it does; always, if there is none.
    pub condition: Option<Condition>,
    /// An inactive policy does nothing.
    pub is_active: bool,
    /// A draft is watched in shadow mode and not enforced.
    pub is_draft: bool,
    /// Built-in policies can be read and not changed.
    pub is_built_in: bool,
}

impl Policy {
    /// The names that the policy speaks about: `{resource: "deal", field: "value"}` is `deal.value`, and all fields of a
    /// deal are `deal.*`. `None` where a field stands beside a pattern that can't have one.
    pub fn target(&self) -> Option<ResourcePattern> {
        let whole = |name: &str| self.action.is_on_fields() && !name.contains('.');
        match (&self.resource, self.field.as_deref()) {
            (ResourcePattern::Exact(name), None) if whole(name) => Some(ResourcePattern::Under(name.clone())),
            (pattern, None) => Some(pattern.clone()),
            (ResourcePattern::Exact(name), Some(field)) if whole(name) => {
                ResourcePattern::parse(&format!("{name}.{field}"))
            }
            (_, Some(_)) => None,
        }
    }

    /// What the condition comes to on whatever record it is asked about later: true and false are certain, since knowing more
    /// changes neither; unknown depends on the record. `context` knows of no record.
    pub(crate) fn foreseen(&self, context: &Context<'_>) -> Truth {
        let Some(condition) = &self.condition else { return Truth::True };
        match condition.evaluate(context) {
            Truth::Unknown if !condition.asks_record() => Truth::from(self.effect != Effect::Allow),
            truth => truth,
        }
    }

    /// Whether the policy takes effect here. What can't be known allows nothing, and does not keep a refusal from
    /// refusing.
    pub fn fires(&self, context: &Context<'_>) -> bool {
        let truth = self.condition.as_ref().map_or(Truth::True, |condition| condition.evaluate(context));
        match self.effect {
            Effect::Allow => truth == Truth::True,
            Effect::Deny | Effect::RequireApproval => truth != Truth::False,
        }
    }
}
