//! Reads a condition from JSON, naming every fault and its place.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Attribute, Comparison, Expression, MAX_DEPTH, MAX_LISTED, MAX_NODES, Op, Operand};
use crate::clocks::RequestAttribute;
use crate::scalars::{Kind, Scalar};
use crate::violations::{Violation, member, unknown_members};

/// Reads a condition on these attributes.
pub(super) fn read(source: &Value, attributes: &BTreeMap<&str, &Kind>) -> Result<Expression, Vec<Violation>> {
    let mut reader = Reader { attributes, nodes: 0, violations: Vec::new(), is_stored: false };
    match reader.expression(source, "", 1) {
        Some(expression) if reader.violations.is_empty() => Ok(expression),
        _ => Err(reader.violations),
    }
}

/// Reads a condition that was checked when it was written.
pub(super) fn read_stored(source: &Value, attributes: &BTreeMap<&str, &Kind>) -> Expression {
    let mut reader = Reader { attributes, nodes: 0, violations: Vec::new(), is_stored: true };
    match reader.expression(source, "", 1) {
        Some(expression) if reader.violations.is_empty() => expression,
        _ => Expression::Unreadable(None),
    }
}

/// How far from now and from today a condition can look: a hundred years.
const MAX_DAYS: i64 = 36_525;

struct Reader<'a> {
    attributes: &'a BTreeMap<&'a str, &'a Kind>,
    nodes: usize,
    violations: Vec<Violation>,
    /// The condition was checked before, on the attributes of that time.
    is_stored: bool,
}

impl<'a> Reader<'a> {
    /// Notes a fault; the `None` stands for what could not be read.
    fn refuse<T>(&mut self, pointer: impl Into<String>, code: &'static str, message: impl Into<String>) -> Option<T> {
        self.violations.push(Violation::new(pointer, code, message));
        None
    }

