//! Open deals that nobody has touched for too long.
//!
//! A touch is what a person or the buyer does: an activity, a move to another stage, a new next step; at first the
//! deal's creation. Days are whole ones of 86,400 seconds.

use chrono::{DateTime, NaiveDate, Utc};
use crm_core::{
    Currency, Error, Id, Money, Page, Record, Result, Tx,
    business_units::BusinessUnit,
    cursor::{self, Position},
    deals::Deal,
    filters,
    masks::{self, Reveals},
    pipelines::{Pipeline, Stage},
    users::User,
};
use diesel::{Queryable, sql_types as st};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    DealFilter, check_may_view,
    clocks::{self, LastTouch, SnoozeReason, Toucher},
    deals_in_question, internal,
};
use crate::{
    histories::Status,
    stale::{Assessment, DEFAULT_THRESHOLD_DAYS, Limits, Occurrence, ThresholdSource, Touch, WatchedDeal, assess},
};

/// A deal that nobody has touched for too long.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StaleDeal {
    /// Its id.
    pub id: Id<Deal>,
    /// What people call it.
    #[schema(example = "Acme Corp Deal")]
    pub title: String,
    /// Whole days since its last touch.
    #[schema(example = 21)]
    pub days_since_update: i64,
    /// Days after which it counts as stale: those of the question, else those of its stage, else 14.
    pub threshold_days: u32,
    /// What it would bring, in `currency`.
    #[schema(example = 50_000)]
    pub value: Option<Money>,
    /// The currency of its value.
    pub currency: Currency,
    /// The pipeline that it goes.
    pub pipeline_id: Id<Pipeline>,
    /// Where in the pipeline it stands.
    pub stage_id: Id<Stage>,
    /// What people call that.
    pub stage_name: String,
    /// Whole days in the stage.
    pub days_in_stage: i64,
    /// Days that the stage allows altogether, where it names any.
    pub max_days_in_stage: Option<u32>,
    /// Has it stood in its stage for as long as the stage allows, or longer?
    pub is_overstayed: bool,
    /// Who works it.
    pub owner_id: Option<Id<User>>,
    /// Their name.
    pub owner_name: Option<String>,
    /// The business unit that it belongs to.
    pub business_unit_id: Option<Id<BusinessUnit>>,
    /// The day on which it should be won.
    pub expected_close_date: Option<NaiveDate>,
    /// When something was last done about it.
    pub last_activity_at: Option<DateTime<Utc>>,
    /// When it was last touched.
    pub last_touch_at: DateTime<Utc>,
    /// What reset the clock then, and who did it.
    pub last_touch: Option<LastTouch>,
    /// When the next thing to do about it is due, if anything is planned.
    pub next_task_due_at: Option<DateTime<Utc>>,
    /// Where the days come from after which it counts as stale: `asked`, `stage` or `default`.
    pub threshold_source: ThresholdSource,
    /// Until when somebody has snoozed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snoozed_until: Option<DateTime<Utc>>,
    /// Why they have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snooze_reason: Option<String>,
    /// Who has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snoozed_by: Option<Toucher>,
}

const fn tells(member: &'static str, fields: &'static [&'static str]) -> Reveals {
    Reveals { member, kind: Deal::KIND, fields }
}

/// The members that would tell what the caller does not see of the deals.
pub const REVEALS: [Reveals; 20] = [
    tells("title", &["title"]),
    tells("daysSinceUpdate", &["lastActivityAt", "stageEnteredAt"]),
    tells("value", &["value"]),
    tells("currency", &["currency"]),
    tells("pipelineId", &["pipelineId"]),
    tells("stageId", &["stageId"]),
    tells("stageName", &["stageId"]),
    tells("daysInStage", &["stageEnteredAt"]),
    tells("maxDaysInStage", &["stageId"]),
    tells("isOverstayed", &["stageId", "stageEnteredAt"]),
    tells("ownerId", &["ownerId"]),
    tells("ownerName", &["ownerId"]),
    tells("businessUnitId", &["businessUnitId"]),
    tells("expectedCloseDate", &["expectedCloseDate"]),
    tells("lastActivityAt", &["lastActivityAt"]),
    tells("lastTouchAt", &["lastActivityAt", "stageEnteredAt"]),
    tells("lastTouch", &["lastActivityAt", "stageEnteredAt"]),
    tells("snoozedUntil", &["staleSnoozedUntil"]),
    tells("snoozeReason", &["staleSnoozedUntil"]),
    tells("snoozedBy", &["staleSnoozedUntil"]),
];

/// What is asked for beside which deals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StaleQuery {
    /// Days without a touch; where absent, those of each deal's stage.
    pub days_inactive: Option<u32>,
    /// True to leave out deals for which a task is planned.
    pub exclude_scheduled: bool,
    /// True to tell of deals too that somebody has snoozed.
    pub include_snoozed: bool,
    /// True to tell of deals too that were touched but have stood in their stage longer than it allows.
    pub include_overstayed: bool,
}

