//! The door: how a request, a job or the program itself gets to the rows of one organization, and how nobody else does.
use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};
use diesel::{PgConnection, RunQueryDsl, sql_types as st};
use uuid::Uuid;

use crate::{
    Actor, Ctx, Error, Id, Result, Tx,
    database::{Access, Database},
    gate::Gates,
    organizations::Organization,
    sessions::{
        self, invalid_token,
        tokens::{Secret, Token, TokenKind},
    },
    statement::Statement,
};

/// The database behind the question of who asks. Cheap to clone.
///
/// ```no_run
/// use std::sync::Arc;
/// use crm_core::{Caller, Door, clock, companies::Company, gate::Roles, page, sessions::tokens::Secret};
/// # use crm_core::database::{Database, Settings};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let database = Database::open("postgres://localhost/heimdell_crm", Settings::default())?;
/// let door = Door::new(database, Arc::new(Roles));
/// let bearer = Some(Secret::new("hmd_…"));
/// let caller = Caller { bearer, console: None, request_id: "01".into(), now: clock::now() };
/// let companies = door.read(&caller, |tx| page::list::<Company>(tx, &[]))?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Door {
    database: Database,
    gates: Arc<dyn Gates>,
}

/// What is known of a request before anybody has looked at who sent it.
#[derive(Clone)]
pub struct Caller {
    /// What stood behind `Authorization: Bearer`: an access token or an API key.
    pub bearer: Option<Secret>,
    /// What came with the console's cookie.
    pub console: Option<ConsoleRequest>,
    /// Names the request in logs, problems and history.
    pub request_id: String,
    /// The instant of the request, taken once.
    pub now: DateTime<Utc>,
}

/// A request under the console's cookie.
#[derive(Clone)]
pub struct ConsoleRequest {
    /// The cookie's value.
    pub cookie: Secret,
    /// Has it shown that it comes from the console's own pages (`X-Heimdell-Console` and a same-origin `Origin`)? A
    /// browser sends the cookie on its own, so without that nothing is changed.
    pub is_same_origin: bool,
}

impl Caller {
    /// The token of the request, if it is well formed and of a kind that belongs where it stood.
    fn token(&self) -> Result<Token> {
        let (secret, kinds): (_, &[TokenKind]) = match (&self.bearer, &self.console) {
            (Some(_), Some(_)) => {
                let detail = "Send a token or the console's cookie, not both.".into();
                return Err(Error::Malformed { code: "two_credentials", detail });
            }
            (Some(bearer), None) => (bearer, &[TokenKind::Access, TokenKind::ApiKey]),
            (None, Some(console)) => (&console.cookie, &[TokenKind::Console]),
            (None, None) => {
                let reason = "Sign in first: send an access token or an API key as `Authorization: Bearer …`.".into();
                return Err(Error::Unauthenticated { code: "missing_token", reason });
            }
        };
        Token::parse(secret.expose()).filter(|token| kinds.contains(&token.kind)).ok_or_else(invalid_token)
    }

    fn check_origin(&self) -> Result<()> {
        if self.console.as_ref().is_none_or(|console| console.is_same_origin) {
            return Ok(());
        }
        let reason = "Changes under the console's cookie are accepted from the console's own pages alone.".into();
        Err(Error::Forbidden { code: "cross_site_request", reason })
    }
}

impl Door {
    /// The door of a database, with the gates that judge every action behind it.
    pub fn new(database: Database, gates: Arc<dyn Gates>) -> Self {
        Self { database, gates }
    }

