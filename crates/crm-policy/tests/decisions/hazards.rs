//! casbin has four ways to open a door in silence. None of them leads anywhere here.

use casbin::{CoreApi, DefaultModel, Enforcer, MgmtApi, NullAdapter};
use crm_policy::{Action, Effect, Engine, Policy, Role};
use futures_util::FutureExt;
use serde_json::{Value, json};

use crate::world::{above, decide, policy, registry};

const MODEL: &str = include_str!("../../src/model.conf");

fn bare(model: &str) -> Enforcer {
    let model = DefaultModel::from_str(model).now_or_never().unwrap().unwrap();
    let mut enforcer = Enforcer::new(model, NullAdapter).now_or_never().unwrap().unwrap();
    let equal = casbin::function_map::OperatorFunction::Arg2(|a, b| (a.to_string() == b.to_string()).into());
    enforcer.add_function("resourceMatch", equal);
    enforcer
}

/// Without a policy the matcher sees empty strings, and equals them to an empty question.
#[test]
fn no_policies_allow_nothing() {
    let unguarded = MODEL.replace(r#"p.id != "" && "#, "");
    assert!(bare(&unguarded).enforce(("", "", "")).unwrap(), "the hazard is there without the guard");
    assert!(!bare(MODEL).enforce(("", "", "")).unwrap());
    for line in MODEL.lines().filter(|line| line.starts_with('m')) {
        assert!(line.contains(r#"= p.id != "" && "#) || line.contains(r#"= p2.id != "" && "#), "{line}");
    }
    let engine = Engine::compile(Vec::new()).unwrap();
    for &action in Action::ALL {
        for resource in ["", "deal", "*", "deal.*", "deal.value"] {
            assert!(!decide(&engine, Some(Role::Admin), action, resource, &json!({})).allowed);
            assert!(!decide(&engine, None, action, resource, &json!({})).allowed);
        }
    }
}

/// An effect of another spelling is passed over by casbin; here it can't be written.
#[test]
fn an_unknown_effect_is_refused_when_it_is_written() {
    let mut enforcer = bare(MODEL);
    for row in [["1", "r", "edit", "deal", "allow"], ["2", "r", "edit", "deal", "Deny"]] {
        let row = row.map(str::to_owned).to_vec();
        assert!(enforcer.add_named_policy("p", row).now_or_never().unwrap().unwrap());
    }
    enforcer.add_grouping_policy(vec!["r".into(), "r".into()]).now_or_never().unwrap().unwrap();
    assert!(enforcer.enforce(("r", "edit", "deal")).unwrap(), "the hazard is there: “Deny” is passed over");

    for effect in ["Deny", "DENY", " deny", "", "block"] {
        let json = json!({"name": "P", "role": "ANY", "action": "edit", "resource": "deal", "effect": effect});
        assert!(Policy::read("p", &json, &registry()).is_err(), "{effect}");
        assert!(serde_json::from_value::<Effect>(json!(effect)).is_err(), "{effect}");
    }
}

/// Script overflows, compares a text with a number as false, and skips what is missing. Conditions are no script.
#[test]
fn conditions_are_never_script() {
    assert!(!MODEL.contains("eval("));
    let engine = Engine::compile(vec![
        policy("1", "ANY edit deal allow", &Value::Null),
        policy("2", "ANY edit deal deny", &above(3_000_000_000)),
    ])
    .unwrap();
    let decided = |record: Value| decide(&engine, Some(Role::Manager), Action::Edit, "deal", &record).allowed;
    assert!(decided(json!({"value": 3_000_000_000_i64, "currency": "EUR"})));
    assert!(!decided(json!({"value": 3_000_000_001_i64, "currency": "EUR"})));
    assert!(!decided(json!({})), "a refusal whose attribute is missing refuses");
    for condition in [json!("true"), json!("while true {}"), json!({"attr": "value", "op": "gt", "value": "1 || true"})]
    {
        let json = json!({"name": "P", "role": "ANY", "action": "edit", "resource": "deal", "effect": "allow", "condition": condition});
        assert!(Policy::read("p", &json, &registry()).is_err(), "{condition}");
    }
}

/// Neither is enforcement ever switched off, nor does an error become an allowance.
#[test]
fn errors_leave_no_engine_and_enforcement_stays_on() {
    let twice = vec![policy("1", "ANY edit deal allow", &Value::Null), policy("1", "ANY edit deal deny", &Value::Null)];
    assert!(Engine::compile(twice).is_err());
    let impossible = Policy { field: Some("value".into()), ..policy("1", "ANY edit deal deny", &Value::Null) };
    assert!(Engine::compile(vec![impossible]).is_err());
    for source in [include_str!("../../src/tables.rs"), include_str!("../../src/engine.rs")] {
        for opening in ["enable_enforce", "unwrap_or(true)", "is_err_or", ".ok()?.enforce"] {
            assert!(!source.contains(opening), "{opening}");
        }
    }
}
