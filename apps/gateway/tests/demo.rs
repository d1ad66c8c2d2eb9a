//! Demo data: the same instant makes the same year, a second run changes nothing, and what comes out could have been
//! worked by people.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, where a panic is the way to fail")]

use std::{cell::RefCell, sync::Arc};

use chrono::{DateTime, Utc};
use crm_core::{
    Door,
    gate::Roles,
    sessions::{self, LoginRequest, tokens::Secret},
    testing::TestDatabase,
};
use diesel::{QueryableByName, RunQueryDsl, sql_types::Text};
use gateway::demo::{self, Counts, Filled, Scale};

fn now() -> DateTime<Utc> {
    "2026-05-20T14:30:00Z".parse().unwrap()
}

struct Demo {
    database: TestDatabase,
    door: Door,
}

impl Demo {
    fn new() -> Self {
        let database = TestDatabase::new();
        let door = Door::new(database.open().unwrap(), Arc::new(Roles));
        Self { database, door }
    }

    fn fill(&self) -> Filled {
        demo::fill(&self.door, now(), Scale::TENTH, |_| {}).unwrap()
    }

    /// The first column of a query's first row, which is text.
    fn text(&self, query: &str) -> String {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = Text)]
            text: String,
        }
        let rows: Vec<Row> = diesel::sql_query(format!("SELECT ({query})::text AS text"))
            .load(&mut self.database.connect())
            .unwrap_or_else(|error| panic!("{query}: {error}"));
        rows.into_iter().next().unwrap().text
    }

    fn count(&self, rows: &str) -> usize {
        self.text(&format!("SELECT count(*) FROM {rows}")).parse().unwrap()
    }

    /// What stands in all tables, without ids, and what names what.
    fn content(&self) -> Vec<(&'static str, String)> {
        const TABLES: [&str; 16] = [
            "organizations",
            "business_units",
            "users",
            "pipelines",
            "stages",
            "custom_fields",
            "saved_views",
            "companies",
            "contacts",
            "leads",
            "deals",
            "deal_stage_visits",
            "win_loss_reviews",
            "activities",
            "tasks",
            "field_history WHERE field_name NOT LIKE '%Id' AND field_name <> 'members'",
        ];
        const LINKS: &str = "(SELECT d.title, d.value, c.name AS company, p.last_name, u.name AS owner, s.name AS stage, \
             b.slug, l.email FROM deals d JOIN companies c ON c.id = d.company_id JOIN contacts p ON p.id = d.contact_id \
             JOIN users u ON u.id = d.owner_id JOIN stages s ON s.id = d.stage_id \
             JOIN business_units b ON b.id = d.business_unit_id LEFT JOIN leads l ON l.id = d.lead_id) links";
        let sum = |rows: &'static str| {
            let row = "(SELECT jsonb_object_agg(key, value) FROM jsonb_each(to_jsonb(t)) \
                 WHERE key <> 'id' AND key NOT LIKE '%\\_id' AND key NOT LIKE '%\\_by' AND key <> 'password_hash' \
                 AND key NOT LIKE '%\\_salt' AND key NOT LIKE '%\\_digest' AND key <> 'hash')::text";
            let (table, condition) = rows.split_once(" WHERE ").unwrap_or((rows, "true"));
            let rows_text = format!("SELECT {row} AS r FROM {table} t WHERE {condition}");
            (rows, self.text(&format!("SELECT md5(string_agg(r, chr(10) ORDER BY r)) FROM ({rows_text}) x")))
        };
        let links = format!("SELECT md5(string_agg(links::text, chr(10) ORDER BY links::text)) FROM {LINKS}");
        TABLES.into_iter().map(sum).chain([("links", self.text(&links))]).collect()
    }
}

#[test]
fn the_same_instant_makes_the_same_data_once() {
    let (one, other) = (Demo::new(), Demo::new());
    let filled = one.fill();
    assert_eq!(filled, other.fill());
    let content = one.content();
    assert_eq!(content, other.content());
    assert_eq!(one.fill(), Filled::Before);
    assert_eq!(one.content(), content);
    assert_eq!(one.count("organizations"), 1);
}

#[test]
fn an_interrupted_run_leaves_nothing() {
    let demo = Demo::new();
    let interrupted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        demo::fill(&demo.door, now(), Scale::TENTH, |phase| assert!(!phase.contains("December"), "interrupted"))
    }));
    assert!(interrupted.is_err());
    assert_eq!(demo.count("organizations"), 0);
    assert!(matches!(demo.fill(), Filled::Now(_)));
}

#[test]
fn a_year_is_told_as_if_it_had_been_worked() {
    let demo = Demo::new();
    let phases = RefCell::new(Vec::new());
    let filled =
        demo::fill(&demo.door, now(), Scale::TENTH, |phase| phases.borrow_mut().push(phase.to_owned())).unwrap();
    assert!(phases.borrow().len() > 12, "{phases:?}");
    let Filled::Now(counts) = filled else { panic!("{filled:?}") };
    the_counts_are_those_of_the_database(&demo, counts);
    every_deal_has_gone_its_way(&demo);
    every_screen_has_something_to_show(&demo);
    the_accounts_sign_in(&demo);
}

