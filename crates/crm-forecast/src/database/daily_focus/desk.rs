//! Everything that may come on a person's list, gathered once: a statement or a few for each kind of record.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use crm_core::{
    Id, Record, Result, Tx,
    activities::Activity,
    deals::Deal,
    gate::Action,
    leads::Lead,
    organizations,
    proposals::Awaited,
    select::{Condition, Select},
    tasks::Task,
    users::User,
};
use diesel::sql_types as st;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{super::check_may_view, FindAwaited, dismissals, sight::Sight};
use crate::daily_focus::Candidate;

/// Tasks and deals that are looked at; nobody works more than that in a day.
pub(super) const MOST: i64 = 1_000;

/// What an item is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    Deal(Id<Deal>),
    Lead(Id<Lead>),
    Task(Id<Task>),
    Approval(Uuid),
}

impl Subject {
    pub(super) fn uuid(self) -> Uuid {
        match self {
            Self::Deal(id) => id.uuid(),
            Self::Lead(id) => id.uuid(),
            Self::Task(id) => id.uuid(),
            Self::Approval(id) => id,
        }
    }

    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Deal(_) => "deal",
            Self::Lead(_) => "lead",
            Self::Task(_) => "task",
            Self::Approval(_) => "approval",
        }
    }

    pub(super) fn deal(self) -> Option<Id<Deal>> {
        if let Self::Deal(id) = self { Some(id) } else { None }
    }

    pub(super) fn lead(self) -> Option<Id<Lead>> {
        if let Self::Lead(id) = self { Some(id) } else { None }
    }

    pub(super) fn task(self) -> Option<Id<Task>> {
        if let Self::Task(id) = self { Some(id) } else { None }
    }

    pub(super) fn approval(self) -> Option<Uuid> {
        if let Self::Approval(id) = self { Some(id) } else { None }
    }
}

/// The record that proves a reason, as it stands: changed, it is another proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Evidence {
    Task(Id<Task>, i64),
    Activity(Id<Activity>, i64),
}

impl Evidence {
    pub(super) fn task(self) -> Option<Id<Task>> {
        if let Self::Task(id, _) = self { Some(id) } else { None }
    }

    pub(super) fn activity(self) -> Option<Id<Activity>> {
        if let Self::Activity(id, _) = self { Some(id) } else { None }
    }
}

/// Everything that may come on the list.
pub(super) struct Desk {
    pub(super) today: NaiveDate,
    pub(super) zone: Tz,
    pub(super) sight: Sight,
    pub(super) things: BTreeMap<Subject, (String, Candidate<Subject, Evidence>)>,
}

impl Desk {
    /// The desk of that person.
    pub(super) fn of(tx: &mut Tx<'_>, user: Id<User>, find_awaited: FindAwaited) -> Result<Self> {
        check_may_view(tx)?;
        let zone = organizations::read(tx)?.fields.zone();
        let today = tx.ctx.now.with_timezone(&zone).date_naive();
        let mut desk = Self { today, zone, sight: Sight::of(tx), things: BTreeMap::new() };
        desk.put_deals(tx, user)?;
        desk.put_unreviewed(tx, user)?;
        desk.put_leads(tx, user)?;
        desk.put_tasks(tx, user)?;
        desk.put_timelines(tx, user)?;
        desk.put_suppressions(tx)?;
        let awaited = find_awaited(tx)?;
        desk.put_awaited(&awaited, tx.ctx.now);
        for (subject, dismissal) in dismissals::of_person(tx, user)? {
            if let Some((_, candidate)) = desk.things.get_mut(&subject) {
                candidate.dismissal = Some(dismissal);
            }
        }
        Ok(desk)
    }

    /// When today is over. A day without a midnight begins an hour later.
    pub(super) fn tomorrow(&self) -> DateTime<Utc> {
        let next = self.today.checked_add_days(Days::new(1)).unwrap_or(self.today).and_time(NaiveTime::MIN);
        let begins = |local| self.zone.from_local_datetime(&local).earliest();
        let tomorrow = begins(next).or_else(|| begins(next + TimeDelta::hours(1)));
        tomorrow.map_or(DateTime::from_naive_utc_and_offset(next, Utc), |at| at.to_utc())
    }

