//! Typed conditions: `{attr, op, value|ref}` joined by `all`, `any` and `not`, in three-valued logic. What is compared is an
//! attribute of the record, or of the request itself: when it is made.
//!
//! A comparison with a value that is missing or null is neither true nor false but unknown (Kleene 1952), as in SQL. A
//! policy that allows needs a condition that is true; one that refuses or asks for approval acts on unknown as well.

mod grammar;
mod logic;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use logic::Truth;
use serde::{Serialize, Serializer};
use serde_json::Value;
use utoipa::ToSchema;

use crate::attributes::{Context, Registry};
use crate::clocks::RequestAttribute;
use crate::names::named;
use crate::resource_patterns::ResourcePattern;
use crate::scalars::{Kind, Scalar};
use crate::violations::Violation;

/// How deeply `all`, `any` and `not` may nest, the comparisons included.
pub const MAX_DEPTH: usize = 8;
/// How many nodes a condition may have.
pub const MAX_NODES: usize = 64;
/// How many values an `in` or `notIn` may list.
pub const MAX_LISTED: usize = 256;

/// A condition as its author wrote it, and as it is evaluated. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Condition {
    source: Arc<Value>,
    expression: Arc<Expression>,
}

/// The parsed form of a condition.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// True where every part is true.
    All(Vec<Expression>),
    /// True where some part is true.
    Any(Vec<Expression>),
    /// True where the part is false.
    Not(Box<Expression>),
    /// One attribute against something.
    Compare(Comparison),
    /// A comparison of a stored condition that can no longer be read, since its attribute is gone: always unknown.
    Unreadable(Option<String>),
}

/// One attribute against something.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The attribute.
    pub attr: Attribute,
    /// How it is compared.
    pub op: Op,
    /// What it is compared with.
    pub operand: Operand,
}

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// An attribute of the record, or a part of one, `customFields.region`.
    Record(String),
    /// One of the request.
    Request(RequestAttribute),
}

impl Attribute {
    /// Its name, as conditions write it.
    pub fn name(&self) -> &str {
        match self {
            Attribute::Record(name) => name,
            Attribute::Request(attribute) => attribute.as_str(),
        }
    }
}

/// What an attribute is compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// A literal of the attribute's type.
    Literal(Scalar),
    /// Literals of the attribute's type (`in`, `notIn`), or of what it lists (`containsAny`).
    List(Vec<Scalar>),
    /// Whether null is expected (`isNull`).
    Null(bool),
    /// `{"ref": "caller.id"}`: the user who asks.
    CallerId,
    /// `{"ref": "caller.businessUnitIds"}`: the business units of the user who asks (`in`, `notIn`). A caller who is bound
    /// to none is in all of them.
    CallerBusinessUnits,
    /// `{"ref": "now", "days": -30}`: the instant of the request, or one that many days of 86,400 seconds away.
    Now(i32),
    /// `{"ref": "today", "days": 7}`: the day of the request in the organization's zone, or one that many days away.
    Today(i32),
}

named! {
    /// How an attribute is compared.
    pub enum Op {
        /// Equal.
        Eq = "eq",
        /// Not equal.
        Ne = "ne",
        /// Less than, earlier than.
        Lt = "lt",
        /// At most.
        Le = "le",
        /// Greater than, later than.
        Gt = "gt",
        /// At least.
        Ge = "ge",
        /// Equal to one of a list.
        In = "in",
        /// Equal to none of a list.
        NotIn = "notIn",
        /// Known to be null.
        IsNull = "isNull",
        /// Has this among its texts.
        Contains = "contains",
        /// Has one of a list among its texts.
        ContainsAny = "containsAny",
    }
}

/// The comparison that kept a condition from holding.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FailedClause {
    /// Where it stands in the condition: a JSON Pointer, `""` for the whole.
    pub pointer: String,
    /// Its attribute; it is gone where there is no `op`.
    pub attr: Option<String>,
    /// How it compares, absent where it can't be read any more.
    pub op: Option<Op>,
    /// What it compares with: the value as it is written, or what the reference stands for at that moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    pub wanted: Option<Value>,
    /// What the attribute is: null where it is known to be null, absent where nothing is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    pub found: Option<Value>,
    /// What it came to.
    pub truth: Truth,
}

/// An identifier that a condition names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NamedId<'c> {
    /// Of which attribute.
    pub(crate) attr: &'c str,
    /// The identifier.
    pub(crate) id: &'c str,
}

impl Condition {
    /// Reads and checks a condition that somebody writes for a policy on `resource`.
    ///
    /// # Errors
    /// Every fault, each with the JSON Pointer of its place.
    pub fn read(source: Value, registry: &Registry, resource: &ResourcePattern) -> Result<Condition, Vec<Violation>> {
        let expression = grammar::read(&source, &registry.attributes_under(resource))?;
        Ok(Condition { source: Arc::new(source), expression: Arc::new(expression) })
    }

