//! The only door to the database: a transaction that belongs to one organization.
use std::sync::Arc;

use diesel::{
    Insertable, PgConnection, QueryResult,
    associations::HasTable,
    query_builder::InsertStatement,
    query_dsl::methods::{ExecuteDsl, LoadQuery},
};

use crate::{
    Ctx, Error, Id, Result, events, history, jobs::closings, organizations::Organization, reason_codes, record::Record,
    select::Select, statement::Statement,
};

/// A table whose rows belong to one organization. Implement it with [`org_table!`](crate::org_table).
pub trait OrgTable: diesel::Table {
    /// The table, filtered to one organization.
    type Scoped;
    /// The organization as a column value.
    type OrgValue;
    /// The rows of one organization.
    fn scoped(organization: Id<Organization>) -> Self::Scoped;
    /// The organization as the value of a new row.
    fn organization(organization: Id<Organization>) -> Self::OrgValue;
}

/// Says of tables that their rows belong to organizations, by their column `organization_id`.
#[macro_export]
macro_rules! org_table {
    ($($table:ident),* $(,)?) => {$(
        impl $crate::tx::OrgTable for $table::table {
            type Scoped = diesel::dsl::Filter<
                $table::table,
                diesel::dsl::Eq<$table::organization_id, $crate::Id<$crate::organizations::Organization>>,
            >;
            type OrgValue = diesel::dsl::Eq<$table::organization_id, $crate::Id<$crate::organizations::Organization>>;
            fn scoped(organization: $crate::Id<$crate::organizations::Organization>) -> Self::Scoped {
                diesel::QueryDsl::filter($table::table, Self::organization(organization))
            }
            fn organization(organization: $crate::Id<$crate::organizations::Organization>) -> Self::OrgValue {
                diesel::ExpressionMethods::eq($table::organization_id, organization)
            }
        }
    )*};
}

/// An open transaction for one caller. It lends its connection to nobody: rows are reached through [`Tx::from`],
/// [`Tx::insert`], [`Tx::find`] and [`Tx::sql`], all of which carry the organization.
pub struct Tx<'c> {
    conn: &'c mut PgConnection,
    /// Who asks, and when.
    pub ctx: &'c Ctx,
    writable: bool,
    pub(crate) ledger: &'c mut Ledger,
}

/// What a transaction owes and knows until it ends, whoever acts within it.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) history: history::Unsealed,
    pub(crate) events: events::Unwritten,
    pub(crate) reasons: reason_codes::Known,
    pub(crate) has_closings: bool,
}

/// A new row whose organization is the caller's.
pub type InsertScoped<T, V> = InsertStatement<T, <(<T as OrgTable>::OrgValue, V) as Insertable<T>>::Values>;

/// A statement that provably starts from the caller's organization.
#[derive(Debug)]
#[must_use = "a query does nothing until it is run"]
pub struct OrgQuery<Q>(Q);

impl<Q> OrgQuery<Q> {
    /// Goes on building, from the rows of the caller's organization.
    pub fn with<R>(self, build: impl FnOnce(Q) -> R) -> OrgQuery<R> {
        OrgQuery(build(self.0))
    }

    /// All rows.
    ///
    /// # Errors
    /// What the database says.
    pub fn all<'q, U>(self, tx: &mut Tx<'_>) -> QueryResult<Vec<U>>
    where
        Q: LoadQuery<'q, PgConnection, U>,
    {
        self.0.internal_load(tx.conn)?.collect()
    }

    /// The first row.
    ///
    /// # Errors
    /// `NotFound` where there is none.
    pub fn one<'q, U>(self, tx: &mut Tx<'_>) -> QueryResult<U>
    where
        Q: LoadQuery<'q, PgConnection, U>,
    {
        self.0.internal_load(tx.conn)?.next().unwrap_or(Err(diesel::NotFound))
    }

    /// The first row, if there is one.
    ///
    /// # Errors
    /// What the database says.
    pub fn first<'q, U>(self, tx: &mut Tx<'_>) -> QueryResult<Option<U>>
    where
        Q: LoadQuery<'q, PgConnection, U>,
    {
        self.0.internal_load(tx.conn)?.next().transpose()
    }

    /// Runs a statement without rows and counts those it touched.
    ///
    /// # Errors
    /// What the database says.
    pub fn run(self, tx: &mut Tx<'_>) -> QueryResult<usize>
    where
        Q: ExecuteDsl<PgConnection>,
    {
        ExecuteDsl::execute(self.0, tx.conn)
    }
}

impl<'c> Tx<'c> {
    /// Does the work of a transaction that has begun, and then writes its events and appends what it changed to the field
    /// history: as late as that can be, since every writer of the organization waits for its place in the chain. Requests for
    /// approval that no longer hold by then end with it.
    ///
    /// # Errors
    /// Whatever `work` or the database says.
    pub(crate) fn run<T, E: From<Error>>(
        conn: &'c mut PgConnection,
        ctx: &'c Ctx,
        writable: bool,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut tx = Tx { conn, ctx, writable, ledger: &mut Ledger::default() };
        let done = work(&mut tx)?;
        events::write(&mut tx)?;
        history::seal(&mut tx)?;
        let disturbing = tx.ledger.history.take_disturbing();
        if !disturbing.is_empty() {
            let gates = Arc::clone(&tx.ctx.gates);
            gates.changed(&mut tx, &disturbing)?;
            events::write(&mut tx)?;
            history::seal(&mut tx)?;
        }
        closings::settle(&mut tx)?;
        Ok(done)
    }