    /// The database, for what belongs to no organization: health, migrations, metrics.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Reads as the caller. There is no transaction: reading who asks tests the connection, and nothing else is sent.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`]; what `work` says.
    pub fn read<T>(&self, caller: &Caller, work: impl FnOnce(&mut Tx<'_>) -> Result<T>) -> Result<T> {
        let token = caller.token()?;
        self.database.read(
            |conn| sessions::look_up(conn, &token),
            |conn, identity| {
                let identity = identity.ok_or_else(invalid_token)?;
                let ctx = identity.admit(conn, &token, &caller.request_id, caller.now, &self.gates)?;
                if let Err(error) = identity.touch(conn, &token, caller.now) {
                    // Whoever reads still reads while nothing can be written: the disk may be full.
                    tracing::warn!("the last use of a credential could not be noted: {error}");
                }
                Tx::run(conn, &ctx, false, work)
            },
        )
    }

    /// Reads and writes as the caller, all or nothing. Who asks is read in the same transaction.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`]; [`Error::Forbidden`] `scope_required` for a key that may only read and
    /// `cross_site_request` for a page that is not the console's; what `work` says.
    pub fn write<T>(&self, caller: &Caller, work: impl FnOnce(&mut Tx<'_>) -> Result<T>) -> Result<T> {
        let token = caller.token()?;
        caller.check_origin()?;
        self.database.transaction(Access::Write, |conn| {
            let identity = sessions::look_up(conn, &token)?.ok_or_else(invalid_token)?;
            let ctx = identity.admit(conn, &token, &caller.request_id, caller.now, &self.gates)?;
            ctx.check_may_write()?;
            identity.touch(conn, &token, caller.now)?;
            Tx::run(conn, &ctx, true, work)
        })
    }

    /// Reads as the program itself.
    ///
    /// # Errors
    /// What `work` says.
    pub fn system_read<T>(
        &self,
        organization: Id<Organization>,
        now: DateTime<Utc>,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T>,
    ) -> Result<T> {
        let ctx = Ctx::system(organization, now, Arc::clone(&self.gates));
        self.database.transaction(Access::Read, |conn| Tx::run(conn, &ctx, false, work))
    }

    /// Reads and writes as the program itself, all or nothing.
    ///
    /// # Errors
    /// What `work` says.
    pub fn system_write<T>(
        &self,
        organization: Id<Organization>,
        now: DateTime<Utc>,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T>,
    ) -> Result<T> {
        self.system_write_in(now, |_| Ok(organization), work)
    }

    /// As [`Door::system_write`] in the organization that `find` names, within the same transaction.
    pub(crate) fn system_write_in<T>(
        &self,
        now: DateTime<Utc>,
        find: impl FnOnce(&mut PgConnection) -> Result<Id<Organization>>,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T>,
    ) -> Result<T> {
        self.database.transaction(Access::Write, |conn| {
            let ctx = Ctx::system(find(conn)?, now, Arc::clone(&self.gates));
            Tx::run(conn, &ctx, true, work)
        })
    }

    /// The organization that a row belongs to, for senders that show nothing but the row's id. The table's name comes from
    /// the code.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is no such row.
    pub fn organization_of(&self, table: &'static str, id: Uuid) -> Result<Id<Organization>> {
        let text = format!("SELECT organization_id FROM {table} WHERE id = {{}}");
        let found = Statement::<st::Uuid>::new(text, None).bind(id);
        let found: Vec<Uuid> = self.database.with(|conn| Ok::<_, Error>(found.load(conn)?))?;
        match found[..] {
            [organization] => Ok(organization.into()),
            _ => Err(Error::NotFound),
        }
    }

    /// Writes down what the gates of this process have noted while they decided.
    ///
    /// # Errors
    /// What the database says.
    pub fn keep_notes(&self, now: DateTime<Utc>) -> Result<()> {
        let mut noted = self.gates.noted().into_iter();
        noted.try_for_each(|organization| self.system_write(organization, now, |tx| self.gates.keep(tx)))
    }

    /// Where a new organization begins: its id is made first, and `work` founds it.
    ///
    /// # Errors
    /// What `work` says.
    pub fn found<T>(&self, now: DateTime<Utc>, work: impl FnOnce(&mut Tx<'_>) -> Result<T>) -> Result<T> {
        self.system_write(Id::new(), now, work)
    }

    /// Reads and writes in the name of somebody who is not there: a job of theirs. What they may and see is read anew,
    /// so that rights lost since count.
    ///
    /// # Errors
    /// [`Error::Forbidden`] `not_active` where they are no longer active; what `work` says.
    pub fn acting<T>(
        &self,
        organization: Id<Organization>,
        actor: &Actor,
        now: DateTime<Utc>,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T>,
    ) -> Result<T> {
        self.system_write(organization, now, |tx| {
            let ctx = sessions::in_name_of(tx, actor)?;
            tx.acting(&ctx, work)
        })
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Door")
    }
}
