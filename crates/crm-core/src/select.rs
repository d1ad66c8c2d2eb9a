//! One generic statement for every read of records: scoped to the organization and the caller's business units, with
//! row comparison for pages and a literal limit, so that the planner answers from the fitting index and plans once.
use std::{any::TypeId, borrow::Cow, cell::RefCell, collections::HashMap, marker::PhantomData, rc::Rc};

use diesel::{
    QueryResult, RunQueryDsl, Selectable,
    expression::Expression,
    pg::{Pg, PgConnection},
    query_builder::{AstPass, Query, QueryFragment, QueryId},
};
use uuid::Uuid;

use crate::{Ctx, business_units::BusinessUnit, record::Record, statement::Bind};

/// One condition on a column of the table that is read.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// `column op value`, with one of `= <> < <= > >= @> ? LIKE ILIKE ~`.
    Compare(Cow<'static, str>, &'static str, Bind),
    /// `column = ANY(values)`.
    AnyOf(&'static str, Bind),
    /// `lower(column) = lower(value)`: equal but for case.
    EqualFolded(&'static str, Bind),
    /// `column IS NULL`, or the opposite.
    IsNull(&'static str, bool),
    /// `(column, id) < (value, id)`: what follows a position.
    Beyond(&'static str, &'static str, Bind, Uuid),
    /// `value <% column`: some words of the column resemble the value, as pg_trgm's word similarity has it.
    Resembles(&'static str, Bind),
    /// `column LIKE ANY(patterns)`.
    LikeAny(&'static str, Bind),
    /// `column ~ value`, written so that no index is asked: for narrowing down what another condition has found.
    Among(&'static str, Bind),
    /// Any of these.
    Any(Vec<Condition>),
    /// All of these.
    All(Vec<Condition>),
}

impl Condition {
    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>, table: &str) -> QueryResult<()> {
        match self {
            Self::Compare(column, op, value) => {
                qualified(out, table, column)?;
                out.push_sql(" ");
                out.push_sql(op);
                out.push_sql(" ");
                value.push(out)?;
            }
            Self::AnyOf(column, values) => {
                qualified(out, table, column)?;
                out.push_sql(" = ANY(");
                values.push(out)?;
                out.push_sql(")");
            }
            Self::EqualFolded(column, value) => {
                out.push_sql("lower(");
                qualified(out, table, column)?;
                out.push_sql(") = lower(");
                value.push(out)?;
                out.push_sql(")");
            }
            Self::IsNull(column, is) => {
                qualified(out, table, column)?;
                out.push_sql(if *is { " IS NULL" } else { " IS NOT NULL" });
            }
            Self::Beyond(column, op, value, id) => {
                out.push_sql("(");
                qualified(out, table, column)?;
                out.push_sql(", ");
                qualified(out, table, "id")?;
                out.push_sql(") ");
                out.push_sql(op);
                out.push_sql(" (");
                value.push(out)?;
                out.push_sql(", ");
                out.push_bind_param::<diesel::sql_types::Uuid, _>(id)?;
                out.push_sql(")");
            }
            Self::Resembles(column, value) => {
                value.push(out)?;
                out.push_sql(" <% ");
                qualified(out, table, column)?;
            }
            Self::LikeAny(column, patterns) => {
                qualified(out, table, column)?;
                out.push_sql(" LIKE ANY(");
                patterns.push(out)?;
                out.push_sql(")");
            }
            Self::Among(column, value) => {
                out.push_sql("(");
                qualified(out, table, column)?;
                out.push_sql(" || '') ~ ");
                value.push(out)?;
            }
            Self::Any(conditions) => joined(out, table, conditions, " OR ", "FALSE")?,
            Self::All(conditions) => joined(out, table, conditions, " AND ", "TRUE")?,
        }
        Ok(())
    }
}

fn joined<'b>(
    out: &mut AstPass<'_, 'b, Pg>,
    table: &str,
    conditions: &'b [Condition],
    word: &str,
    none: &str,
) -> QueryResult<()> {
    out.push_sql("(");
    for (i, condition) in conditions.iter().enumerate() {
        if i > 0 {
            out.push_sql(word);
        }
        condition.push(out, table)?;
    }
    out.push_sql(if conditions.is_empty() { none } else { "" });
    out.push_sql(")");
    Ok(())
}

/// Appends ` WHERE` all of these.
pub(crate) fn push_where<'b>(
    out: &mut AstPass<'_, 'b, Pg>,
    table: &str,
    conditions: &'b [Condition],
) -> QueryResult<()> {
    for (i, condition) in conditions.iter().enumerate() {
        out.push_sql(if i == 0 { " WHERE " } else { " AND " });
        condition.push(out, table)?;
    }
    Ok(())
}

fn qualified(out: &mut AstPass<'_, '_, Pg>, table: &str, column: &str) -> QueryResult<()> {
    out.push_identifier(table)?;
    out.push_sql(".");
    out.push_identifier(column)
}

/// The caller's organization and business units as conditions: the same for a list, a read, an export and a search.
pub fn scope<R: Record>(ctx: &Ctx) -> Vec<Condition> {
    let mut conditions = vec![Condition::Compare("organization_id".into(), "=", ctx.organization.into())];
    if let (true, Some(units)) = (R::KIND == BusinessUnit::KIND, &ctx.scope.units) {
        conditions.push(Condition::AnyOf("id", units.as_slice().into()));
    }
    if let (true, Some(units)) = (R::IN_UNITS, &ctx.scope.units) {
        conditions.push(Condition::Any(vec![
            Condition::IsNull("business_unit_id", true),
            Condition::AnyOf("business_unit_id", units.as_slice().into()),
        ]));
    }
    conditions
}

/// A read of records.
#[derive(Debug, Clone)]
pub struct Select<R> {
    conditions: Vec<Condition>,
    order: Option<(&'static str, bool)>,
    limit: Option<i64>,
    lock: bool,
    record: PhantomData<R>,
}

impl<R: Record> Select<R> {
    pub(crate) fn new(ctx: &Ctx) -> Self {
        Self { conditions: scope::<R>(ctx), order: None, limit: None, lock: false, record: PhantomData }
    }

    /// Only what also meets this condition.
    #[must_use]
    pub fn and(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }

    /// Only what also meets all of these.
    #[must_use]
    pub fn and_all(mut self, conditions: impl IntoIterator<Item = Condition>) -> Self {
        self.conditions.extend(conditions);
        self
    }

    /// Only the record of this id.
    #[must_use]
    pub fn with_id(self, id: Uuid) -> Self {
        self.and(Condition::Compare("id".into(), "=", id.into()))
    }

    /// Sorted by a column, then by id, both descending or both ascending.
    #[must_use]
    pub fn order(mut self, column: &'static str, descending: bool) -> Self {
        self.order = Some((column, descending));
        self
    }

    /// At most so many.
    #[must_use]
    pub fn limit(mut self, limit: i64) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Locked until the transaction ends.
    #[must_use]
    pub fn locked(mut self) -> Self {
        self.lock = true;
        self
    }

    /// How many there are.
    pub fn count(self) -> Count<R> {
        Count(self)
    }

    fn push_where<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(" FROM ");
        out.push_identifier(R::TABLE)?;
        push_where(out, R::TABLE, &self.conditions)
    }
}

impl<R> QueryFragment<Pg> for Select<R>
where
    R: Record + Selectable<Pg>,
    R::SelectExpression: QueryFragment<Pg>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT ");
        out.push_sql(&columns::<R>()?);
        self.push_where(&mut out)?;
        if let Some((column, descending)) = self.order {
            let direction = if descending { " DESC" } else { " ASC" };
            out.push_sql(" ORDER BY ");
            qualified(&mut out, R::TABLE, column)?;
            out.push_sql(direction);
            out.push_sql(", ");
            qualified(&mut out, R::TABLE, "id")?;
            out.push_sql(direction);
        }
        if let Some(limit) = self.limit {
            // A literal, not a parameter: PostgreSQL would plan anew for each value of a bound limit.
            out.push_sql(&format!(" LIMIT {limit}"));
        }
        if self.lock {
            // What a later UPDATE takes, and no more: a reference to the row need not wait for its change.
            out.push_sql(" FOR NO KEY UPDATE");
        }
        Ok(())
    }
}

