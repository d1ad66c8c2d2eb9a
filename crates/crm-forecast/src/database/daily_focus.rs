//! What the signed-in user should do first today, over their tasks, deals and leads.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use crm_core::{
    Error, Id, Record, Result, Tx,
    deals::Deal,
    leads::Lead,
    masks, organizations,
    select::{Condition, Select},
    tasks::Task,
    users::User,
};
use diesel::sql_types as st;
use rust_decimal::Decimal;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    DealFilter, check_may_view,
    conversion_rates::{EstimatedStage, estimates},
    exchange::Exchange,
    internal,
};
use crate::{
    daily_focus::{Action, Candidate, Figures, FocusItem, ReasonCode, daily_focus},
    histories::{Status, days},
    probability::Probability,
    stale::{Limits, Occurrence, Touch, Verdict, WatchedDeal, assess},
};

/// Tasks and deals that are looked at; nobody works more than that in a day.
const MOST: i64 = 1_000;

/// Score from which on a lead is hot.
const HOT_SCORE: i32 = 70;

/// Days after which a hot lead has waited too long.
const LEAD_DAYS: i64 = 3;

/// Days after its close within which a deal's review is asked for.
const REVIEW_DAYS: i64 = 30;

/// What to do first today.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DailyFocus {
    /// At most ten items, the most pressing first.
    pub items: Vec<FocusedItem>,
    /// As of when.
    pub generated_at: DateTime<Utc>,
}

/// A deal, lead or task to attend to. Exactly one of the ids is there.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FocusedItem {
    /// `deal`, `lead` or `task`.
    pub kind: &'static str,
    /// The deal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deal_id: Option<Id<Deal>>,
    /// The lead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lead_id: Option<Id<Lead>>,
    /// The task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_id: Option<Id<Task>>,
    /// What people call it.
    pub title: String,
    /// Sum of the reasons' points, at most 100.
    pub score: u32,
    /// The reasons, strongest first.
    pub reasons: Vec<FocusReason>,
    /// What the strongest reason asks for.
    pub suggested_action: Action,
}

/// Why something is on the list.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FocusReason {
    /// The reason.
    pub code: ReasonCode,
    /// Its points.
    pub points: u32,
    /// The reason as a sentence.
    pub text: String,
    /// The task that proves it, where it lies in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_id: Option<Id<Task>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Deal(Id<Deal>),
    Lead(Id<Lead>),
    Task(Id<Task>),
}

/// The ten most pressing things of the signed-in user. Days are those of the organization's zone.
///
/// # Errors
/// [`Error::Forbidden`], also where no person is signed in.
pub fn read(tx: &mut Tx<'_>) -> Result<DailyFocus> {
    check_may_view(tx)?;
    let nobody = || Error::Forbidden { code: "person_required", reason: "The daily focus is a person's own.".into() };
    let user = tx.ctx.actor.user().ok_or_else(nobody)?;
    let settings = organizations::read(tx)?.fields;
    let zone: Tz = settings.timezone.parse().map_err(|_| Error::internal("an unknown time zone"))?;
    let (now, today) = (tx.ctx.now, tx.ctx.now.with_timezone(&zone).date_naive());
    let sight = Sight { deals: Seen::of::<Deal>(tx), leads: Seen::of::<Lead>(tx), tasks: Seen::of::<Task>(tx) };
    let mut desk = Desk { today, zone, sight, things: BTreeMap::new() };
    desk.put_deals(tx, user)?;
    desk.put_unreviewed(tx, user)?;
    desk.put_leads(tx, user)?;
    desk.put_tasks(tx, user)?;
    let (titles, candidates): (BTreeMap<_, _>, Vec<_>) =
        desk.things.into_iter().map(|(subject, (title, candidate))| ((subject, title), candidate)).unzip();
    let items = daily_focus(&candidates, today).into_iter();
    Ok(DailyFocus { items: items.map(|item| focused(item, &titles)).collect(), generated_at: now })
}

/// Everything that may come on the list.
struct Desk {
    today: NaiveDate,
    zone: Tz,
    sight: Sight,
    things: BTreeMap<Subject, (String, Candidate<Subject, Id<Task>>)>,
}

/// What the user sees of each kind of record. Whoever does not see a field must not read it off a title, a reason or the
/// order either.
struct Sight {
    deals: Seen,
    leads: Seen,
    tasks: Seen,
}

/// A kind of record by the fields that the user does not see in each of them, looked up once for all of them.
struct Seen {
    hidden: Vec<String>,
}

impl Seen {
    fn of<R: Record>(tx: &Tx<'_>) -> Self {
        Self { hidden: masks::hidden::<R>(tx.ctx) }
    }

