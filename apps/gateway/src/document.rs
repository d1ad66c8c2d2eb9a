//! The OpenAPI document, made from the endpoints themselves.
use actix_web::http::Method;
use serde_json::{Map, Value, json};

use crate::{
    endpoint::{Access, Endpoint},
    routes, schemas,
};

const DESCRIPTION: &str = "Heimdell CRM over HTTP.\n\n\
    Sign in with `POST /api/auth/login` and send the access token as `Authorization: Bearer …`, or make an API key. \
    JSON is camelCase; ids are opaque; instants are RFC 3339 in UTC; amounts are exact JSON numbers with their currency \
    beside them. One resource comes as `{\"lead\": {…}}`, a list as `{\"leads\": […], \"nextCursor\": …}`. Every failure is \
    an `application/problem+json` with a stable `code`, a sentence in `detail` and the `requestId` that finds it in the \
    log. A resource has a `version` and an `ETag`; send it back as `If-Match` so that nobody's change is lost. What \
    belongs to another organization or business unit answers exactly as what does not exist. A field that a policy hides \
    from the caller is absent from every answer, and its name stands in `maskedFields` of that resource; sorting, \
    filtering or writing by it is a 403 `field_not_viewable`. A POST with an `Idempotency-Key` may be sent again until it is \
    answered, and is done once.";

/// The document as pretty JSON with a final line end, as it is committed.
pub fn text() -> String {
    let mut text = serde_json::to_string_pretty(&document()).unwrap_or_default();
    text.push('\n');
    text
}

/// The document.
pub fn document() -> Value {
    let endpoints = routes::all();
    let (mut paths, mut components) = (Map::<String, Value>::new(), Map::new());
    for endpoint in endpoints {
        let operation = operation(&endpoint);
        components.extend(endpoint.schemas);
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        path[endpoint.method.as_str().to_lowercase()] = operation;
    }
    components.insert("Problem".into(), problem_schema());
    components.sort_keys();
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Heimdell CRM", "version": env!("CARGO_PKG_VERSION"), "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "servers": [{"url": "/", "description": "This server"}],
        "tags": routes::TAGS.iter().map(|(name, description)| json!({"name": name, "description": description})).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An access token or an API key (`hmd_…`)."},
                "console": {"type": "apiKey", "in": "cookie", "name": crate::console::COOKIE,
                    "description": "The console's own session; unsafe methods need `X-Heimdell-Console: 1` and a same-origin `Origin`."}
            }
        }
    })
}

/// An endpoint's entry, with what follows for every one like it: security, failures, headers.
fn operation(endpoint: &Endpoint) -> Value {
    let mut operation = Value::Object(endpoint.operation.clone());
    operation["security"] =
        if endpoint.access == Access::Public { json!([]) } else { json!([{"bearer": []}, {"console": []}]) };
    operation["x-role"] = match endpoint.access {
        Access::Public => Value::Null,
        Access::User => "SALES_REP".into(),
        Access::Manager => "MANAGER".into(),
        Access::Admin => "ADMIN".into(),
    };
    let has_place = endpoint.path.contains('{');
    let has_body = operation["requestBody"].is_object();
    let changes = endpoint.method != Method::GET;
    let edits = matches!(endpoint.method, Method::PATCH | Method::PUT | Method::DELETE) && has_place;
    if edits && let Some(parameters) = operation["parameters"].as_array_mut() {
        let words = "The `ETag` that your change was made for; refused with 412 when it is no longer the current one.";
        parameters.push(schemas::parameter("header", "If-Match", false, &json!({"type": "string"}), words));
    }
    if endpoint.takes_key {
        keyed(&mut operation);
    }
    let is_open = endpoint.access == Access::Public;
    let (conflict, unfit) = match endpoint.takes_key {
        true => (
            "The state of the data stands against it, or a request with this `Idempotency-Key` is not done yet \
             (`idempotency_key_in_use`, with `Retry-After`).",
            "Fields cannot be accepted; `errors` names each. Or the `Idempotency-Key` came with another request before \
             (`idempotency_key_reused`).",
        ),
        false => ("The state of the data stands against it.", "Fields cannot be accepted; `errors` names each."),
    };
    let failures = [
        (400, true, "The request cannot be understood."),
        (401, !is_open || has_body, "Nobody is signed in, or no longer."),
        (403, !is_open, "The caller may not; `detail` names the rule."),
        (404, has_place, "There is no such thing, or the caller may not see it."),
        (409, changes && !is_open, conflict),
        (412, edits, "Somebody changed it meanwhile."),
        (413, has_body, "The body is too large."),
        (415, has_body, "The body has another content type."),
        (422, has_body || endpoint.takes_key || endpoint.method == Method::DELETE, unfit),
        (429, is_open && has_body, "Too often; `Retry-After` says when to come again."),
        (500, true, "A fault of ours."),
        (503, true, "The database is away or busy; `Retry-After` says when to come again."),
    ];
    for (status, _, description) in failures.iter().filter(|(_, applies, _)| *applies) {
        let content = json!({"application/problem+json": {"schema": schemas::reference("Problem")}});
        operation["responses"][status.to_string()] = json!({"description": description, "content": content});
    }
    operation
}

/// The header that makes a POST safe to repeat, and the one that tells a repetition.
fn keyed(operation: &mut Value) {
    let words = "Names this request among yours, so that sending it again does it once: the same key with the same request \
                 answers as the first time, with `Idempotency-Replayed: true`. 1 to 255 visible ASCII characters, kept for \
                 24 hours; a random UUID is a good one. What is refused before it is carried out leaves the key free.";
    if let Some(parameters) = operation["parameters"].as_array_mut() {
        let schema = json!({"type": "string", "minLength": 1, "maxLength": 255});
        parameters.push(schemas::parameter("header", crate::idempotency::HEADER, false, &schema, words));
    }
    if let Some(responses) = operation["responses"].as_object_mut() {
        for response in responses.values_mut() {
            response["headers"]["Idempotency-Replayed"] = json!({"schema": {"type": "string", "enum": ["true"]},
                "description": "This answer was given before, to the same request with the same `Idempotency-Key`."});
        }
    }
}

fn problem_schema() -> Value {
    json!({"type": "object", "description": "A failure (RFC 9457).",
    "required": ["type", "title", "status", "code", "detail", "error", "requestId"],
    "properties": {
        "type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"},
        "code": {"type": "string", "description": "A stable word for programs."},
        "detail": {"type": "string", "description": "A sentence for a person."},
        "error": {"type": "string", "description": "The same sentence."},
        "requestId": {"type": "string", "description": "Finds the request in the log."},
        "errors": {"type": "array", "items": {"type": "object", "required": ["field", "code", "message"],
            "properties": {"field": {"type": "string"}, "code": {"type": "string"}, "message": {"type": "string"}}}}
    }})
}