    /// Reads a condition that was checked when it was written. A comparison that can't be read any more, since its attribute
    /// is gone, is unknown from then on: it allows nothing, and what it refused stays refused.
    pub fn stored(source: Value, registry: &Registry, resource: &ResourcePattern) -> Condition {
        let expression = grammar::read_stored(&source, &registry.attributes_under(resource));
        Condition { source: Arc::new(source), expression: Arc::new(expression) }
    }

    /// The parsed form, for a translation into SQL, whose `AND`, `OR` and `NOT` are the same three-valued ones.
    pub fn expression(&self) -> &Expression {
        &self.expression
    }

    /// What the condition comes to.
    pub fn evaluate(&self, context: &Context<'_>) -> Truth {
        self.expression.evaluate(context)
    }

    /// Whether it compares anything of the record; else it comes to the same on every one.
    pub(crate) fn asks_record(&self) -> bool {
        self.expression.any(&|comparison| matches!(comparison.attr, Attribute::Record(_)))
    }

    /// Whether what it comes to depends on when it is asked.
    pub(crate) fn asks_clock(&self) -> bool {
        let timed = |operand: &Operand| matches!(operand, Operand::Now(_) | Operand::Today(_));
        self.expression.any(&|it| matches!(it.attr, Attribute::Request(_)) || timed(&it.operand))
    }

    /// The identifiers of records that it names, each with the JSON Pointer of its place.
    pub(crate) fn ids(&self, attributes: &BTreeMap<&str, &Kind>) -> Vec<(String, NamedId<'_>)> {
        let mut ids = Vec::new();
        self.expression.ids(attributes, "", &mut ids);
        ids
    }

    /// The first comparison that keeps the condition from being true, `None` where it is true.
    pub fn failed_clause(&self, context: &Context<'_>) -> Option<FailedClause> {
        self.expression.failing(context, Truth::True, "")
    }
}

