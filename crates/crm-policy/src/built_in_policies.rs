//! What the roles may do before anybody writes a policy, as ordinary policies that can be read and not changed, and the
//! policies that a new organization starts with.

use serde_json::{Value, json};

use crate::attributes::{Registry, Resource, ResourceClass};
use crate::policies::{Action, Policy, Role};
use crate::violations::Violation;

/// The matrix of the roles. ADMIN may do everything. MANAGER may do everything but administer: on the resources of
/// administration nothing is left to them but to look, and not even that on policies. SALES_REP sees and changes the
/// records of the own business units and those of none, makes new ones, moves deals between stages, writes mail, keeps
/// the own notes, and reads what is there for reference; exporting, closing, deleting records and administering are not
/// allowed to them.
///
/// # Errors
/// The faults of the registry: `businessUnitId` and `stageId` are ids where they are.
pub fn built_in_policies(registry: &Registry) -> Result<Vec<Policy>, Vec<Violation>> {
    let mut rows = Vec::new();
    for &action in Action::ALL {
        rows.push(Row::new(Role::Admin, action, "*", "allow"));
        if action != Action::Manage {
            rows.push(Row::new(Role::Manager, action, "*", "allow"));
        }
    }
    for action in [Action::ViewField, Action::EditField, Action::SendEmail] {
        rows.push(Row::new(Role::SalesRep, action, "*", "allow"));
    }
    for resource in registry.resources() {
        match resource.class() {
            ResourceClass::Record => rows.extend(representatives(resource)),
            ResourceClass::Own => {
                rows.extend(OWN.map(|action| Row::new(Role::SalesRep, action, resource.name(), "allow")))
            }
            ResourceClass::Reference => {
                rows.push(Row::new(Role::SalesRep, Action::View, resource.name(), "allow"));
                rows.push(Row::new(Role::Manager, Action::Manage, resource.name(), "allow"));
            }
            ResourceClass::Administration => rows.extend(administration(resource)),
            // Managers look at everything.
            ResourceClass::Oversight => {}
        }
        rows.extend(resource.reserved().iter().map(|&action| Row::new(Role::Manager, action, resource.name(), "deny")));
    }
    let read =
        |row: Row| Policy::read(row.id(), &row.json(), registry).map(|policy| Policy { is_built_in: true, ..policy });
    rows.into_iter().map(read).collect()
}

/// The three policies that a new organization starts with, ordinary ones: its administrators change or remove them.
/// The one that hides the value of deals waits to be switched on: representatives who cannot see a value cannot enter
/// one either, and most teams want them to. `new_id` gives each its identifier.
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
        let policy = Policy::read(new_id(), &json, registry)?;
        Ok(Policy { is_active: field.is_none(), ..policy })
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

/// What everybody may do with what they keep for themselves.
const OWN: [Action; 4] = [Action::View, Action::Create, Action::Edit, Action::Delete];

fn representatives(resource: &Resource) -> Vec<Row> {
    let has = |attribute| resource.attributes().contains_key(attribute);
    let own_or_none = json!({"any": [
        {"attr": "businessUnitId", "op": "isNull"},
        {"attr": "businessUnitId", "op": "in", "ref": "caller.businessUnitIds"}
    ]});
    let condition = if has("businessUnitId") { own_or_none } else { Value::Null };
    let actions = [Action::View, Action::Edit, Action::Create, Action::ChangeStage];
    let applies = |action: &Action| *action != Action::ChangeStage || has("stageId");
    let row = |action| Row::new(Role::SalesRep, action, resource.name(), "allow").when(condition.clone());
    actions.into_iter().filter(applies).map(row).collect()
}

fn administration(resource: &Resource) -> Vec<Row> {
    let is_secret = resource.name() == crate::lockouts::POLICY_RESOURCE;
    let looks = |action: Action| action.is_reading() && !(is_secret && action == Action::View);
    let refused = Action::ALL.iter().filter(|action| !looks(**action));
    let mut rows: Vec<Row> = refused.map(|&action| Row::new(Role::Manager, action, resource.name(), "deny")).collect();
    if !is_secret {
        rows.push(Row::new(Role::SalesRep, Action::View, resource.name(), "allow"));
    }
    rows
}
