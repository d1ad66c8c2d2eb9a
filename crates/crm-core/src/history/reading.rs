//! Reading the field history, newest first, of what the caller may see.
use diesel::{
    dsl::{AsSelect, SqlTypeOf},
    pg::Pg,
    sql_types as st,
};
use serde_json::Value;
use uuid::Uuid;

use super::{ChangedBy, FieldChange, chain::Entry, known, labels, seal};
use crate::{
    Ctx, Error, Page, Record, Result, Tx,
    cursor::{self, Position},
    filters::{self, malformed},
    gate::{Action, Ask},
    masks,
    saved_views::{self, SavedView},
    statement::Bind,
    users::Role,
};

/// The kinds of record with a history that everybody may read who sees the record: their tables, and where a row says
/// which business unit it belongs to.
pub(super) const KINDS: &[(&str, &str, &str)] = &[
    ("lead", "leads", "business_unit_id"),
    ("company", "companies", "business_unit_id"),
    ("contact", "contacts", "business_unit_id"),
    ("deal", "deals", "business_unit_id"),
    ("deal_intel", "deals", "business_unit_id"),
    ("activity", "activities", "business_unit_id"),
    ("task", "tasks", "business_unit_id"),
    ("business_unit", "business_units", "id"),
    ("organization", "organizations", NO_UNIT),
    ("user", "users", NO_UNIT),
    ("pipeline", "pipelines", NO_UNIT),
    ("stage", "stages", NO_UNIT),
    ("custom_field", "custom_fields", NO_UNIT),
    ("reason_code", "reason_codes", NO_UNIT),
];

/// Policies tell what is hidden: their history is for those who may see them.
pub(super) const POLICY: &str = "policy";

const NO_UNIT: &str = "NULL::uuid";

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
        masks::check_uses(tx.ctx, entity_type, &[root(field_name)])?;
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

pub(super) fn check_manager(ctx: &Ctx) -> Result<()> {
    if ctx.role >= Role::Manager {
        return Ok(());
    }
    let reason = format!("Your role {} may not read this history; a MANAGER or an ADMIN may.", ctx.role);
    Err(Error::Forbidden { code: "role_required", reason })
}

fn check_sees_policies(ctx: &Ctx) -> Result<()> {
    ctx.gate.check(ctx, &Ask::about(Action::View, POLICY))
}

/// May the caller see that record? One that is deleted is seen by those who saw it before.
pub(super) fn check_visible(tx: &mut Tx<'_>, entity_type: &str, id: Uuid) -> Result<()> {
    if entity_type == SavedView::KIND {
        return saved_views::read(tx, id.into()).map(|_| ());
    }
    let Some((kind, table, unit)) = KINDS.iter().find(|(kind, ..)| *kind == entity_type) else {
        check_manager(tx.ctx)?;
        return if entity_type == POLICY { check_sees_policies(tx.ctx) } else { Ok(()) };
    };
    tx.ctx.gate.check(tx.ctx, &Ask::about(Action::View, kind))?;
    let text = format!("SELECT {unit} FROM {table} WHERE organization_id = {{org}} AND id = {{}}");
    let standing = tx.sql_text::<st::Nullable<st::Uuid>>(text).with(|s| s.bind(id)).first::<Option<Uuid>>(tx)?;
    let unit = match standing {
        Some(unit) => unit,
        None => unit_when_deleted(tx, kind, id)?.ok_or(Error::NotFound)?,
    };
    match (&tx.ctx.scope.units, unit) {
        (Some(units), Some(unit)) if !units.contains(&unit.into()) => Err(Error::NotFound),
        _ => Ok(()),
    }
}

/// The unit that a deleted record belonged to: its deletion has told what each field held.
fn unit_when_deleted(tx: &mut Tx<'_>, kind: &str, id: Uuid) -> Result<Option<Option<Uuid>>> {
    let rows = tx
        .sql::<(st::Text, st::Nullable<st::Jsonb>)>(
            "SELECT h.field_name, h.old_value FROM field_history h, field_history d \
             WHERE h.organization_id = {org} AND h.entity_type = {} AND h.entity_id = {} \
             AND d.organization_id = h.organization_id AND d.entity_type = h.entity_type AND d.entity_id = h.entity_id \
             AND d.field_name = 'deletedAt' AND d.entity_version = h.entity_version \
             AND h.field_name IN ('deletedAt', 'businessUnitId')",
        )
        .with(|s| s.bind(kind).bind(id))
        .all::<(String, Option<Value>)>(tx)?;
    if rows.is_empty() {
        return Ok(None);
    }
    let unit = rows.into_iter().find(|(field, _)| field == "businessUnitId").and_then(|(_, unit)| unit);
    Ok(Some(unit.as_ref().and_then(Value::as_str).and_then(|unit| unit.parse().ok())))
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
            self.narrow(" AND split_part(h.field_name, '.', 1) = ANY({}))", hidden);
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
        let size = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = items.len() > size;
        items.truncate(size);
        let next_cursor = match items.last().filter(|_| more) {
            Some(last) => {
                let at = last.changed_at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
                Some(cursor::seal(&self.list, Position { v: Some(at), i: last.id.uuid() })?)
            }
            None => None,
        };
        Ok(Page { items, next_cursor, total: None })
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

/// `customFields` of `customFields.region`.
fn root(field_name: &str) -> &str {
    field_name.split('.').next().unwrap_or(field_name)
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
     h.seq, u.name FROM field_history h \
     LEFT JOIN users u ON u.organization_id = h.organization_id AND u.id = h.changed_by \
     WHERE h.organization_id = {org}";

type Columns = (SqlTypeOf<AsSelect<Entry, Pg>>, st::BigInt, st::Nullable<st::Text>);

type Row = (Entry, i64, Option<String>);

impl From<Row> for FieldChange {
    fn from((entry, seq, name): Row) -> Self {
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
            changed_by: entry.changed_by.zip(name).map(|(id, name)| ChangedBy { id: id.into(), name }),
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

    use super::*;
    use crate::{Door, Patch, gate::Roles, organizations, testing::TestDatabase};

    /// 200,000 rows of 20,000 records, a row a second, in plain SQL: what they say does not matter to a plan.
    const ROWS: &str = "INSERT INTO field_history (organization_id, id, seq, entity_type, entity_id, entity_version, field_name, \
         old_value, new_value, actor, reason_code, request_id, change_set_id, changed_at, old_digest, new_digest, hash) \
         SELECT o.id, gen_random_uuid(), n, 'lead', md5((n % 20000)::text)::uuid, n, 'score', '1', '2', 'user', \
         CASE WHEN n % 50 = 0 THEN 'other' END, 'r', md5((n / 10)::text)::uuid, '2025-01-01'::timestamptz + n * interval '1 s', \
         '', '', '' FROM organizations o, generate_series(1, 200000) n";

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
        let of_reason = |filter: &mut Filter| filter.narrow(" AND h.reason_code = {}", "correction");
        for (narrow, index) in [
            (&of_entity as &dyn Fn(&mut Filter), "field_history_entity_idx"),
            (&|_: &mut Filter| (), "field_history_changed_at_idx"),
            (&later, "field_history_changed_at_idx"),
            (&of_reason, "field_history_reason_code_idx"),
        ] {
            let plan = plan("plan", narrow);
            assert!(plan.contains(index), "{index} is not used:\n{plan}");
            assert!(!plan.contains("Seq Scan on field_history") && !plan.contains("Sort"), "{plan}");
        }
    }
}