    /// Does the user see all these fields?
    fn has(&self, fields: &[&str]) -> bool {
        self.hidden.iter().all(|hidden| !fields.contains(&hidden.as_str()))
    }
}

impl Desk {
    fn put(&mut self, subject: Subject, title: &str) -> &mut Candidate<Subject, Id<Task>> {
        let blank = Candidate {
            id: subject,
            overdue_task: None,
            task_due_today: None,
            unanswered_inbound: None,
            unprepared_meeting: None,
            expected_close_on: None,
            stage_age: None,
            untouched_days: None,
            hot_lead_score: None,
            is_review_missing: false,
            figures: None,
            is_mail_suppressed: false,
            is_excluded: false,
        };
        &mut self.things.entry(subject).or_insert_with(|| (title.to_owned(), blank)).1
    }

    /// The user's open deals, with their dates and figures, as far as the user sees them.
    fn put_deals(&mut self, tx: &mut Tx<'_>, user: Id<User>) -> Result<()> {
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
        for deal in deals {
            let candidate = self.put(Subject::Deal(deal.id), &self.deal_title(&deal));
            candidate.expected_close_on = deal.fields.expected_close_date.filter(|_| sees_close_date);
            let Some(stage) = stages.get(&deal.fields.stage_id) else { continue };
            let age = days(now - deal.fields.stage_entered_at);
            candidate.stage_age = stage.statistics.usual_days.filter(|_| sees_age).map(|usual| (age, usual));
            let is_scheduled = scheduled.contains(&deal.id.uuid());
            candidate.untouched_days = untouched_days(&deal, stage, is_scheduled, now).filter(|_| sees_touch);
            candidate.figures = if sees_value { figures(&deal, stage, age, &exchange)? } else { None };
        }
        Ok(())
    }

    /// The user's deals that closed lately without a review.
    fn put_unreviewed(&mut self, tx: &mut Tx<'_>, user: Id<User>) -> Result<()> {
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
            self.put(Subject::Deal(deal.id), &self.deal_title(deal)).is_review_missing = true;
        }
        Ok(())
    }

    /// The user's hot leads that nobody is in touch with.
    fn put_leads(&mut self, tx: &mut Tx<'_>, user: Id<User>) -> Result<()> {
        if !self.sight.leads.has(&["ownerId", "score", "status", "doNotContact", "lastActivityAt"]) {
            return Ok(());
        }
        let before = tx.ctx.now - TimeDelta::days(LEAD_DAYS);
        let open: Vec<String> = ["new", "contacted", "qualified"].map(str::to_owned).to_vec();
        let select = own::<Lead>(tx, "owner_id", user)
            .and(Condition::Compare("score".into(), ">=", HOT_SCORE.into()))
            .and(Condition::AnyOf("status", open.into()))
            .and(Condition::Compare("do_not_contact".into(), "=", false.into()))
            .and(Condition::Any(vec![
                Condition::IsNull("last_activity_at", true),
                Condition::Compare("last_activity_at".into(), "<=", before.into()),
            ]))
            .limit(MOST);
        for lead in Lead::load(tx, select)? {
            let score = lead.fields.score;
            self.put(Subject::Lead(lead.id), &self.lead_title(&lead)).hot_lead_score = score;
        }
        Ok(())
    }

    /// The user's open tasks that are due by the end of today, each with what it is about.
    fn put_tasks(&mut self, tx: &mut Tx<'_>, user: Id<User>) -> Result<()> {
        if !self.sight.tasks.has(&["assigneeId", "status", "dueAt"]) {
            return Ok(());
        }
        let tomorrow = tx.ctx.now + TimeDelta::days(1);
        let due = Condition::Compare("due_at".into(), "<=", tomorrow.into());
        let select = own::<Task>(tx, "assignee_id", user)
            .and(equal("status", "open"))
            .and(due)
            .order("due_at", false)
            .limit(MOST);
        for task in Task::load(tx, select)? {
            let Some(due_at) = task.fields.due_at else { continue };
            let days_over = (self.today - due_at.with_timezone(&self.zone).date_naive()).num_days();
            if days_over < 0 {
                continue;
            }
            let (subject, title) = self.about(tx, &task)?;
            let candidate = self.put(subject, &title);
            if days_over > 0 {
                candidate.overdue_task.get_or_insert((task.id, days_over));
            } else {
                candidate.task_due_today.get_or_insert(task.id);
            }
        }
        Ok(())
    }

    /// The deal or lead that a task is about, where the user may see it; else the task itself.
    fn about(&self, tx: &mut Tx<'_>, task: &Task) -> Result<(Subject, String)> {
        let found = match (task.fields.deal_id, task.fields.lead_id) {
            (Some(id), _) => tx.find::<Deal>(id).map(|deal| (Subject::Deal(id), self.deal_title(&deal))),
            (_, Some(id)) => tx.find::<Lead>(id).map(|lead| (Subject::Lead(id), self.lead_title(&lead))),
            _ => Err(Error::NotFound),
        };
        match found {
            Err(Error::NotFound) => {
                let title = if self.sight.tasks.has(&["title"]) { &task.fields.title } else { "Task" };
                Ok((Subject::Task(task.id), title.to_owned()))
            }
            found => found,
        }
    }

    fn deal_title(&self, deal: &Deal) -> String {
        let title = if self.sight.deals.has(&["title"]) { &deal.fields.title } else { "Deal" };
        title.to_owned()
    }

    /// The lead's name, or what else the user sees of it that tells one from another.
    fn lead_title(&self, lead: &Lead) -> String {
        let fields = &lead.fields;
        let seen = |name: &str, value: &Option<String>| value.clone().filter(|_| self.sight.leads.has(&[name]));
        let names = [seen("firstName", &fields.first_name), seen("lastName", &fields.last_name)];
        let name: Vec<String> = names.into_iter().flatten().collect();
        let other = || seen("companyName", &fields.company_name).or_else(|| seen("email", &fields.email));
        if name.is_empty() { other().unwrap_or_else(|| "Lead".to_owned()) } else { name.join(" ") }
    }
}