fn the_counts_are_those_of_the_database(demo: &Demo, counts: Counts) {
    for (table, count, low, high) in [
        ("companies", counts.companies, 10, 40),
        ("contacts", counts.contacts, 25, 80),
        ("leads", counts.leads, 200, 200),
        ("deals", counts.deals, 150, 150),
        ("activities", counts.activities, 300, 1_200),
        ("tasks", counts.tasks, 60, 300),
    ] {
        assert_eq!(demo.count(table), count, "{table}");
        assert!((low..=high).contains(&count), "{count} {table}");
    }
    assert_eq!(demo.count("users"), 12);
    assert_eq!(demo.count("business_units"), 2);
    assert_eq!(demo.count("pipelines"), 2);
}

fn every_deal_has_gone_its_way(demo: &Demo) {
    let none = |what: &str, rows: &str| assert_eq!(demo.count(rows), 0, "{what}");
    none(
        "visits with a gap, or beyond the one where the deal stands",
        "deal_stage_visits v LEFT JOIN deal_stage_visits n ON n.deal_id = v.deal_id AND n.visit = v.visit + 1 \
         WHERE v.left_at IS DISTINCT FROM n.entered_at",
    );
    none(
        "deals that do not stand where their last visit says",
        "deals d JOIN deal_stage_visits v ON v.deal_id = d.id AND v.left_at IS NULL \
         WHERE (v.stage_id, v.entered_at, v.episode) IS DISTINCT FROM (d.stage_id, d.stage_entered_at, d.episode)",
    );
    none("deals without visits", "deals d WHERE NOT EXISTS (SELECT FROM deal_stage_visits v WHERE v.deal_id = d.id)");
    none(
        "closed deals without their review",
        "deals d WHERE status <> 'open' AND NOT EXISTS (SELECT FROM win_loss_reviews r WHERE r.deal_id = d.id \
         AND r.episode = d.episode AND r.outcome = d.status AND r.created_at = d.closed_at AND r.superseded_at IS NULL)",
    );
    none("reviews by nobody", "win_loss_reviews WHERE created_by IS NULL");
    let after = format!("> '{}'", now());
    none(
        "deals from the future",
        &format!("deals WHERE greatest(created_at, updated_at, last_activity_at, closed_at) {after}"),
    );
    none("activities from the future", &format!("activities WHERE greatest(created_at, occurred_at) {after}"));
    none(
        "deals of companies of the other brand",
        "deals d JOIN companies c ON c.id = d.company_id WHERE d.business_unit_id <> c.business_unit_id",
    );
    none(
        "deals before their companies",
        "deals d JOIN companies c ON c.id = d.company_id WHERE d.created_at < c.created_at",
    );
    assert!(demo.count("deals WHERE status = 'won'") >= 25);
    assert!(demo.count("deals WHERE status = 'lost'") >= 50);
    assert!(demo.count("deals WHERE lead_id IS NOT NULL") >= 10);
    assert!(demo.count("deals WHERE episode > 1") >= 1);
}

fn every_screen_has_something_to_show(demo: &Demo) {
    let now = now();
    let untouched =
        format!("extract(epoch FROM '{now}' - greatest(created_at, last_activity_at, stage_entered_at)) / 86400");
    for (rows, at_least) in [
        (format!("tasks WHERE status = 'open' AND due_at < '{now}'"), 3),
        (format!("tasks WHERE status = 'open' AND due_at > '{now}'"), 1),
        ("tasks WHERE status = 'done'".into(), 20),
        ("deals WHERE status = 'open'".into(), 10),
        (format!("deals WHERE status = 'open' AND {untouched} >= 14"), 2),
        (format!("deals WHERE status = 'open' AND {untouched} < 7"), 2),
        (format!("deals WHERE status = 'open' AND expected_close_date BETWEEN '{now}' AND date '{now}' + 40"), 3),
        ("field_history WHERE field_name = 'expectedCloseDate' AND reason_code IS NOT NULL".into(), 20),
        ("field_history WHERE entity_type = 'lead' AND field_name = 'status'".into(), 100),
        ("saved_views".into(), 4),
        ("queue_jobs WHERE status = 'failed' AND last_error IS NOT NULL".into(), 1),
        ("alerts WHERE resolved_at IS NULL AND acknowledged_at IS NULL AND severity = 'error'".into(), 1),
        ("custom_fields".into(), 4),
    ] {
        let there = demo.count(&rows);
        assert!(there >= at_least, "{there} of {at_least} {rows}");
    }
}

fn the_accounts_sign_in(demo: &Demo) {
    for (email, role) in demo::ACCOUNTS.into_iter().zip(["ADMIN", "MANAGER", "SALES_REP"]) {
        let request = LoginRequest {
            email: email.into(),
            password: Secret::new(demo::PASSWORD),
            address: "127.0.0.1".into(),
            user_agent: "test".into(),
            is_console: false,
            now: now(),
        };
        let signed_in = sessions::login(&demo.door, &request).unwrap();
        assert_eq!(signed_in.user.role.as_str(), role);
    }
}
