//! What policies may speak about: the resources, their attributes and types, and what is known of one record.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::clocks::Clock;
use crate::policies::Action;
use crate::resource_patterns::ResourcePattern;
use crate::scalars::{Kind, NoRates, Rates, Scalar};
use crate::violations::{Violation, member, unknown_members};

/// How a resource is governed by the built-in roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResourceClass {
    /// A record of the daily work, mostly in a business unit: a lead, a deal. Managers alone delete it.
    Record,
    /// What everybody keeps for the own work, and removes again: notes, tasks, saved views.
    Own,
    /// What everybody reads and managers change: pipelines, stages.
    Reference,
    /// What everybody reads and administrators alone change: users, business units. Policies they alone read, too.
    Administration,
    /// What managers look at and representatives do not: the history of everything.
    Oversight,
}

/// A kind of record, with the attributes that policies may hide or compare.
#[derive(Debug, Clone)]
pub struct Resource {
    name: String,
    class: ResourceClass,
    attributes: BTreeMap<String, Kind>,
    /// With its type, where it can be compared.
    parts: BTreeMap<String, Option<Kind>>,
    /// What administrators alone do to it, whatever its class says.
    reserved: Vec<Action>,
}

impl Resource {
    /// A resource without attributes. The name is singular, as in a field history: `deal`.
    pub fn new(name: impl Into<String>, class: ResourceClass) -> Self {
        Self { name: name.into(), class, attributes: BTreeMap::new(), parts: BTreeMap::new(), reserved: Vec::new() }
    }

    /// Leaves an action to administrators, whatever the class says.
    #[must_use]
    pub fn reserving(mut self, action: Action) -> Self {
        self.reserved.push(action);
        self
    }

    /// What is left to administrators, whatever the class says.
    pub fn reserved(&self) -> &[Action] {
        &self.reserved
    }

    /// Adds a part of an attribute, `customFields.region`: it can be hidden and closed by itself, but not compared.
    #[must_use]
    pub fn with_part(mut self, part: impl Into<String>) -> Self {
        self.parts.insert(part.into(), None);
        self
    }

    /// As [`Resource::with_part`], of a part that can be compared too.
    #[must_use]
    pub fn with_typed_part(mut self, part: impl Into<String>, kind: Kind) -> Self {
        self.parts.insert(part.into(), Some(kind));
        self
    }

    /// Whether there is an attribute, or a part of one, of this name.
    pub fn has(&self, field: &str) -> bool {
        self.attributes.contains_key(field) || self.parts.contains_key(field)
    }

    /// The type of an attribute, or of a part of one that can be compared.
    pub(crate) fn kind(&self, name: &str) -> Option<&Kind> {
        self.attributes.get(name).or_else(|| self.parts.get(name)?.as_ref())
    }

    fn typed_parts(&self) -> impl Iterator<Item = (&str, &Kind)> {
        self.parts.iter().filter_map(|(name, kind)| Some((name.as_str(), kind.as_ref()?)))
    }

    /// What a record holds in those of its parts that can be compared. Of an attribute that is there, a part that is not is
    /// null; of one that is missing nothing is known.
    fn parts_of<'r>(&'r self, record: &'r Map<String, Value>) -> impl Iterator<Item = (&'r str, &'r Kind, &'r Value)> {
        self.typed_parts().filter_map(|(name, kind)| {
            let (whole, part) = name.split_once('.')?;
            match record.get(whole)? {
                Value::Object(members) => Some((name, kind, members.get(part).unwrap_or(&Value::Null))),
                _ => None,
            }
        })
    }

    /// A fault for every member of an attribute of parts that is none of them.
    fn unknown_parts(&self, record: &Map<String, Value>) -> Vec<Violation> {
        let wholes: BTreeSet<&str> = self.typed_parts().filter_map(|(name, _)| Some(name.split_once('.')?.0)).collect();
        let faults = wholes.into_iter().filter_map(|whole| {
            let parts: Vec<&str> =
                self.typed_parts().filter_map(|(name, _)| name.split_once('.')).map(|it| it.1).collect();
            Some(unknown_members(record.get(whole)?.as_object()?, &parts, &member("", whole)))
        });
        faults.flatten().collect()
    }

    /// Adds an attribute; one of the same name is replaced.
    #[must_use]
    pub fn with(mut self, attribute: impl Into<String>, kind: Kind) -> Self {
        self.attributes.insert(attribute.into(), kind);
        self
    }

    /// The name, as in the pattern of a policy.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How the built-in roles govern it.
    pub fn class(&self) -> ResourceClass {
        self.class
    }

    /// The attributes and their types, by name.
    pub fn attributes(&self) -> &BTreeMap<String, Kind> {
        &self.attributes
    }
}

