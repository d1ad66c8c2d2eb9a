//! Evaluates conditions in the three-valued logic of Kleene (Introduction to Metamathematics, 1952, section 64).

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Attribute, Comparison, Expression, FailedClause, NamedId, Op, Operand};
use crate::attributes::Context;
use crate::names::named;
use crate::scalars::{Kind, Scalar};
use crate::violations::member;

named! {
    /// The three values of Kleene's logic.
    pub enum Truth {
        /// It holds.
        True = "true",
        /// It does not hold.
        False = "false",
        /// Nobody can tell.
        Unknown = "unknown",
    }
}

impl Truth {
    fn negated(self) -> Truth {
        match self {
            Truth::True => Truth::False,
            Truth::False => Truth::True,
            Truth::Unknown => Truth::Unknown,
        }
    }

    /// True where either is, else unknown where either is.
    pub(crate) fn or(self, other: Truth) -> Truth {
        Truth::fold([self, other].into_iter(), Truth::True)
    }

    /// Folds parts: `decisive` decides the whole, unknown stays unless something decides.
    fn fold(parts: impl Iterator<Item = Truth>, decisive: Truth) -> Truth {
        let mut whole = decisive.negated();
        for part in parts {
            if part == decisive {
                return decisive;
            }
            if part == Truth::Unknown {
                whole = Truth::Unknown;
            }
        }
        whole
    }
}

impl From<bool> for Truth {
    fn from(known: bool) -> Truth {
        if known { Truth::True } else { Truth::False }
    }
}

impl Expression {
    /// Adds the attributes of the record that are compared.
    pub(crate) fn names<'e>(&'e self, names: &mut BTreeSet<&'e str>) {
        match self {
            Expression::All(parts) | Expression::Any(parts) => parts.iter().for_each(|part| part.names(names)),
            Expression::Not(part) => part.names(names),
            Expression::Compare(Comparison { attr: Attribute::Record(name), .. }) => drop(names.insert(name)),
            Expression::Compare(_) | Expression::Unreadable(_) => {}
        }
    }

    /// Whether any of the comparisons is such a one.
    pub(super) fn any(&self, is: &dyn Fn(&Comparison) -> bool) -> bool {
        match self {
            Expression::All(parts) | Expression::Any(parts) => parts.iter().any(|part| part.any(is)),
            Expression::Not(part) => part.any(is),
            Expression::Compare(comparison) => is(comparison),
            Expression::Unreadable(_) => false,
        }
    }

    /// Adds the identifiers that are named, with their places.
    pub(super) fn ids<'e>(
        &'e self,
        attributes: &BTreeMap<&str, &Kind>,
        pointer: &str,
        ids: &mut Vec<(String, NamedId<'e>)>,
    ) {
        let mut within = |parts: &'e [Expression], name| {
            for (index, part) in parts.iter().enumerate() {
                part.ids(attributes, &member(&member(pointer, name), &index.to_string()), ids);
            }
        };
        match self {
            Expression::All(parts) => within(parts, "all"),
            Expression::Any(parts) => within(parts, "any"),
            Expression::Not(part) => part.ids(attributes, &member(pointer, "not"), ids),
            Expression::Compare(Comparison { attr: Attribute::Record(attr), operand, .. })
                if attributes.get(attr.as_str()) == Some(&&Kind::Id) =>
            {
                let value = member(pointer, "value");
                match operand {
                    Operand::Literal(Scalar::Text(id)) => ids.push((value, NamedId { attr, id })),
                    Operand::List(list) => {
                        for (index, item) in list.iter().enumerate() {
                            let Scalar::Text(id) = item else { continue };
                            ids.push((member(&value, &index.to_string()), NamedId { attr, id }));
                        }
                    }
                    _ => {}
                }
            }
            Expression::Compare(_) | Expression::Unreadable(_) => {}
        }
    }

    pub(super) fn evaluate(&self, context: &Context<'_>) -> Truth {
        match self {
            Expression::All(parts) => Truth::fold(parts.iter().map(|part| part.evaluate(context)), Truth::False),
            Expression::Any(parts) => Truth::fold(parts.iter().map(|part| part.evaluate(context)), Truth::True),
            Expression::Not(part) => part.evaluate(context).negated(),
            Expression::Compare(comparison) => comparison.evaluate(context),
            Expression::Unreadable(_) => Truth::Unknown,
        }
    }

    pub(super) fn failing(&self, context: &Context<'_>, wanted: Truth, pointer: &str) -> Option<FailedClause> {
        let truth = self.evaluate(context);
        if truth == wanted {
            return None;
        }
        let within = |parts: &[Expression], name| {
            let parts = parts.iter().enumerate();
            let place = |index: usize| member(&member(pointer, name), &index.to_string());
            parts.into_iter().find_map(|(index, part)| part.failing(context, wanted, &place(index)))
        };
        match self {
            Expression::All(parts) => within(parts, "all"),
            Expression::Any(parts) => within(parts, "any"),
            Expression::Not(part) => part.failing(context, wanted.negated(), &member(pointer, "not")),
            Expression::Compare(comparison) => Some(FailedClause {
                pointer: pointer.to_owned(),
                attr: Some(comparison.attr.name().to_owned()),
                op: Some(comparison.op),
                wanted: comparison.wanted(context),
                found: comparison.found(context).map(|found| found.as_deref().map_or(Value::Null, Value::from)),
                truth,
            }),
            Expression::Unreadable(attr) => Some(FailedClause {
                pointer: pointer.to_owned(),
                attr: attr.clone(),
                op: None,
                wanted: None,
                found: None,
                truth,
            }),
        }
    }
}

