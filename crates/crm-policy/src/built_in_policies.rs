//! What the roles may do before anybody writes a policy, as ordinary policies that can be read and not changed, and the
//! policies that a new organization starts with.

use serde_json::{Value, json};

use crate::attributes::{Registry, Resource, ResourceClass};
use crate::policies::{Action, Policy, Role};
use crate::violations::Violation;

/// The matrix of the roles. ADMIN may do everything. MANAGER may do everything but administer: on the resources of
/// administration nothing is left to them but to look, and not even that on policies. SALES_REP sees and changes the
/// records of the own business units and makes new ones, moves deals between stages, writes mail, and reads what is there
/// for reference; exporting, closing, deleting and administering are not allowed to them.
///
/// # Errors
/// The faults of the registry: records need a `businessUnitId`.
pub fn built_in_policies(registry: &Registry) -> Result<Vec<Policy>, Vec<Violation>> {
    let mut rows = Vec::new();
    for &action in Action::ALL {
        rows.push(Row::new(Role::Admin, action, "*", "allow"));
        rows.push(Row::new(Role::Manager, action, "*", "allow"));
    }
    for action in [Action::ViewField, Action::EditField, Action::SendEmail] {
        rows.push(Row::new(Role::SalesRep, action, "*", "allow"));
    }
    for resource in registry.resources() {
        match resource.class() {
            ResourceClass::Record => rows.extend(representatives(resource)),
            ResourceClass::Reference => rows.push(Row::new(Role::SalesRep, Action::View, resource.name(), "allow")),
            ResourceClass::Administration => rows.extend(managers(resource)),
        }
    }
    let read =
        |row: Row| Policy::read(row.id(), &row.json(), registry).map(|policy| Policy { is_built_in: true, ..policy });
    rows.into_iter().map(read).collect()
}

/// The three policies that a new organization starts with, ordinary ones: its administrators change or remove them.
/// `new_id` gives each its identifier.
///
/// # Errors
/// The faults of the registry: it needs `lead`, and `deal` with its `value`.
pub fn example_policies(
    registry: &Registry,
    mut new_id: impl FnMut() -> String,
) -> Result<Vec<Policy>, Vec<Violation>> {
    let examples = [
        ("Sales representatives cannot export leads", Action::ExportData, "lead", None),
        ("Sales representatives cannot view the value of deals", Action::ViewField, "deal", Some("value")),
        ("Only managers and administrators mark deals won or lost", Action::MarkWonLost, "deal", None),
    ];
    let read = |(name, action, resource, field): (&str, Action, &str, Option<&str>)| {
        let role = Role::SalesRep;
        let json = json!({
            "name": name, "role": role, "action": action, "resource": resource, "field": field, "effect": "deny"
        });
        Policy::read(new_id(), &json, registry)
    };
    examples.into_iter().map(read).collect()
}

struct Row {
    role: Role,
    action: Action,
    resource: String,
    effect: &'static str,
    condition: Value,
}

impl Row {
    fn new(role: Role, action: Action, resource: &str, effect: &'static str) -> Row {
        Row { role, action, resource: resource.to_owned(), effect, condition: Value::Null }
    }

    fn when(self, condition: Value) -> Row {
        Row { condition, ..self }
    }

    fn id(&self) -> String {
        format!("built-in:{}:{}:{}", self.role, self.action, self.resource)
    }

    fn json(&self) -> Value {
        let Row { role, action, resource, effect, condition } = self;
        let what = if resource == "*" { "everything" } else { resource };
        let units = if condition.is_null() { "" } else { ", own business units" };
        let name = format!("Built in: {effect} {role} {action} on {what}{units}");
        json!({
            "name": name, "role": role, "action": action, "resource": resource, "effect": effect, "condition": condition
        })
    }
}

fn representatives(resource: &Resource) -> Vec<Row> {
    let own = json!({"attr": "businessUnitId", "op": "in", "ref": "caller.businessUnitIds"});
    let own_or_none = json!({"any": [{"attr": "businessUnitId", "op": "isNull"}, own]});
    let row = |action| Row::new(Role::SalesRep, action, resource.name(), "allow");
    let mut rows = vec![
        row(Action::View).when(own.clone()),
        row(Action::Edit).when(own.clone()),
        row(Action::Create).when(own_or_none),
    ];
    if resource.attributes().contains_key("stageId") {
        rows.push(row(Action::ChangeStage).when(own));
    }
    rows
}

fn managers(resource: &Resource) -> Vec<Row> {
    let mut refused = vec![Action::Create, Action::Edit, Action::Delete, Action::ExportData, Action::Manage];
    if resource.name() == crate::lockouts::POLICY_RESOURCE {
        refused.push(Action::View);
    }
    refused.into_iter().map(|action| Row::new(Role::Manager, action, resource.name(), "deny")).collect()
}