/// Every resource that policies may name.
#[derive(Debug, Clone, Default)]
pub struct Registry(BTreeMap<String, Resource>);

impl Registry {
    /// A registry of these resources.
    pub fn new(resources: impl IntoIterator<Item = Resource>) -> Self {
        Self(resources.into_iter().map(|resource| (resource.name.clone(), resource)).collect())
    }

    /// The same registry with another resource; one of the same name is replaced.
    #[must_use]
    pub fn with(mut self, resource: Resource) -> Self {
        self.0.insert(resource.name.clone(), resource);
        self
    }

    /// The resource of this name.
    pub fn resource(&self, name: &str) -> Option<&Resource> {
        self.0.get(name)
    }

    /// All resources, by name.
    pub fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.0.values()
    }

    /// The attributes that a condition may compare under a pattern. Under `*` those that every record of the daily work
    /// has with the same type: any other would be unknown somewhere, and an unknown condition refuses.
    pub fn attributes_under(&self, pattern: &ResourcePattern) -> BTreeMap<&str, &Kind> {
        let mut resources = match pattern.root() {
            Some(root) => self.0.get(root).into_iter().collect::<Vec<_>>(),
            None => self.resources().filter(|resource| resource.class == ResourceClass::Record).collect(),
        }
        .into_iter();
        let Some(first) = resources.next() else { return BTreeMap::new() };
        let mut shared: BTreeMap<&str, &Kind> =
            first.attributes.iter().map(|(name, kind)| (name.as_str(), kind)).chain(first.typed_parts()).collect();
        for resource in resources {
            shared.retain(|name, kind| resource.kind(name) == Some(*kind));
        }
        shared
    }
}

/// What is known of one record. An attribute is known, known to be null, or missing; of the last two no comparison holds
/// or fails, it is unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts(BTreeMap<String, Option<Scalar>>);

impl Facts {
    /// Nothing is known.
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds a value, `None` for null.
    #[must_use]
    pub fn with(mut self, attribute: impl Into<String>, value: impl Into<Option<Scalar>>) -> Self {
        self.0.insert(attribute.into(), value.into());
        self
    }

    /// Sets what is known of an attribute: `None` where nothing is, `Some(None)` where it is null.
    pub(crate) fn set(&mut self, attribute: &str, value: Option<Option<Scalar>>) {
        match (self.0.get_mut(attribute), value) {
            (Some(slot), Some(value)) => *slot = value,
            (None, Some(value)) => drop(self.0.insert(attribute.to_owned(), value)),
            (_, None) => drop(self.0.remove(attribute)),
        }
    }

    /// Reads the attributes that a simulation assumes.
    ///
    /// # Errors
    /// Every member that the resource doesn't have or that is not of its type.
    pub fn read(resource: &Resource, attributes: &Map<String, Value>) -> Result<Facts, Vec<Violation>> {
        let known: Vec<&str> = resource.attributes.keys().map(String::as_str).collect();
        let mut violations = unknown_members(attributes, &known, "");
        violations.extend(resource.unknown_parts(attributes));
        let facts = Facts::collect(resource, attributes, |name, message| {
            let place = name.split('.').fold(String::new(), |place, step| member(&place, step));
            violations.push(Violation::new(place, "invalid_value", message));
        });
        if violations.is_empty() { Ok(facts) } else { Err(violations) }
    }

    /// Takes from a record, in its JSON form, what policies may speak about. A value that is not of its type is left
    /// missing: that opens no door, since what is unknown allows nothing and does not keep a refusal from refusing.
    pub fn of(resource: &Resource, record: &Map<String, Value>) -> Facts {
        let known = record.iter().filter_map(|(name, json)| {
            let kind = resource.attributes.get(name)?;
            let value = if json.is_null() { None } else { Some(Scalar::read_member(kind, json, record).ok()?) };
            Some((name.clone(), value))
        });
        let parts = resource.parts_of(record).filter_map(|(name, kind, json)| {
            let value = if json.is_null() { None } else { Some(Scalar::read(kind, json).ok()?) };
            Some((name.to_owned(), value))
        });
        Facts(known.chain(parts).collect())
    }

