//! A few figures of an organization: counts of the records that the caller sees, and how the system is.
use diesel::sql_types as st;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    Record, Result, Tx,
    companies::Company,
    contacts::Contact,
    deals::Deal,
    gate::{Action, Ask},
    leads::Lead,
    masks,
    page::{self, ListQuery},
};

/// The figures. A count of records that the caller may not see, or not by what they are counted by, is `null`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Leads.
    pub leads_count: Option<i64>,
    /// Deals, closed ones too.
    pub deals_count: Option<i64>,
    /// Deals that are open.
    pub open_deals_count: Option<i64>,
    /// Companies.
    pub companies_count: Option<i64>,
    /// Contacts.
    pub contacts_count: Option<i64>,
    /// Jobs to be done or being done.
    pub queue_depth: i64,
    /// Jobs that were given up.
    pub failed_jobs: i64,
    /// Alerts of which nobody has taken notice and whose cause has not gone.
    pub unacknowledged_alerts: i64,
}

/// Reads the figures.
///
/// # Errors
/// What the database says.
pub fn read(tx: &mut Tx<'_>) -> Result<Stats> {
    let (queue_depth, failed_jobs, unacknowledged_alerts) = tx
        .sql::<(st::BigInt, st::BigInt, st::BigInt)>(
            "SELECT (SELECT count(*) FROM queue_jobs WHERE organization_id = {org} AND status IN ('waiting', 'active')), \
             (SELECT count(*) FROM queue_jobs WHERE organization_id = {org} AND status = 'failed'), \
             (SELECT count(*) FROM alerts WHERE organization_id = {org} AND resolved_at IS NULL \
             AND acknowledged_at IS NULL)",
        )
        .one(tx)?;
    let open = [("status".to_owned(), "open".to_owned())];
    Ok(Stats {
        leads_count: count::<Lead>(tx, &[])?,
        deals_count: count::<Deal>(tx, &[])?,
        open_deals_count: count::<Deal>(tx, &open)?,
        companies_count: count::<Company>(tx, &[])?,
        contacts_count: count::<Contact>(tx, &[])?,
        queue_depth,
        failed_jobs,
        unacknowledged_alerts,
    })
}

fn count<R: Record>(tx: &mut Tx<'_>, filter: &[(String, String)]) -> Result<Option<i64>> {
    let may_view = tx.ctx.gate.check(tx.ctx, &Ask::about(Action::View, R::KIND)).is_ok();
    if !may_view || filter.iter().any(|(field, _)| masks::check_use::<R>(tx.ctx, field).is_err()) {
        return Ok(None);
    }
    let query = ListQuery::parse::<R>(tx, filter)?;
    page::count::<R>(tx, &query).map(Some)
}
