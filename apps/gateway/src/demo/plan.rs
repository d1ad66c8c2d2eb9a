//! The plan of the demo data: events in the order of time, with names for records that have no ids yet.
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::{Counts, Scale, calendar, chance::Chance, companies::Companies};

/// Any number will do; another makes another company's year.
const SEED: u64 = 0x4865_696d_6465_6c6c;

/// How many days before the work of the year the house was founded.
const LEAD_TIME: f64 = 30.0;
/// How many days of work are told.
const YEAR: f64 = 365.0;

/// A record of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Unit(usize),
    User(usize),
    Pipeline(usize),
    /// A pipeline and the place of the stage in it.
    Stage(usize, usize),
    Company(usize),
    Contact(usize),
    Lead(usize),
    Deal(usize),
    Task(usize),
    /// Nothing refers to an activity, so they have no numbers.
    Activity,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Create,
    Change,
    /// The event's members are those of the new deal.
    Convert(Conversion),
}

/// What a conversion makes of a lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Conversion {
    pub(super) company: usize,
    /// Does the conversion make the company?
    pub(super) is_new_company: bool,
    pub(super) contact: usize,
    pub(super) deal: usize,
}

/// Somebody does something at an instant.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) at: DateTime<Utc>,
    /// Their place among the people; the program itself where nobody does it.
    pub(super) by: Option<usize>,
    pub(super) deed: Deed,
    pub(super) key: Key,
    /// The body, as a request would bring it, `reasonCode` and `note` included.
    pub(super) members: Map<String, Value>,
    /// Members that name other records.
    pub(super) references: Vec<(&'static str, Key)>,
}

impl Event {
    pub(super) fn new(at: DateTime<Utc>, by: impl Into<Option<usize>>, deed: Deed, key: Key, body: Value) -> Self {
        let members = if let Value::Object(members) = body { members } else { Map::new() };
        Self { at, by: by.into(), deed, key, members, references: Vec::new() }
    }

    pub(super) fn create(at: DateTime<Utc>, by: impl Into<Option<usize>>, key: Key, body: Value) -> Self {
        Self::new(at, by, Deed::Create, key, body)
    }

    pub(super) fn change(at: DateTime<Utc>, by: usize, key: Key, body: Value) -> Self {
        Self::new(at, by, Deed::Change, key, body)
    }

    /// With a member that names another record.
    pub(super) fn with(mut self, member: &'static str, key: Key) -> Self {
        self.references.push((member, key));
        self
    }

    /// With the reason for a change.
    pub(super) fn because(mut self, code: &str, note: &str) -> Self {
        self.members.insert("reasonCode".into(), code.into());
        if !note.is_empty() {
            self.members.insert("note".into(), note.into());
        }
        self
    }
}

/// What is planned so far.
pub(super) struct Plan {
    /// When the house was founded.
    pub(super) founded_at: DateTime<Utc>,
    /// When the first lead came.
    pub(super) opened_at: DateTime<Utc>,
    /// When the telling ends.
    pub(super) now: DateTime<Utc>,
    pub(super) chance: Chance,
    pub(super) companies: Companies,
    pub(super) counts: Counts,
    deals: usize,
    tasks: usize,
    events: Vec<Event>,
}

impl Plan {
    /// An empty plan that ends at `now`.
    pub(super) fn new(now: DateTime<Utc>) -> Self {
        let opened_at = now - calendar::span(YEAR);
        Self {
            founded_at: opened_at - calendar::span(LEAD_TIME),
            opened_at,
            now,
            chance: Chance::new(SEED),
            companies: Companies::default(),
            counts: Counts::default(),
            deals: 0,
            tasks: 0,
            events: Vec::new(),
        }
    }

    /// The year of the demo organization, in the order of time.
    pub(super) fn year(now: DateTime<Utc>, scale: Scale) -> (Counts, Vec<Event>) {
        let mut plan = Self::new(now);
        super::companies::plan(&mut plan, scale);
        super::leads::plan(&mut plan, scale);
        super::deals::plan(&mut plan, scale);
        // Stable: what is planned after something else at the same instant may need it.
        plan.events.sort_by_key(|event| event.at);
        (plan.counts, plan.events)
    }

    /// The number of the next deal.
    pub(super) fn next_deal(&mut self) -> usize {
        self.deals += 1;
        self.deals
    }

    /// The number of the next task.
    pub(super) fn next_task(&mut self) -> usize {
        self.tasks += 1;
        self.tasks
    }

    /// Plans events; what would happen after now has not happened.
    pub(super) fn add(&mut self, events: impl IntoIterator<Item = Event>) {
        let now = self.now;
        for event in events.into_iter().filter(|event| event.at <= now) {
            self.counts.add(&event);
            self.events.push(event);
        }
    }
}
