//! Pages of a list by keyset: a page costs the same wherever it lies, and rows that come or go meanwhile shift nothing.
use serde_json::Value;

pub use crate::cursor::{LARGEST, USUAL};
use crate::{
    Ctx, Result, Tx,
    cursor::{self, Position},
    filters::{self, malformed},
    gate::{Action, Ask},
    masks,
    record::{Field, FieldKind, Record},
    select::{Condition, Select},
    statement::Bind,
};

/// One page of records.
#[derive(Debug)]
pub struct Page<R> {
    /// The records, in order.
    pub items: Vec<R>,
    /// Where the next page begins, if there is one.
    pub next_cursor: Option<String>,
    /// How many there are in all, where the caller asked.
    pub total: Option<i64>,
}

/// What a list was asked for, understood and checked.
#[derive(Debug)]
pub struct ListQuery {
    conditions: Vec<Condition>,
    sort: &'static Field,
    descending: bool,
    limit: i64,
    position: Option<Position>,
    count: bool,
    fingerprint: String,
}

impl ListQuery {
    /// Understands the parameters of a list.
    ///
    /// # Errors
    /// [`crate::Error::Malformed`] for a parameter that does not exist, a value that does not fit, or a cursor that
    /// was not given out for this very list; [`crate::Error::Forbidden`] for a filter or a sort by a hidden field.
    pub fn parse<R: Record>(tx: &mut Tx<'_>, query: &[(String, String)]) -> Result<Self> {
        let ctx = tx.ctx;
        let mut list = Self {
            conditions: Vec::new(),
            sort: &crate::record::COMMON[0],
            descending: true,
            limit: USUAL,
            position: None,
            count: false,
            fingerprint: cursor::fingerprint(ctx, R::KIND, query),
        };
        list.sort::<R>(R::DEFAULT_SORT)?;
        if masks::check_use::<R>(ctx, list.sort.name).is_err() {
            list.sort::<R>("-createdAt")?;
        }
        let mut begins_at = None;
        for (name, value) in query {
            match name.as_str() {
                "limit" => list.limit = cursor::limit(value)?,
                "count" => list.count = filters::flag("count", value)?,
                "cursor" => begins_at = Some(value),
                "sort" => {
                    list.sort::<R>(value)?;
                    masks::check_use::<R>(ctx, list.sort.name)?;
                }
                _ => list.conditions.extend(filters::parse::<R>(tx, name, value)?),
            }
        }
        list.position = begins_at.map(|text| cursor::open(&list.name(), text)).transpose()?;
        Ok(list)
    }

    fn sort<R: Record>(&mut self, value: &str) -> Result<()> {
        let (name, descending) = value.strip_prefix('-').map_or((value, false), |name| (name, true));
        self.sort = R::field(name).filter(|f| f.sortable).ok_or_else(|| {
            let names: Vec<_> = sortable::<R>().map(|f| f.name).collect();
            malformed(
                "unknown_sort",
                format!("Cannot sort by `{value}`. Possible: {}, each with `-` too.", names.join(", ")),
            )
        })?;
        self.descending = descending;
        Ok(())
    }

    /// What a cursor is tied to: the list, its filter and its sort.
    fn name(&self) -> String {
        format!("{}|{}{}", self.fingerprint, self.sort.name, self.descending)
    }

    /// The conditions of the filter.
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// The next records behind the position, and where they end.
    fn fetch<R: Record>(&self, tx: &mut Tx<'_>, limit: i64) -> Result<Vec<R>> {
        let op = if self.descending { "<" } else { ">" };
        let column = self.sort.column;
        let base = || tx_records::<R>(tx.ctx, self).order(column, self.descending);
        let given = self.sort.required || crate::record::COMMON.contains(self.sort);
        let mut rows = Vec::new();
        // Rows with a value come first whichever the direction, then those without, each from the same index.
        let among_values = self.position.as_ref().is_none_or(|p| p.v.is_some());
        if among_values {
            let mut select = base().limit(limit);
            if !given {
                select = select.and(Condition::IsNull(column, false));
            }
            if let Some(Position { v: Some(value), i }) = &self.position {
                select = select.and(Condition::Beyond(column, op, self.value(value)?, *i));
            }
            rows = R::load(tx, select)?;
        }
        let rest = limit - i64::try_from(rows.len()).unwrap_or(limit);
        if rest > 0 && !given {
            let mut select = tx_records::<R>(tx.ctx, self).order(column, self.descending).limit(rest);
            select = select.and(Condition::IsNull(column, true));
            if let Some(Position { v: None, i }) = &self.position {
                select = select.and(Condition::Compare("id".into(), op, (*i).into()));
            }
            rows.extend(R::load(tx, select)?);
        }
        Ok(rows)
    }

