//! Who asks, for which organization, and when: one value per request or job.
use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    Error, Id, Result,
    business_units::BusinessUnit,
    gate::{Gate, Gates, Program},
    organizations::Organization,
    sessions::Session,
    users::{Role, User},
};

/// Who asks, for which organization, and when. Made once per request or job and passed by reference.
#[derive(Clone)]
pub struct Ctx {
    /// The tenant. Every statement carries it.
    pub organization: Id<Organization>,
    /// Who acts.
    pub actor: Actor,
    /// What the actor showed for it.
    pub credential: Credential,
    /// What the actor may at most; the gate decides in detail.
    pub role: Role,
    /// Which records the actor sees.
    pub scope: ReadScope,
    /// The instant of this request, taken once, in UTC.
    pub now: DateTime<Utc>,
    /// Names the request in logs, problems and history.
    pub request_id: String,
    /// Groups all that this request changes, so that it can be undone as one.
    pub change_set: Uuid,
    /// Decides what is allowed.
    pub gate: Arc<dyn Gate>,
    /// Where that came from, for a transaction that goes on in somebody else's name.
    pub gates: Arc<dyn Gates>,
}

/// Who acts: a person, a key of theirs, or the program itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A signed-in user.
    User(Id<User>),
    /// An API key and the user who made it.
    ApiKey {
        /// The key.
        key: Uuid,
        /// Its maker, in whose name it acts.
        user: Id<User>,
    },
    /// An import and the user who started it.
    Import {
        /// The import.
        import: Uuid,
        /// Who started it.
        user: Id<User>,
    },
    /// The program: schedules, demo data, the command line.
    System,
}

impl Actor {
    /// The person in whose name the actor acts, if there is one.
    pub fn user(&self) -> Option<Id<User>> {
        match self {
            Self::User(user) | Self::ApiKey { user, .. } | Self::Import { user, .. } => Some(*user),
            Self::System => None,
        }
    }

    /// The word for it in the field history.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::ApiKey { .. } => "api_key",
            Self::Import { .. } => "import",
            Self::System => "system",
        }
    }
}

/// What the caller showed to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// Nothing: the program acts, for itself or for somebody who asked earlier.
    Program,
    /// A signed-in session.
    Session(Id<Session>),
    /// An API key.
    ApiKey {
        /// Has it the scope to change anything?
        may_write: bool,
    },
}

/// Which records of an organization the caller sees. A list, an export, a search and a read all carry the same one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadScope {
    /// `None` sees every business unit; otherwise these, and the records that belong to none.
    pub units: Option<Vec<Id<BusinessUnit>>>,
}

impl ReadScope {
    /// Sees every record of the organization.
    pub fn everything() -> Self {
        Self { units: None }
    }

    /// The unit that new records get where none is given: the only one that the caller works in, if there is one.
    pub fn home(&self) -> Option<Id<BusinessUnit>> {
        match self.units.as_deref() {
            Some([unit]) => Some(*unit),
            _ => None,
        }
    }
}

impl Ctx {
    /// The program itself, acting in an organization with every right.
    pub fn system(organization: Id<Organization>, now: DateTime<Utc>, gates: Arc<dyn Gates>) -> Self {
        Self {
            organization,
            actor: Actor::System,
            credential: Credential::Program,
            role: Role::Admin,
            scope: ReadScope::everything(),
            now,
            request_id: "system".into(),
            change_set: Id::<Ctx>::new().uuid(),
            gate: Arc::new(Program),
            gates,
        }
    }

    /// Refuses a key without the scope `write` or `admin`.
    pub(crate) fn check_may_write(&self) -> Result<()> {
        if self.credential != (Credential::ApiKey { may_write: false }) {
            return Ok(());
        }
        let reason = "This API key may only read; changes need a key with the scope `write` or `admin`.".into();
        Err(Error::Forbidden { code: "scope_required", reason })
    }
}

impl fmt::Debug for Ctx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ctx")
            .field("organization", &self.organization)
            .field("actor", &self.actor)
            .field("role", &self.role)
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}
