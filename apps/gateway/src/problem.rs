//! Failures as RFC 9457 problems. The only file that knows which failure is which status.
use actix_web::{HttpResponse, http::StatusCode, http::header};
use crm_core::{Error, FieldError, Kind};
use crm_ops::idempotency;
use serde::Serialize;

use crate::reply::Answer;

/// A failure as it goes over the wire.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    #[serde(rename = "type")]
    type_: String,
    title: String,
    status: u16,
    code: String,
    detail: String,
    error: String,
    request_id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    #[serde(skip)]
    retry_after: Option<u64>,
    #[serde(skip)]
    allow: Option<String>,
    #[serde(skip)]
    etag: Option<String>,
}

/// The status of a class of failures.
pub fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::Forbidden | Kind::NeedsApproval => StatusCode::FORBIDDEN,
        Kind::Malformed => StatusCode::BAD_REQUEST,
        Kind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::Stale => StatusCode::PRECONDITION_FAILED,
        Kind::Limited => StatusCode::TOO_MANY_REQUESTS,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl Problem {
    /// A problem of the transport itself.
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>, request_id: &str) -> Self {
        let detail = detail.into();
        Self {
            type_: "about:blank".into(),
            title: status.canonical_reason().unwrap_or("Problem").into(),
            status: status.as_u16(),
            code: code.into(),
            error: detail.clone(),
            detail,
            request_id: request_id.into(),
            errors: Vec::new(),
            retry_after: (status == StatusCode::SERVICE_UNAVAILABLE).then_some(2),
            allow: None,
            etag: None,
        }
    }

    /// A failure of the domain. The cause of a fault of ours goes to the log here, once, and nowhere else.
    pub fn of(error: Error, request_id: &str) -> Self {
        match &error {
            Error::Internal(cause) => {
                tracing::error!(request_id, cause = &**cause as &dyn std::error::Error, "internal error");
            }
            Error::Unavailable(why) => tracing::warn!(request_id, why, "the database is not available"),
            Error::Contended(why) => tracing::warn!(request_id, why, "a wait for others' changes was given up"),
            _ => {}
        }
        let mut problem = Self::new(status(error.kind()), error.code(), error.to_string(), request_id);
        match error {
            Error::Invalid(errors) => {
                problem.code = if errors.len() == 1 { problem.code } else { "validation_failed".into() };
                problem.errors = errors;
            }
            Error::Limited { retry_after, .. } => problem.retry_after = Some(retry_after.max(1)),
            Error::Conflict { code: idempotency::IN_USE, .. } => problem.retry_after = Some(1),
            Error::Stale { version } => problem.etag = Some(etag(version)),
            _ => {}
        }
        problem
    }

    /// A known path under another method.
    pub fn method_not_allowed(allow: &str, request_id: &str) -> Self {
        let detail = format!("This address answers {allow} only.");
        let mut problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail, request_id);
        problem.allow = Some(allow.to_owned());
        problem
    }

    /// The problem as an answer.
    pub fn answer(&self) -> Answer {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(self).unwrap_or_default();
        let challenge = (status == StatusCode::UNAUTHORIZED).then(|| "Bearer".to_owned());
        [
            (header::RETRY_AFTER, self.retry_after.map(|seconds| seconds.to_string())),
            (header::ALLOW, self.allow.clone()),
            (header::ETAG, self.etag.clone()),
            (header::WWW_AUTHENTICATE, challenge),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .fold(Answer::new(status, "application/problem+json", body), |answer, (name, value)| answer.header(name, value))
    }

    /// The problem as a response.
    pub fn response(&self) -> HttpResponse {
        self.answer().response()
    }
}

/// The `ETag` of a version.
pub fn etag(version: i64) -> String {
    format!("\"v{version}\"")
}