    fn value(&self, text: &str) -> Result<Bind> {
        filters::bind(self.sort, "cursor", text)
    }

    fn position_of<R: Record>(&self, record: &R) -> Result<Position> {
        let members = serde_json::to_value(record).map_err(|e| crate::Error::Internal(Box::new(e)))?;
        let v = match &members[self.sort.name] {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        Ok(Position { v, i: record.id().uuid() })
    }
}

fn tx_records<R: Record>(ctx: &Ctx, query: &ListQuery) -> Select<R> {
    Select::new(ctx).and_all(query.conditions.iter().cloned())
}

/// The fields by which a list can be sorted.
pub fn sortable<R: Record>() -> impl Iterator<Item = &'static Field> {
    R::FIELDS.iter().chain(&crate::record::COMMON).filter(|f| f.sortable && f.kind != FieldKind::Custom)
}

/// One page of the records that the caller may see.
///
/// # Errors
/// [`crate::Error::Forbidden`], or [`crate::Error::Malformed`] as [`ListQuery::parse`] says.
pub fn list<R: Record>(tx: &mut Tx<'_>, query: &[(String, String)]) -> Result<Page<R>> {
    list_where(tx, query, Vec::new())
}

/// As [`list`], of those records alone that also meet `conditions`: what a caller may see of records that are somebody's
/// own.
///
/// # Errors
/// As [`list`].
pub fn list_where<R: Record>(
    tx: &mut Tx<'_>,
    query: &[(String, String)],
    conditions: Vec<Condition>,
) -> Result<Page<R>> {
    tx.ctx.gate.check(tx.ctx, &Ask::about(Action::View, R::KIND))?;
    let mut query = ListQuery::parse::<R>(tx, query)?;
    query.conditions.extend(conditions);
    let total = match query.count {
        true => Some(count::<R>(tx, &query)?),
        false => None,
    };
    let mut items = query.fetch::<R>(tx, query.limit + 1)?;
    let more = items.len() > usize::try_from(query.limit).unwrap_or(usize::MAX);
    let next_cursor = if more {
        items.pop();
        items.last().map(|last| query.position_of(last).and_then(|p| cursor::seal(&query.name(), p))).transpose()?
    } else {
        None
    };
    Ok(Page { items, next_cursor, total })
}

/// How many records a filter finds.
///
/// # Errors
/// What the database says.
pub fn count<R: Record>(tx: &mut Tx<'_>, query: &ListQuery) -> Result<i64> {
    let count = tx_records::<R>(tx.ctx, query).count();
    Ok(diesel::RunQueryDsl::get_result(count, tx.conn())?)
}

/// Calls `each` with every record of a filter, a batch at a time, in the list's order; memory holds one batch.
///
/// # Errors
/// Whatever `each` says, and then no more is read.
pub fn every<R: Record>(
    tx: &mut Tx<'_>,
    query: &[(String, String)],
    mut each: impl FnMut(&mut Tx<'_>, Vec<R>) -> Result<()>,
) -> Result<()> {
    let mut query = ListQuery::parse::<R>(tx, query)?;
    const BATCH: i64 = 500;
    loop {
        let items = query.fetch::<R>(tx, BATCH)?;
        let Some(last) = items.last() else { return Ok(()) };
        let full = items.len() == BATCH as usize;
        query.position = Some(query.position_of(last)?);
        each(tx, items)?;
        if !full {
            return Ok(());
        }
    }
}
