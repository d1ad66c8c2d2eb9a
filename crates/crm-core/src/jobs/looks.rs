//! Looks for work, across organizations and without locks: who has some. Whoever finds an organization claims within it.
use diesel::{PgConnection, QueryResult, RunQueryDsl, sql_types as st};
use uuid::Uuid;

use super::Queue;
use crate::{Error, Id, Result, organizations::Organization, statement::Statement};

/// Goes through the index from one organization to the next, first those behind a place, then those up to it, and asks
/// of each whether a job is due. It reads a page or two to an organization and kind, however many jobs there are: the
/// first of each kind is asked for, since the planner would look for any that is due in the table itself.
const SKIPPING: &str = "WITH RECURSIVE \
    behind AS ((SELECT organization_id FROM queue_jobs WHERE status = 'waiting' AND queue = {} \
    AND organization_id > {} ORDER BY organization_id LIMIT 1) \
    UNION ALL SELECT following.organization_id FROM behind, LATERAL (SELECT j.organization_id FROM queue_jobs j \
    WHERE j.status = 'waiting' AND j.queue = {} AND j.organization_id > behind.organization_id \
    ORDER BY j.organization_id LIMIT 1) AS following), \
    upto AS ((SELECT organization_id FROM queue_jobs WHERE status = 'waiting' AND queue = {} \
    AND organization_id <= {} ORDER BY organization_id LIMIT 1) \
    UNION ALL SELECT following.organization_id FROM upto, LATERAL (SELECT j.organization_id FROM queue_jobs j \
    WHERE j.status = 'waiting' AND j.queue = {} AND j.organization_id > upto.organization_id \
    AND j.organization_id <= {} ORDER BY j.organization_id LIMIT 1) AS following) \
    SELECT place.organization_id FROM (SELECT organization_id FROM behind UNION ALL SELECT organization_id FROM upto) \
    AS place, LATERAL (SELECT 1 FROM unnest({}) AS wanted (kind), LATERAL (SELECT j.run_at FROM queue_jobs j \
    WHERE j.status = 'waiting' AND j.queue = {} AND j.organization_id = place.organization_id \
    AND j.kind = wanted.kind ORDER BY j.run_at LIMIT 1) AS first WHERE first.run_at <= now() LIMIT 1) AS due LIMIT 50";

/// The same of a cluster, whose nodes cannot go from one organization to the next: every job that is due is read.
const READING: &str = "SELECT organization_id FROM (SELECT DISTINCT organization_id, organization_id <= {} AS upto \
    FROM queue_jobs WHERE status = 'waiting' AND queue = {} AND kind = ANY({}) AND run_at <= now()) AS due \
    ORDER BY upto, organization_id LIMIT 50";

impl Queue {
    /// Organizations with work that can be begun, beginning after `after` and going round, at most 50.
    ///
    /// # Errors
    /// What the database says.
    pub fn ready(&self, queue: &str, kinds: &[String], after: Id<Organization>) -> Result<Vec<Id<Organization>>> {
        let find = |conn: &mut PgConnection| {
            let found: Vec<Uuid> = match self.is_sharded(conn)? {
                true => reading(queue, kinds, after).load(conn)?,
                false => skipping(queue, kinds, after).load(conn)?,
            };
            Ok(found.into_iter().map(Id::from).collect())
        };
        self.database().read(find, |_, found| Ok::<_, Error>(found))
    }

    /// Organizations with jobs whose lease has run out, or which are active without any.
    ///
    /// # Errors
    /// What the database says.
    pub fn expired(&self, kinds: &[String]) -> Result<Vec<Id<Organization>>> {
        let text = "SELECT DISTINCT organization_id FROM queue_jobs WHERE status = 'active' \
                    AND (lease_until < now() OR lease_until IS NULL) AND kind = ANY({})";
        let find = |conn: &mut PgConnection| Statement::<st::Uuid>::new(text, None).bind(kinds.to_vec()).load(conn);
        let found: Vec<Uuid> = self.database().read(find, |_, found| Ok::<_, Error>(found))?;
        Ok(found.into_iter().map(Id::from).collect())
    }

    /// Are the tables spread over a cluster? Asked once: nobody spreads them under a running worker.
    fn is_sharded(&self, conn: &mut PgConnection) -> QueryResult<bool> {
        if let Some(is_sharded) = self.sharded.get() {
            return Ok(*is_sharded);
        }
        let text = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')";
        let is_sharded = Statement::<st::Bool>::new(text, None).get_result(conn)?;
        Ok(*self.sharded.get_or_init(|| is_sharded))
    }
}

fn skipping(queue: &str, kinds: &[String], after: Id<Organization>) -> Statement<st::Uuid> {
    let find = Statement::new(SKIPPING, None).bind(queue).bind(after).bind(queue);
    let find = find.bind(queue).bind(after).bind(queue).bind(after);
    find.bind(kinds.to_vec()).bind(queue)
}

fn reading(queue: &str, kinds: &[String], after: Id<Organization>) -> Statement<st::Uuid> {
    Statement::new(READING, None).bind(after).bind(queue).bind(kinds.to_vec())
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use diesel::connection::SimpleConnection;

    use super::*;
    use crate::testing::TestDatabase;

    #[test]
    fn a_cluster_finds_what_one_server_finds() {
        let database = TestDatabase::new();
        let mut connection = database.connect();
        let fill = "INSERT INTO organizations (organization_id, id, name, created_at, updated_at) \
             SELECT id, id, 'x', now(), now() FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, 70)) AS new; \
             INSERT INTO queue_jobs (organization_id, id, queue, kind, payload, status, run_at, created_at, updated_at) \
             SELECT o.id, gen_random_uuid(), (array['default', 'imports'])[1 + n % 2], (array['a', 'b', 'c'])[1 + n % 3], \
             '{}', (array['waiting', 'waiting', 'active'])[1 + n % 3], now() + (n % 5 - 3) * interval '1 hour', now(), now() \
             FROM (SELECT id, row_number() OVER () AS place FROM organizations) AS o, generate_series(1, 3) AS g, \
             LATERAL (SELECT (o.place * g)::integer AS n) AS numbered";
        connection.batch_execute(fill).unwrap();
        let organizations = Statement::<st::Uuid>::new("SELECT id FROM organizations ORDER BY id", None);
        let organizations: Vec<Uuid> = organizations.load(&mut connection).unwrap();
        let kinds = ["a".to_owned(), "b".to_owned()];
        let mut found_any = 0;
        for after in [Uuid::nil(), organizations[0], organizations[34], organizations[69], Uuid::max()] {
            for queue in ["default", "imports", "empty"] {
                let one: Vec<Uuid> = skipping(queue, &kinds, after.into()).load(&mut connection).unwrap();
                let cluster: Vec<Uuid> = reading(queue, &kinds, after.into()).load(&mut connection).unwrap();
                assert_eq!(one, cluster, "{queue} behind {after}");
                found_any += one.len();
            }
        }
        assert!(found_any > 50, "{found_any}");
    }
}
