//! The database as the migrations make it, held to the house's rules: tenancy in every key, names that tell the field,
//! an index to every list, a comment to every table, a class to every text, and diesel's view of it all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
use crm_core::{
    Record, activities::Activity, api_keys::ApiKey, business_units::BusinessUnit, companies::Company,
    contacts::Contact, custom_fields::CustomField, deals::Deal, leads::Lead, page::sortable, personal_data,
    pipelines::Pipeline, saved_views::SavedView, tasks::Task, testing::TestDatabase, users::User,
};
use diesel::{prelude::*, sql_types::Text};

/// Tables that are read before the organization is known, that hold the organizations themselves, or that are about the
/// whole installation.
const GLOBAL: [&str; 6] =
    ["__diesel_schema_migrations", "backups", "login_attempts", "login_directory", "organizations", "workers"];

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

fn lines(database: &TestDatabase, sql: &str) -> Vec<String> {
    let rows: Vec<Line> = diesel::sql_query(sql).load(&mut database.connect()).unwrap();
    rows.into_iter().map(|row| row.line).collect()
}

fn none(database: &TestDatabase, what: &str, sql: &str) {
    let global = GLOBAL.map(|table| format!("'{table}'")).join(", ");
    let found = lines(database, &sql.replace("{global}", &global));
    assert!(found.is_empty(), "{what}: {found:#?}");
}

#[test]
fn every_table_is_a_tenants() {
    let database = TestDatabase::new();
    none(
        &database,
        "tables without organization_id NOT NULL as their first column",
        "SELECT c.relname::text AS line FROM pg_class c \
         JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public' \
         WHERE c.relkind IN ('r', 'p') AND c.relname NOT IN ({global}) AND NOT EXISTS (SELECT FROM pg_attribute a \
         WHERE a.attrelid = c.oid AND a.attname = 'organization_id' AND a.attnum = 1 AND a.attnotnull)",
    );
    none(
        &database,
        "unique keys that do not begin with organization_id",
        "SELECT i.indexrelid::regclass::text AS line FROM pg_index i \
         JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public' \
         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] \
         WHERE i.indisunique AND c.relname NOT IN ({global}) AND a.attname <> 'organization_id'",
    );
    none(
        &database,
        "foreign keys that do not carry organization_id",
        "SELECT k.conname::text AS line FROM pg_constraint k \
         WHERE k.contype = 'f' AND k.connamespace = 'public'::regnamespace AND k.confrelid <> 'organizations'::regclass \
         AND NOT EXISTS (SELECT FROM unnest(k.conkey, k.confkey) AS pair(own, theirs) \
         JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = own AND a.attname = 'organization_id' \
         JOIN pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = theirs AND b.attname = 'organization_id')",
    );
}

#[test]
fn what_does_not_run_on_a_sharded_cluster_is_not_there() {
    let database = TestDatabase::new();
    none(&database, "triggers", "SELECT tgname::text AS line FROM pg_trigger WHERE NOT tgisinternal");
    none(
        &database,
        "ON DELETE SET NULL or SET DEFAULT",
        "SELECT conname::text AS line FROM pg_constraint WHERE contype = 'f' AND confdeltype IN ('n', 'd')",
    );
    none(
        &database,
        "sequences",
        "SELECT relname::text AS line FROM pg_class WHERE relkind = 'S' AND relnamespace = 'public'::regnamespace",
    );
    none(&database, "enums", "SELECT typname::text AS line FROM pg_type WHERE typtype = 'e'");
}

#[test]
fn names_and_comments_tell_what_things_are() {
    let database = TestDatabase::new();
    none(
        &database,
        "tables without a comment",
        "SELECT c.relname::text AS line FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace \
         AND c.relkind = 'r' AND c.relname <> '__diesel_schema_migrations' AND obj_description(c.oid) IS NULL",
    );
    none(
        &database,
        "constraints whose name does not begin with their table",
        "SELECT k.conname::text AS line FROM pg_constraint k \
         JOIN pg_class c ON c.oid = k.conrelid WHERE k.connamespace = 'public'::regnamespace AND k.contype IN ('f', 'c', 'u') \
         AND k.conname NOT LIKE c.relname || '\\_%'",
    );
}