    fn expression(&mut self, json: &Value, pointer: &str, depth: usize) -> Option<Expression> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            let first = self.nodes == MAX_NODES + 1;
            let message = format!("A condition has at most {MAX_NODES} parts.");
            return if first { self.refuse(pointer, "too_many_nodes", message) } else { None };
        }
        if depth > MAX_DEPTH {
            return self.refuse(pointer, "too_deep", format!("A condition nests at most {MAX_DEPTH} deep."));
        }
        let Some(object) = json.as_object() else {
            return self.refuse(pointer, "invalid_type", "An object is expected: a comparison, all, any or not.");
        };
        let Some((joint, parts)) = ["all", "any", "not"].into_iter().find_map(|name| object.get_key_value(name)) else {
            return self.readable(object, pointer);
        };
        self.violations.extend(unknown_members(object, &[joint], pointer));
        let place = member(pointer, joint);
        match joint.as_str() {
            "not" => self.expression(parts, &place, depth + 1).map(|part| Expression::Not(Box::new(part))),
            "all" => self.parts(parts, &place, depth).map(Expression::All),
            _ => self.parts(parts, &place, depth).map(Expression::Any),
        }
    }

    fn parts(&mut self, json: &Value, pointer: &str, depth: usize) -> Option<Vec<Expression>> {
        let Some(parts) = json.as_array().filter(|parts| !parts.is_empty()) else {
            return self.refuse(pointer, "invalid_type", "A list of at least one condition is expected.");
        };
        let mut read = Vec::with_capacity(parts.len().min(MAX_NODES));
        for (index, part) in parts.iter().enumerate() {
            read.extend(self.expression(part, &member(pointer, &index.to_string()), depth + 1));
        }
        Some(read)
    }

    /// A comparison; one that has been checked once and fits no longer is kept as what nobody can tell.
    fn readable(&mut self, object: &Map<String, Value>, pointer: &str) -> Option<Expression> {
        let known = self.violations.len();
        let read = self.comparison(object, pointer);
        if !self.is_stored || (read.is_some() && self.violations.len() == known) {
            return read;
        }
        self.violations.truncate(known);
        Some(Expression::Unreadable(object.get("attr").and_then(Value::as_str).map(str::to_owned)))
    }

    fn comparison(&mut self, object: &Map<String, Value>, pointer: &str) -> Option<Expression> {
        self.violations.extend(unknown_members(object, &["attr", "op", "value", "ref", "days"], pointer));
        let attribute = self.attribute(object, pointer);
        let op = self.op(object, pointer);
        let ((attr, kind), op) = (attribute?, op?);
        if !applies(op, kind) {
            let message = format!("{op} does not apply to “{}”, which is of type {}.", attr.name(), kind.name());
            return self.refuse(member(pointer, "op"), "invalid_operator", message);
        }
        let operand = match (object.get("value"), object.get("ref")) {
            (Some(_), Some(_)) => {
                self.refuse(member(pointer, "ref"), "ambiguous", "A comparison has a value or a ref, not both.")
            }
            (value, None) => {
                if object.contains_key("days") {
                    let message = "days goes with the ref now or today.";
                    self.refuse::<()>(member(pointer, "days"), "not_applicable", message);
                }
                self.value(op, kind, value, pointer)
            }
            (None, Some(reference)) => self.reference(op, kind, reference, object.get("days"), pointer),
        };
        Some(Expression::Compare(Comparison { attr, op, operand: operand? }))
    }

    fn attribute(&mut self, object: &Map<String, Value>, pointer: &str) -> Option<(Attribute, &'a Kind)> {
        let attr = self.text(object, "attr", pointer)?;
        if let Some(attribute) = RequestAttribute::from_name(&attr) {
            return Some((Attribute::Request(attribute), attribute.kind()));
        }
        match self.attributes.get(attr.as_str()) {
            Some(kind) => Some((Attribute::Record(attr), *kind)),
            None => {
                let known = self.attributes.keys().chain(RequestAttribute::NAMES).copied().collect::<Vec<_>>();
                let known = known.join(", ");
                let message = format!("“{attr}” is no attribute of this resource; there are {known}.");
                self.refuse(member(pointer, "attr"), "unknown_attribute", message)
            }
        }
    }

    fn op(&mut self, object: &Map<String, Value>, pointer: &str) -> Option<Op> {
        let name = self.text(object, "op", pointer)?;
        let op = Op::from_name(&name);
        op.or_else(|| {
            let known = Op::ALL.iter().map(|op| op.as_str()).collect::<Vec<_>>().join(", ");
            self.refuse(member(pointer, "op"), "unknown_operator", format!("“{name}” is none of {known}."))
        })
    }

    fn text(&mut self, object: &Map<String, Value>, name: &str, pointer: &str) -> Option<String> {
        match object.get(name).map(|json| json.as_str()) {
            Some(Some(text)) => Some(text.to_owned()),
            Some(None) => self.refuse(member(pointer, name), "invalid_type", format!("{name} is a text.")),
            None => self.refuse(member(pointer, name), "required", format!("A comparison needs {name}.")),
        }
    }

    fn value(&mut self, op: Op, kind: &Kind, json: Option<&Value>, pointer: &str) -> Option<Operand> {
        let place = member(pointer, "value");
        match (op, json) {
            (Op::IsNull, None) => Some(Operand::Null(true)),
            (Op::IsNull, Some(json)) => match json.as_bool() {
                Some(expected) => Some(Operand::Null(expected)),
                None => self.refuse(place, "invalid_value", "isNull takes true or false, or nothing, which is true."),
            },
            (_, None) => self.refuse(place, "required", "A comparison needs a value."),
            (Op::In | Op::NotIn, Some(json)) => self.list(kind, json, &place).map(Operand::List),
            (Op::ContainsAny, Some(json)) => self.list(&Kind::Text, json, &place).map(Operand::List),
            (Op::Contains, Some(json)) => self.literal(&Kind::Text, json, place).map(Operand::Literal),
            (_, Some(json)) => self.literal(kind, json, place).map(Operand::Literal),
        }
    }

    fn list(&mut self, kind: &Kind, json: &Value, pointer: &str) -> Option<Vec<Scalar>> {
        let Some(items) = json.as_array().filter(|items| (1..=MAX_LISTED).contains(&items.len())) else {
            return self.refuse(pointer, "invalid_type", format!("A list of 1 to {MAX_LISTED} values is expected."));
        };
        let mut read = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            read.extend(self.literal(kind, item, member(pointer, &index.to_string())));
        }
        Some(read)
    }

    fn literal(&mut self, kind: &Kind, json: &Value, pointer: String) -> Option<Scalar> {
        Scalar::read(kind, json).map_err(|message| self.refuse::<()>(pointer, "invalid_value", message)).ok()
    }

    fn reference(&mut self, op: Op, kind: &Kind, json: &Value, days: Option<&Value>, pointer: &str) -> Option<Operand> {
        let orders = matches!(op, Op::Eq | Op::Ne | Op::Lt | Op::Le | Op::Gt | Op::Ge);
        let operand = match (json.as_str(), op, kind) {
            (Some("caller.id"), Op::Eq | Op::Ne, Kind::Id) => Operand::CallerId,
            (Some("caller.businessUnitIds"), Op::In | Op::NotIn, Kind::Id) => Operand::CallerBusinessUnits,
            (Some("now"), _, Kind::Instant) if orders => Operand::Now(self.days(days, pointer)?),
            (Some("today"), _, Kind::Date) if orders => Operand::Today(self.days(days, pointer)?),
            _ => {
                let message = "An id is compared with caller.id by eq and ne, with caller.businessUnitIds by in and notIn; \
                               an instant with now and a day with today, by any operator that orders.";
                return self.refuse(member(pointer, "ref"), "invalid_reference", message);
            }
        };
        if days.is_some() && !matches!(operand, Operand::Now(_) | Operand::Today(_)) {
            return self.refuse(member(pointer, "days"), "not_applicable", "days goes with the ref now or today.");
        }
        Some(operand)
    }

    /// How many days from now or from today, none where it is left out.
    fn days(&mut self, json: Option<&Value>, pointer: &str) -> Option<i32> {
        let Some(json) = json else { return Some(0) };
        match json.as_i64().filter(|days| days.abs() <= MAX_DAYS).and_then(|days| i32::try_from(days).ok()) {
            None => {
                let message = format!("A whole number of days is expected, from -{MAX_DAYS} to {MAX_DAYS}.");
                self.refuse(member(pointer, "days"), "invalid_value", message)
            }
            days => days,
        }
    }
}