    fn put(&mut self, subject: Subject, title: String, version: i64) -> &mut Candidate<Subject, Evidence> {
        let blank = || (title, Candidate { version, ..Candidate::blank(subject) });
        &mut self.things.entry(subject).or_insert_with(blank).1
    }

    pub(super) fn put_deal(&mut self, deal: &Deal) -> &mut Candidate<Subject, Evidence> {
        let touched_at = deal.fields.last_activity_at.filter(|_| self.sight.deals.has(&["lastActivityAt"]));
        let title = self.sight.deal_title(deal);
        let candidate = self.put(Subject::Deal(deal.id), title, deal.version);
        candidate.touched_at = touched_at;
        candidate
    }

    pub(super) fn put_lead(&mut self, lead: &Lead) -> &mut Candidate<Subject, Evidence> {
        let touched_at = lead.fields.last_activity_at.filter(|_| self.sight.leads.has(&["lastActivityAt"]));
        let title = self.sight.lead_title(lead);
        let candidate = self.put(Subject::Lead(lead.id), title, lead.version);
        candidate.touched_at = touched_at;
        candidate
    }

    pub(super) fn put_task(&mut self, task: &Task) -> &mut Candidate<Subject, Evidence> {
        let title = self.sight.task_title(task);
        self.put(Subject::Task(task.id), title, task.version)
    }

    /// The requests that wait for the user's decision. What they would change is told where they are read.
    fn put_awaited(&mut self, awaited: &[Awaited], now: DateTime<Utc>) {
        for request in awaited {
            let title = approval_title(&request.action, &request.resource);
            let candidate = self.put(Subject::Approval(request.id), title, request.version);
            candidate.decision_awaited_days = Some((now - request.since).num_days().max(0));
        }
    }
}

/// What a request asks for, in words. An action that is not known keeps its own.
fn approval_title(action: &str, resource: &str) -> String {
    let kind = resource.replace('_', " ");
    let article = if kind.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" };
    let wanted = match Action::named(action) {
        Some(Action::View) => "view of",
        Some(Action::Create) => return format!("Approve: a new {kind}"),
        Some(Action::Edit) => "change of",
        Some(Action::Delete) => "deletion of",
        Some(Action::ExportData) => "export of",
        Some(Action::ChangeStage) => "change of stage of",
        Some(Action::MarkWonLost) => "closing or reopening of",
        Some(Action::Manage) => "management of",
        None => return format!("Approve: {} of {article} {kind}", action.replace('_', " ")),
    };
    format!("Approve: {wanted} {article} {kind}")
}

/// The records of the user, by the column that says whose they are.
pub(super) fn own<R: Record>(tx: &Tx<'_>, column: &'static str, user: Id<User>) -> Select<R> {
    tx.records::<R>().and(Condition::Compare(column.into(), "=", user.into()))
}

pub(super) fn equal(column: &'static str, value: &str) -> Condition {
    Condition::Compare(column.into(), "=", value.into())
}

/// The ids that a statement finds among these, `after` an instant where it names one.
pub(super) fn ids(
    tx: &mut Tx<'_>,
    text: &'static str,
    among: Vec<Uuid>,
    after: Option<DateTime<Utc>>,
) -> Result<BTreeSet<Uuid>> {
    let found = tx.sql::<st::Uuid>(text).with(|s| s.bind(among));
    let found = match after {
        Some(after) => found.with(|s| s.bind(after)),
        None => found,
    };
    Ok(found.all::<Uuid>(tx)?.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_in_words() {
        let cases = [
            ("change_stage", "deal", "Approve: change of stage of a deal"),
            ("mark_won_lost", "deal", "Approve: closing or reopening of a deal"),
            ("create", "saved_view", "Approve: a new saved view"),
            ("delete", "exchange_rate", "Approve: deletion of an exchange rate"),
        ];
        for (action, resource, expected) in cases {
            assert_eq!(approval_title(action, resource), expected);
        }
        for action in Action::ALL {
            assert!(!approval_title(action.as_str(), "deal").contains(['_', '`']), "{action:?}");
        }
    }
}
