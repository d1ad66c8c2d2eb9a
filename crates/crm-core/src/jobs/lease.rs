//! Leases on jobs: taken, kept alive, and taken over from workers that died. All instants are the database's, so that
//! the clocks of the workers need not agree.
use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{RunQueryDsl, sql_types as st};
use serde_json::Value;
use uuid::Uuid;

use super::{QueueJob, ports::Ports};
use crate::{
    Ctx, Id, Result, Tx,
    database::{Access, Database},
    gate::Gates,
    organizations::Organization,
    statement::Statement,
};

/// How long a lease holds without a sign of life: as long as the work of a dead worker waits, and three signs of a live
/// one.
pub const LEASE: Duration = Duration::from_secs(12);

/// The most organizations that one look finds.
const ORGANIZATIONS: usize = 50;
/// The most expired leases that are taken over at a time.
const TAKEN_OVER: i64 = 100;

/// A job under a lease.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Whose job it is.
    pub organization: Id<Organization>,
    /// Which job it is.
    pub job: Id<QueueJob>,
    /// What it is.
    pub kind: String,
    /// Its fields.
    pub payload: Value,
    /// Which try this is, from 1.
    pub attempt: i32,
    /// How many there can be.
    pub max_attempts: i32,
    /// What tells this lease from every other.
    pub(super) token: Uuid,
}

/// The leases of the queue, for workers alone. It sees across organizations which of them have work, and nothing else;
/// whatever it writes, it writes within one.
#[derive(Clone)]
pub struct Queue {
    database: Database,
    gates: Arc<dyn Gates>,
    ports: Ports,
}

type Row = (Uuid, String, Value, i32, i32);
type RowTypes = (st::Uuid, st::Text, st::Jsonb, st::Integer, st::Integer);

impl Queue {
    /// The queue in a database. What jobs do is judged by the gates.
    pub fn new(database: Database, gates: Arc<dyn Gates>) -> Self {
        Self { database, gates, ports: Ports::default() }
    }