/// Stale deals, most stale first. `page` holds the list's parameters: `limit` and `cursor` are read, and a cursor fits
/// the others.
///
/// # Errors
/// [`Error::Forbidden`]; [`Error::Malformed`] for a cursor or a limit that does not fit.
pub fn list(
    tx: &mut Tx<'_>,
    filter: &DealFilter,
    query: &StaleQuery,
    page: &[(String, String)],
) -> Result<Page<StaleDeal>> {
    check_may_view(tx)?;
    // All of them are open.
    masks::check_use::<Deal>(tx.ctx, "status")?;
    let named = |wanted: &str| page.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let limit = named("limit").map_or(Ok(cursor::USUAL), cursor::limit)?;
    let name = cursor::fingerprint(tx.ctx, "stale_deals", page);
    let position = named("cursor").map(|text| cursor::open(&name, text)).transpose()?;
    let mut rows = rows(tx, filter, query, position, limit + 1)?;
    let more = rows.len() > usize::try_from(limit).map_err(internal)?;
    rows.truncate(rows.len() - usize::from(more));
    let end = |last: &Row| {
        let v = last.last_touch_at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
        cursor::seal(&name, Position { v: Some(v), i: last.id.uuid() })
    };
    let next_cursor = rows.last().filter(|_| more).map(end).transpose()?;
    let mut clocks = clocks::read(tx, &rows.iter().map(|row| row.id).collect::<Vec<_>>())?;
    let now = tx.ctx.now;
    let told = |row: Row| {
        let clock = clocks.remove(&row.id);
        row.assessed(query, now, clock)
    };
    Ok(Page { items: rows.into_iter().map(told).collect(), next_cursor, total: None })
}

#[derive(Queryable)]
struct Row {
    id: Id<Deal>,
    title: String,
    value: Option<Money>,
    currency: Currency,
    pipeline_id: Id<Pipeline>,
    stage_id: Id<Stage>,
    stage_name: String,
    rotten_after_days: Option<i32>,
    max_days_in_stage: Option<i32>,
    owner_id: Option<Id<User>>,
    owner_name: Option<String>,
    business_unit_id: Option<Id<BusinessUnit>>,
    expected_close_date: Option<NaiveDate>,
    last_activity_at: Option<DateTime<Utc>>,
    stage_entered_at: DateTime<Utc>,
    last_touch_at: DateTime<Utc>,
    snoozed_until: Option<DateTime<Utc>>,
    next_task_due_at: Option<DateTime<Utc>>,
}

type RowTypes = (
    st::Uuid,
    st::Text,
    st::Nullable<st::Numeric>,
    st::Text,
    st::Uuid,
    st::Uuid,
    st::Text,
    st::Nullable<st::Integer>,
    st::Nullable<st::Integer>,
    st::Nullable<st::Uuid>,
    st::Nullable<st::Text>,
    st::Nullable<st::Uuid>,
    st::Nullable<st::Date>,
    st::Nullable<st::Timestamptz>,
    st::Timestamptz,
    st::Timestamptz,
    st::Nullable<st::Timestamptz>,
    st::Nullable<st::Timestamptz>,
);

