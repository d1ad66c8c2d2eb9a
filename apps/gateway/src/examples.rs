//! Examples of bodies, made in one place: each member shows the example of its own schema, else what such a member
//! usually holds. Whatever is shown fits its schema.
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

/// The schemas of the document, by name.
pub type Schemas = Map<String, Value>;

/// An example of what a request of this schema sends: what it must have, and what such records usually bring. Ids are
/// left out where they may be, since nobody else has the record that they would name.
pub fn request(schema: &Value, schemas: &Schemas) -> Value {
    let schema = resolved(schema, schemas);
    if let Some(shown) = schema.get("example") {
        return shown.clone();
    }
    let Some(properties) = schema["properties"].as_object() else { return response(schema, schemas) };
    let is_change = properties.contains_key("reasonCode");
    let needed = |name: &str| schema["required"].as_array().is_some_and(|names| names.iter().any(|it| it == name));
    let mut members: Map<String, Value> = properties
        .iter()
        .filter(|(name, property)| {
            needed(name) || (is_usual(name, property, is_change, schemas) && (!is_change || is_changed(name)))
        })
        .map(|(name, property)| (name.clone(), member(name, property, schemas)))
        .collect();
    if members.is_empty() {
        let first = properties.iter().find(|(name, property)| is_usual(name, property, is_change, schemas));
        members.extend(first.map(|(name, property)| (name.clone(), member(name, property, schemas))));
    }
    if is_change {
        members.insert("reasonCode".into(), json!("correction"));
        members.insert("note".into(), json!("As told on the phone"));
    }
    Value::Object(members)
}

/// An example of an answer of this schema, with all that it can have.
pub fn response(schema: &Value, schemas: &Schemas) -> Value {
    member("", schema, schemas)
}

/// Members that bodies of changes show.
const CHANGED: [&str; 13] = [
    "status",
    "value",
    "probability",
    "jobTitle",
    "city",
    "durationMinutes",
    "priority",
    "label",
    "isShared",
    "isActive",
    "timezone",
    "decisionMaker",
    "rottenAfterDays",
];

fn is_changed(name: &str) -> bool {
    CHANGED.contains(&name) || matches!(name, "reasonCode" | "note")
}

/// Does a request usually bring it? It has an example of its own or is well known, and names no other record.
fn is_usual(name: &str, property: &Value, is_change: bool, schemas: &Schemas) -> bool {
    const RARE: [&str; 7] =
        ["externalId", "defaultPhone", "field", "fieldName", "expiresAt", "options", "winLossReview"];
    let schema = plain(property, schemas);
    let is_reference = schema["format"] == "uuid" || schema["items"]["format"] == "uuid";
    let is_known = property.get("example").is_some() || usual(name).is_some() || (is_change && is_changed(name));
    is_known && !is_reference && !RARE.contains(&name)
}

fn member(name: &str, schema: &Value, schemas: &Schemas) -> Value {
    let own = schema.get("example").cloned().or_else(|| schema["examples"].get(0).cloned());
    let schema = plain(schema, schemas);
    let own = own.or_else(|| schema.get("example").cloned()).or_else(|| schema["examples"].get(0).cloned());
    if let Some(example) = own.or_else(|| usual(name)).filter(|example| fits(example, &schema, schemas)) {
        return example;
    }
    if let Some(word) = schema["enum"].get(usize::from(name == "status" && schema["enum"].get(1).is_some())) {
        return word.clone();
    }
    if let Some(value) = schema.get("default").or_else(|| schema.get("const")) {
        return value.clone();
    }
    made_up(name, &schema, schemas)
}

/// Something of the schema's type.
fn made_up(name: &str, schema: &Value, schemas: &Schemas) -> Value {
    match type_of(schema) {
        "object" => object(schema, schemas),
        "array" => match schema.get("items") {
            Some(items) => json!([member(name.strip_suffix('s').unwrap_or(name), items, schemas)]),
            None => json!([]),
        },
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
        "boolean" => json!(true),
        "null" => Value::Null,
        _ => match schema["format"].as_str() {
            Some("uuid") => json!(id(name)),
            Some("date-time") => json!("2025-12-16T10:00:00Z"),
            Some("date") => json!("2026-03-31"),
            _ => json!("text"),
        },
    }
}

fn object(schema: &Value, schemas: &Schemas) -> Value {
    let Some(properties) = schema["properties"].as_object() else {
        let others = schema.get("additionalProperties").filter(|others| others.is_object());
        return match others {
            Some(others) => json!({ id("key"): member("", others, schemas) }),
            None => json!({}),
        };
    };
    let is_list = properties.contains_key("nextCursor");
    let shown = properties.iter().filter(|(name, _)| !(is_list && *name == "total"));
    shown
        .map(|(name, property)| match is_list && name == "nextCursor" {
            true => (name.clone(), Value::Null),
            false => (name.clone(), member(name, property, schemas)),
        })
        .collect::<Map<_, _>>()
        .into()
}

/// The id that stands in examples where something of this name stands: always the same.
fn id(name: &str) -> String {
    let number = name.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
    format!("019b2638-4400-7000-8000-0000{number:08x}")
}

fn resolved<'s>(schema: &'s Value, schemas: &'s Schemas) -> &'s Value {
    let name = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
    name.and_then(|name| schemas.get(name)).unwrap_or(schema)
}

/// A schema without references, alternatives and parts: the first alternative that is not null, and all parts as one.
fn plain(schema: &Value, schemas: &Schemas) -> Value {
    let schema = resolved(schema, schemas);
    let is_null = |it: &&Value| it["type"] != "null";
    if let Some(first) = ["oneOf", "anyOf"].iter().find_map(|of| schema[*of].as_array()?.iter().find(is_null)) {
        return plain(first, schemas);
    }
    let Some(parts) = schema["allOf"].as_array() else { return schema.clone() };
    let mut properties = Map::new();
    for part in parts {
        if let Value::Object(more) = &plain(part, schemas)["properties"] {
            properties.extend(more.clone());
        }
    }
    json!({"type": "object", "properties": properties})
}

fn type_of(schema: &Value) -> &str {
    let first = schema["type"].as_array().and_then(|types| types.iter().find(|type_| **type_ != "null"));
    let guess = if schema["properties"].is_object() { "object" } else { "string" };
    first.unwrap_or(&schema["type"]).as_str().unwrap_or(guess)
}

fn fits(example: &Value, schema: &Value, schemas: &Schemas) -> bool {
    if let Some(words) = schema["enum"].as_array() {
        return words.contains(example);
    }
    match (type_of(schema), example) {
        ("string", Value::String(text)) => match schema["format"].as_str() {
            Some("uuid") => text.parse::<uuid::Uuid>().is_ok(),
            Some("date-time") => text.contains('T'),
            Some("date") => text.len() == 10,
            _ => true,
        },
        ("integer", value) => value.is_i64(),
        ("number", value) => value.is_number(),
        ("boolean", value) => value.is_boolean(),
        ("array", Value::Array(items)) => match schema.get("items") {
            Some(of) => items.iter().all(|item| fits(item, &plain(of, schemas), schemas)),
            None => true,
        },
        ("object", value) => value.is_object(),
        _ => false,
    }
}

/// What a member of this name usually holds.
fn usual(name: &str) -> Option<Value> {
    static USUAL: LazyLock<Schemas> =
        LazyLock::new(|| serde_json::from_str(include_str!("examples.json")).unwrap_or_default());
    USUAL.get(name).cloned()
}