    /// Plugs in what jobs find under this type with [`super::JobRun::port`].
    pub fn plug<T: ?Sized + Send + Sync + 'static>(&mut self, port: Arc<T>) {
        self.ports.plug(port);
    }

    pub(super) fn port<T: ?Sized + Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.ports.port()
    }

    /// The database that jobs work on.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// What judges the actions of jobs.
    pub fn gates(&self) -> &Arc<dyn Gates> {
        &self.gates
    }

    /// Organizations with work that can be begun, beginning after `after` and going round, at most 50.
    ///
    /// # Errors
    /// What the database says.
    pub fn ready(&self, queue: &str, kinds: &[String], after: Id<Organization>) -> Result<Vec<Id<Organization>>> {
        let find = |op: &str| {
            let text = format!(
                "SELECT DISTINCT organization_id FROM queue_jobs WHERE status = 'waiting' AND queue = {{}} \
                 AND kind = ANY({{}}) AND run_at <= now() AND organization_id {op} {{}} \
                 ORDER BY organization_id LIMIT {ORGANIZATIONS}"
            );
            Statement::<st::Uuid>::new(text, None).bind(queue).bind(kinds.to_vec()).bind(after)
        };
        self.database.with(|conn| {
            let mut found: Vec<Uuid> = find(">").load(conn)?;
            if found.len() < ORGANIZATIONS {
                found.extend(find("<=").load::<Uuid>(conn)?);
            }
            Ok(found.into_iter().map(Id::from).collect())
        })
    }

    /// Takes up to `limit` jobs of one organization, the most urgent first. Jobs that somebody else is about to take
    /// are passed over.
    ///
    /// # Errors
    /// What the database says.
    pub fn claim(
        &self,
        organization: Id<Organization>,
        queue: &str,
        kinds: &[String],
        limit: usize,
    ) -> Result<Vec<Claim>> {
        self.within(organization, |tx, token| {
            let now = tx.ctx.now;
            tx.sql::<RowTypes>(
                "WITH chosen AS MATERIALIZED (SELECT id FROM queue_jobs WHERE organization_id = {org} AND queue = {} \
                 AND kind = ANY({}) AND status = 'waiting' AND run_at <= {} ORDER BY priority, run_at, id LIMIT {} \
                 FOR UPDATE SKIP LOCKED) \
                 UPDATE queue_jobs AS job SET status = 'active', attempts = job.attempts + 1, lease_token = {}, \
                 lease_until = {}, finished_at = NULL, updated_at = {} FROM chosen \
                 WHERE job.organization_id = {org} AND job.id = chosen.id \
                 RETURNING job.id, job.kind, job.payload, job.attempts, job.max_attempts",
            )
            .with(|s| {
                let limit = i64::try_from(limit).unwrap_or(i64::MAX);
                s.bind(queue).bind(kinds.to_vec()).bind(now).bind(limit).bind(token).bind(until(now)).bind(now)
            })
            .all::<Row>(tx)
        })
    }

    /// Organizations with jobs whose lease has run out.
    ///
    /// # Errors
    /// What the database says.
    pub fn expired(&self, kinds: &[String]) -> Result<Vec<Id<Organization>>> {
        let text = "SELECT DISTINCT organization_id FROM queue_jobs WHERE status = 'active' AND lease_until < now() \
                    AND kind = ANY({})";
        let find = Statement::<st::Uuid>::new(text, None).bind(kinds.to_vec());
        let found: Vec<Uuid> = self.database.with(|conn| Ok::<_, crate::Error>(find.load(conn)?))?;
        Ok(found.into_iter().map(Id::from).collect())
    }

    /// Takes over jobs of one organization whose lease has run out, without beginning them: whoever held them can
    /// commit nothing more. A job in the middle of a step is not taken, since its worker is alive.
    ///
    /// # Errors
    /// What the database says.
    pub fn take_over(&self, organization: Id<Organization>, kinds: &[String]) -> Result<Vec<Claim>> {
        self.within(organization, |tx, token| {
            let now = tx.ctx.now;
            tx.sql::<RowTypes>(
                "WITH chosen AS MATERIALIZED (SELECT id FROM queue_jobs WHERE organization_id = {org} \
                 AND status = 'active' AND kind = ANY({}) AND lease_until < {} ORDER BY id LIMIT {} \
                 FOR UPDATE SKIP LOCKED) \
                 UPDATE queue_jobs AS job SET lease_token = {}, lease_until = {}, updated_at = {} FROM chosen \
                 WHERE job.organization_id = {org} AND job.id = chosen.id \
                 RETURNING job.id, job.kind, job.payload, job.attempts, job.max_attempts",
            )
            .with(|s| s.bind(kinds.to_vec()).bind(now).bind(TAKEN_OVER).bind(token).bind(until(now)).bind(now))
            .all::<Row>(tx)
        })
    }

    /// Keeps leases alive. A job in the middle of a step is passed over: the step extends its own lease.
    ///
    /// # Errors
    /// What the database says.
    pub fn keep_alive(&self, organization: Id<Organization>, claims: &[Claim]) -> Result<()> {
        let ids: Vec<Uuid> = claims.iter().map(|claim| claim.job.uuid()).collect();
        let tokens: Vec<Uuid> = claims.iter().map(|claim| claim.token).collect();
        self.within(organization, |tx, _| {
            let until = until(tx.ctx.now);
            tx.sql::<st::Integer>(
                "WITH held AS MATERIALIZED (SELECT id FROM queue_jobs WHERE organization_id = {org} AND id = ANY({}) \
                 AND lease_token = ANY({}) AND status = 'active' FOR UPDATE SKIP LOCKED) \
                 UPDATE queue_jobs AS job SET lease_until = {} FROM held \
                 WHERE job.organization_id = {org} AND job.id = held.id",
            )
            .with(|s| s.bind(ids).bind(tokens).bind(until))
            .run(tx)?;
            Ok(Vec::new())
        })?;
        Ok(())
    }

    /// One transaction in an organization, at the database's time.
    pub(super) fn at_database_time<T>(
        &self,
        organization: Id<Organization>,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T>,
    ) -> Result<T> {
        self.database.transaction(Access::Write, |conn| {
            let now = Statement::<st::Timestamptz>::new("SELECT now()", None).get_result::<DateTime<Utc>>(conn)?;
            let ctx = Ctx::system(organization, now, Arc::clone(&self.gates));
            Tx::run(conn, &ctx, true, work)
        })
    }

    /// One transaction in an organization, at the database's time, with a token for the leases that it makes.
    fn within(
        &self,
        organization: Id<Organization>,
        work: impl FnOnce(&mut Tx<'_>, Uuid) -> diesel::QueryResult<Vec<Row>>,
    ) -> Result<Vec<Claim>> {
        let token = Id::<Claim>::new().uuid();
        let rows = self.at_database_time(organization, |tx| Ok(work(tx, token)?))?;
        let claim = |(job, kind, payload, attempt, max_attempts): Row| Claim {
            organization,
            job: job.into(),
            kind,
            payload,
            attempt,
            max_attempts,
            token,
        };
        Ok(rows.into_iter().map(claim).collect())
    }
}

/// When a lease ends that is made or extended now.
pub(super) fn until(now: DateTime<Utc>) -> DateTime<Utc> {
    now + TimeDelta::from_std(LEASE).unwrap_or_default()
}