thread_local! {
    /// The selected columns of each kind of record, written out: diesel walks a statement several times a query, and quoting
    /// two dozen names each time takes longer than the rest of the walk.
    static COLUMNS: RefCell<HashMap<TypeId, Rc<str>>> = RefCell::default();
}

/// The selected columns as SQL. They carry no values, so the text is all there is of them.
fn columns<R>() -> QueryResult<Rc<str>>
where
    R: Selectable<Pg> + 'static,
    R::SelectExpression: QueryFragment<Pg>,
{
    use diesel::query_builder::QueryBuilder;
    let kind = TypeId::of::<R>();
    if let Some(known) = COLUMNS.with_borrow(|columns| columns.get(&kind).map(Rc::clone)) {
        return Ok(known);
    }
    let mut builder = diesel::pg::PgQueryBuilder::default();
    R::construct_selection().to_sql(&mut builder, &Pg)?;
    let text: Rc<str> = builder.finish().into();
    COLUMNS.with_borrow_mut(|columns| columns.insert(kind, Rc::clone(&text)));
    Ok(text)
}

impl<R> QueryId for Select<R> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}
impl<R> Query for Select<R>
where
    R: Selectable<Pg>,
{
    type SqlType = <R::SelectExpression as Expression>::SqlType;
}
impl<R> RunQueryDsl<PgConnection> for Select<R> {}

/// How many records a read would find.
#[derive(Debug, Clone)]
pub struct Count<R>(Select<R>);

impl<R: Record> QueryFragment<Pg> for Count<R> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT count(*)");
        self.0.push_where(&mut out)
    }
}
impl<R> QueryId for Count<R> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}
impl<R> Query for Count<R> {
    type SqlType = diesel::sql_types::BigInt;
}
impl<R> RunQueryDsl<PgConnection> for Count<R> {}
