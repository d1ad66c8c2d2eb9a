//! API keys: how programs sign in. Each acts in its maker's name, never above their rights.
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// See what its maker sees.
    Read,
    /// Change what its maker may change, the administration excepted.
    Write,
    /// All that its maker may, the administration included.
    Admin,
}

impl Scope {
    /// The word on the wire and in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}
