//! Reading the field history, newest first, of what the caller may see.
use diesel::{
    dsl::{AsSelect, SqlTypeOf},
    pg::Pg,
    sql_types as st,
};
use uuid::Uuid;

use super::{
    ChangedBy, FieldChange,
    chain::Entry,
    known, labels, seal,
    visibility::{KINDS, NO_UNIT, POLICY, check_manager, check_sees_policies, check_visible},
};
use crate::{
    Ctx, Error, Page, Record, Result, Tx,
    cursor::{self, Position},
    filters::{self, malformed},
    masks,
    saved_views::SavedView,
    statement::Bind,
};

/// The changes of one record: `limit` and `cursor` as in every list. The history of kinds that only managers may read
/// is empty, not absent, for a record that has none.
///
/// # Errors
/// [`Error::NotFound`] for a record that the caller may not see, or that has never been; [`Error::Forbidden`];
/// [`Error::Malformed`] for a parameter that does not fit.
pub fn of_entity(
    tx: &mut Tx<'_>,
    entity_type: &str,
    id: Uuid,
    query: &[(String, String)],
) -> Result<Page<FieldChange>> {
    one(tx, entity_type, id, None, query)
}

/// The changes of one field of a record, by its wire name.
///
/// # Errors
/// As [`of_entity`].
pub fn of_field(
    tx: &mut Tx<'_>,
    entity_type: &str,
    id: Uuid,
    field_name: &str,
    query: &[(String, String)],
) -> Result<Page<FieldChange>> {
    one(tx, entity_type, id, Some(field_name), query)
}

fn one(
    tx: &mut Tx<'_>,
    entity_type: &str,
    id: Uuid,
    field_name: Option<&str>,
    query: &[(String, String)],
) -> Result<Page<FieldChange>> {
    if let Some(unknown) = known::entity_type(tx, entity_type)? {
        return Err(unknown.place());
    }
    let list = format!("{entity_type}/{id}/{}", field_name.unwrap_or_default());
    let mut filter = Filter::parse(tx.ctx, &list, query, &[])?;
    check_visible(tx, entity_type, id)?;
    if let Some(field_name) = field_name {
        if let Some(unknown) = known::field_name(tx, Some(entity_type), field_name)? {
            return Err(unknown.place());
        }
        masks::check_uses(tx.ctx, entity_type, &[field_name])?;
    }
    filter.narrow_to_seen(tx.ctx, entity_type);
    filter.narrow(" AND h.entity_type = {}", entity_type);
    filter.narrow(" AND h.entity_id = {}", id);
    if let Some(field_name) = field_name {
        filter.narrow(" AND h.field_name = {}", field_name);
    }
    filter.page(tx)
}

/// What can be asked of the recent changes, beside `limit` and `cursor`, and what each means in SQL.
const RECENT: [(&str, &str); 6] = [
    ("entityType", " AND h.entity_type = {}"),
    ("userId", " AND h.changed_by = {}"),
    ("fieldName", " AND h.field_name = {}"),
    ("reasonCode", " AND h.reason_code = {}"),
    ("from", " AND h.changed_at >= {}"),
    ("to", " AND h.changed_at < {}"),
];

/// What has changed of late in all records that the caller may see, for ADMIN and MANAGER. `from` is included, `to` is
/// not. Records that are gone show to those alone who see every business unit.
///
/// # Errors
/// [`Error::Forbidden`] `role_required`; [`Error::Malformed`] for a parameter that does not fit.
pub fn recent(tx: &mut Tx<'_>, query: &[(String, String)]) -> Result<Page<FieldChange>> {
    check_manager(tx.ctx)?;
    let mut filter = Filter::parse(tx.ctx, "recent", query, &RECENT)?;
    known::check_names(tx, query)?;
    filter.narrow_to_own_views(tx.ctx);
    filter.narrow_to_units(tx.ctx);
    if check_sees_policies(tx.ctx).is_err() {
        filter.narrow(" AND h.entity_type <> {}", POLICY);
    }
    for kind in KINDS.iter().map(|(kind, ..)| kind).chain([&SavedView::KIND, &POLICY]) {
        filter.narrow_to_seen(tx.ctx, kind);
    }
    filter.page(tx)
}

