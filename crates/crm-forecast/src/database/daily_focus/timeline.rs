//! What the timelines of the user's open deals and leads say: messages that nobody has answered, meetings that nobody has
//! prepared.
//!
//! A message is an `email` or an `other` that went `in`; anything that goes `out` later, and a call or a meeting whichever
//! way, answers it. What lies further back than [`MESSAGE_DAYS`] nobody waits for any more. A meeting that is still to come
//! today is prepared by words of its own, or by a note about the same record within [`NOTE_DAYS`] before it. The timeline
//! of a deal is its own and its contact's.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use crm_core::{Id, Record, Result, Tx, activities::Activity, users::User};
use diesel::{Queryable, sql_types as st};
use uuid::Uuid;

use super::{
    desk::{Desk, Evidence, MOST, Subject},
    tasks::load,
};
use crate::daily_focus::{Candidate, business_hours};

/// Days for which a message waits for its answer.
const MESSAGE_DAYS: i64 = 90;

/// Days before a meeting within which a note prepares it.
const NOTE_DAYS: i32 = 7;

/// An entry of the timeline of a deal or a lead.
#[derive(Queryable)]
struct Entry {
    about: Uuid,
    activity: Id<Activity>,
    version: i64,
    at: DateTime<Utc>,
}

type EntryTypes = (st::Uuid, st::Uuid, st::BigInt, st::Timestamptz);

/// The oldest message without an answer on each timeline of `$table r`, of which an activity `$one` is an entry where
/// `$about` holds.
macro_rules! unanswered {
    ($table:literal, $mine:literal, $theirs:literal, $open:literal) => {
        concat!(
            "SELECT DISTINCT ON (r.id) r.id, m.id, m.version, m.occurred_at FROM activities m JOIN ",
            $table,
            " r ON r.organization_id = m.organization_id AND ",
            $mine,
            " WHERE m.organization_id = {org} AND m.direction = 'in' AND m.type IN ('email', 'other') \
             AND m.occurred_at > {} AND m.occurred_at <= {} AND r.owner_id = {} AND ",
            $open,
            " AND ({} OR r.business_unit_id IS NULL OR r.business_unit_id = ANY({})) \
             AND ({} OR m.business_unit_id IS NULL OR m.business_unit_id = ANY({})) \
             AND NOT EXISTS (SELECT FROM activities b WHERE b.organization_id = m.organization_id AND ",
            $theirs,
            " AND b.occurred_at > m.occurred_at AND b.occurred_at <= {} \
             AND (b.direction = 'out' OR b.type IN ('call', 'meeting'))) \
             ORDER BY r.id, m.occurred_at, m.id LIMIT {}"
        )
    };
}

/// The next unprepared meeting on each timeline, as [`unanswered`].
macro_rules! unprepared {
    ($table:literal, $mine:literal, $theirs:literal, $open:literal) => {
        concat!(
            "SELECT DISTINCT ON (r.id) r.id, m.id, m.version, m.occurred_at FROM activities m JOIN ",
            $table,
            " r ON r.organization_id = m.organization_id AND ",
            $mine,
            " WHERE m.organization_id = {org} AND m.type = 'meeting' \
             AND m.occurred_at > {} AND m.occurred_at < {} AND r.owner_id = {} AND ",
            $open,
            " AND ({} OR r.business_unit_id IS NULL OR r.business_unit_id = ANY({})) \
             AND ({} OR m.business_unit_id IS NULL OR m.business_unit_id = ANY({})) \
             AND coalesce(btrim(m.body), '') = '' \
             AND NOT EXISTS (SELECT FROM activities b WHERE b.organization_id = m.organization_id AND ",
            $theirs,
            " AND b.type = 'note' AND b.occurred_at <= m.occurred_at \
             AND b.occurred_at > m.occurred_at - make_interval(days => {})) \
             ORDER BY r.id, m.occurred_at, m.id LIMIT {}"
        )
    };
}

/// The statements over the timelines of one kind of record.
struct Timelines {
    unanswered: &'static str,
    unprepared: &'static str,
}