/// The records of the user, by the column that says whose they are.
fn own<R: Record>(tx: &Tx<'_>, column: &'static str, user: Id<User>) -> Select<R> {
    tx.records::<R>().and(Condition::Compare(column.into(), "=", user.into()))
}

fn equal(column: &'static str, value: &str) -> Condition {
    Condition::Compare(column.into(), "=", value.into())
}

/// Which of these deals have something planned.
fn scheduled(tx: &mut Tx<'_>, deals: Vec<Uuid>) -> Result<BTreeSet<Uuid>> {
    const PLANNED: &str = "SELECT DISTINCT deal_id FROM tasks WHERE organization_id = {org} AND deal_id = ANY({}) \
                           AND status = 'open' AND due_at > {}";
    let now = tx.ctx.now;
    ids(tx, PLANNED, deals, Some(now))
}

fn ids(tx: &mut Tx<'_>, text: &'static str, among: Vec<Uuid>, after: Option<DateTime<Utc>>) -> Result<BTreeSet<Uuid>> {
    let found = tx.sql::<st::Uuid>(text).with(|s| s.bind(among));
    let found = match after {
        Some(after) => found.with(|s| s.bind(after)),
        None => found,
    };
    Ok(found.all::<Uuid>(tx)?.into_iter().collect())
}

/// Days without a touch, where they are too many for the deal's stage and nothing is planned.
fn untouched_days(deal: &Deal, stage: &EstimatedStage, is_scheduled: bool, now: DateTime<Utc>) -> Option<i64> {
    let fields = &deal.fields;
    let touched_at = fields.last_activity_at.max(Some(fields.stage_entered_at)).unwrap_or(deal.created_at);
    let watched = WatchedDeal {
        status: Status::Open,
        last_touch: Touch { what: Occurrence::NoteWritten, at: touched_at.max(deal.created_at) },
        stage_entered_at: fields.stage_entered_at,
        snoozed_until: fields.stale_snoozed_until,
        next_activity_at: is_scheduled.then_some(DateTime::<Utc>::MAX_UTC),
    };
    let stale_after_days = stage.stage.fields.rotten_after_days.and_then(|days| u32::try_from(days).ok());
    let seen = assess(&watched, &Limits { stale_after_days, exclude_scheduled: true, ..Limits::default() }, now);
    (seen.verdict == Verdict::Stale).then_some(seen.days_since_touch)
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

fn focused(item: FocusItem<Subject, Id<Task>>, titles: &BTreeMap<Subject, String>) -> FocusedItem {
    let (kind, deal_id, lead_id, task_id) = match item.id {
        Subject::Deal(id) => ("deal", Some(id), None, None),
        Subject::Lead(id) => ("lead", None, Some(id), None),
        Subject::Task(id) => ("task", None, None, Some(id)),
    };
    let reasons = item.reasons.into_iter().map(|reason| FocusReason {
        code: reason.code,
        points: reason.points,
        text: reason.text,
        task_id: reason.evidence,
    });
    FocusedItem {
        kind,
        deal_id,
        lead_id,
        task_id,
        title: titles.get(&item.id).cloned().unwrap_or_default(),
        score: item.score,
        reasons: reasons.collect(),
        suggested_action: item.action,
    }
}
