//! Evaluates conditions in the three-valued logic of Kleene (Introduction to Metamathematics, 1952, section 64).

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::{Comparison, Expression, FailedClause, Op, Operand};
use crate::attributes::Context;
use crate::names::named;
use crate::scalars::Scalar;
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
    /// Adds the attributes that are compared.
    pub(crate) fn names<'e>(&'e self, names: &mut BTreeSet<&'e str>) {
        match self {
            Expression::All(parts) | Expression::Any(parts) => parts.iter().for_each(|part| part.names(names)),
            Expression::Not(part) => part.names(names),
            Expression::Compare(comparison) => drop(names.insert(&comparison.attr)),
            Expression::Unreadable => {}
        }
    }

    pub(super) fn evaluate(&self, context: &Context<'_>) -> Truth {
        match self {
            Expression::All(parts) => Truth::fold(parts.iter().map(|part| part.evaluate(context)), Truth::False),
            Expression::Any(parts) => Truth::fold(parts.iter().map(|part| part.evaluate(context)), Truth::True),
            Expression::Not(part) => part.evaluate(context).negated(),
            Expression::Compare(comparison) => comparison.evaluate(context),
            Expression::Unreadable => Truth::Unknown,
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
            Expression::Compare(Comparison { attr, op, .. }) => {
                Some(FailedClause { pointer: pointer.to_owned(), attr: Some(attr.clone()), op: Some(*op), truth })
            }
            Expression::Unreadable => Some(FailedClause { pointer: pointer.to_owned(), attr: None, op: None, truth }),
        }
    }
}

impl Comparison {
    fn evaluate(&self, context: &Context<'_>) -> Truth {
        let units = context.caller.business_unit_ids.as_ref();
        if self.operand == Operand::CallerBusinessUnits && units.is_none() {
            return Truth::from(self.op == Op::In);
        }
        let Some(known) = context.facts.get(&self.attr) else { return Truth::Unknown };
        if let Operand::Null(expected) = self.operand {
            return Truth::from(known.is_none() == expected);
        }
        let Some(value) = known else { return Truth::Unknown };
        let truth = match (&self.operand, value) {
            (Operand::Literal(literal), _) => self.op.holds(value.compare(literal, context.rates)),
            (Operand::List(list), _) => {
                Truth::fold(list.iter().map(|item| Op::Eq.holds(value.compare(item, context.rates))), Truth::True)
            }
            (Operand::CallerId, Scalar::Text(id)) => self.op.holds(Some(id.cmp(&context.caller.id))),
            (Operand::CallerBusinessUnits, Scalar::Text(id)) => Truth::from(units.is_some_and(|ids| ids.contains(id))),
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
            Op::In | Op::NotIn | Op::IsNull => return Truth::Unknown,
        })
    }
}
