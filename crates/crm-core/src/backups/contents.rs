//! What a database holds: for each table the number of its rows, and one sum over all that stands in them.
use std::collections::BTreeMap;

use diesel::{PgConnection, QueryableByName, RunQueryDsl, connection::SimpleConnection, sql_query, sql_types as st};
use serde::{Deserialize, Serialize};

use super::{Error, Progress};

/// What a table holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, QueryableByName)]
pub struct TableContent {
    /// Its name, with its schema, as SQL writes it.
    #[diesel(sql_type = st::Text)]
    pub name: String,
    /// How many rows.
    #[diesel(sql_type = st::BigInt)]
    pub rows: i64,
    /// The sum of the 64-bit hashes of its rows: the same for the same rows in whatever order.
    #[diesel(sql_type = st::Text)]
    pub checksum: String,
}

/// A table that does not hold what it should. `None` stands for a table that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its name.
    pub table: String,
    /// How many rows it should hold.
    pub expected: Option<i64>,
    /// How many it holds.
    pub found: Option<i64>,
}

/// The differences in a sentence for a person.
pub(super) fn told(differences: &[Difference]) -> String {
    let rows = |rows: Option<i64>| rows.map_or_else(|| "no table".to_owned(), |rows| format!("{rows} rows"));
    let one = |Difference { table, expected, found }: &Difference| match expected == found {
        true => format!("{table} holds as many rows, but not the same ones"),
        false => format!("{table} holds {} instead of {}", rows(*found), rows(*expected)),
    };
    differences.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// Where two databases differ, by the names of the tables.
pub(super) fn differences(expected: &[TableContent], found: &[TableContent]) -> Vec<Difference> {
    let by_name = |tables: &'_ [TableContent]| -> BTreeMap<String, TableContent> {
        tables.iter().map(|table| (table.name.clone(), table.clone())).collect()
    };
    let (expected, found) = (by_name(expected), by_name(found));
    let names: std::collections::BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    let rows = |tables: &BTreeMap<String, TableContent>, name: &String| tables.get(name).map(|table| table.rows);
    names
        .into_iter()
        .filter(|name| expected.get(*name) != found.get(*name))
        .map(|name| Difference { table: name.clone(), expected: rows(&expected, name), found: rows(&found, name) })
        .collect()
}

/// What makes a row's text the same on every connection, and lets a long look through all tables go on.
const SESSION: &str = "set time zone 'UTC'; set datestyle = 'ISO, YMD'; set intervalstyle = 'postgres'; \
     set extra_float_digits = 1; set bytea_output = 'hex'; set row_security = off; set statement_timeout = 0; \
     set lock_timeout = '60s'; set idle_in_transaction_session_timeout = 0; set client_min_messages = warning";

/// Prepares a connection for reading contents.
pub(super) fn prepare(connection: &mut PgConnection) -> Result<(), Error> {
    Ok(connection.batch_execute(SESSION)?)
}

#[derive(QueryableByName)]
struct Table {
    #[diesel(sql_type = st::Text)]
    name: String,
    #[diesel(sql_type = st::Array<st::Text>)]
    texts: Vec<String>,
}

/// The tables, partitions and not what they are partitions of, without those of extensions; with their columns of text.
fn tables(connection: &mut PgConnection) -> Result<Vec<Table>, Error> {
    let found = sql_query(
        "select format('%I.%I', n.nspname, c.relname) as name, array(select format('%I', a.attname) from pg_attribute a \
         where a.attrelid = c.oid and a.atttypid = 'text'::regtype and a.attnum > 0 and not a.attisdropped) as texts \
         from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind = 'r' \
         and n.nspname <> 'information_schema' and n.nspname not like 'pg\\_%' \
         and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e') order by 1",
    );
    Ok(found.load(connection)?)
}

/// What each table holds. `connection` was prepared; in a transaction, it is what that sees.
pub(super) fn read(connection: &mut PgConnection, progress: &dyn Fn(Progress)) -> Result<Vec<TableContent>, Error> {
    let tables = tables(connection)?;
    let mut contents = Vec::with_capacity(tables.len());
    for (done, Table { name, .. }) in tables.iter().enumerate() {
        progress(Progress::Reading { done, total: tables.len() });
        let sum = format!(
            "select $1 as name, count(*) as rows, \
             coalesce(sum(hashtextextended(heimdell_row::text, 0)::numeric), 0)::text as checksum from only {name} as heimdell_row"
        );
        contents.push(sql_query(sum).bind::<st::Text, _>(name).get_result(connection)?);
    }
    Ok(contents)
}

#[derive(QueryableByName)]
struct KeyId {
    #[diesel(sql_type = st::Text)]
    id: String,
}

/// What is sealed there is sealed with the request that it answers, and with no key of a ring.
const SEALED_WITH_REQUESTS: &str = "public.idempotency_keys";

/// The ids of the keys that secrets in the database are sealed with: those keys are needed to read them.
pub(super) fn sealing_keys(connection: &mut PgConnection) -> Result<Vec<String>, Error> {
    let mut ids = std::collections::BTreeSet::new();
    let is_searched = |table: &&Table| !table.texts.is_empty() && table.name != SEALED_WITH_REQUESTS;
    for Table { name, texts } in tables(connection)?.iter().filter(is_searched) {
        let cells: Vec<_> = texts.iter().map(|column| format!("(heimdell_row.{column})")).collect();
        let find = format!(
            "select distinct split_part(cell, '.', 2) as id from only {name} as heimdell_row \
             cross join lateral (values {}) as cells (cell) \
             where cell ~ '^v1[.][^.]{{1,64}}[.][A-Za-z0-9_-]{{32}}[.][A-Za-z0-9_-]{{22,}}$'",
            cells.join(", ")
        );
        ids.extend(sql_query(find).load::<KeyId>(connection)?.into_iter().map(|key| key.id));
    }
    Ok(ids.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, rows: i64, checksum: &str) -> TableContent {
        TableContent { name: name.to_owned(), rows, checksum: checksum.to_owned() }
    }

    #[test]
    fn differences_are_named_table_by_table() {
        let expected = [table("a", 1, "5"), table("b", 2, "6"), table("c", 3, "7")];
        assert_eq!(differences(&expected, &expected), Vec::new());
        let found = [table("a", 1, "0"), table("c", 4, "7"), table("d", 0, "0")];
        let said = told(&differences(&expected, &found));
        assert_eq!(
            said,
            "a holds as many rows, but not the same ones; b holds no table instead of 2 rows; \
             c holds 4 rows instead of 3 rows; d holds 0 rows instead of no table"
        );
    }
}