/// The touch is computed in the inner statement, so that it is written down once.
const STALE: &str = concat!(
    "SELECT t.id, t.title, t.value, t.currency, t.pipeline_id, t.stage_id, s.name, s.rotten_after_days, s.max_days_in_stage, \
     t.owner_id, u.name, t.business_unit_id, t.expected_close_date, t.last_activity_at, t.stage_entered_at, t.touched_at, \
     t.stale_snoozed_until, \
     (SELECT min(k.due_at) FROM tasks k WHERE k.organization_id = t.organization_id AND k.deal_id = t.id \
      AND k.status = 'open' AND k.due_at > {}) \
     FROM (SELECT d.*, greatest(d.last_activity_at, d.stage_entered_at, d.created_at) AS touched_at FROM deals d WHERE ",
    deals_in_question!(),
    " AND d.status = 'open') t \
     JOIN stages s ON s.organization_id = t.organization_id AND s.id = t.stage_id \
     LEFT JOIN users u ON u.organization_id = t.organization_id AND u.id = t.owner_id \
     WHERE (t.touched_at <= {} - make_interval(secs => coalesce({}, s.rotten_after_days, {}) * 86400.0) \
      OR {} AND t.stage_entered_at <= {} - make_interval(secs => s.max_days_in_stage * 86400.0)) \
     AND (t.touched_at, t.id) > (coalesce({}, '-infinity'), {}) \
     AND ({} OR t.stale_snoozed_until IS NULL OR t.stale_snoozed_until <= {}) \
     AND ({} OR NOT EXISTS (SELECT FROM tasks k WHERE k.organization_id = t.organization_id AND k.deal_id = t.id \
      AND k.status = 'open' AND k.due_at > {})) \
     ORDER BY t.touched_at, t.id LIMIT {}"
);

fn rows(
    tx: &mut Tx<'_>,
    filter: &DealFilter,
    query: &StaleQuery,
    position: Option<Position>,
    limit: i64,
) -> Result<Vec<Row>> {
    let ctx = tx.ctx;
    let days = |days: u32| i32::try_from(days).unwrap_or(i32::MAX);
    let (after, id) = position.map_or((None, Uuid::nil()), |p| (p.v, p.i));
    let after = after.as_deref().and_then(filters::instant);
    let rows = tx
        .sql::<RowTypes>(STALE)
        .with(|s| filter.bind(ctx, s.bind(ctx.now)))
        .with(|s| s.bind(ctx.now).bind(query.days_inactive.map(days)).bind(days(DEFAULT_THRESHOLD_DAYS)))
        .with(|s| s.bind(query.include_overstayed).bind(ctx.now))
        .with(|s| {
            s.bind(after)
                .bind(id)
                .bind(query.include_snoozed)
                .bind(ctx.now)
                .bind(!query.exclude_scheduled)
                .bind(ctx.now)
                .bind(limit)
        });
    rows.all(tx).map_err(Error::from)
}

impl Row {
    /// The deal with its clocks read.
    fn assessed(self, query: &StaleQuery, now: DateTime<Utc>, clock: Option<(LastTouch, SnoozeReason)>) -> StaleDeal {
        let watched = WatchedDeal {
            status: Status::Open,
            last_touch: Touch { what: Occurrence::NoteWritten, at: self.last_touch_at },
            stage_entered_at: self.stage_entered_at,
            snoozed_until: self.snoozed_until,
            next_activity_at: self.next_task_due_at,
        };
        let limits = Limits {
            asked_days: query.days_inactive,
            stale_after_days: self.rotten_after_days.and_then(|days| u32::try_from(days).ok()),
            max_days_in_stage: self.max_days_in_stage.and_then(|days| u32::try_from(days).ok()),
            exclude_scheduled: query.exclude_scheduled,
        };
        let Assessment { days_since_touch, threshold_days, threshold_source, days_in_stage, is_overstayed, .. } =
            assess(&watched, &limits, now);
        let snoozed_until = self.snoozed_until.filter(|until| *until > now);
        let (last_touch, snooze) = clock.unzip();
        let snooze = snooze.filter(|_| snoozed_until.is_some());
        StaleDeal {
            id: self.id,
            title: self.title,
            days_since_update: days_since_touch,
            threshold_days,
            value: self.value,
            currency: self.currency,
            pipeline_id: self.pipeline_id,
            stage_id: self.stage_id,
            stage_name: self.stage_name,
            days_in_stage,
            max_days_in_stage: limits.max_days_in_stage,
            is_overstayed,
            owner_id: self.owner_id,
            owner_name: self.owner_name,
            business_unit_id: self.business_unit_id,
            expected_close_date: self.expected_close_date,
            last_activity_at: self.last_activity_at,
            last_touch_at: self.last_touch_at,
            last_touch,
            next_task_due_at: self.next_task_due_at,
            threshold_source,
            snoozed_until,
            snooze_reason: snooze.as_ref().and_then(|snooze| snooze.reason.clone()),
            snoozed_by: snooze.and_then(|snooze| snooze.by),
        }
    }
}