fn applies(op: Op, kind: &Kind) -> bool {
    let ordered =
        matches!(kind, Kind::Money { .. } | Kind::Decimal | Kind::Int | Kind::Date | Kind::Instant | Kind::Time);
    match op {
        Op::IsNull => true,
        _ if *kind == Kind::Opaque => false,
        Op::Contains | Op::ContainsAny => *kind == Kind::Texts,
        _ if *kind == Kind::Texts => false,
        Op::Eq | Op::Ne => true,
        Op::Lt | Op::Le | Op::Gt | Op::Ge => ordered,
        Op::In | Op::NotIn => !matches!(kind, Kind::Money { .. } | Kind::Bool | Kind::Instant | Kind::Time),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(source: &Value) -> Vec<(String, &'static str)> {
        let (money, id, int) = (Kind::Money { currency: "currency".into() }, Kind::Id, Kind::Int);
        let attributes = BTreeMap::from([
            ("value", &money),
            ("ownerId", &id),
            ("score", &int),
            ("tags", &Kind::Texts),
            ("notes", &Kind::Opaque),
            ("closedOn", &Kind::Date),
            ("createdAt", &Kind::Instant),
        ]);
        let violations = read(source, &attributes).err().unwrap_or_default();
        violations.into_iter().map(|violation| (violation.pointer, violation.code)).collect()
    }

    #[test]
    fn every_fault_is_named_with_its_place() {
        let cases = [
            (json!([]), "", "invalid_type"),
            (json!({}), "/attr", "required"),
            (json!({"attr": 1, "op": "eq", "value": 1}), "/attr", "invalid_type"),
            (json!({"attr": "score", "op": "eq"}), "/value", "required"),
            (json!({"attr": "score", "op": "==", "value": 1}), "/op", "unknown_operator"),
            (json!({"attr": "size", "op": "eq", "value": 1}), "/attr", "unknown_attribute"),
            (json!({"attr": "ownerId", "op": "lt", "value": "a"}), "/op", "invalid_operator"),
            (json!({"attr": "value", "op": "in", "value": []}), "/op", "invalid_operator"),
            (json!({"attr": "score", "op": "in", "value": []}), "/value", "invalid_type"),
            (json!({"attr": "score", "op": "in", "value": [1, "x"]}), "/value/1", "invalid_value"),
            (json!({"attr": "value", "op": "gt", "value": 5}), "/value", "invalid_value"),
            (json!({"attr": "score", "op": "isNull", "value": 5}), "/value", "invalid_value"),
            (json!({"attr": "tags", "op": "eq", "value": "vip"}), "/op", "invalid_operator"),
            (json!({"attr": "notes", "op": "eq", "value": "x"}), "/op", "invalid_operator"),
            (json!({"attr": "notes", "op": "contains", "value": "x"}), "/op", "invalid_operator"),
            (json!({"attr": "score", "op": "contains", "value": "x"}), "/op", "invalid_operator"),
            (json!({"attr": "tags", "op": "contains", "value": ["x"]}), "/value", "invalid_value"),
            (json!({"attr": "tags", "op": "containsAny", "value": "x"}), "/value", "invalid_type"),
            (json!({"attr": "tags", "op": "containsAny", "value": ["x", 1]}), "/value/1", "invalid_value"),
            (json!({"attr": "closedOn", "op": "lt", "ref": "now"}), "/ref", "invalid_reference"),
            (json!({"attr": "closedOn", "op": "in", "ref": "today"}), "/ref", "invalid_reference"),
            (json!({"attr": "createdAt", "op": "lt", "ref": "today"}), "/ref", "invalid_reference"),
            (json!({"attr": "createdAt", "op": "lt", "ref": "now", "days": 1.5}), "/days", "invalid_value"),
            (json!({"attr": "createdAt", "op": "lt", "ref": "now", "days": 36_526}), "/days", "invalid_value"),
            (json!({"attr": "ownerId", "op": "eq", "ref": "caller.id", "days": 1}), "/days", "not_applicable"),
            (json!({"attr": "score", "op": "eq", "value": 1, "days": 1}), "/days", "not_applicable"),
            (json!({"attr": "request.time", "op": "lt", "value": "8:00"}), "/value", "invalid_value"),
            (json!({"attr": "request.time", "op": "lt", "value": "24:00"}), "/value", "invalid_value"),
            (json!({"attr": "request.time", "op": "in", "value": ["08:00"]}), "/op", "invalid_operator"),
            (json!({"attr": "request.weekday", "op": "eq", "value": "Sunday"}), "/value", "invalid_value"),
            (json!({"attr": "request.weekday", "op": "lt", "value": "sunday"}), "/op", "invalid_operator"),
            (json!({"attr": "request.hour", "op": "lt", "value": 8}), "/attr", "unknown_attribute"),
            (json!({"attr": "score", "op": "eq", "ref": "caller.id"}), "/ref", "invalid_reference"),
            (json!({"attr": "ownerId", "op": "eq", "ref": "caller.id", "value": "a"}), "/ref", "ambiguous"),
            (json!({"attr": "score", "op": "eq", "value": 1, "a/b~": 1}), "/a~1b~0", "unknown_member"),
            (json!({"all": []}), "/all", "invalid_type"),
            (json!({"all": [{"attr": "score", "op": "eq", "value": 1}], "any": []}), "/any", "unknown_member"),
            (
                json!({"not": {"any": [{"attr": "score", "op": "eq", "value": true}]}}),
                "/not/any/0/value",
                "invalid_value",
            ),
        ];
        for (source, pointer, code) in cases {
            assert!(faults(&source).contains(&(pointer.to_owned(), code)), "{source}: {:?}", faults(&source));
        }
        let two = json!({"all": [{"attr": "x", "op": "eq", "value": 1}, {"attr": "score", "op": "eq", "value": "1"}]});
        assert_eq!(
            faults(&two),
            [("/all/0/attr".into(), "unknown_attribute"), ("/all/1/value".into(), "invalid_value")]
        );
    }

    #[test]
    fn size_is_bounded() {
        let leaf = json!({"attr": "score", "op": "eq", "value": 1});
        let nested = |depth: usize| (1..depth).fold(leaf.clone(), |inner, _| json!({"not": inner}));
        let broad = |nodes: usize| json!({"any": vec![leaf.clone(); nodes - 1]});
        assert_eq!(faults(&nested(MAX_DEPTH)), []);
        assert_eq!(faults(&nested(MAX_DEPTH + 1)), [("/not".repeat(MAX_DEPTH), "too_deep")]);
        assert_eq!(faults(&broad(MAX_NODES)), []);
        assert_eq!(faults(&broad(MAX_NODES + 9)), [("/any/63".into(), "too_many_nodes")]);
        let listed = |length: usize| json!({"attr": "score", "op": "in", "value": vec![1; length]});
        assert_eq!(faults(&listed(MAX_LISTED)), []);
        assert_eq!(faults(&listed(MAX_LISTED + 1)), [("/value".into(), "invalid_type")]);
    }
}
