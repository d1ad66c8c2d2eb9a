//! What can go wrong, in the one vocabulary that every crate shares.
use std::fmt;

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind};
use serde::Serialize;

use crate::proposals::Proposal;

/// The result of every domain function.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One bad field of a request, in the words of its wire name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// The member's name on the wire, `customFields.region` for a custom field.
    pub field: String,
    /// A stable snake_case word for programs.
    pub code: String,
    /// A sentence for a person.
    pub message: String,
}

impl FieldError {
    /// A field error from its three parts.
    pub fn new(field: impl Into<String>, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), code: code.into(), message: message.into() }
    }
}

/// The failure of a domain function. Knows nothing of HTTP; [`Error::kind`] is the bridge.
#[derive(Debug)]
pub enum Error {
    /// No such record, or one of another organization, or outside the caller's business units: all alike.
    NotFound,
    /// Nobody is signed in, or no longer.
    Unauthenticated {
        /// A stable word, such as `invalid_token`.
        code: &'static str,
        /// A sentence for a person.
        reason: String,
    },
    /// The caller may not.
    Forbidden {
        /// A stable word, such as `role_required`.
        code: &'static str,
        /// A sentence that names the rule.
        reason: String,
    },
    /// The caller may, once somebody else has approved it.
    NeedsApproval(Box<Proposal>),
    /// The request cannot be understood at all.
    Malformed {
        /// A stable word, such as `unknown_parameter`.
        code: &'static str,
        /// What was wrong and what would be right.
        detail: String,
    },
    /// Understood, but fields are bad: all of them at once.
    Invalid(Vec<FieldError>),
    /// The state of the data stands against it.
    Conflict {
        /// A stable word, such as `in_use`.
        code: &'static str,
        /// What stands against it.
        detail: String,
    },
    /// `If-Match` named another version than the current one.
    Stale {
        /// The version as it stands now.
        version: i64,
    },
    /// Too often.
    Limited {
        /// Seconds until another try is worth it.
        retry_after: u64,
        /// A sentence for a person.
        detail: String,
    },
    /// The database cannot be reached, or every connection is busy; try again soon.
    Unavailable(String),
    /// Others change the same rows, so that one of them had to give way; nothing of this was done, and it can be tried again.
    Contended(String),
    /// A fault of ours. The source goes to the log, never to a caller.
    Internal(Box<dyn std::error::Error + Send + Sync>),
}

/// The classes of failure, for a transport to translate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// [`Error::NotFound`]
    NotFound,
    /// [`Error::Unauthenticated`]
    Unauthenticated,
    /// [`Error::Forbidden`]
    Forbidden,
    /// [`Error::NeedsApproval`]
    NeedsApproval,
    /// [`Error::Malformed`]
    Malformed,
    /// [`Error::Invalid`]
    Invalid,
    /// [`Error::Conflict`]
    Conflict,
    /// [`Error::Stale`]
    Stale,
    /// [`Error::Limited`]
    Limited,
    /// [`Error::Unavailable`] and [`Error::Contended`]
    Unavailable,
    /// [`Error::Internal`]
    Internal,
}

impl Error {
    /// One bad field.
    pub fn invalid(field: impl Into<String>, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError::new(field, code, message)])
    }

    /// A fault of ours, told in words.
    pub fn internal(what: impl Into<String>) -> Self {
        Self::Internal(what.into().into())
    }

    /// Does it say nothing of what was asked, since the database or the program failed? Then nothing that follows in the
    /// same transaction can be done either.
    pub fn is_outage(&self) -> bool {
        matches!(self.kind(), Kind::Unavailable | Kind::Internal)
    }

    /// The class of this failure.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NotFound => Kind::NotFound,
            Self::Unauthenticated { .. } => Kind::Unauthenticated,
            Self::Forbidden { .. } => Kind::Forbidden,
            Self::NeedsApproval(_) => Kind::NeedsApproval,
            Self::Malformed { .. } => Kind::Malformed,
            Self::Invalid(_) => Kind::Invalid,
            Self::Conflict { .. } => Kind::Conflict,
            Self::Stale { .. } => Kind::Stale,
            Self::Limited { .. } => Kind::Limited,
            Self::Unavailable(_) | Self::Contended(_) => Kind::Unavailable,
            Self::Internal(_) => Kind::Internal,
        }
    }

    /// The stable word for programs.
    pub fn code(&self) -> &str {
        match self {
            Self::NotFound => "not_found",
            Self::NeedsApproval(_) => "approval_required",
            Self::Unauthenticated { code, .. }
            | Self::Forbidden { code, .. }
            | Self::Malformed { code, .. }
            | Self::Conflict { code, .. } => code,
            Self::Invalid(errors) => errors.first().map_or("invalid", |e| e.code.as_str()),
            Self::Stale { .. } => "stale_version",
            Self::Limited { .. } => "rate_limited",
            Self::Unavailable(_) => "unavailable",
            Self::Contended(_) => "contended",
            Self::Internal(_) => "internal_error",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("There is no such record, or you may not see it."),
            Self::Unauthenticated { reason, .. } | Self::Forbidden { reason, .. } => f.write_str(reason),
            Self::NeedsApproval(proposal) => {
                write!(f, "{} Asked for in this way, it cannot wait for one.", proposal.reason)
            }
            Self::Malformed { detail, .. } | Self::Conflict { detail, .. } | Self::Limited { detail, .. } => {
                f.write_str(detail)
            }
            Self::Invalid(errors) => {
                for (i, e) in errors.iter().enumerate() {
                    write!(f, "{}{}: {}", if i == 0 { "" } else { " " }, e.field, e.message)?;
                }
                Ok(())
            }
            Self::Stale { version } => write!(
                f,
                "Somebody changed this record meanwhile: it is at version {version} now. Read it again, then repeat your change."
            ),
            Self::Unavailable(_) => {
                f.write_str("The service cannot reach its database at the moment. Try again shortly.")
            }
            Self::Contended(_) => f.write_str(
                "Others are changing the same records at this moment, so nothing was changed here. Send it again shortly.",
            ),
            Self::Internal(_) => f.write_str("Something went wrong on our side. The request id finds it in the log."),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Internal(source) => Some(source.as_ref()),
            _ => None,
        }
    }
}