#[test]
fn every_text_is_classified() {
    let database = TestDatabase::new();
    let columns = lines(
        &database,
        "SELECT table_name || '.' || column_name AS line FROM information_schema.columns \
         WHERE table_schema = 'public' AND table_name <> '__diesel_schema_migrations' \
         AND data_type IN ('text', 'jsonb', 'bytea', 'ARRAY', 'character varying', 'inet', 'USER-DEFINED') ORDER BY 1",
    );
    let unknown: Vec<_> = columns
        .iter()
        .filter(|column| {
            column.split_once('.').is_none_or(|(table, column)| personal_data::class(table, column).is_none())
        })
        .collect();
    assert!(unknown.is_empty(), "columns without a class in personal_data.rs: {unknown:#?}");
    let gone: Vec<_> = personal_data::COLUMNS
        .iter()
        .filter(|(table, column, _)| !columns.contains(&format!("{table}.{column}")))
        .collect();
    assert!(gone.is_empty(), "classified columns that are not there: {gone:#?}");
}

#[test]
fn every_list_has_an_index_for_each_of_its_orders() {
    let database = TestDatabase::new();
    let indexes = lines(
        &database,
        "SELECT tablename || ' ' || regexp_replace(indexdef, '^.* USING btree ', '') AS line FROM pg_indexes \
         WHERE schemaname = 'public' AND indexdef LIKE '%USING btree%' AND indexdef NOT LIKE '% WHERE %'",
    );
    let mut missing = Vec::new();
    macro_rules! check {
        ($($record:ty),*) => {$(
            for field in sortable::<$record>() {
                let index = format!("{} (organization_id, {}, id)", <$record>::TABLE, field.column);
                if !indexes.contains(&index) {
                    missing.push(index);
                }
            }
        )*};
    }
    check!(Activity, ApiKey, BusinessUnit, Company, Contact, CustomField, Deal, Lead, Pipeline, SavedView, Task, User);
    assert!(missing.is_empty(), "{missing:#?}");
}

/// The tables and columns of `schema.rs`, as `table.column type` lines.
fn as_diesel_sees_it() -> Vec<String> {
    let text = include_str!("../src/schema.rs");
    let (mut table, mut name, mut lines) = ("", None, Vec::new());
    for line in text.lines().map(str::trim) {
        if let Some((head, _)) = line.split_once(" (").filter(|_| line.ends_with(") {")) {
            table = head;
        } else if let Some(rest) = line.strip_prefix("#[sql_name = \"") {
            name = rest.strip_suffix("\"]");
        } else if let Some((column, kind)) = line.strip_suffix(',').and_then(|l| l.split_once(" -> ")) {
            lines.push(format!("{table}.{} {kind}", name.take().unwrap_or(column)));
        }
    }
    lines.sort();
    lines
}

#[test]
fn diesel_sees_the_database_as_it_is() {
    let database = TestDatabase::new();
    let mut there = lines(
        &database,
        "SELECT table_name || '.' || column_name || ' ' || \
         CASE WHEN is_nullable = 'YES' THEN 'Nullable<' ELSE '' END || \
         CASE udt_name WHEN 'uuid' THEN 'Uuid' WHEN 'text' THEN 'Text' WHEN 'int4' THEN 'Int4' WHEN 'int8' THEN 'Int8' \
         WHEN 'bool' THEN 'Bool' WHEN 'timestamptz' THEN 'Timestamptz' WHEN 'date' THEN 'Date' WHEN 'jsonb' THEN 'Jsonb' \
         WHEN 'bytea' THEN 'Bytea' WHEN 'numeric' THEN 'Numeric' WHEN '_text' THEN 'Array<Text>' ELSE udt_name END || \
         CASE WHEN is_nullable = 'YES' THEN '>' ELSE '' END AS line FROM information_schema.columns WHERE table_schema = 'public'",
    );
    let seen = as_diesel_sees_it();
    let tables: Vec<_> = seen.iter().filter_map(|line| line.split_once('.')).map(|(table, _)| table).collect();
    there.retain(|line| line.split_once('.').is_some_and(|(table, _)| tables.contains(&table)));
    there.sort();
    assert_eq!(seen, there);
}
