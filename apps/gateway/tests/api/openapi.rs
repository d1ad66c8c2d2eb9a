//! The document: committed as it is made, and whole.
use std::collections::BTreeSet;

use gateway::document;
use serde_json::Value;

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../openapi/heimdell.json");

#[test]
fn the_committed_document_is_current() {
    let committed = std::fs::read_to_string(COMMITTED).unwrap_or_default();
    assert!(committed == document::text(), "openapi/heimdell.json is stale: run `cargo xtask openapi` and commit it");
}

fn operations(document: &Value) -> impl Iterator<Item = (String, &Value)> {
    document["paths"].as_object().unwrap().iter().flat_map(|(path, methods)| {
        methods.as_object().unwrap().iter().map(move |(method, operation)| (format!("{method} {path}"), operation))
    })
}

#[test]
fn every_operation_tells_all_there_is_to_know() {
    let document = document::document();
    let tags: Vec<_> = document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
    let mut ids = BTreeSet::new();
    for (name, operation) in operations(&document) {
        assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{name}: operationId is not unique");
        for member in ["summary", "description"] {
            assert!(operation[member].as_str().is_some_and(|text| !text.is_empty()), "{name}: no {member}");
        }
        assert!(tags.contains(&&operation["tags"][0]), "{name}: tag {}", operation["tags"]);
        assert!(operation["security"].is_array(), "{name}: no security");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{name}: nothing good ever comes of it");
        assert!(responses.contains_key("500") && responses.contains_key("503"), "{name}");
    }
}

#[test]
fn a_problem_is_the_one_that_goes_over_the_wire() {
    let document = document::document();
    let required = document["components"]["schemas"]["Problem"]["required"].as_array().unwrap();
    for member in ["type", "title", "status", "detail", "error", "requestId"] {
        assert!(required.iter().any(|name| name == member), "{member}");
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document::document();
    let mut missing = BTreeSet::new();
    walk(&document, &mut |reference| {
        let pointer = reference.trim_start_matches('#');
        if document.pointer(pointer).is_none() {
            missing.insert(reference.to_owned());
        }
    });
    assert!(missing.is_empty(), "{missing:?}");
}

fn walk(value: &Value, found: &mut impl FnMut(&str)) {
    match value {
        Value::Object(members) => {
            if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
                found(reference);
            }
            members.values().for_each(|value| walk(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
        _ => {}
    }
}