impl From<diesel::result::Error> for Error {
    fn from(error: diesel::result::Error) -> Self {
        use diesel::result::Error as E;
        match error {
            E::NotFound => Self::NotFound,
            E::DatabaseError(kind, info) => refusal(kind, info),
            E::BrokenTransactionManager => Self::Unavailable(error.to_string()),
            other => Self::Internal(Box::new(other)),
        }
    }
}

impl From<crate::database::Error> for Error {
    fn from(error: crate::database::Error) -> Self {
        use crate::database::Error as E;
        match error {
            E::TimedOut(why) if contended(&why) => Self::Contended(why),
            E::Unavailable(why) | E::TimedOut(why) => Self::Unavailable(why),
            E::StorageFull => Self::Unavailable("the database's disk is full".into()),
            E::Query(error) => error.into(),
            other => Self::Internal(Box::new(other)),
        }
    }
}

/// Tells a refusal of the database in the words of the request.
///
/// Constraints are named `<table>_<column>_{key,fkey,check}`, so that the field follows from the name. On a sharded
/// cluster diesel sees no constraint name and the message carries a shard suffix; both are handled here alone.
fn refusal(kind: DatabaseErrorKind, info: Box<dyn DatabaseErrorInformation + Send + Sync>) -> Error {
    let message = info.message().to_owned();
    let constraint = info.constraint_name().map(str::to_owned).or_else(|| quoted(&message)).unwrap_or_default();
    let field = |suffix: &str| field_of(&constraint, info.table_name().unwrap_or_default(), suffix);
    match kind {
        DatabaseErrorKind::UniqueViolation => {
            let field = field("_key");
            Error::Conflict { code: "already_exists", detail: format!("Another record already has this {field}.") }
        }
        DatabaseErrorKind::ForeignKeyViolation if message.starts_with("update or delete on table") => {
            let others = info.table_name().unwrap_or("other records").replace('_', " ");
            let detail = format!("Some {others} still refer to this record; change or delete those first.");
            Error::Conflict { code: "in_use", detail }
        }
        DatabaseErrorKind::ForeignKeyViolation => {
            let field = field("_fkey");
            Error::invalid(field, "unknown_reference", "There is no such record.")
        }
        DatabaseErrorKind::CheckViolation => {
            Error::invalid(field("_check"), "not_allowed", "This value is not allowed here.")
        }
        DatabaseErrorKind::NotNullViolation => {
            Error::invalid(camel(info.column_name().unwrap_or("field")), "required", "This field must not be empty.")
        }
        DatabaseErrorKind::SerializationFailure => Error::Contended(message),
        DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand => Error::Unavailable(message),
        _ if contended(&message) => Error::Contended(message),
        _ if interrupted(&message) => Error::Unavailable(message),
        _ if message.contains("out of range") => Error::invalid("value", "out_of_range", "A value is out of range."),
        _ => Error::Internal(message.into()),
    }
}

/// A wait for others' locks that took too long, or could never have ended.
fn contended(message: &str) -> bool {
    ["lock timeout", "deadlock detected"].iter().any(|sign| message.to_lowercase().contains(sign))
}

/// A server that stops, starts or gives up on a statement: not our fault, not the caller's.
fn interrupted(message: &str) -> bool {
    const SIGNS: [&str; 7] = [
        "terminating connection",
        "server closed the connection",
        "the database system is",
        "could not connect",
        "connection to server",
        "statement timeout",
        "no space left",
    ];
    let lower = message.to_lowercase();
    SIGNS.iter().any(|sign| lower.contains(sign)) || lower.contains("no connection to the server")
}

fn quoted(message: &str) -> Option<String> {
    let name = message.rsplit('"').nth(1)?;
    let shard = name.rsplit_once('_').filter(|(_, n)| n.len() >= 6 && n.bytes().all(|b| b.is_ascii_digit()));
    Some(shard.map_or(name, |(name, _)| name).to_owned())
}

fn field_of(constraint: &str, table: &str, suffix: &str) -> String {
    let name = constraint.strip_suffix(suffix).unwrap_or(constraint);
    camel(name.strip_prefix(table).unwrap_or(name).trim_matches('_'))
}

/// `stage_id` to `stageId`.
pub fn camel(snake: &str) -> String {
    let mut words = snake.split('_');
    let mut out = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        out.extend(letters.next().map(|c| c.to_ascii_uppercase()));
        out.push_str(letters.as_str());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraint_names_tell_the_field() {
        assert_eq!(field_of("deals_stage_id_fkey", "deals", "_fkey"), "stageId");
        assert_eq!(field_of("business_units_slug_key", "business_units", "_key"), "slug");
        assert_eq!(
            quoted("duplicate key value violates unique constraint \"leads_email_key_102189\"").as_deref(),
            Some("leads_email_key")
        );
    }

    #[test]
    fn an_internal_error_does_not_say_why() {
        let error = Error::internal("password=hunter2");
        assert!(!error.to_string().contains("hunter2"));
    }
}
