//! Hidden fields and hidden records: what a reader may see, as a filter for lists and as a check of one record, both from
//! the policies that decide.

use std::collections::{BTreeMap, BTreeSet};

use crate::attributes::{Context, Resource};
use crate::conditions::{Condition, Truth};
use crate::engine::Engine;
use crate::policies::{Action, Effect, Role};
use crate::scalars::Kind;

/// Which records an action is allowed on.
#[derive(Debug, Clone, PartialEq)]
pub enum ListFilter {
    /// On none.
    Nothing,
    /// On all.
    Everything,
    /// On those where every condition of `unless` is false, not merely unknown, and some condition of `when` is true. In
    /// SQL: `(c) IS FALSE` for each of the one, `(c) IS TRUE` for the other.
    Where {
        /// The conditions of what refuses or would ask for approval.
        unless: Vec<Condition>,
        /// The conditions of what allows; empty where something allows without one.
        when: Vec<Condition>,
    },
}

/// Which fields of a resource a role doesn't see.
#[derive(Debug, Clone, PartialEq)]
pub struct Mask {
    /// Hidden in every record.
    pub hidden: BTreeSet<String>,
    /// Visible in some records, each with the filter of those.
    pub conditional: BTreeMap<String, ListFilter>,
}

/// A hidden field was to be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MaskError {
    /// Sorting, filtering, grouping or writing by a field would tell what it holds.
    #[error("The field “{0}” is not visible to you.")]
    FieldNotViewable(String),
}

impl Engine {
    /// The records that `action` is allowed on: the same answer as [`Engine::decide`] gives record by record.
    pub fn list_filter(&self, role: Role, action: Action, resource: &str) -> ListFilter {
        let (mut unless, mut when, mut always) = (Vec::new(), Vec::new(), false);
        for policy in self.speaking(Some(role), action, resource).filter(|policy| !policy.is_draft) {
            match (policy.effect, &policy.condition) {
                (Effect::Allow, None) => always = true,
                (Effect::Allow, Some(condition)) => when.push(condition.clone()),
                (Effect::Deny | Effect::RequireApproval, None) => return ListFilter::Nothing,
                (Effect::Deny | Effect::RequireApproval, Some(condition)) => unless.push(condition.clone()),
            }
        }
        match (always, unless.is_empty(), when.is_empty()) {
            (false, _, true) => ListFilter::Nothing,
            (true, true, _) => ListFilter::Everything,
            (true, false, _) => ListFilter::Where { unless, when: Vec::new() },
            (false, _, false) => ListFilter::Where { unless, when },
        }
    }

    /// The fields of a resource that a role doesn't see.
    pub fn mask(&self, role: Role, resource: &Resource) -> Mask {
        let mut mask = Mask { hidden: BTreeSet::new(), conditional: BTreeMap::new() };
        let whole = resource.attributes().keys().map(String::as_str);
        for field in whole.chain(self.parts(resource.name())) {
            // Nothing is left of a part where the whole is hidden.
            if field.split_once('.').is_some_and(|(whole, _)| mask.hidden.contains(whole)) {
                continue;
            }
            match self.list_filter(role, Action::ViewField, &format!("{}.{field}", resource.name())) {
                ListFilter::Everything => {}
                ListFilter::Nothing => drop(mask.hidden.insert(field.to_owned())),
                filter => drop(mask.conditional.insert(field.to_owned(), filter)),
            }
        }
        mask
    }
}

impl ListFilter {
    /// What the filter says of every record alike, as far as `context`, which knows of none, decides it; `None` where it depends
    /// on the record.
    pub(crate) fn foreseen(&self, context: &Context<'_>) -> Option<bool> {
        let ListFilter::Where { unless, when } = self else { return Some(*self == ListFilter::Everything) };
        let (mut refused, mut allowed) = (Truth::False, Truth::from(when.is_empty()));
        for truth in unless.iter().map(|condition| condition.evaluate(context)) {
            refused = refused.or(truth);
        }
        for truth in when.iter().map(|condition| condition.evaluate(context)) {
            allowed = allowed.or(truth);
        }
        match (refused, allowed) {
            (Truth::True, _) | (_, Truth::False) => Some(false),
            (Truth::False, Truth::True) => Some(true),
            _ => None,
        }
    }

    /// Whether what the filter lets through depends on when it is asked.
    pub(crate) fn asks_clock(&self) -> bool {
        let ListFilter::Where { unless, when } = self else { return false };
        unless.iter().chain(when).any(Condition::asks_clock)
    }

    /// Whether the filter lets this record through.
    pub fn admits(&self, context: &Context<'_>) -> bool {
        match self {
            ListFilter::Nothing => false,
            ListFilter::Everything => true,
            ListFilter::Where { unless, when } => {
                unless.iter().all(|condition| condition.evaluate(context) == Truth::False)
                    && (when.is_empty() || when.iter().any(|condition| condition.evaluate(context) == Truth::True))
            }
        }
    }
}

impl Mask {
    /// The fields that are hidden in this record, by name: what `maskedFields` lists.
    pub fn hidden_in(&self, context: &Context<'_>) -> BTreeSet<&str> {
        let here = self.conditional.iter().filter(|(_, filter)| !filter.admits(context)).map(|(field, _)| field);
        self.hidden.iter().chain(here).map(String::as_str).collect()
    }

    /// The attributes on which it depends what is hidden.
    pub fn depends_on<'m>(&'m self, resource: &'m Resource) -> BTreeSet<&'m str> {
        let mut names = BTreeSet::new();
        for filter in self.conditional.values() {
            let ListFilter::Where { unless, when } = filter else { continue };
            unless.iter().chain(when).for_each(|condition| condition.expression().names(&mut names));
        }
        let currencies = names.iter().filter_map(|name| match resource.attributes().get(*name) {
            Some(Kind::Money { currency }) => Some(currency.as_str()),
            _ => None,
        });
        let currencies: Vec<_> = currencies.collect();
        names.into_iter().chain(currencies).collect()
    }

    /// Whether a list may be sorted, filtered, grouped or summed by a field: only where it is visible in every record,
    /// since the order of a list tells what stands in it.
    ///
    /// # Errors
    /// [`MaskError::FieldNotViewable`] where it is hidden somewhere.
    pub fn check_use(&self, field: &str) -> Result<(), MaskError> {
        let visible = !self.hidden.contains(field) && !self.conditional.contains_key(field);
        if visible { Ok(()) } else { Err(MaskError::FieldNotViewable(field.to_owned())) }
    }

    /// Whether a field of this record may be written: writing what one can't see would tell, by its answer, what is there.
    ///
    /// # Errors
    /// [`MaskError::FieldNotViewable`] where it is hidden in this record.
    pub fn check_write(&self, field: &str, context: &Context<'_>) -> Result<(), MaskError> {
        let hidden =
            self.hidden.contains(field) || self.conditional.get(field).is_some_and(|filter| !filter.admits(context));
        if hidden { Err(MaskError::FieldNotViewable(field.to_owned())) } else { Ok(()) }
    }
}
