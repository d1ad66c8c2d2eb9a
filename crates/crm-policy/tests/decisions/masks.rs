//! A field that only the owner sees, and one that nobody sees.

use crm_policy::{Action, Caller, Context, Engine, ListFilter, MaskError, Role};
use serde_json::{Value, json};

use crate::world::{facts, policy, registry};

#[test]
fn a_mask_follows_the_record_and_forbids_what_would_tell() {
    let foreign = json!({"not": {"attr": "ownerId", "op": "eq", "ref": "caller.id"}});
    let engine = Engine::compile(vec![
        policy("1", "ANY view_field deal.* allow", &Value::Null),
        policy("2", "SALES_REP view_field deal.score deny", &Value::Null),
        policy("3", "SALES_REP view_field deal.value deny", &foreign),
    ])
    .unwrap();
    let registry = registry();
    let mask = engine.mask(Role::SalesRep, registry.resource("deal").unwrap());
    assert_eq!(mask.hidden.iter().collect::<Vec<_>>(), ["score"]);
    assert_eq!(mask.conditional.keys().collect::<Vec<_>>(), ["value"]);

    let caller = Caller::new("me");
    for (record, hidden) in [
        (json!({"ownerId": "me"}), vec!["score"]),
        (json!({"ownerId": "you"}), vec!["score", "value"]),
        (json!({"ownerId": null}), vec!["score", "value"]),
        (json!({}), vec!["score", "value"]),
    ] {
        let facts = facts(&record);
        let context = Context::new(&caller, &facts);
        assert_eq!(mask.hidden_in(&context).into_iter().collect::<Vec<_>>(), hidden, "{record}");
        assert_eq!(mask.check_write("value", &context).is_ok(), !hidden.contains(&"value"), "{record}");
    }
    assert_eq!(mask.check_use("title"), Ok(()));
    for field in ["score", "value"] {
        assert_eq!(mask.check_use(field), Err(MaskError::FieldNotViewable(field.into())));
    }
    let open = engine.mask(Role::Manager, registry.resource("deal").unwrap());
    assert!(open.hidden.is_empty() && open.conditional.is_empty());
}

#[test]
fn a_list_filter_keeps_no_more_than_what_decides() {
    let own = json!({"attr": "ownerId", "op": "eq", "ref": "caller.id"});
    let low = json!({"attr": "score", "op": "lt", "value": 1});
    let engine = Engine::compile(vec![
        policy("1", "MANAGER view deal allow", &Value::Null),
        policy("2", "ANY view deal allow", &own),
        policy("3", "ANY view lead allow", &Value::Null),
        policy("4", "SALES_REP view deal deny", &low),
        policy("5", "ADMIN view lead deny", &Value::Null),
    ])
    .unwrap();
    let filter = |role, resource| engine.list_filter(role, Action::View, resource);
    assert_eq!(filter(Role::Manager, "deal"), ListFilter::Everything);
    assert_eq!(filter(Role::Admin, "lead"), ListFilter::Nothing);
    assert_eq!(filter(Role::Manager, "task"), ListFilter::Nothing);
    let ListFilter::Where { unless, when } = filter(Role::SalesRep, "deal") else { panic!("a filter was expected") };
    assert_eq!(serde_json::to_value((unless, when)).unwrap(), json!([[low], [own]]));
}
