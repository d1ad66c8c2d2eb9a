//! The caller's notifications: those whose record they may see, with the words that they may read.
use chrono::{DateTime, Utc};
use diesel::sql_types as st;
use uuid::Uuid;

use super::{Kind, Notification, NotificationActor};
use crate::{
    Ctx, Error, Id, Page, Result, Tx,
    cursor::{self, Position},
    filters::{self, malformed},
    gate::{Action, Ask},
    history::labels,
    masks,
    statement::Bind,
    users::{Role, User},
};

/// The kinds of record that notifications lead to, and their tables.
const RECORDS: [(&str, &str); 3] = [("task", "tasks"), ("lead", "leads"), ("deal", "deals")];

/// A page of notifications, and how many of all are unread.
#[derive(Debug)]
pub struct Notifications {
    /// The page, newest first.
    pub page: Page<Notification>,
    /// How many the caller has not read, on whatever page.
    pub unread_count: i64,
}

/// The caller's notifications, newest first: `limit` and `cursor` as in every list, `unread=true` for those not yet read,
/// `unread=false` for the others.
///
/// # Errors
/// [`Error::Malformed`] for a parameter that does not fit; [`Error::Forbidden`] where nobody is signed in.
pub fn list(tx: &mut Tx<'_>, query: &[(String, String)]) -> Result<Notifications> {
    let own = Seen::of(tx.ctx)?;
    let list = cursor::fingerprint(tx.ctx, &format!("notifications/{}", own.user), query);
    let (mut seen, mut limit) = (own.clone(), cursor::USUAL);
    for (name, value) in query {
        match name.as_str() {
            "limit" => limit = cursor::limit(value)?,
            "cursor" => seen.behind(cursor::open(&list, value)?)?,
            "unread" => seen.narrow(filters::flag("unread", value)?),
            _ => {
                let detail = format!("There is no parameter `{name}`. There are: unread, limit, cursor.");
                return Err(malformed("unknown_parameter", detail));
            }
        }
    }
    let items = seen.rows(tx, &format!(" ORDER BY n.created_at DESC, n.id DESC LIMIT {}", limit + 1))?;
    let page = cursor::cut(&list, limit, items, |last| (last.created_at, last.id.uuid()))?;
    Ok(Notifications { page, unread_count: own.unread_count(tx)? })
}

/// Notes that the caller has read a notification, and gives it back. The first time counts.
///
/// # Errors
/// [`Error::NotFound`] also for somebody else's, and for one about a record that the caller may not see.
pub fn read(tx: &mut Tx<'_>, id: Id<Notification>) -> Result<Notification> {
    tx.check_writable()?;
    let mut seen = Seen::of(tx.ctx)?;
    seen.and(" AND n.id = {}", id);
    let mut notification = seen.rows(tx, "")?.pop().ok_or(Error::NotFound)?;
    if notification.read_at.is_none() {
        let now = tx.ctx.now;
        tx.sql::<st::Integer>(
            "UPDATE notifications SET read_at = {} WHERE organization_id = {org} AND id = {} AND read_at IS NULL",
        )
        .with(|s| s.bind(now).bind(id))
        .run(tx)?;
        notification.read_at = Some(now);
    }
    Ok(notification)
}

/// Notes that the caller has read all that they were told, and says how many of it they had not.
///
/// # Errors
/// [`Error::Forbidden`] where nobody is signed in.
pub fn read_all(tx: &mut Tx<'_>) -> Result<i64> {
    tx.check_writable()?;
    let seen = Seen::of(tx.ctx)?;
    let (unread, now) = (seen.unread_count(tx)?, tx.ctx.now);
    tx.sql::<st::Integer>(
        "UPDATE notifications SET read_at = {} WHERE organization_id = {org} AND user_id = {} AND read_at IS NULL",
    )
    .with(|s| s.bind(now).bind(seen.user))
    .run(tx)?;
    Ok(unread)
}

/// The notifications that the caller sees: conditions in SQL and their values.
#[derive(Clone)]
struct Seen {
    user: Id<User>,
    body: String,
    sql: String,
    binds: Vec<Bind>,
}

