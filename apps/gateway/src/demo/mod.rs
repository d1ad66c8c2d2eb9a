//! Demo data: a made-up organization of two brands with a year of work behind it, told through the same functions that
//! requests call, each event at its instant and in the name of who did it. So histories, stage visits, reviews and touch
//! dates come out as if people had worked there.
//!
//! The year happens in one transaction: an interrupted run leaves nothing of it behind, and what is there is whole. What is
//! computed from it follows in another, and would be made up for by the nightly jobs. The
//! address of the first account is unique in the installation, which makes a second run, and one at the same time, find
//! that the data is there.
mod calendar;
mod chance;
mod companies;
mod deals;
mod foresight;
mod house;
mod leads;
mod ledger;
mod people;
mod plan;
mod texts;
mod words;
mod work;

use chrono::{DateTime, Datelike, SubsecRound, Utc};
use crm_core::{Door, Error, Result, Tx, organizations};
use serde_json::{Map, Value, json};

use self::{
    ledger::Ledger,
    plan::{Deed, Event, Key, Plan},
};

/// The name of the organization.
pub const ORGANIZATION: &str = "Heimdell Demo";

/// The accounts that visitors sign in with, one of each role. They exist in demo data alone.
pub const ACCOUNTS: [&str; 3] = [people::PEOPLE[0].email, people::PEOPLE[1].email, people::PEOPLE[2].email];

/// The password of every account of the demo data.
pub const PASSWORD: &str = "heimdell-demo";

/// How much is made, in per cent of a full year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale(u8);

impl Scale {
    /// Everything: some 2,000 leads and 1,500 deals.
    pub const FULL: Self = Self(100);
    /// A tenth of it.
    pub const TENTH: Self = Self(10);

    fn of(self, number: usize) -> usize {
        number * usize::from(self.0) / 100
    }
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// The data was made just now.
    Now(Counts),
    /// It was there already, and nothing has changed.
    Before,
}

/// How many records were made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Companies, those from conversions among them.
    pub companies: usize,
    /// Contacts, likewise.
    pub contacts: usize,
    /// Leads.
    pub leads: usize,
    /// Deals, those from conversions among them.
    pub deals: usize,
    /// Activities.
    pub activities: usize,
    /// Tasks.
    pub tasks: usize,
}

impl Counts {
    fn add(&mut self, event: &Event) {
        match (event.deed, event.key) {
            (Deed::Convert(conversion), _) => {
                self.companies += usize::from(conversion.is_new_company);
                self.contacts += 1;
                self.deals += 1;
            }
            (Deed::Create, Key::Company(_)) => self.companies += 1,
            (Deed::Create, Key::Contact(_)) => self.contacts += 1,
            (Deed::Create, Key::Lead(_)) => self.leads += 1,
            (Deed::Create, Key::Deal(_)) => self.deals += 1,
            (Deed::Create, Key::Task(_)) => self.tasks += 1,
            (Deed::Create, Key::Activity) => self.activities += 1,
            _ => {}
        }
    }
}

/// Fills a database with the demo organization, as it would stand at `now`. The same `now` makes the same data, ids
/// apart. `progress` is told of each phase in a few words.
///
/// # Errors
/// What the database says; a refusal of an event, which is a fault of the demo data and leaves nothing behind.
pub fn fill(door: &Door, now: DateTime<Utc>, scale: Scale, progress: impl Fn(&str)) -> Result<Filled> {
    let now = now.trunc_subsecs(0);
    let founded_at = Plan::new(now).founded_at;
    let filled = door.found(founded_at, |tx| {
        let mut ledger = Ledger::default();
        organizations::found(
            tx,
            members(json!({"name": ORGANIZATION, "timezone": "Europe/Berlin", "baseCurrency": "EUR"})).into(),
        )?;
        people::create_admin(tx, &mut ledger)?;
        progress("Founding the organization: two brands, their people and pipelines");
        house::build(tx, &mut ledger)?;
        let (counts, events) = Plan::year(now, scale);
        tell(tx, &mut ledger, &events, &progress)?;
        Ok((tx.ctx.organization, counts))
    });
    match filled {
        Err(Error::Conflict { code: "email_taken", .. }) => Ok(Filled::Before),
        Err(error) => Err(error),
        Ok((organization, counts)) => {
            progress("Learning from the year: conversion rates and snapshots");
            door.system_write(organization, now, foresight::foresee)?;
            Ok(Filled::Now(counts))
        }
    }
}

/// Carries out the events, month by month.
fn tell(tx: &mut Tx<'_>, ledger: &mut Ledger, events: &[Event], progress: &impl Fn(&str)) -> Result<()> {
    for month in events.chunk_by(|one, next| one.at.month() == next.at.month()) {
        if let Some(first) = month.first() {
            progress(&format!("{}: {} events", first.at.format("%B %Y"), month.len()));
        }
        for event in month {
            ledger.carry_out(tx, event)?;
        }
    }
    Ok(())
}

/// A body as requests bring it.
fn members(body: Value) -> Map<String, Value> {
    if let Value::Object(members) = body { members } else { Map::new() }
}