/// Both statements of one kind of record.
macro_rules! timelines {
    ($table:literal, $mine:literal, $theirs:literal, $open:literal) => {
        Timelines {
            unanswered: unanswered!($table, $mine, $theirs, $open),
            unprepared: unprepared!($table, $mine, $theirs, $open),
        }
    };
}

const DEALS: Timelines = timelines!(
    "deals",
    "(r.id = m.deal_id OR r.contact_id = m.contact_id)",
    "(b.deal_id = r.id OR b.contact_id = r.contact_id)",
    "r.status = 'open'"
);

const LEADS: Timelines = timelines!(
    "leads",
    "r.id = m.lead_id",
    "b.lead_id = r.id",
    "r.status IN ('new', 'contacted', 'qualified') AND NOT r.do_not_contact"
);

impl Desk {
    /// The messages to answer and the meetings to prepare, as far as the user sees what they are found by.
    pub(super) fn put_timelines(&mut self, tx: &mut Tx<'_>, user: Id<User>) -> Result<()> {
        let activities = &self.sight.activities;
        let of_deals = activities.has(&["type", "occurredAt", "dealId", "contactId"])
            && self.sight.deals.has(&["ownerId", "status", "contactId"]);
        let of_leads = activities.has(&["type", "occurredAt", "leadId"])
            && self.sight.leads.has(&["ownerId", "status", "doNotContact"]);
        if of_deals {
            self.put_timelines_of(tx, user, &DEALS, Self::put_deal)?;
        }
        if of_leads {
            self.put_timelines_of(tx, user, &LEADS, Self::put_lead)?;
        }
        Ok(())
    }

    fn put_timelines_of<R: Record>(
        &mut self,
        tx: &mut Tx<'_>,
        user: Id<User>,
        timelines: &Timelines,
        put: for<'d> fn(&'d mut Self, &R) -> &'d mut Candidate<Subject, Evidence>,
    ) -> Result<()> {
        let now = tx.ctx.now;
        let messages = match self.sight.activities.has(&["direction"]) {
            true => messages(tx, timelines.unanswered, user)?,
            false => Vec::new(),
        };
        let meetings = match self.sight.activities.has(&["body"]) {
            true => meetings(tx, timelines.unprepared, user, self.tomorrow())?,
            false => Vec::new(),
        };
        let ids = messages.iter().chain(&meetings).map(|entry| entry.about).collect();
        let records: BTreeMap<Uuid, R> =
            load::<R>(tx, ids)?.into_iter().map(|record| (record.id().uuid(), record)).collect();
        for entry in &messages {
            let waited = business_hours(entry.at, now, self.zone);
            if let Some(record) = records.get(&entry.about) {
                put(self, record).unanswered_inbound = Some((entry.proof(), waited));
            }
        }
        for entry in &meetings {
            if let Some(record) = records.get(&entry.about) {
                put(self, record).unprepared_meeting = Some(entry.proof());
            }
        }
        Ok(())
    }
}

impl Entry {
    fn proof(&self) -> Evidence {
        Evidence::Activity(self.activity, self.version)
    }
}

fn messages(tx: &mut Tx<'_>, text: &'static str, user: Id<User>) -> Result<Vec<Entry>> {
    let (now, units) = (tx.ctx.now, tx.ctx.scope.units.as_deref());
    let units = (units.is_none(), units.unwrap_or_default());
    let found = tx
        .sql::<EntryTypes>(text)
        .with(|s| s.bind(now - TimeDelta::days(MESSAGE_DAYS)).bind(now).bind(user))
        .with(|s| s.bind(units.0).bind(units.1).bind(units.0).bind(units.1).bind(now).bind(MOST));
    Ok(found.all(tx)?)
}

fn meetings(tx: &mut Tx<'_>, text: &'static str, user: Id<User>, before: DateTime<Utc>) -> Result<Vec<Entry>> {
    let (now, units) = (tx.ctx.now, tx.ctx.scope.units.as_deref());
    let units = (units.is_none(), units.unwrap_or_default());
    let found = tx
        .sql::<EntryTypes>(text)
        .with(|s| s.bind(now).bind(before).bind(user))
        .with(|s| s.bind(units.0).bind(units.1).bind(units.0).bind(units.1).bind(NOTE_DAYS).bind(MOST));
    Ok(found.all(tx)?)
}
