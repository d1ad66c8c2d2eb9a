//! Leases on jobs: taken, kept alive, and taken over from workers that died. All instants are the database's, so that
//! the clocks of the workers need not agree.
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

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
    /// The span that wanted it, as a header `traceparent`.
    pub traceparent: Option<String>,
    /// What tells this lease from every other.
    pub(super) token: Uuid,
}

/// How many jobs are taken at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// So many are begun at once: for each of them an attempt is counted.
    pub begun: usize,
    /// So many more are held until there is room. No attempt is counted before they are begun, and so none is lost when
    /// the worker dies. A job that was tried before is not held: it may be the one that workers die of.
    pub held: usize,
}

/// The leases of the queue, for workers alone. It sees across organizations which of them have work, and nothing else;
/// whatever it writes, it writes within one.
#[derive(Clone)]
pub struct Queue {
    database: Database,
    gates: Arc<dyn Gates>,
    ports: Ports,
    pub(super) sharded: Arc<OnceLock<bool>>,
}

/// The id, the kind, what it carries, its attempts and how many there can be, who wanted it, and its place in the order.
type Row = (Uuid, String, Value, i32, i32, Option<String>, i32, DateTime<Utc>);
type RowTypes =
    (st::Uuid, st::Text, st::Jsonb, st::Integer, st::Integer, st::Nullable<st::Text>, st::Integer, st::Timestamptz);

/// Goes from one priority to the next, and in each through the jobs that are due, so that those for later are not read.
/// Of what is only held, nothing is taken that has a past, nor what waits behind such a job.
const CLAIMING: &str = "WITH RECURSIVE levels AS ((SELECT priority FROM queue_jobs WHERE organization_id = {org} \
    AND queue = {} AND status = 'waiting' ORDER BY priority LIMIT 1) \
    UNION ALL SELECT following.priority FROM levels, LATERAL (SELECT j.priority FROM queue_jobs j \
    WHERE j.organization_id = {org} AND j.queue = {} AND j.status = 'waiting' AND j.priority > levels.priority \
    ORDER BY j.priority LIMIT 1) AS following), \
    chosen AS MATERIALIZED (SELECT due.id, due.is_new FROM levels, LATERAL (SELECT j.id, \
    j.attempts = 0 AND j.last_error IS NULL AS is_new FROM queue_jobs j \
    WHERE j.organization_id = {org} AND j.queue = {} AND j.status = 'waiting' AND j.priority = levels.priority \
    AND j.kind = ANY({}) AND j.run_at <= {} ORDER BY j.run_at, j.id LIMIT {} FOR UPDATE SKIP LOCKED) AS due LIMIT {}), \
    placed AS (SELECT id, is_new, row_number() OVER () <= {} AS is_begun FROM chosen), \
    taken AS (SELECT id, is_begun, bool_and(is_begun OR is_new) OVER (ROWS UNBOUNDED PRECEDING) AS fits FROM placed) \
    UPDATE queue_jobs AS job SET status = 'active', attempts = job.attempts + taken.is_begun::integer, \
    lease_token = {}, lease_until = {}, finished_at = NULL, updated_at = {} FROM taken \
    WHERE job.organization_id = {org} AND job.id = taken.id AND taken.fits \
    RETURNING job.id, job.kind, job.payload, job.attempts + (NOT taken.is_begun)::integer, job.max_attempts, \
    job.traceparent, job.priority, job.run_at";