/// The same JSON that it was read from.
impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.source.serialize(serializer)
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        let same = Arc::ptr_eq(&self.source, &other.source) && Arc::ptr_eq(&self.expression, &other.expression);
        same || (self.source == other.source && self.expression == other.expression)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::attributes::{Caller, Facts, Resource, ResourceClass};

    fn registry() -> Registry {
        let deal = Resource::new("deal", ResourceClass::Record)
            .with("value", Kind::Money { currency: "currency".into() })
            .with("currency", Kind::Text)
            .with("ownerId", Kind::Id)
            .with("businessUnitId", Kind::Id)
            .with("score", Kind::Int)
            .with("closedOn", Kind::Date);
        Registry::new([deal])
    }

    fn condition(source: Value) -> Condition {
        Condition::read(source, &registry(), &ResourcePattern::parse("deal").unwrap()).unwrap()
    }

    fn facts(record: &Value) -> Facts {
        Facts::of(registry().resource("deal").unwrap(), record.as_object().unwrap())
    }

    fn truth(source: &Value, record: &Value) -> Truth {
        condition(source.clone()).evaluate(&Context::new(&Caller::new("me").within(["north"]), &facts(record)))
    }

    #[test]
    fn comparisons_are_true_false_or_unknown() {
        let above = || json!({"attr": "value", "op": "gt", "value": {"amount": 3_000_000_000_i64, "currency": "EUR"}});
        let one_of = || json!({"attr": "score", "op": "in", "value": [1, 2]});
        let none_of = || json!({"attr": "score", "op": "notIn", "value": [1, 2]});
        let mine = || json!({"attr": "ownerId", "op": "eq", "ref": "caller.id"});
        let ours = || json!({"attr": "businessUnitId", "op": "in", "ref": "caller.businessUnitIds"});
        let null = |expected: bool| json!({"attr": "ownerId", "op": "isNull", "value": expected});
        let cases = [
            (above(), json!({"value": 3_000_000_001_i64, "currency": "EUR"}), Truth::True),
            (above(), json!({"value": 3_000_000_000_i64, "currency": "EUR"}), Truth::False),
            (above(), json!({"value": 3_000_000_001_i64, "currency": "USD"}), Truth::Unknown),
            (above(), json!({"value": null, "currency": "EUR"}), Truth::Unknown),
            (above(), json!({}), Truth::Unknown),
            (one_of(), json!({"score": 2}), Truth::True),
            (one_of(), json!({"score": 3}), Truth::False),
            (one_of(), json!({"score": null}), Truth::Unknown),
            (none_of(), json!({"score": 3}), Truth::True),
            (none_of(), json!({"score": 2}), Truth::False),
            (none_of(), json!({}), Truth::Unknown),
            (mine(), json!({"ownerId": "me"}), Truth::True),
            (mine(), json!({"ownerId": "you"}), Truth::False),
            (ours(), json!({"businessUnitId": "north"}), Truth::True),
            (ours(), json!({"businessUnitId": "south"}), Truth::False),
            (ours(), json!({"businessUnitId": null}), Truth::Unknown),
            (null(true), json!({"ownerId": null}), Truth::True),
            (null(true), json!({"ownerId": "me"}), Truth::False),
            (null(false), json!({"ownerId": "me"}), Truth::True),
            (null(true), json!({}), Truth::Unknown),
            (
                json!({"attr": "closedOn", "op": "le", "value": "2026-01-31"}),
                json!({"closedOn": "2026-01-31"}),
                Truth::True,
            ),
            (json!({"not": one_of()}), json!({}), Truth::Unknown),
            (json!({"any": [one_of(), mine()]}), json!({"ownerId": "me"}), Truth::True),
            (json!({"any": [one_of(), mine()]}), json!({"ownerId": "you"}), Truth::Unknown),
            (json!({"all": [one_of(), mine()]}), json!({"ownerId": "you"}), Truth::False),
            (json!({"all": [one_of(), mine()]}), json!({"ownerId": "me"}), Truth::Unknown),
        ];
        for (source, record, expected) in cases {
            assert_eq!(truth(&source, &record), expected, "{source} on {record}");
        }
    }

    #[test]
    fn a_caller_bound_to_no_unit_is_in_every_unit() {
        let ours = condition(json!({"attr": "businessUnitId", "op": "in", "ref": "caller.businessUnitIds"}));
        let (free, bare) = (Caller::new("me"), Caller::new("me").within::<String>([]));
        let unset = facts(&json!({"businessUnitId": null}));
        let south = facts(&json!({"businessUnitId": "south"}));
        assert_eq!(ours.evaluate(&Context::new(&free, &unset)), Truth::True);
        assert_eq!(ours.evaluate(&Context::new(&bare, &south)), Truth::False);
    }

    #[test]
    fn the_failed_clause_is_named() {
        let source = json!({"all": [
            {"attr": "score", "op": "ge", "value": 1},
            {"not": {"any": [{"attr": "score", "op": "eq", "value": 9}, {"attr": "ownerId", "op": "eq", "ref": "caller.id"}]}}
        ]});
        let caller = Caller::new("me");
        let failed = |record: Value| condition(source.clone()).failed_clause(&Context::new(&caller, &facts(&record)));
        assert_eq!(failed(json!({"score": 5, "ownerId": "you"})), None);
        let cases = [
            (json!({"score": 0, "ownerId": "you"}), "/all/0", "score", Truth::False),
            (json!({"score": 9, "ownerId": "you"}), "/all/1/not/any/0", "score", Truth::True),
            (json!({"score": 5}), "/all/1/not/any/1", "ownerId", Truth::Unknown),
        ];
        for (record, pointer, attr, truth) in cases {
            let clause = failed(record).unwrap();
            assert_eq!((clause.pointer.as_str(), clause.attr.as_deref(), clause.truth), (pointer, Some(attr), truth));
        }
    }

    #[test]
    fn a_stored_condition_on_a_vanished_attribute_is_unknown_and_kept_as_written() {
        let source = json!({"attr": "gone", "op": "eq", "value": 1});
        let stored = Condition::stored(source.clone(), &registry(), &ResourcePattern::parse("deal").unwrap());
        let (caller, nothing) = (Caller::new("me"), Facts::none());
        assert_eq!(stored.evaluate(&Context::new(&caller, &nothing)), Truth::Unknown);
        let clause = stored.failed_clause(&Context::new(&caller, &nothing)).unwrap();
        assert_eq!((clause.attr.as_deref(), clause.op), (Some("gone"), None));
        assert_eq!(serde_json::to_value(&stored).unwrap(), source);
    }

    fn sources() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            (0..9_i64, prop::sample::select(vec!["eq", "ne", "lt", "le", "gt", "ge"]))
                .prop_map(|(value, op)| json!({"attr": "score", "op": op, "value": value})),
            prop::collection::vec(0..9_i64, 1..4)
                .prop_map(|list| json!({"attr": "score", "op": "notIn", "value": list})),
            Just(json!({"attr": "ownerId", "op": "isNull"})),
            Just(
                json!({"attr": "value", "op": "ge", "value": {"amount": "1.50".parse::<serde_json::Number>().unwrap(), "currency": "CHF"}})
            ),
        ];
        leaf.prop_recursive(3, 24, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| json!({"all": parts})),
                prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| json!({"any": parts})),
                inner.prop_map(|part| json!({"not": part})),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_condition_is_written_as_it_was_read(source in sources()) {
            let written = serde_json::to_string(&condition(source.clone())).unwrap();
            prop_assert_eq!(&written, &source.to_string());
            prop_assert_eq!(condition(serde_json::from_str(&written).unwrap()), condition(source));
        }

        /// Learning a value may turn unknown into true or false, but never one of those into another.
        #[test]
        fn knowing_more_never_changes_what_was_known(source in sources(), score in 0..9_i64) {
            let before = truth(&source, &json!({"ownerId": null}));
            let after = truth(&source, &json!({"ownerId": null, "score": score}));
            prop_assert!(before == Truth::Unknown || before == after);
        }

        #[test]
        fn de_morgan_holds(a in sources(), b in sources(), score in prop::option::of(0..9_i64)) {
            let record = json!({"score": score});
            let joined = truth(&json!({"not": {"all": [a.clone(), b.clone()]}}), &record);
            prop_assert_eq!(joined, truth(&json!({"any": [{"not": a}, {"not": b}]}), &record));
        }
    }
}
