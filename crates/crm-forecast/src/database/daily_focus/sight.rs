//! What a person sees of the records on their desk, looked up once for all of them.

use crm_core::{Record, Tx, activities::Activity, deals::Deal, leads::Lead, masks, tasks::Task};

/// What the user sees of each kind of record. Whoever does not see a field must not read it off a title, a reason or the
/// order either.
pub(super) struct Sight {
    pub(super) deals: Seen,
    pub(super) leads: Seen,
    pub(super) tasks: Seen,
    pub(super) activities: Seen,
}

/// A kind of record by the fields that the user does not see in each of them, looked up once for all of them.
pub(super) struct Seen {
    hidden: Vec<String>,
}

impl Sight {
    pub(super) fn of(tx: &Tx<'_>) -> Self {
        Self {
            deals: Seen::of::<Deal>(tx),
            leads: Seen::of::<Lead>(tx),
            tasks: Seen::of::<Task>(tx),
            activities: Seen::of::<Activity>(tx),
        }
    }

    pub(super) fn deal_title(&self, deal: &Deal) -> String {
        let title = if self.deals.has(&["title"]) { &deal.fields.title } else { "Deal" };
        title.to_owned()
    }

    pub(super) fn task_title(&self, task: &Task) -> String {
        let title = if self.tasks.has(&["title"]) { &task.fields.title } else { "Task" };
        title.to_owned()
    }

    /// The lead's name, or what else the user sees of it that tells one from another.
    pub(super) fn lead_title(&self, lead: &Lead) -> String {
        let fields = &lead.fields;
        let seen = |name: &str, value: &Option<String>| value.clone().filter(|_| self.leads.has(&[name]));
        let names = [seen("firstName", &fields.first_name), seen("lastName", &fields.last_name)];
        let name: Vec<String> = names.into_iter().flatten().collect();
        let other = || seen("companyName", &fields.company_name).or_else(|| seen("email", &fields.email));
        if name.is_empty() { other().unwrap_or_else(|| "Lead".to_owned()) } else { name.join(" ") }
    }
}

impl Seen {
    fn of<R: Record>(tx: &Tx<'_>) -> Self {
        Self { hidden: masks::hidden::<R>(tx.ctx) }
    }

    /// Does the user see all these fields?
    pub(super) fn has(&self, fields: &[&str]) -> bool {
        self.hidden.iter().all(|hidden| !fields.contains(&hidden.as_str()))
    }
}
