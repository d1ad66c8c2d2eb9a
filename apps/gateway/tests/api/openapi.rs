//! The document: committed as it is made, and whole.
use std::collections::BTreeSet;

use gateway::document;
use serde_json::{Value, json};

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
fn nothing_is_null_where_the_standard_wants_an_object() {
    let document = document::document();
    for (name, operation) in operations(&document) {
        let bodies =
            operation.get("requestBody").into_iter().chain(operation["responses"].as_object().unwrap().values());
        for body in bodies {
            assert!(body.get("content").is_none_or(Value::is_object), "{name}: {body}");
        }
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

/// The JSON bodies of an operation: where each stands, and what is said of it.
fn bodies<'d>(name: &str, operation: &'d Value) -> Vec<(String, &'d Value)> {
    let request = operation.get("requestBody").map(|body| (format!("{name}: request"), body));
    let responses = operation["responses"].as_object().unwrap().iter();
    let responses = responses.map(|(status, response)| (format!("{name}: {status}"), response));
    let all = request.into_iter().chain(responses);
    all.filter_map(|(place, body)| Some((place, body["content"].get("application/json")?))).collect()
}

/// Is this an instance of that schema of the document?
fn check(document: &Value, schema: &Value, instance: &Value) -> Result<(), String> {
    let mut whole = schema.clone();
    whole["components"] = document["components"].clone();
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    compiler.enable_format_assertions();
    compiler.add_resource("https://document.example/schema.json", whole).map_err(|error| error.to_string())?;
    let index = compiler.compile("https://document.example/schema.json", &mut schemas).map_err(|e| format!("{e:#}"))?;
    schemas.validate(instance, index).map_err(|error| format!("{error:#}"))
}

#[test]
fn every_body_has_an_example_that_is_one() {
    let document = document::document();
    let (mut shown, mut wrongs) = (0, Vec::new());
    for (name, operation) in operations(&document) {
        for (place, body) in bodies(&name, operation) {
            let example = body.get("example").unwrap_or_else(|| panic!("{place}: no example"));
            let wrong = check(&document, &body["schema"], example).err();
            wrongs.extend(wrong.map(|error| format!("{place}: {example} is none: {error}")));
            shown += 1;
        }
    }
    assert!(wrongs.is_empty(), "{}", wrongs.join("\n"));
    assert!(shown > 100, "{shown}");
    for (name, response) in document["components"]["responses"].as_object().unwrap() {
        let body = &response["content"]["application/problem+json"];
        check(&document, &body["schema"], &body["example"]).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(response["headers"]["X-Request-Id"].is_object(), "{name}");
    }
}

#[test]
fn the_specifications_own_examples_are_shown() {
    let document = document::document();
    let example = |method: &str, path: &str| {
        &document["paths"][path][method]["requestBody"]["content"]["application/json"]["example"]
    };
    let unit = json!({"name": "Brand Alpha", "slug": "alpha", "timezone": "Europe/London", "country": "GB"});
    assert_eq!(*example("post", "/api/business-units"), unit);
    let intel = json!({"decisionMaker": "CTO Sarah Johnson", "keyPainPoints": ["Manual data entry", "Poor reporting"],
        "objections": ["Price too high", "Needs board approval"], "competitors": ["Salesforce", "HubSpot"]});
    assert_eq!(*example("put", "/api/deals/{dealId}/intel"), intel);
    let review = json!({"outcome": "won", "primaryReasonCode": "best_price",
        "notes": "Beat competitors on pricing and features", "learned": "Emphasize data migration support earlier"});
    assert_eq!(*example("post", "/api/deals/{dealId}/win-loss"), review);
}

#[test]
fn versions_limits_and_addresses_are_told_where_they_come() {
    let document = document::document();
    for (name, operation) in operations(&document) {
        let responses = operation["responses"].as_object().unwrap();
        let takes = |name: &str| {
            let reference = format!("#/components/parameters/{name}");
            operation["parameters"].as_array().unwrap().iter().any(|p| p["$ref"] == *reference)
        };
        assert_eq!(takes("IfMatch"), responses.contains_key("412"), "{name}");
        for (status, response) in responses {
            let is_problem = response.get("$ref").is_some();
            assert!(is_problem || response["headers"]["X-Request-Id"].is_object(), "{name} {status}");
            assert_eq!(
                matches!(status.as_str(), "201" | "202"),
                response["headers"]["Location"].is_object(),
                "{name} {status}"
            );
        }
        let has_body = operation.get("requestBody").is_some();
        for status in ["408", "413", "415"] {
            assert_eq!(has_body, responses.contains_key(status), "{name} {status}");
        }
        // A key that was given with another body is a 422 too.
        assert_eq!(has_body || takes("IdempotencyKey"), responses.contains_key("422"), "{name}");
    }
    for status in ["429", "503"] {
        assert!(document["components"]["responses"][format!("Problem{status}")]["headers"]["Retry-After"].is_object());
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
