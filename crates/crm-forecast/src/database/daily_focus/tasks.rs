//! The user's tasks, each with what it is about.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use crm_core::{Id, Record, Result, Tx, deals::Deal, leads::Lead, select::Condition, tasks::Task, users::User};
use uuid::Uuid;

use super::desk::{Desk, Evidence, MOST, Subject, equal, own};
use crate::daily_focus::Candidate;

/// The deals and leads that tasks are about, as far as the user may see them.
struct Surroundings {
    deals: BTreeMap<Id<Deal>, Deal>,
    leads: BTreeMap<Id<Lead>, Lead>,
}

impl Desk {
    /// The user's open tasks that are due by the end of today, each with what it is about.
    pub(super) fn put_tasks(&mut self, tx: &mut Tx<'_>, user: Id<User>) -> Result<()> {
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
        let tasks = Task::load(tx, select)?;
        let around = Surroundings::of(tx, &tasks)?;
        for task in tasks {
            let Some(due_at) = task.fields.due_at else { continue };
            let days_over = (self.today - due_at.with_timezone(&self.zone).date_naive()).num_days();
            if days_over < 0 {
                continue;
            }
            let proof = Evidence::Task(task.id, task.version);
            let candidate = self.put_about(&around, &task);
            if days_over > 0 {
                candidate.overdue_task.get_or_insert((proof, days_over));
            } else {
                candidate.task_due_today.get_or_insert(proof);
            }
        }
        Ok(())
    }

    /// The deal or lead that a task is about, where the user may see it and sees that; else the task itself.
    fn put_about(&mut self, around: &Surroundings, task: &Task) -> &mut Candidate<Subject, Evidence> {
        let deal = task.fields.deal_id.filter(|_| self.sight.tasks.has(&["dealId"]));
        let lead = task.fields.lead_id.filter(|_| self.sight.tasks.has(&["leadId"]));
        if let Some(deal) = deal.and_then(|id| around.deals.get(&id)) {
            self.put_deal(deal)
        } else if let Some(lead) = lead.and_then(|id| around.leads.get(&id)) {
            self.put_lead(lead)
        } else {
            self.put_task(task)
        }
    }
}

impl Surroundings {
    fn of(tx: &mut Tx<'_>, tasks: &[Task]) -> Result<Self> {
        let deals = load::<Deal>(tx, tasks.iter().filter_map(|task| task.fields.deal_id).map(Id::uuid).collect())?;
        let leads = load::<Lead>(tx, tasks.iter().filter_map(|task| task.fields.lead_id).map(Id::uuid).collect())?;
        Ok(Self {
            deals: deals.into_iter().map(|deal| (deal.id, deal)).collect(),
            leads: leads.into_iter().map(|lead| (lead.id, lead)).collect(),
        })
    }
}

/// Those of these records that the user may see, in one statement.
pub(super) fn load<R: Record>(tx: &mut Tx<'_>, ids: Vec<Uuid>) -> Result<Vec<R>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let select = tx.records::<R>().and(Condition::AnyOf("id", ids.into()));
    R::load(tx, select)
}
