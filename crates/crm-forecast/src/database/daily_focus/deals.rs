//! The user's deals: what their dates, clocks and figures say.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use crm_core::{Error, Id, Record, Result, Tx, deals::Deal, select::Condition, users::User};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::{
    super::{
        DealFilter,
        conversion_rates::{EstimatedStage, estimates},
        exchange::Exchange,
        internal,
    },
    desk::{Desk, MOST, equal, ids, own},
};
use crate::{
    daily_focus::Figures,
    histories::{Status, days},
    probability::Probability,
    stale::{Assessment, Limits, Occurrence, Touch, Verdict, WatchedDeal, assess},
};

/// Days after its close within which a deal's review is asked for.
const REVIEW_DAYS: i64 = 30;

impl Desk {
    /// The user's open deals, with their dates and figures, as far as the user sees them.
    pub(super) fn put_deals(&mut self, tx: &mut Tx<'_>, user: Id<User>) -> Result<()> {
        if !self.sight.deals.has(&["ownerId", "status"]) {
            return Ok(());
        }
        let select = own::<Deal>(tx, "owner_id", user).and(equal("status", "open")).limit(MOST);
        let deals = Deal::load(tx, select)?;
        if deals.is_empty() {
            return Ok(());
        }
        let scheduled = scheduled(tx, deals.iter().map(|deal| deal.id.uuid()).collect())?;
        let (stages, _) = estimates(tx, &DealFilter::default())?;
        let stages: BTreeMap<_, _> = stages.into_iter().map(|stage| (stage.stage.id, stage)).collect();
        let exchange = Exchange::today(tx)?;
        let now = tx.ctx.now;
        let seen = &self.sight.deals;
        let sees_age = seen.has(&["stageId", "stageEnteredAt"]);
        let sees_touch = sees_age && seen.has(&["lastActivityAt"]);
        let sees_value = sees_age && seen.has(&["value", "currency", "probability"]);
        let sees_close_date = seen.has(&["expectedCloseDate"]);
        let sees_snooze = seen.has(&["staleSnoozedUntil"]);
        for deal in deals {
            let candidate = self.put_deal(&deal);
            candidate.is_excluded = sees_snooze && deal.fields.stale_snoozed_until.is_some_and(|until| until > now);
            candidate.expected_close_on = deal.fields.expected_close_date.filter(|_| sees_close_date);
            let Some(stage) = stages.get(&deal.fields.stage_id) else { continue };
            let age = days(now - deal.fields.stage_entered_at);
            candidate.stage_age = stage.statistics.usual_days.filter(|_| sees_age).map(|usual| (age, usual));
            let is_scheduled = scheduled.contains(&deal.id.uuid());
            let (clocks, limits) = clocks(&deal, stage, is_scheduled, now);
            let untouched = sees_touch && clocks.verdict == Verdict::Stale;
            candidate.untouched_days = untouched.then_some(clocks.days_since_touch);
            let allowed = limits.max_days_in_stage.filter(|_| sees_age && clocks.is_overstayed);
            candidate.overstayed = allowed.map(|allowed| (clocks.days_in_stage, allowed.into()));
            candidate.figures = if sees_value { figures(&deal, stage, age, &exchange)? } else { None };
        }
        Ok(())
    }

    /// The user's deals that closed lately without a review.
    pub(super) fn put_unreviewed(&mut self, tx: &mut Tx<'_>, user: Id<User>) -> Result<()> {
        if !self.sight.deals.has(&["ownerId", "closedAt"]) {
            return Ok(());
        }
        let since = tx.ctx.now - TimeDelta::days(REVIEW_DAYS);
        let closed = Condition::Compare("closed_at".into(), ">=", since.into());
        let select = own::<Deal>(tx, "owner_id", user).and(closed).limit(MOST);
        let deals = Deal::load(tx, select)?;
        const REVIEWED: &str = "SELECT deal_id FROM win_loss_reviews WHERE organization_id = {org} AND deal_id = ANY({}) \
                                AND superseded_at IS NULL";
        let reviewed = ids(tx, REVIEWED, deals.iter().map(|deal| deal.id.uuid()).collect(), None)?;
        for deal in deals.iter().filter(|deal| !reviewed.contains(&deal.id.uuid())) {
            self.put_deal(deal).is_review_missing = true;
        }
        Ok(())
    }
}

/// Which of these deals have something planned.
fn scheduled(tx: &mut Tx<'_>, deals: Vec<Uuid>) -> Result<BTreeSet<Uuid>> {
    const PLANNED: &str = "SELECT DISTINCT deal_id FROM tasks WHERE organization_id = {org} AND deal_id = ANY({}) \
                           AND status = 'open' AND due_at > {}";
    let now = tx.ctx.now;
    ids(tx, PLANNED, deals, Some(now))
}

/// Both clocks of an open deal, with what its stage allows; what is planned leaves it alone.
fn clocks(deal: &Deal, stage: &EstimatedStage, is_scheduled: bool, now: DateTime<Utc>) -> (Assessment, Limits) {
    let fields = &deal.fields;
    let touched_at = fields.last_activity_at.max(Some(fields.stage_entered_at)).unwrap_or(deal.created_at);
    let watched = WatchedDeal {
        status: Status::Open,
        last_touch: Touch { what: Occurrence::NoteWritten, at: touched_at.max(deal.created_at) },
        stage_entered_at: fields.stage_entered_at,
        snoozed_until: fields.stale_snoozed_until,
        next_activity_at: is_scheduled.then_some(DateTime::<Utc>::MAX_UTC),
    };
    let days = |days: Option<i32>| days.and_then(|days| u32::try_from(days).ok());
    let limits = Limits {
        stale_after_days: days(stage.stage.fields.rotten_after_days),
        max_days_in_stage: days(stage.stage.fields.max_days_in_stage),
        exclude_scheduled: true,
        asked_days: None,
    };
    (assess(&watched, &limits, now), limits)
}

/// What the deal is worth by its history, now and a week ago; nothing where its value cannot be compared.
fn figures(deal: &Deal, stage: &EstimatedStage, age: f64, exchange: &Exchange) -> Result<Option<Figures>> {
    let worth = deal.fields.value.zip(exchange.rate(&deal.fields.currency));
    let Some((value, rate)) = worth else { return Ok(None) };
    let probability = stage.estimate.at_age(age).probability();
    let exact: Decimal = Probability::from_estimate(probability).map_err(internal)?.fraction();
    let too_large = || Error::internal("a value is out of range");
    let converted = value.amount().checked_mul(rate).ok_or_else(too_large)?;
    let probable_value = converted.round_dp(2).checked_mul(exact.round_dp(6)).ok_or_else(too_large)?;
    let probability_last_week = (age >= 7.0).then(|| stage.estimate.at_age(age - 7.0).probability());
    Ok(Some(Figures { probable_value, probability, probability_last_week }))
}
