//! What the policies of one organization may speak about: the catalogue, and the custom fields that the organization has made.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crm_core::custom_fields::{self, CustomField};
use crm_core::{Result, Tx, references};
use serde_json::Value;
use uuid::Uuid;

use crate::attributes::Registry;
use crate::catalogue::{catalogue, referenced};
use crate::policies::Policy;
use crate::scalars::Kind;
use crate::violations::Violation;

/// What somebody may write policies about: the catalogue, with the custom fields of the kind of record before the first dot
/// of that name. A `select` takes its options.
///
/// # Errors
/// What the database says.
pub(crate) fn registry_for(tx: &mut Tx<'_>, name: &str) -> Result<Cow<'static, Registry>> {
    let root = name.split('.').next().unwrap_or_default();
    let Some(resource) = catalogue().resource(root).filter(|_| has_custom_fields(root)) else {
        return Ok(Cow::Borrowed(catalogue()));
    };
    let own = custom_fields::of_kind(tx, root)?;
    let kind = |own: &CustomField| match own.fields.type_.as_str() {
        "select" => Kind::Enum(own.fields.options.clone()),
        _ => kind(own),
    };
    let resource = own.iter().fold(resource.clone(), |it, own| it.with_typed_part(part(own), kind(own)));
    Ok(Cow::Owned(catalogue().clone().with(resource)))
}

/// What these conditions were written about, each for a policy on a resource of that name: the catalogue, with the custom
/// fields that they compare, as far as these still exist. The options of a `select` may be others by now.
///
/// # Errors
/// What the database says.
pub(crate) fn registry_of<'p>(
    tx: &mut Tx<'_>,
    conditions: impl Iterator<Item = (&'p str, &'p Value)>,
) -> Result<Cow<'static, Registry>> {
    let mut compared: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (resource, condition) in conditions {
        let root = resource.split('.').next().unwrap_or_default();
        if has_custom_fields(root) {
            attributes_of(condition, compared.entry(root).or_default());
        }
    }
    compared.retain(|_, names| names.iter().any(|name| is_custom(name)));
    if compared.is_empty() {
        return Ok(Cow::Borrowed(catalogue()));
    }
    let mut registry = catalogue().clone();
    for own in custom_fields::all(tx)? {
        let (root, part) = (own.fields.entity_type.as_str(), part(&own));
        if compared.get(root).is_some_and(|names| names.contains(part.as_str())) {
            let Some(resource) = registry.resource(root).cloned() else { continue };
            registry = registry.with(resource.with_typed_part(part, kind(&own)));
        }
    }
    Ok(Cow::Owned(registry))
}

/// A fault for every id in a policy's condition that is none in the organization.
///
/// # Errors
/// What the database says.
pub(crate) fn unknown_ids(tx: &mut Tx<'_>, policy: &Policy, registry: &Registry) -> Result<Vec<Violation>> {
    let Some(condition) = &policy.condition else { return Ok(Vec::new()) };
    let attributes = registry.attributes_under(&policy.resource);
    let named = condition.ids(&attributes);
    let mut asked: BTreeMap<&'static str, Vec<Uuid>> = BTreeMap::new();
    let mut places = Vec::new();
    for (pointer, named) in &named {
        let table = policy.resource.root().and_then(|root| referenced(root, named.attr));
        let Some(table) = table else { continue };
        let id = named.id.parse::<Uuid>().ok();
        asked.entry(table).or_default().extend(id);
        places.push((pointer, table, id));
    }
    let known = references::existing(tx, &asked)?;
    let unknown = places.into_iter().filter(|(_, table, id)| !id.is_some_and(|id| known.contains(&(*table, id))));
    let fault = |pointer: &String| {
        Violation::new(format!("/condition{pointer}"), "unknown_reference", "There is no such record.")
    };
    Ok(unknown.map(|(pointer, ..)| fault(pointer)).collect())
}

fn has_custom_fields(kind: &str) -> bool {
    custom_fields::ENTITY_TYPES.contains(&kind)
}

fn is_custom(attribute: &str) -> bool {
    attribute.split_once('.').is_some_and(|(whole, _)| whole == custom_fields::MEMBER)
}

fn part(own: &CustomField) -> String {
    format!("{}.{}", custom_fields::MEMBER, own.fields.key)
}

fn kind(own: &CustomField) -> Kind {
    match own.fields.type_.as_str() {
        "number" => Kind::Decimal,
        "date" => Kind::Date,
        "boolean" => Kind::Bool,
        _ => Kind::Text,
    }
}

/// Adds every attribute that a condition compares, whether it can still be read or not.
fn attributes_of<'c>(condition: &'c Value, names: &mut BTreeSet<&'c str>) {
    match condition {
        Value::Array(parts) => parts.iter().for_each(|part| attributes_of(part, names)),
        Value::Object(members) => {
            names.extend(members.get("attr").and_then(Value::as_str));
            members.values().for_each(|part| attributes_of(part, names));
        }
        _ => {}
    }
}