impl Queue {
    /// The queue in a database. What jobs do is judged by the gates.
    pub fn new(database: Database, gates: Arc<dyn Gates>) -> Self {
        Self { database, gates, ports: Ports::default(), sharded: Arc::default() }
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

    /// Takes jobs of one organization, the most urgent first. Jobs that somebody else is about to take are passed over.
    ///
    /// # Errors
    /// What the database says.
    pub fn claim(
        &self,
        organization: Id<Organization>,
        queue: &str,
        kinds: &[String],
        share: Share,
    ) -> Result<Vec<Claim>> {
        let count = |jobs: usize| i64::try_from(jobs).unwrap_or(i64::MAX);
        let (begun, limit) = (count(share.begun), count(share.begun + share.held));
        self.within(organization, |tx, token| {
            let now = tx.ctx.now;
            tx.sql::<RowTypes>(CLAIMING)
                .with(|s| {
                    let s =
                        s.bind(queue).bind(queue).bind(queue).bind(kinds.to_vec()).bind(now).bind(limit).bind(limit);
                    s.bind(begun).bind(token).bind(until(now)).bind(now)
                })
                .all::<Row>(tx)
        })
    }

    /// Gives jobs of one organization back that were taken and not begun, as if nobody had taken them.
    ///
    /// # Errors
    /// What the database says.
    pub fn give_back(&self, organization: Id<Organization>, claims: &[Claim]) -> Result<()> {
        let (ids, tokens) = (ids(claims), tokens(claims));
        let attempts: Vec<i32> = claims.iter().map(|claim| claim.attempt - 1).collect();
        self.within(organization, |tx, _| {
            let now = tx.ctx.now;
            tx.sql::<st::Integer>(
                "UPDATE queue_jobs AS job SET status = 'waiting', attempts = back.attempts, lease_token = NULL, \
                 lease_until = NULL, updated_at = {} FROM unnest({}, {}, {}) AS back (id, token, attempts) \
                 WHERE job.organization_id = {org} AND job.id = back.id AND job.lease_token = back.token \
                 AND job.status = 'active'",
            )
            .with(|s| s.bind(now).bind(ids).bind(tokens).bind(attempts))
            .run(tx)?;
            Ok(Vec::new())
        })?;
        Ok(())
    }

    /// Takes over jobs of one organization whose lease has run out, or which have none, without beginning them: whoever held them can
    /// commit nothing more. A job in the middle of a step is not taken, since its worker is alive.
    ///
    /// # Errors
    /// What the database says.
    pub fn take_over(&self, organization: Id<Organization>, kinds: &[String]) -> Result<Vec<Claim>> {
        self.within(organization, |tx, token| {
            let now = tx.ctx.now;
            tx.sql::<RowTypes>(
                "WITH chosen AS MATERIALIZED (SELECT id FROM queue_jobs WHERE organization_id = {org} \
                 AND status = 'active' AND kind = ANY({}) AND (lease_until < {} OR lease_until IS NULL) ORDER BY id LIMIT {} \
                 FOR UPDATE SKIP LOCKED) \
                 UPDATE queue_jobs AS job SET lease_token = {}, lease_until = {}, updated_at = {} FROM chosen \
                 WHERE job.organization_id = {org} AND job.id = chosen.id \
                 RETURNING job.id, job.kind, job.payload, job.attempts, job.max_attempts, \
                 job.traceparent, job.priority, job.run_at",
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
        let (ids, tokens) = (ids(claims), tokens(claims));
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
        let mut rows = self.at_database_time(organization, |tx| Ok(work(tx, token)?))?;
        rows.sort_by_key(|(id, .., priority, run_at)| (*priority, *run_at, *id));
        let claim = |(job, kind, payload, attempt, max_attempts, traceparent, ..): Row| Claim {
            organization,
            job: job.into(),
            kind,
            payload,
            attempt,
            max_attempts,
            traceparent,
            token,
        };
        Ok(rows.into_iter().map(claim).collect())
    }
}

fn ids(claims: &[Claim]) -> Vec<Uuid> {
    claims.iter().map(|claim| claim.job.uuid()).collect()
}

fn tokens(claims: &[Claim]) -> Vec<Uuid> {
    claims.iter().map(|claim| claim.token).collect()
}

/// When a lease ends that is made or extended now.
pub(super) fn until(now: DateTime<Utc>) -> DateTime<Utc> {
    now + TimeDelta::from_std(LEASE).unwrap_or_default()
}
