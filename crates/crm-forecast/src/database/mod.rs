//! Forecasts over the records of `crm-core`: each function reads as its caller may, in one or a few statements.
//!
//! What can be added up is added up by PostgreSQL; the statistics are those of this crate's plain functions. Everything
//! is seen through the caller's [`ReadScope`](crm_core::ReadScope): deals of other business units neither count nor
//! teach.

use chrono::NaiveDate;
use crm_core::{
    Ctx, Error, Id, Money, Result, Tx,
    business_units::BusinessUnit,
    deals::Deal,
    gate::{Action, Ask},
    masks,
    pipelines::Pipeline,
    record::Record,
    statement::Statement,
    users::User,
};
use rust_decimal::Decimal;

mod audiences;
pub mod backtest;
pub mod clocks;
mod closed_deals;
pub mod conversion_rates;
pub mod daily_focus;
mod deal_histories;
pub mod deal_snapshots;
pub mod exchange;
pub mod forecast_errors;
mod open_deals;
pub mod patterns;
pub mod pipeline;
pub mod snapshots;
pub mod stage_movements;
pub mod stage_probabilities;
pub mod stage_statistics;
pub mod stale_deals;
pub mod stale_thresholds;

/// Which deals a question is about. What is `None` does not narrow it down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DealFilter {
    /// Those that go this pipeline.
    pub pipeline_id: Option<Id<Pipeline>>,
    /// Those that belong to this business unit.
    pub business_unit_id: Option<Id<BusinessUnit>>,
    /// Those that this user works.
    pub owner_id: Option<Id<User>>,
}

/// Days from the first to the last, both included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Days {
    /// The first day; open to the past where absent.
    pub from_on: Option<NaiveDate>,
    /// The last day; open to the future where absent.
    pub until_on: Option<NaiveDate>,
}

impl Days {
    /// True where neither end is given.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.from_on.is_none() && self.until_on.is_none()
    }
}

/// The condition of a [`DealFilter`] and of what the caller may see, on deals `d`. Its places are filled by
/// [`DealFilter::bind`]. A filter that is absent vanishes when the statement is planned.
macro_rules! deals_in_question {
    () => {
        "d.organization_id = {org} AND ({} OR d.pipeline_id = {}) AND ({} OR d.business_unit_id = {}) \
         AND ({} OR d.owner_id = {}) AND ({} OR d.business_unit_id IS NULL OR d.business_unit_id = ANY({}))"
    };
}
use deals_in_question;

impl DealFilter {
    /// Fills the places of [`deals_in_question`].
    fn bind<ST>(&self, ctx: &Ctx, statement: Statement<ST>) -> Statement<ST> {
        let units = ctx.scope.units.as_deref();
        statement
            .bind(self.pipeline_id.is_none())
            .bind(self.pipeline_id)
            .bind(self.business_unit_id.is_none())
            .bind(self.business_unit_id)
            .bind(self.owner_id.is_none())
            .bind(self.owner_id)
            .bind(units.is_none())
            .bind(units.unwrap_or_default())
    }
}

fn check_may_view(tx: &Tx<'_>) -> Result<()> {
    tx.ctx.gate.check(tx.ctx, &Ask::about(Action::View, Deal::KIND))
}

/// Figures that are made of the values of deals are for those who see the values.
fn check_may_view_values(tx: &Tx<'_>) -> Result<()> {
    check_may_view(tx)?;
    masks::check_use::<Deal>(tx.ctx, "value")
}

fn internal(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Internal(Box::new(error))
}

fn money(amount: Decimal) -> Result<Money> {
    Money::new(amount).ok_or_else(|| Error::internal("a sum is out of range"))
}

/// A count of rows, which is never negative.
fn count(rows: i64) -> u64 {
    rows.unsigned_abs()
}

/// A share or rate for people and programs: four digits after the point.
fn four_digits(share: f64) -> f64 {
    (share * 1e4).round() / 1e4
}
