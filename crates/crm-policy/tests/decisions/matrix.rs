//! The built-in roles, the policies of a new organization, and the set that would lock everybody out.

use crm_policy::{Action, Engine, Lockout, Policy, Role, built_in_policies, check_lockout, example_policies};
use serde_json::{Value, json};

use crate::world::{decide, policy, registry};

fn with(more: Vec<Policy>) -> Engine {
    let mut policies = built_in_policies(&registry()).unwrap();
    assert!(policies.iter().all(|policy| policy.is_built_in));
    policies.extend(more);
    Engine::compile(policies).unwrap()
}

#[test]
fn the_built_in_roles_may_do_what_their_names_say() {
    use Action::{
        ChangeStage, Create, Delete, Edit, EditField, ExportData, Manage, MarkWonLost, SendEmail, View, ViewField,
    };
    use Role::{Admin, Manager, SalesRep};
    let north = || json!({"businessUnitId": "north"});
    let south = || json!({"businessUnitId": "south"});
    let cases = [
        (Admin, Manage, "policy", json!({}), true),
        (Admin, Delete, "user", json!({}), true),
        (Admin, Create, "whatever comes later", json!({}), true),
        (Manager, MarkWonLost, "deal", south(), true),
        (Manager, ExportData, "deal", json!({}), true),
        (Manager, Manage, "article", json!({}), true),
        (Manager, Manage, "deal", json!({}), false),
        (Manager, Manage, "whatever comes later", json!({}), false),
        (Manager, SendEmail, "user", json!({}), false),
        (Manager, View, "user", json!({}), true),
        (Manager, Edit, "user", json!({}), false),
        (Manager, Manage, "user", json!({}), false),
        (Manager, Manage, "policy", json!({}), false),
        (Manager, View, "policy", json!({}), false),
        (SalesRep, View, "deal", north(), true),
        (SalesRep, View, "deal", south(), false),
        (SalesRep, View, "deal", json!({"businessUnitId": null}), true),
        (SalesRep, View, "deal", json!({}), false),
        (SalesRep, Edit, "lead", north(), true),
        (SalesRep, ChangeStage, "deal", north(), true),
        (SalesRep, ChangeStage, "lead", north(), false),
        (SalesRep, Create, "deal", json!({"businessUnitId": null}), true),
        (SalesRep, Create, "deal", south(), false),
        (SalesRep, ViewField, "deal.value", json!({}), true),
        (SalesRep, EditField, "lead.title", json!({}), true),
        (SalesRep, SendEmail, "contact", json!({}), true),
        (SalesRep, View, "article", json!({}), true),
        (SalesRep, Edit, "article", json!({}), false),
        (SalesRep, ExportData, "lead", json!({}), false),
        (SalesRep, MarkWonLost, "deal", north(), false),
        (SalesRep, Delete, "deal", north(), false),
        (SalesRep, View, "user", json!({}), true),
        (SalesRep, Edit, "user", json!({}), false),
        (SalesRep, View, "policy", json!({}), false),
        (SalesRep, View, "whatever comes later", json!({}), false),
        (SalesRep, Delete, "note", json!({}), true),
        (SalesRep, ExportData, "note", json!({}), false),
        (SalesRep, Manage, "policy", json!({}), false),
    ];
    let engine = with(Vec::new());
    for (role, action, resource, record, allowed) in cases {
        let decision = decide(&engine, Some(role), action, resource, &record);
        assert_eq!(decision.allowed, allowed, "{role} {action} {resource} {record}: {}", decision.reason);
    }
}

#[test]
fn a_new_organization_starts_with_three_policies() {
    let mut ids = (1..).map(|id| format!("p{id}"));
    let examples = example_policies(&registry(), || ids.next().unwrap()).unwrap();
    assert_eq!(examples.iter().map(|policy| policy.id.as_str()).collect::<Vec<_>>(), ["p1", "p2", "p3"]);
    assert!(examples.iter().all(|policy| !policy.is_draft && !policy.is_built_in));
    assert_eq!(examples.iter().map(|policy| policy.is_active).collect::<Vec<_>>(), [true, false, true]);
    let engine = with(examples.into_iter().map(|policy| Policy { is_active: true, ..policy }).collect());
    let cases = [(Action::ExportData, "lead"), (Action::ViewField, "deal.value"), (Action::MarkWonLost, "deal")];
    for ((action, resource), id) in cases.into_iter().zip(["p1", "p2", "p3"]) {
        let refused = decide(&engine, Some(Role::SalesRep), action, resource, &json!({}));
        assert_eq!((refused.allowed, refused.policy_id.as_deref()), (false, Some(id)));
        for role in [Role::Manager, Role::Admin] {
            assert!(decide(&engine, Some(role), action, resource, &json!({})).allowed);
        }
    }
    let refused = decide(&engine, Some(Role::SalesRep), Action::ExportData, "lead", &json!({}));
    assert_eq!(
        refused.reason,
        "Policy “Sales representatives cannot export leads” refuses export_data on lead to SALES_REP."
    );
}

#[test]
fn a_set_that_nobody_could_change_is_refused() {
    let always = json!(null);
    let own = json!({"attr": "ownerId", "op": "eq", "ref": "caller.id"});
    let cases = [
        ("ADMIN view_field deal.value deny", always.clone(), Ok(())),
        ("MANAGER manage policy deny", always.clone(), Ok(())),
        ("ADMIN manage user deny", always.clone(), Ok(())),
        ("ADMIN manage policy deny", always.clone(), Err(Lockout)),
        ("ADMIN delete policy deny", always.clone(), Err(Lockout)),
        ("ANY view * deny", always.clone(), Err(Lockout)),
        ("ANY manage * deny", always.clone(), Err(Lockout)),
        ("ADMIN manage * deny", own, Err(Lockout)),
        ("ADMIN manage policy require_approval", always, Err(Lockout)),
    ];
    for (terms, condition, expected) in cases {
        assert_eq!(check_lockout(&with(vec![policy("x", terms, &condition)])), expected, "{terms} if {condition}");
        let draft = Policy { is_draft: true, ..policy("x", terms, &condition) };
        let inactive = Policy { is_active: false, ..policy("y", terms, &condition) };
        assert_eq!(check_lockout(&with(vec![draft, inactive])), Ok(()), "{terms}");
    }
    assert_eq!(
        check_lockout(&Engine::compile(vec![policy("1", "ANY edit deal allow", &Value::Null)]).unwrap()),
        Err(Lockout)
    );
}