impl Comparison {
    /// What is known of the attribute: `None` where nothing is, `Some(None)` where it is null.
    fn found<'c>(&self, context: &Context<'c>) -> Option<Option<Cow<'c, Scalar>>> {
        match &self.attr {
            Attribute::Record(name) => context.facts.get(name).map(|known| known.map(Cow::Borrowed)),
            Attribute::Request(attribute) => Some(Some(Cow::Owned(attribute.of(context.clock.as_ref()?)))),
        }
    }

    /// What it is compared with, as it would be written: what a reference stands for here.
    fn wanted(&self, context: &Context<'_>) -> Option<Value> {
        match &self.operand {
            Operand::Literal(literal) => Some(literal.into()),
            Operand::List(list) => Some(list.iter().map(Value::from).collect()),
            Operand::Null(expected) => Some(json!(expected)),
            Operand::CallerId => Some(json!(context.caller.id)),
            Operand::CallerBusinessUnits => context.caller.business_unit_ids.as_ref().map(|ids| json!(ids)),
            Operand::Now(_) | Operand::Today(_) => self.then(context).as_ref().map(Value::from),
        }
    }

    /// The instant or day that is meant, at this clock.
    fn then(&self, context: &Context<'_>) -> Option<Scalar> {
        let clock = context.clock.as_ref()?;
        match self.operand {
            Operand::Now(days) => clock.now_and(days),
            Operand::Today(days) => clock.today_and(days),
            _ => None,
        }
    }

    fn evaluate(&self, context: &Context<'_>) -> Truth {
        let units = context.caller.business_unit_ids.as_ref();
        if self.operand == Operand::CallerBusinessUnits && units.is_none() {
            return Truth::from(self.op == Op::In);
        }
        let Some(known) = self.found(context) else { return Truth::Unknown };
        if let Operand::Null(expected) = self.operand {
            return Truth::from(known.is_none() == expected);
        }
        let Some(value) = known.as_deref() else { return Truth::Unknown };
        let truth = match (&self.operand, value) {
            (Operand::Literal(Scalar::Text(text)), Scalar::Texts(texts)) => Truth::from(texts.contains(text)),
            (Operand::List(list), Scalar::Texts(texts)) => {
                Truth::from(list.iter().any(|item| matches!(item, Scalar::Text(text) if texts.contains(text))))
            }
            (Operand::Literal(literal), _) => self.op.holds(value.compare(literal, context.rates)),
            (Operand::List(list), _) => {
                Truth::fold(list.iter().map(|item| Op::Eq.holds(value.compare(item, context.rates))), Truth::True)
            }
            (Operand::CallerId, Scalar::Text(id)) => self.op.holds(Some(id.cmp(&context.caller.id))),
            (Operand::CallerBusinessUnits, Scalar::Text(id)) => Truth::from(units.is_some_and(|ids| ids.contains(id))),
            (Operand::Now(_) | Operand::Today(_), _) => {
                self.op.holds(self.then(context).and_then(|then| value.compare(&then, context.rates)))
            }
            _ => Truth::Unknown,
        };
        if self.op == Op::NotIn { truth.negated() } else { truth }
    }
}

impl Op {
    /// Whether the operator holds for an attribute that stands to its operand like this.
    fn holds(self, ordering: Option<Ordering>) -> Truth {
        let Some(ordering) = ordering else { return Truth::Unknown };
        Truth::from(match self {
            Op::Eq => ordering.is_eq(),
            Op::Ne => ordering.is_ne(),
            Op::Lt => ordering.is_lt(),
            Op::Le => ordering.is_le(),
            Op::Gt => ordering.is_gt(),
            Op::Ge => ordering.is_ge(),
            Op::In | Op::NotIn | Op::IsNull | Op::Contains | Op::ContainsAny => return Truth::Unknown,
        })
    }
}
