//! The OpenAPI document, made from the endpoints themselves.
use std::collections::BTreeSet;

use actix_web::http::Method;
use serde_json::{Map, Value, json};

use crate::{
    endpoint::{Access, Endpoint},
    failures, idempotency, routes, schemas,
};

/// What an integrator reads first.
const INTRODUCTION: &str = include_str!("introduction.md");

/// The document as pretty JSON with a final line end, as it is committed.
pub fn text() -> String {
    let mut text = serde_json::to_string_pretty(&document()).unwrap_or_default();
    text.push('\n');
    text
}

/// The document.
pub fn document() -> Value {
    let endpoints = routes::all();
    let mut components = Map::new();
    for endpoint in &endpoints {
        components.extend(endpoint.schemas.clone());
    }
    components.insert("Problem".into(), problem_schema());
    components.sort_keys();
    let mut operations: Vec<_> = endpoints.iter().map(|endpoint| operation(endpoint, &components)).collect();
    let versioned: BTreeSet<_> = endpoints
        .iter()
        .zip(&operations)
        .filter(|(_, operation)| operation["responses"].as_object().is_some_and(|it| it.values().any(is_versioned)))
        .map(|(endpoint, _)| endpoint.path)
        .collect();
    let mut paths = Map::<String, Value>::new();
    for (endpoint, operation) in endpoints.iter().zip(&mut operations) {
        let edits = matches!(endpoint.method, Method::PATCH | Method::PUT | Method::DELETE)
            && (endpoint.guarded || versioned.contains(endpoint.path));
        finish(operation, endpoint, edits);
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        path[endpoint.method.as_str().to_lowercase()] = operation.take();
    }
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Heimdell CRM", "version": env!("CARGO_PKG_VERSION"), "description": INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "servers": [{"url": "/", "description": "This server"}],
        "tags": routes::TAGS.iter().map(|(name, description)| json!({"name": name, "description": description})).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": failures::responses(),
            "parameters": parameters(),
            "headers": headers(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "The `accessToken` of `POST /api/auth/login`, or an API key (`hmd_…`)."},
                "console": {"type": "apiKey", "in": "cookie", "name": crate::console::COOKIE,
                    "description": "The console's own session; unsafe methods need `X-Heimdell-Console: 1` and a same-origin `Origin`."}
            }
        }
    })
}

/// An endpoint's entry, with examples and who may call it.
fn operation(endpoint: &Endpoint, schemas: &Map<String, Value>) -> Value {
    let mut operation = Value::Object(endpoint.operation.clone());
    operation["security"] =
        if endpoint.access == Access::Public { json!([]) } else { json!([{"bearer": []}, {"console": []}]) };
    operation["x-role"] = match endpoint.access {
        Access::Public => Value::Null,
        Access::User => "SALES_REP".into(),
        Access::Manager => "MANAGER".into(),
        Access::Admin => "ADMIN".into(),
    };
    failures::show(&mut operation, schemas);
    operation
}

/// Does it answer with one thing that has a version, and so with an `ETag`?
fn is_versioned(response: &Value) -> bool {
    let body = response["content"]["application/json"]["example"].as_object().filter(|body| body.len() == 1);
    body.and_then(|body| body.values().next()).is_some_and(|thing| thing["version"].is_i64())
}

/// Adds what follows for every operation like it: headers and failures.
fn finish(operation: &mut Value, endpoint: &Endpoint, edits: bool) {
    if let Some(parameters) = operation["parameters"].as_array_mut() {
        if edits {
            parameters.push(json!({"$ref": "#/components/parameters/IfMatch"}));
        }
        if endpoint.takes_key {
            parameters.push(json!({"$ref": "#/components/parameters/IdempotencyKey"}));
        }
        parameters.push(json!({"$ref": "#/components/parameters/RequestId"}));
    }
    for (status, response) in operation["responses"].as_object_mut().into_iter().flatten() {
        let mut headers = Map::from_iter([("X-Request-Id".to_owned(), failures::header_reference("RequestId"))]);
        let applies = [
            ("ETag", is_versioned(response)),
            ("Location", matches!(status.as_str(), "201" | "202")),
            ("Retry-After", status == "503"),
            ("Idempotency-Replayed", endpoint.takes_key),
        ];
        for (name, _) in applies.into_iter().filter(|(_, applies)| *applies) {
            headers.insert(name.to_owned(), failures::header_reference(&name.replace('-', "")));
        }
        response["headers"] = headers.into();
    }
    failures::add(operation, endpoint, edits);
}

fn parameters() -> Value {
    let text = |name: &str, schema: &Value, words: &str| schemas::parameter("header", name, false, schema, words);
    let etag = "The `ETag` that your change was made for; refused with 412 when it is no longer the current one.";
    let key = "Names this request among yours, so that sending it again does it once: the same key with the same request \
         answers as the first time, with `Idempotency-Replayed: true`; with another request it is a 422 \
         `idempotency_key_reused`, while the first is under way a 409 `idempotency_key_in_use`. 1 to 255 visible ASCII \
         characters, kept for 24 hours; a random UUID is a good one. What is refused before it is carried out leaves the \
         key free.";
    let key_schema = json!({"type": "string", "minLength": 1, "maxLength": 255});
    json!({
        "IdempotencyKey": text(idempotency::HEADER, &key_schema, key),
        "IfMatch": text("If-Match", &json!({"type": "string", "example": "\"v3\""}), etag),
        "RequestId": text("X-Request-Id", &request_id(), "Names the request, so that its line in the log is found. One that does not fit is replaced by a new one."),
    })
}

fn headers() -> Value {
    let header = |schema: Value, words: &str| json!({"schema": schema, "description": words});
    json!({
        "RequestId": header(request_id(), "The request's own id, or the one that it was given."),
        "ETag": header(json!({"type": "string", "example": "\"v3\""}), "The version as it stands now, for `If-Match`."),
        "Location": header(json!({"type": "string", "format": "uri-reference"}), "Where what was made is read."),
        "RetryAfter": header(json!({"type": "integer", "minimum": 1}), "Seconds until another try is worth it."),
        "IdempotencyReplayed": header(
            json!({"type": "string", "enum": ["true"]}),
            "This answer was given before, to the same request with the same `Idempotency-Key`."
        ),
        "Allow": header(json!({"type": "string", "example": "GET, POST, HEAD"}), "The methods that the address knows."),
    })
}

fn request_id() -> Value {
    json!({"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$", "example": "order-sync-2025-12-16"})
}

fn problem_schema() -> Value {
    json!({"type": "object", "description": "A failure (RFC 9457).",
    "required": ["type", "title", "status", "code", "detail", "error", "requestId"],
    "properties": {
        "type": {"type": "string"}, "title": {"type": "string", "description": "The status in words."}, "status": {"type": "integer"},
        "code": {"type": "string", "description": "A stable word for programs."},
        "detail": {"type": "string", "description": "A sentence for a person."},
        "error": {"type": "string", "description": "The same sentence."},
        "requestId": {"type": "string", "description": "Finds the request in the log."},
        "errors": {"type": "array", "items": {"type": "object", "required": ["field", "code", "message"],
            "properties": {"field": {"type": "string"}, "code": {"type": "string"}, "message": {"type": "string"}}}}
    }})
}
