//! The search of one table, as one statement.
use chrono::{DateTime, Utc};
use diesel::{
    QueryResult, RunQueryDsl,
    pg::{Pg, PgConnection},
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types as st,
};
use uuid::Uuid;

use super::{Needle, Source};
use crate::{
    Ctx,
    select::{self, Condition},
    statement::Bind,
};

/// Id, unit, title, subtitle, score, last change.
pub(super) type Row = (Uuid, Option<Uuid>, String, Option<String>, f64, DateTime<Utc>);

/// The search of one table.
pub(super) struct Search {
    source: &'static Source,
    conditions: Vec<Condition>,
    steps: Vec<(&'static str, String, Bind)>,
    whole: Bind,
    limit: i64,
}

impl Search {
    pub(super) fn new(ctx: &Ctx, source: &'static Source, needle: &Needle, limit: i64) -> Self {
        let mut conditions = (source.scope)(ctx);
        conditions.push(needle.condition());
        let (steps, whole) = (needle.steps(source.title), needle.folded.as_str().into());
        Self { source, conditions, steps, whole, limit }
    }
}

impl QueryFragment<Pg> for Search {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let Source { table, title, subtitle, .. } = self.source;
        out.push_sql(&format!("SELECT id, business_unit_id, {title}, {subtitle}, (CASE"));
        for (score, condition, value) in &self.steps {
            out.push_sql(&format!(" WHEN {condition}("));
            value.push(&mut out)?;
            out.push_sql(&format!(") THEN {score}"));
        }
        out.push_sql(" ELSE 0.7 * word_similarity(");
        self.whole.push(&mut out)?;
        out.push_sql(&format!(", search_text) END)::float8 AS score, updated_at FROM {table}"));
        select::push_where(&mut out, table, &self.conditions)?;
        out.push_sql(&format!(" ORDER BY score DESC, updated_at DESC, id DESC LIMIT {}", self.limit));
        Ok(())
    }
}

impl QueryId for Search {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}
impl Query for Search {
    type SqlType = (st::Uuid, st::Nullable<st::Uuid>, st::Text, st::Nullable<st::Text>, st::Double, st::Timestamptz);
}
impl RunQueryDsl<PgConnection> for Search {}

#[cfg(all(test, feature = "testing"))]
mod plans {
    use std::sync::Arc;

    use diesel::connection::SimpleConnection;

    use super::{
        super::{SOURCES, USUAL},
        *,
    };
    use crate::{Door, Id, Patch, ReadScope, gate::Roles, organizations, testing::TestDatabase};

    /// How PostgreSQL would run a search.
    struct Explain(Search);

    impl QueryFragment<Pg> for Explain {
        fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
            out.push_sql("EXPLAIN (COSTS OFF) ");
            self.0.walk_ast(out)
        }
    }
    impl QueryId for Explain {
        type QueryId = ();
        const HAS_STATIC_QUERY_ID: bool = false;
    }
    impl Query for Explain {
        type SqlType = st::Text;
    }
    impl RunQueryDsl<PgConnection> for Explain {}

    /// 20,000 rows in each table, 20 of which are called alike.
    const ROWS: &str = "
        CREATE TEMP TABLE texts AS
            SELECT gen_random_uuid() AS id,
                   md5(n::text) || ' ' || md5((n * 7)::text) || CASE WHEN n % 1000 = 0 THEN ' grace hopper' ELSE '' END AS words
            FROM generate_series(1, 20000) n;
        INSERT INTO companies (organization_id, id, name, search_text, created_at, updated_at)
            SELECT o.id, t.id, words, words, now(), now() FROM organizations o, texts t;
        INSERT INTO contacts (organization_id, id, last_name, search_text, created_at, updated_at)
            SELECT o.id, t.id, words, words, now(), now() FROM organizations o, texts t;
        INSERT INTO leads (organization_id, id, last_name, search_text, created_at, updated_at)
            SELECT o.id, t.id, words, words, now(), now() FROM organizations o, texts t;
        INSERT INTO deals (organization_id, id, title, currency, pipeline_id, stage_id, stage_entered_at, search_text,
                           created_at, updated_at)
            SELECT s.organization_id, t.id, words, 'EUR', s.pipeline_id, s.id, now(), words, now(), now()
            FROM stages s, texts t WHERE s.position = 1;";
    /// As autovacuum does elsewhere: counts the rows and puts what is pending into the indexes.
    const VACUUM: &str = "VACUUM ANALYZE companies, contacts, leads, deals";

    #[test]
    fn each_table_answers_from_its_trigram_index() {
        let database = TestDatabase::new();
        let door = Door::new(database.open().unwrap(), Arc::new(Roles));
        let name = Patch::default().or("name", "House");
        let organization = door.found(crate::clock::now(), |tx| organizations::found(tx, name)).unwrap().id;
        let mut connection = database.connect();
        connection.batch_execute(ROWS).unwrap();
        connection.batch_execute(VACUUM).unwrap();
        let everything = Ctx::system(organization, crate::clock::now(), Arc::new(Roles));
        let one_unit = Ctx { scope: ReadScope { units: Some(vec![Id::new()]) }, ..everything.clone() };
        for q in [
            "hopper",
            "hoper",
            "ohpper",
            "Hopper, Grace",
            "Hopper, Garce of teh nvay",
            "gark",
            "grcae",
            "navy",
            "zq",
            "ho",
            "+44 20 7946 0958",
            "a@acme.example",
        ] {
            let needle = Needle::new(q).unwrap();
            for (ctx, source) in [&everything, &one_unit].into_iter().flat_map(|c| SOURCES.iter().map(move |s| (c, s)))
            {
                let plan: Vec<String> =
                    Explain(Search::new(ctx, source, &needle, USUAL)).load(&mut connection).unwrap();
                let (plan, table) = (plan.join("\n"), source.table);
                assert!(plan.contains(&format!("Index Scan on {table}_search_text_idx")), "{q}: {plan}");
                assert!(!plan.contains("Seq Scan"), "{q}: {plan}");
            }
        }
    }
}
