//! The failures as the document tells them: when each comes, and an example made as the wire's own are.
use actix_web::http::{Method, StatusCode};
use crm_core::{Error, FieldError};
use serde_json::{Map, Value, json};

use crate::{
    endpoint::{Access, Endpoint},
    examples,
    problem::Problem,
    schemas,
};

/// A failure that operations can end with: its status, what it means, and the header that goes with it.
const FAILURES: [(u16, &str, Option<&str>); 15] = [
    (
        400,
        "The request cannot be understood: no JSON, a member that is unknown or given twice, an unknown parameter, a forged cursor.",
        None,
    ),
    (401, "Nobody is signed in, or no longer.", None),
    (403, "The caller may not; `detail` names the policy, or the rule where it is none of the policies.", None),
    (404, "There is no such thing, or the caller may not see it.", None),
    (408, "The body took too long to arrive.", None),
    (409, "The state of the data stands against it.", None),
    (410, "It is over: its time has passed.", None),
    (412, "Somebody changed it meanwhile: `If-Match` names a version that is no longer the current one.", Some("ETag")),
    (413, "The body is too large.", None),
    (415, "The body has another content type.", None),
    (422, "Fields cannot be accepted; `errors` names each of them at once.", None),
    (429, "Too often; `Retry-After` says when to come again.", Some("RetryAfter")),
    (500, "A fault of ours; the request id finds it in the log.", None),
    (503, "The database is away or busy; `Retry-After` says when to come again.", Some("RetryAfter")),
    (405, "The address is known, but not under this method; `Allow` names those that are.", Some("Allow")),
];

/// The failures as responses that operations refer to.
pub fn responses() -> Value {
    let response = |(status, words, header): (u16, &str, Option<&str>)| {
        let mut headers = Map::from_iter([("X-Request-Id".to_owned(), header_reference("RequestId"))]);
        if let Some(name) = header {
            let wire = if name == "RetryAfter" { "Retry-After" } else { name };
            headers.insert(wire.to_owned(), header_reference(name));
        }
        let content =
            json!({"application/problem+json": {"schema": schemas::reference("Problem"), "example": example(status)}});
        (format!("Problem{status}"), json!({"description": words, "headers": headers, "content": content}))
    };
    FAILURES.into_iter().map(response).collect::<Map<_, _>>().into()
}

/// A reference to a header of the document.
pub fn header_reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/headers/{name}")})
}

/// A problem of that status as it would go over the wire.
fn example(status: u16) -> Value {
    let id = "019b2638-4400-7000-8000-000000000001";
    let of = |error| Problem::of(error, id);
    let new = |status, code: &str, detail: &str| Problem::new(status, code, detail, id);
    let problem = match status {
        404 => of(Error::NotFound),
        412 => of(Error::Stale { version: 4 }),
        422 => of(Error::Invalid(vec![
            FieldError::new("email", "email", "An email address, such as ada@example.com."),
            FieldError::new("stages[0].probability", "range", "Between 0 and 1."),
        ])),
        429 => {
            of(Error::Limited { retry_after: 30, detail: "Too many failed sign-ins; try again in 30 seconds.".into() })
        }
        400 => new(StatusCode::BAD_REQUEST, "unknown_member", "A lead has no member `emial`."),
        401 => new(StatusCode::UNAUTHORIZED, "invalid_token", "The token is not known, or no longer good."),
        403 => new(
            StatusCode::FORBIDDEN,
            "policy_denied",
            "No policy allows delete on lead to SALES_REP; policy “Built in: allow MANAGER delete on everything” does so to \
             MANAGER.",
        ),
        405 => Problem::method_not_allowed("GET, POST, HEAD", id),
        408 => new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", "The body took longer than 30 seconds to arrive."),
        409 => new(StatusCode::CONFLICT, "already_exists", "Another record already has this externalId."),
        410 => new(StatusCode::GONE, "expired", "Nobody decided in time: the request is over."),
        413 => new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "The body is larger than 1 MiB."),
        415 => new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "The body must be application/json, not text/plain.",
        ),
        503 => new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "The service cannot reach its database at the moment. Try again shortly.",
        ),
        _ => new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "Something went wrong on our side. The request id finds it in the log.",
        ),
    };
    serde_json::to_value(problem).unwrap_or_default()
}

/// Tells an operation of the failures that it can end with, unless it has told of such a status itself.
pub fn add(operation: &mut Value, endpoint: &Endpoint, edits: bool) {
    let is_open = endpoint.access == Access::Public;
    let has_place = endpoint.path.contains('{');
    let has_body = operation["requestBody"].is_object();
    let changes = endpoint.method != Method::GET;
    let applies = |status: u16| match status {
        400 | 500 | 503 => true,
        401 => !is_open || has_body,
        403 => !is_open,
        404 => has_place,
        408 | 413 | 415 => has_body,
        422 => has_body || endpoint.takes_key,
        409 => changes && !is_open,
        412 => edits,
        429 => is_open && has_body,
        _ => false,
    };
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    for (status, ..) in
        FAILURES.into_iter().filter(|(status, ..)| applies(*status) || endpoint.failures.contains(status))
    {
        let reference = json!({"$ref": format!("#/components/responses/Problem{status}")});
        responses.entry(status.to_string()).or_insert(reference);
    }
}

/// Shows an example of every JSON body that has none.
pub fn show(operation: &mut Value, all: &Map<String, Value>) {
    // Not by `[…]`, which would put a null where there is nothing.
    if let Some(body) = operation.pointer_mut("/requestBody/content/application~1json") {
        let example = examples::request(&body["schema"], all);
        body.as_object_mut().map(|body| body.entry("example").or_insert(example));
    }
    for response in operation["responses"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        if let Some(body) = response.pointer_mut("/content/application~1json") {
            let example = examples::response(&body["schema"], all);
            body.as_object_mut().map(|body| body.entry("example").or_insert(example));
        }
    }
}