impl Seen {
    fn of(ctx: &Ctx) -> Result<Self> {
        let Some(user) = ctx.actor.user() else {
            let reason = "Notifications are somebody's, and nobody is signed in.".into();
            return Err(Error::Forbidden { code: "no_owner", reason });
        };
        let mut seen = Self { user, body: body(ctx), sql: String::new(), binds: Vec::new() };
        seen.and(" AND n.user_id = {}", user);
        seen.sql.push_str(" AND (n.entity_id IS NULL OR CASE n.entity_type");
        for (kind, table) in RECORDS {
            let may_view = ctx.gate.check(ctx, &Ask::about(Action::View, kind)).is_ok();
            seen.sql.push_str(&format!(
                " WHEN '{kind}' THEN {may_view} AND EXISTS (SELECT FROM {table} r \
                 WHERE r.organization_id = n.organization_id AND r.id = n.entity_id"
            ));
            if let Some(units) = &ctx.scope.units {
                seen.and(" AND (r.business_unit_id IS NULL OR r.business_unit_id = ANY({}))", units.as_slice());
            }
            seen.sql.push(')');
        }
        seen.sql.push_str(" ELSE true END)");
        if ctx.role < Role::Admin {
            seen.and(" AND n.kind <> {}", Kind::AlertRaised.as_str());
        }
        Ok(seen)
    }

    fn and(&mut self, sql: &str, value: impl Into<Bind>) {
        self.sql.push_str(sql);
        self.binds.push(value.into());
    }

    fn behind(&mut self, position: Position) -> Result<()> {
        let at = position.v.as_deref().and_then(filters::instant);
        self.and(" AND (n.created_at, n.id) < ({}", at);
        self.and(", {})", position.i);
        Ok(())
    }

    fn narrow(&mut self, unread: bool) {
        self.sql.push_str(if unread { " AND n.read_at IS NULL" } else { " AND n.read_at IS NOT NULL" });
    }

    fn rows(self, tx: &mut Tx<'_>, order: &str) -> Result<Vec<Notification>> {
        let text = format!(
            "SELECT n.id, n.kind, {}, n.entity_type, n.entity_id, n.entities_count, u.id, u.name, n.created_at, n.read_at \
             FROM notifications n LEFT JOIN users u ON u.organization_id = n.organization_id AND u.id = n.actor_id \
             WHERE n.organization_id = {{org}}{}{order}",
            self.body, self.sql
        );
        let query = tx.sql_text::<Columns>(text).with(|s| self.binds.into_iter().fold(s, |s, value| s.bind(value)));
        query.all::<Row>(tx)?.into_iter().map(notification).collect()
    }

    fn unread_count(&self, tx: &mut Tx<'_>) -> Result<i64> {
        let text = format!(
            "SELECT count(*) FROM notifications n WHERE n.organization_id = {{org}} AND n.read_at IS NULL{}",
            self.sql
        );
        let binds = self.binds.clone();
        let query = tx.sql_text::<st::BigInt>(text).with(|s| binds.into_iter().fold(s, |s, value| s.bind(value)));
        Ok(query.one(tx)?)
    }
}

/// How the record reads, as SQL: nothing where a field that this is made of is hidden from the caller.
fn body(ctx: &Ctx) -> String {
    let mut sql = String::from("CASE n.entity_type");
    for (kind, table) in RECORDS.into_iter().chain([("import", "imports")]) {
        let label = labels::label_of(table);
        let label = label.filter(|label| masks::check_uses(ctx, label.kind, label.fields).is_ok());
        if let Some(label) = label {
            let from = format!("FROM {table} r WHERE r.organization_id = n.organization_id AND r.id = n.entity_id");
            sql.push_str(&format!(" WHEN '{kind}' THEN (SELECT {} {from})", label.sql));
        }
    }
    sql + " ELSE n.body END"
}

type Row = (
    Uuid,
    String,
    Option<String>,
    String,
    Option<Uuid>,
    i32,
    Option<Uuid>,
    Option<String>,
    DateTime<Utc>,
    Option<DateTime<Utc>>,
);
type Columns = (
    st::Uuid,
    st::Text,
    st::Nullable<st::Text>,
    st::Text,
    st::Nullable<st::Uuid>,
    st::Integer,
    st::Nullable<st::Uuid>,
    st::Nullable<st::Text>,
    st::Timestamptz,
    st::Nullable<st::Timestamptz>,
);

fn notification(row: Row) -> Result<Notification> {
    let (id, word, body, entity_type, entity_id, entities_count, actor, name, created_at, read_at) = row;
    let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == word);
    let kind = kind.ok_or_else(|| Error::internal(format!("`{word}` is no kind of notification")))?;
    Ok(Notification {
        id: id.into(),
        kind,
        title: kind.title(entities_count),
        body,
        entity_type,
        entity_id,
        entities_count,
        actor: actor.zip(name).map(|(id, name)| NotificationActor { id: id.into(), name }),
        created_at,
        read_at,
    })
}