    fn collect(resource: &Resource, record: &Map<String, Value>, mut unreadable: impl FnMut(&str, String)) -> Facts {
        let mut facts = Facts::none();
        for (name, kind) in &resource.attributes {
            match record.get(name) {
                None => {}
                Some(Value::Null) => facts = facts.with(name, None),
                Some(json) => match Scalar::read_member(kind, json, record) {
                    Ok(value) => facts = facts.with(name, value),
                    Err(message) => unreadable(name, message),
                },
            }
        }
        for (name, kind, json) in resource.parts_of(record) {
            match Scalar::read(kind, json) {
                _ if json.is_null() => facts = facts.with(name, None),
                Ok(value) => facts = facts.with(name, value),
                Err(message) => unreadable(name, message),
            }
        }
        facts
    }

    /// The value: `None` where it is missing, `Some(None)` where it is known to be null.
    pub fn get(&self, attribute: &str) -> Option<Option<&Scalar>> {
        self.0.get(attribute).map(Option::as_ref)
    }
}

/// Who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// The user's identifier.
    pub id: String,
    /// The business units the caller is bound to; `None` for a caller who is bound to none and so works in all.
    pub business_unit_ids: Option<BTreeSet<String>>,
}

impl Caller {
    /// A caller who is not bound to any business unit.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), business_unit_ids: None }
    }

    /// The same caller, bound to these business units.
    #[must_use]
    pub fn within<T: Into<String>>(mut self, business_unit_ids: impl IntoIterator<Item = T>) -> Self {
        self.business_unit_ids = Some(business_unit_ids.into_iter().map(Into::into).collect());
        self
    }
}

/// Everything that a condition is evaluated on.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// The record asked about.
    pub facts: &'a Facts,
    /// The rates for amounts in other currencies.
    pub rates: &'a dyn Rates,
    /// When; without it whatever compares with the time is unknown.
    pub clock: Option<Clock>,
}

impl<'a> Context<'a> {
    /// A context without exchange rates and without a clock.
    pub fn new(caller: &'a Caller, facts: &'a Facts) -> Self {
        Self { caller, facts, rates: &NoRates, clock: None }
    }

    /// The same context at that instant.
    #[must_use]
    pub fn when(self, clock: Clock) -> Self {
        Self { clock: Some(clock), ..self }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn facts_tell_null_from_missing_and_name_what_they_could_not_read() {
        let deal = Resource::new("deal", ResourceClass::Record)
            .with("value", Kind::Money { currency: "currency".into() })
            .with("currency", Kind::Text)
            .with("score", Kind::Int)
            .with("ownerId", Kind::Id)
            .with("title", Kind::Text);
        let record = json!({"value": 5, "currency": "EUR", "score": "high", "ownerId": null, "tilte": "x"});
        let facts = Facts::of(&deal, record.as_object().unwrap());
        assert!(matches!(facts.get("value"), Some(Some(Scalar::Money(..)))));
        assert_eq!(facts.get("ownerId"), Some(None));
        assert_eq!(facts.get("score"), None);
        assert_eq!(facts.get("title"), None);
        let violations = Facts::read(&deal, record.as_object().unwrap()).unwrap_err();
        let pointers: Vec<&str> = violations.iter().map(|violation| violation.pointer.as_str()).collect();
        assert_eq!(pointers, ["/tilte", "/score"]);
    }

    #[test]
    fn under_a_star_only_what_all_records_share_may_be_compared() {
        let registry = Registry::new([
            Resource::new("deal", ResourceClass::Record).with("ownerId", Kind::Id).with("score", Kind::Int),
            Resource::new("lead", ResourceClass::Record).with("ownerId", Kind::Id).with("score", Kind::Decimal),
            Resource::new("user", ResourceClass::Administration),
        ]);
        let under = |text: &str| {
            let pattern = ResourcePattern::parse(text).unwrap();
            registry.attributes_under(&pattern).into_keys().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(under("*"), ["ownerId"]);
        assert_eq!(under("deal.value"), ["ownerId", "score"]);
        assert!(under("order").is_empty());
    }
}