    /// The rows of a table that belong to the caller's organization.
    pub fn from<T: OrgTable>(&self, _: T) -> OrgQuery<T::Scoped> {
        OrgQuery(T::scoped(self.ctx.organization))
    }

    /// A new row in the caller's organization.
    pub fn insert<T, V>(&self, table: T, values: V) -> OrgQuery<InsertScoped<T, V>>
    where
        T: OrgTable + HasTable<Table = T>,
        (T::OrgValue, V): Insertable<T>,
    {
        OrgQuery(diesel::insert_into(table).values((T::organization(self.ctx.organization), values)))
    }

    /// SQL text whose rows have the SQL types `ST`. `{org}` is bound to the caller's organization and must stand in the
    /// text; `{}` are the values of [`Statement::bind`], in order.
    ///
    /// # Errors
    /// When it runs, where the text does not name `{org}`.
    pub fn sql<ST>(&self, text: &'static str) -> OrgQuery<Statement<ST>> {
        let scoped = text.contains("organization_id = {org}") || text.contains("VALUES ({org}");
        // A text without its organization becomes one that cannot run, rather than one that reads everybody's rows.
        let text = if scoped { text } else { "this statement does not name its organization" };
        OrgQuery(Statement::new(text, Some(self.ctx.organization.uuid())))
    }

    /// As [`Tx::sql`] with a text put together from names in the code. Never give it anything from outside.
    pub(crate) fn sql_text<ST>(&self, text: String) -> OrgQuery<Statement<ST>> {
        OrgQuery(Statement::new(text, Some(self.ctx.organization.uuid())))
    }

    /// The records that the caller may see, to be narrowed down.
    pub fn records<R: Record>(&self) -> Select<R> {
        Select::new(self.ctx)
    }

    /// One record that the caller may see.
    ///
    /// # Errors
    /// [`Error::NotFound`] also for another organization's or unit's record.
    pub fn find<R: Record>(&mut self, id: Id<R>) -> Result<R> {
        let select = self.records::<R>().with_id(id.uuid());
        R::load(self, select)?.pop().ok_or(Error::NotFound)
    }

    /// One record that the caller may see, locked until the transaction ends.
    ///
    /// # Errors
    /// [`Error::NotFound`] also for another organization's or unit's record.
    pub fn lock<R: Record>(&mut self, id: Id<R>) -> Result<R> {
        self.check_writable()?;
        let select = self.records::<R>().with_id(id.uuid()).locked();
        R::load(self, select)?.pop().ok_or(Error::NotFound)
    }

    /// Runs `work` so that its failure undoes its own writes alone, and the transaction goes on.
    ///
    /// # Errors
    /// Whatever `work` says.
    pub fn savepoint<T>(&mut self, work: impl FnOnce(&mut Tx<'_>) -> Result<T>) -> Result<T> {
        use diesel::Connection;
        let (ctx, writable) = (self.ctx, self.writable);
        let marks = (self.ledger.history.mark(), self.ledger.events.mark());
        let ledger = &mut *self.ledger;
        let done = self.conn.transaction(|conn| work(&mut Tx { conn, ctx, writable, ledger }));
        if done.is_err() {
            self.ledger.history.go_back(marks.0);
            self.ledger.events.go_back(marks.1);
        }
        done
    }

    /// The same transaction, seen by another actor of the same organization.
    ///
    /// # Errors
    /// Whatever `work` says; [`Error::Internal`] where `ctx` belongs to another organization.
    pub fn acting<T>(&mut self, ctx: &Ctx, work: impl FnOnce(&mut Tx<'_>) -> Result<T>) -> Result<T> {
        if ctx.organization != self.ctx.organization {
            return Err(Error::internal("a transaction belongs to one organization"));
        }
        work(&mut Tx { conn: self.conn, ctx, writable: self.writable, ledger: self.ledger })
    }

    pub(crate) fn check_writable(&self) -> Result<()> {
        if self.writable { self.ctx.check_may_write() } else { Err(Error::internal("a write inside a read")) }
    }

    pub(crate) fn conn(&mut self) -> &mut PgConnection {
        self.conn
    }
}

impl std::fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx").field("ctx", &self.ctx).field("writable", &self.writable).finish_non_exhaustive()
    }
}

/// Runs a select of records. `Record::load` calls it, where the row's type is known.
///
/// # Errors
/// What the database says.
#[doc(hidden)]
pub fn load<'q, R>(tx: &mut Tx<'_>, select: Select<R>) -> QueryResult<Vec<R>>
where
    R: Record,
    Select<R>: LoadQuery<'q, PgConnection, R>,
{
    select.internal_load(tx.conn)?.collect()
}