/// What is read: conditions in SQL and their values, and which page.
struct Filter {
    list: String,
    sql: String,
    binds: Vec<Bind>,
    limit: i64,
    begins_at: Option<Position>,
}

impl Filter {
    fn parse(ctx: &Ctx, list: &str, query: &[(String, String)], known: &[(&str, &'static str)]) -> Result<Self> {
        let list = cursor::fingerprint(ctx, &format!("field_history/{list}"), query);
        let mut filter = Self { list, sql: String::new(), binds: Vec::new(), limit: cursor::USUAL, begins_at: None };
        for (name, value) in query {
            match name.as_str() {
                "limit" => filter.limit = cursor::limit(value)?,
                "cursor" => filter.begins_at = Some(cursor::open(&filter.list, value)?),
                _ => match known.iter().find(|(known, _)| known == name) {
                    Some((name, sql)) => filter.narrow(sql, parameter(ctx, name, value)?),
                    None => return Err(unknown(name, known)),
                },
            }
        }
        Ok(filter)
    }

    fn narrow(&mut self, sql: &str, value: impl Into<Bind>) {
        self.sql.push_str(sql);
        self.binds.push(value.into());
    }

    /// Of saved views, only those that the caller sees.
    fn narrow_to_own_views(&mut self, ctx: &Ctx) {
        self.narrow(
            " AND (h.entity_type <> 'saved_view' OR EXISTS (SELECT FROM saved_views v \
             WHERE v.organization_id = {org} AND v.id = h.entity_id AND (v.is_shared OR v.owner_id = {})))",
            ctx.actor.user(),
        );
    }

    /// Of a kind of record, only the fields that the caller sees.
    fn narrow_to_seen(&mut self, ctx: &Ctx, kind: &str) {
        let hidden = ctx.gate.hidden(ctx, kind, None);
        if !hidden.is_empty() {
            self.narrow(" AND NOT (h.entity_type = {}", kind);
            self.narrow(" AND (split_part(h.field_name, '.', 1) = ANY({})", hidden.clone());
            self.narrow(" OR h.field_name = ANY({})))", hidden);
        }
    }

    /// Of records that belong to units, only those of the caller's.
    fn narrow_to_units(&mut self, ctx: &Ctx) {
        let Some(units) = &ctx.scope.units else { return };
        self.sql.push_str(" AND CASE h.entity_type");
        for (kind, table, unit) in KINDS.iter().filter(|(.., unit)| *unit != NO_UNIT) {
            let sql = format!(
                " WHEN '{kind}' THEN EXISTS (SELECT FROM {table} r WHERE r.organization_id = {{org}} \
                 AND r.id = h.entity_id AND (r.{unit} IS NULL OR r.{unit} = ANY({{}})))"
            );
            self.narrow(&sql, units.as_slice());
        }
        self.sql.push_str(" ELSE TRUE END");
    }

    fn page(mut self, tx: &mut Tx<'_>) -> Result<Page<FieldChange>> {
        seal(tx)?;
        let (text, binds) = self.statement();
        let query = tx.sql_text::<Columns>(text).with(|s| binds.into_iter().fold(s, |s, value| s.bind(value)));
        let mut items: Vec<_> = query.all::<Row>(tx)?.into_iter().map(FieldChange::from).collect();
        for change in items.iter_mut().filter(|it| it.old_label.is_some() || it.new_label.is_some()) {
            if !labels::may_read(tx.ctx, &change.entity_type, &change.field_name) {
                (change.old_label, change.new_label) = (None, None);
            }
        }
        cursor::cut(&self.list, self.limit, items, |last| (last.changed_at, last.id.uuid()))
    }

    /// The statement and its values.
    fn statement(&mut self) -> (String, Vec<Bind>) {
        if let Some(position) = self.begins_at.take() {
            self.narrow(" AND (h.changed_at, h.id) < ({}", position.v.as_deref().and_then(filters::instant));
            self.narrow(", {})", position.i);
        }
        let text = format!("{COLUMNS}{} ORDER BY h.changed_at DESC, h.id DESC LIMIT {}", self.sql, self.limit + 1);
        (text, std::mem::take(&mut self.binds))
    }
}

fn parameter(ctx: &Ctx, name: &str, value: &str) -> Result<Bind> {
    let invalid = |what: &str| malformed("invalid_value", format!("`{name}`: {what}."));
    match name {
        "from" | "to" => filters::instant(value)
            .map(Bind::from)
            .ok_or_else(|| invalid("an instant as 2025-12-16T10:00:00Z, or a day, was expected")),
        "userId" if value == "me" => match ctx.actor.user() {
            Some(user) => Ok(user.into()),
            None => Err(invalid("nobody is signed in who could be `me`")),
        },
        "userId" => value.parse::<Uuid>().map(Bind::from).map_err(|_| invalid("an id or `me` was expected")),
        _ if value.contains('\0') => Err(invalid("contains a control character")),
        _ => Ok(value.into()),
    }
}

fn unknown(name: &str, known: &[(&str, &str)]) -> Error {
    let names: Vec<_> = known.iter().map(|(name, _)| *name).chain(["limit", "cursor"]).collect();
    malformed("unknown_parameter", format!("There is no parameter `{name}`. There are: {}.", names.join(", ")))
}

const COLUMNS: &str = "SELECT h.id, h.entity_type, h.entity_id, h.entity_version, h.field_name, h.old_value, h.new_value, \
     h.old_label, h.new_label, h.actor, h.changed_by, h.reason_code, h.note, h.request_id, h.change_set_id, h.changed_at, \
     h.seq, u.name, b.id, b.name FROM field_history h \
     LEFT JOIN users u ON u.organization_id = h.organization_id AND u.id = h.changed_by \
     LEFT JOIN approvals a ON a.organization_id = h.organization_id AND a.change_set_id = h.change_set_id \
     AND h.entity_type <> 'approval' \
     LEFT JOIN users b ON b.organization_id = a.organization_id AND b.id = a.decided_by \
     WHERE h.organization_id = {org}";

type Columns = (
    SqlTypeOf<AsSelect<Entry, Pg>>,
    st::BigInt,
    st::Nullable<st::Text>,
    st::Nullable<st::Uuid>,
    st::Nullable<st::Text>,
);

type Row = (Entry, i64, Option<String>, Option<Uuid>, Option<String>);

impl From<Row> for FieldChange {
    fn from((entry, seq, name, approver, approver_name): Row) -> Self {
        let person = |(id, name): (Uuid, String)| ChangedBy { id: id.into(), name };
        Self {
            id: entry.id,
            seq,
            entity_type: entry.entity_type,
            entity_id: entry.entity_id,
            field_name: entry.field_name,
            old_value: entry.old_value.unwrap_or_default(),
            new_value: entry.new_value.unwrap_or_default(),
            old_label: entry.old_label,
            new_label: entry.new_label,
            changed_by: entry.changed_by.zip(name).map(person),
            approved_by: approver.zip(approver_name).map(person),
            actor: entry.actor,
            reason_code: entry.reason_code,
            note: entry.note,
            change_set_id: entry.change_set_id,
            request_id: entry.request_id,
            changed_at: entry.changed_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use diesel::RunQueryDsl;
    use std::sync::Arc;

    use chrono::{DateTime, Utc};

    use super::*;
    use crate::{
        Door, Id, Patch,
        gate::Roles,
        organizations::{self, Organization},
        testing::TestDatabase,
    };

    fn ctx(organization: Id<Organization>, now: DateTime<Utc>) -> Ctx {
        Ctx::system(organization, now, Arc::new(Roles))
    }

    /// 200,000 rows of 20,000 records, a row a second, in plain SQL: what they say does not matter to a plan. A user, a
    /// kind, a field and a reason in a thousand are rare.
    const ROWS: &str = "INSERT INTO field_history (organization_id, id, seq, entity_type, entity_id, entity_version, field_name, \
         old_value, new_value, actor, changed_by, reason_code, request_id, change_set_id, changed_at, old_digest, new_digest, \
         hash) SELECT o.id, gen_random_uuid(), n, CASE WHEN n % 1000 = 7 THEN 'pipeline' ELSE 'lead' END, \
         md5((n % 20000)::text)::uuid, n, CASE WHEN n % 1000 = 7 THEN 'name' ELSE 'score' END, '1', '2', 'user', \
         md5(CASE WHEN n % 1000 = 9 THEN 'rare' ELSE 'common' END)::uuid, \
         CASE WHEN n % 1000 = 11 THEN 'correction' WHEN n % 50 = 0 THEN 'other' END, 'r', md5((n / 10)::text)::uuid, \
         '2025-01-01'::timestamptz + n * interval '1 s', '', '', '' FROM organizations o, generate_series(1, 200000) n";

    #[test]
    fn long_histories_are_answered_from_indexes() {
        let database = TestDatabase::new();
        let door = Door::new(database.open().unwrap(), Arc::new(Roles));
        let now = "2025-06-01T12:00:00Z".parse().unwrap();
        let name = serde_json::Map::from_iter([("name".to_owned(), "House".into())]);
        let organization = door.found(now, |tx| organizations::found(tx, Patch::from(name))).unwrap().id;
        let conn = &mut database.connect();
        diesel::sql_query(ROWS).execute(conn).unwrap();
        diesel::sql_query("ANALYZE field_history").execute(conn).unwrap();
        let plan = |known: &str, narrow: &dyn Fn(&mut Filter)| {
            door.system_read(organization, now, |tx| {
                let mut filter = Filter::parse(tx.ctx, known, &[], &[])?;
                narrow(&mut filter);
                let (text, binds) = filter.statement();
                let query = tx.sql_text::<st::Text>(format!("EXPLAIN {text}"));
                let query = query.with(|s| binds.into_iter().fold(s, |s, value| s.bind(value)));
                Ok(query.all::<String>(tx)?.join("\n"))
            })
            .unwrap()
        };
        let entity: Uuid = "c4ca4238-a0b9-2382-0dcc-509a6f75849b".parse().unwrap();
        let of_entity = |filter: &mut Filter| {
            filter.narrow(" AND h.entity_type = {}", "lead");
            filter.narrow(" AND h.entity_id = {}", entity);
        };
        let later = |filter: &mut Filter| {
            filter.begins_at = Some(Position { v: Some("2025-01-02T00:00:00Z".into()), i: Uuid::nil() });
        };
        let narrowed = |name: &'static str, value: &'static str| {
            move |filter: &mut Filter| {
                let (_, sql) = RECENT.iter().find(|(known, _)| *known == name).unwrap();
                filter.narrow(sql, parameter(&ctx(organization, now), name, value).unwrap());
            }
        };
        let of_field = |filter: &mut Filter| {
            of_entity(filter);
            filter.narrow(" AND h.field_name = {}", "score");
        };
        // md5 of `common`, of `rare`, and the uuid of nobody.
        let users = [
            "9efab2399c7c560b34de477b9aa0a465",
            "a7a189951821c2ebf7bf3167ec3f9fbe",
            "01890000000070008000000000000000",
        ];
        let by = users.map(|user| narrowed("userId", user));
        let named = ["score", "name", "nothing"].map(|name| narrowed("fieldName", name));
        let because = ["other", "correction", "nothing"].map(|code| narrowed("reasonCode", code));
        type Case<'c> = (&'c dyn Fn(&mut Filter), &'c str);
        let mut cases: Vec<Case<'_>> = vec![
            (&of_entity, "field_history_entity_idx"),
            (&of_field, "field_history_entity_idx"),
            (&|_: &mut Filter| (), "field_history_changed_at_idx"),
            (&later, "field_history_changed_at_idx"),
        ];
        let (from, to) = (narrowed("from", "2025-01-02"), narrowed("to", "2025-01-02"));
        cases.extend([&from, &to].map(|narrow| (narrow as &dyn Fn(&mut Filter), "field_history_changed_at_idx")));
        let rare_kinds = ["pipeline", "nothing"].map(|kind| narrowed("entityType", kind));
        cases.extend(rare_kinds.iter().map(|narrow| (narrow as &dyn Fn(&mut Filter), "field_history_entity_type_idx")));
        let common_kind = [narrowed("entityType", "lead")];
        cases.extend(
            common_kind
                .iter()
                .chain(&by)
                .chain(&named)
                .chain(&because)
                .map(|narrow| (narrow as &dyn Fn(&mut Filter), "field_history_")),
        );
        for (narrow, index) in cases {
            let plan = plan("plan", narrow);
            assert!(plan.contains(index), "{index} is not used:\n{plan}");
            // Few rows may be sorted once they are found; the others are read in their order.
            let in_order = index == "field_history_" || !plan.contains("Sort");
            assert!(in_order && !plan.contains("Seq Scan on field_history"), "{plan}");
        }
    }
}
