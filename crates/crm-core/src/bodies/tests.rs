//! Bodies that are told whole, whatever is wrong with them.
use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::{Currency, Id, Money, users::User};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only what can be read of it matters")]
struct Order {
    name: String,
    amount: Money,
    currency: Option<Currency>,
    user_ids: Vec<Id<User>>,
    lines: Vec<Line>,
    due_at: Option<chrono::DateTime<chrono::Utc>>,
    due_on: Option<chrono::NaiveDate>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only what can be read of it matters")]
struct Line {
    count: i32,
    kind: Kind,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Goods,
    Service,
}

/// What has no harmless value but its own words.
#[derive(Debug, Deserialize)]
#[allow(dead_code, reason = "only what can be read of it matters")]
struct Parcel {
    kind: Kind,
    second: Kind,
    name: String,
}

#[test]
fn a_bad_word_hides_nothing_behind_it() {
    let told = |body: Value| match read::<Parcel>(body).unwrap_err() {
        Error::Invalid(errors) => errors.into_iter().map(|error| error.field).collect::<Vec<_>>(),
        other => panic!("{other}"),
    };
    assert_eq!(told(json!({"kind": "food", "second": 7, "name": 1})), ["kind", "second", "name"]);
    assert_eq!(told(json!({})), ["kind", "second", "name"]);
    assert_eq!(told(json!({"kind": "goods", "second": "x, expected `evil`", "name": null})), ["second", "name"]);
}

fn faults(body: Value) -> Vec<(String, String, String)> {
    match read::<Order>(body).unwrap_err() {
        Error::Invalid(errors) => errors.into_iter().map(|e| (e.field, e.code, e.message)).collect(),
        other => panic!("{other}"),
    }
}

#[test]
fn every_bad_member_is_told_at_once() {
    let body = json!({"name": 5, "amount": "9", "currency": "EURO", "userIds": ["x", 7, "01890000-0000-7000-8000-000000000000"],
        "lines": [{"count": 1.5, "kind": "food"}, {"kind": "goods"}, 3], "dueAt": "noon", "dueOn": "2025-02-30"});
    let found = faults(body);
    let told: Vec<_> = found.iter().map(|(field, code, _)| (field.as_str(), code.as_str())).collect();
    let expected = [
        ("name", "invalid_type"),
        ("amount", "invalid_type"),
        ("currency", "invalid_type"),
        ("userIds[0]", "invalid_id"),
        ("userIds[1]", "invalid_id"),
        ("lines[0].count", "invalid_type"),
        ("lines[0].kind", "not_allowed"),
    ];
    assert_eq!(told[..expected.len()], expected, "{found:#?}");
    for (_, _, message) in &found {
        for raw in ["invalid type", "UUID", "expected", "line ", "struct"] {
            assert!(!message.contains(raw), "{message}");
        }
        assert!(message.ends_with('.') && message.starts_with(char::is_uppercase), "{message}");
    }
}

#[test]
fn what_is_missing_is_told_by_its_own_name() {
    let found = faults(json!({"lines": [{"count": 1, "kind": "service"}, {"count": 2, "kind": "goods"}, {}]}));
    let fields: Vec<_> = found.iter().map(|(field, ..)| field.as_str()).collect();
    assert_eq!(fields[..3], ["lines[2].count", "lines[2].kind", "name"], "{found:?}");
}

#[test]
fn an_unknown_member_is_no_value_that_is_wrong() {
    for (body, said) in [
        (json!({"nmae": "x"}), "There is no member `nmae`. There are: name, amount,"),
        (
            json!({"name": 1, "lines": [{"cuont": 1}]}),
            "There is no member `cuont` in `lines[0]`. There are: count, kind.",
        ),
    ] {
        match read::<Order>(body).unwrap_err() {
            Error::Malformed { code: "unknown_member", detail } => assert!(detail.starts_with(said), "{detail}"),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn nonsense_is_told_once_wherever_it_stands() {
    let whole = json!({"name": "x", "amount": 1, "userIds": [], "lines": [{"count": 1, "kind": "goods"}]});
    read::<Order>(whole.clone()).unwrap();
    let nonsense = [
        json!(null),
        json!(""),
        json!(-1),
        json!(1.5),
        json!(true),
        json!([]),
        json!({}),
        json!([""]),
        json!({"a": {"b": ""}}),
    ];
    for (place, is_item) in
        [("amount", false), ("userIds", false), ("userIds", true), ("lines", false), ("lines", true)]
    {
        for value in &nonsense {
            let mut body = whole.clone();
            body[place] = if is_item { json!([value]) } else { value.clone() };
            match read::<Order>(body) {
                Ok(_) => assert!(value.is_array() || value.is_number(), "{place} {value}"),
                Err(Error::Invalid(errors)) => {
                    assert!(errors.iter().all(|error| error.field.starts_with(place)), "{place} {value}: {errors:?}");
                }
                Err(Error::Malformed { .. }) => {
                    assert_eq!((place, is_item, value.is_object()), ("lines", true, true))
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
}

#[test]
fn what_lies_within_a_told_member_is_not_told_again() {
    let mut errors = vec![FieldError::new("a", "x", "")];
    for field in ["a", "a.b", "a[0]", "ab", "b.a"] {
        tell(&mut errors, FieldError::new(field, "y", ""));
    }
    assert_eq!(errors.iter().map(|e| e.field.as_str()).collect::<Vec<_>>(), ["a", "ab", "b.a"]);
}

proptest! {
    #[test]
    fn any_list_of_nonsense_ends_soon(items in proptest::collection::vec(any::<u32>(), 0..400)) {
        let body = json!({"name": "", "amount": 1, "lines": [], "userIds": items});
        prop_assert_eq!(read::<Order>(body).is_ok(), items.is_empty());
    }
}
