//! Deals: what is offered, and how each goes its way through the stages until it is won, lost, or still open now.
use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{
    Scale, calendar,
    companies::{Contact, owned},
    house::{BRANDS, LOST, WON},
    leads::{self, Source},
    people::{self, PEOPLE},
    plan::{Event, Key, Plan},
    texts,
    work::{self, Subject},
};

/// How many deals the year brings, those from leads among them.
const DEALS: usize = 1_500;

/// How many days half of the deals stay less in each open stage.
const PACES: [f64; 4] = [8.0, 13.0, 15.0, 12.0];

/// How the lost deals are spread over the open stages that they get to.
const LOSSES: [f64; 4] = [0.36, 0.28, 0.22, 0.14];

/// The odds of winning before source, size, brand and representative count.
const ODDS: f64 = 0.45;

/// A deal before it is worked.
pub(super) struct Prospect {
    pub(super) key: usize,
    pub(super) brand: usize,
    pub(super) owner: usize,
    pub(super) company: usize,
    pub(super) contact: Contact,
    pub(super) source: &'static Source,
    pub(super) born_at: DateTime<Utc>,
}

/// How a deal begins.
pub(super) struct Offer {
    pub(super) body: Value,
    value: i64,
    close_on: NaiveDate,
}

/// Plans the deals that begin without a lead: with companies that are known.
pub(super) fn plan(plan: &mut Plan, scale: Scale) {
    while plan.counts.deals < scale.of(DEALS) {
        let at = calendar::arrival(&mut plan.chance, plan.opened_at, plan.now);
        let brand = plan.chance.weighted(BRANDS.iter().map(|brand| brand.share));
        let known = plan.companies.known(brand, at);
        let company = plan.chance.pick(&known);
        let contact = plan.chance.pick(plan.companies.get(company).contacts_at(at));
        let (owner, source) = (people::owner(&mut plan.chance, brand), leads::any_source(&mut plan.chance));
        let prospect = Prospect { key: plan.next_deal(), brand, owner, company, contact, source, born_at: at };
        let offer = offer(plan, &prospect);
        let event = owned(Event::create(at, owner, Key::Deal(prospect.key), offer.body.clone()), brand, owner);
        let event = event.with("companyId", Key::Company(company)).with("contactId", Key::Contact(contact.key));
        plan.add([event]);
        live(plan, &prospect, &offer);
    }
}

/// What is offered to whom, for how much and until when.
pub(super) fn offer(plan: &mut Plan, prospect: &Prospect) -> Offer {
    let brand = &BRANDS[prospect.brand];
    let company = plan.companies.get(prospect.company);
    let (segment, name) = (company.segment, company.naming.name.clone());
    let value = round(plan.chance.log_normal(segment.value * brand.size, segment.sigma));
    let days = 50.0 * segment.pace * plan.chance.between(0.6, 1.7) + 7.0;
    let close_on = calendar::working_day((prospect.born_at + calendar::span(days)).date_naive());
    let body = json!({
        "title": format!("{name}: {}", plan.chance.pick(brand.products)), "value": value, "currency": brand.currency,
        "expectedCloseDate": close_on, "tags": if plan.chance.happens(0.1) { vec!["strategic"] } else { Vec::new() },
        "customFields": {"termMonths": plan.chance.pick(&[12, 12, 24, 36]), "source": prospect.source.name},
    });
    Offer { body, value, close_on }
}

/// A price as people make them: two or three digits, then zeros.
fn round(value: f64) -> i64 {
    let step = match value {
        v if v < 10_000.0 => 100.0,
        v if v < 100_000.0 => 500.0,
        _ => 5_000.0,
    };
    ((value / step).round().max(5.0) * step) as i64
}

/// Plans what becomes of a deal after its first day.
pub(super) fn live(plan: &mut Plan, prospect: &Prospect, offer: &Offer) {
    let company = plan.companies.get(prospect.company);
    let (segment, brand, owner) = (company.segment, &BRANDS[prospect.brand], &PEOPLE[prospect.owner]);
    let (name, at) = (company.naming.name.clone(), prospect.born_at);
    let subject = Subject { key: Key::Deal(prospect.key), person: prospect.contact.first_name, company: &name };
    let pace = segment.pace * owner.pace * if prospect.brand == 0 { 1.1 } else { 0.8 };
    let odds = ODDS * segment.odds * brand.odds * owner.skill * prospect.source.odds;
    let (value, close_on) = (offer.value, offer.close_on);
    let is_won = plan.chance.happens(odds / (1.0 + odds));
    let mut life = Life { plan, prospect, subject, pace, at, value, close_on, events: Vec::new(), is_open: true };
    life.work_through(0, is_won);
    if !life.is_open && !is_won && life.plan.chance.happens(0.06) {
        life.come_back();
    }
    let events = life.end();
    plan.add(events);
}

/// A deal on its way.
struct Life<'a> {
    plan: &'a mut Plan,
    prospect: &'a Prospect,
    subject: Subject<'a>,
    /// How much longer everything takes than usual.
    pace: f64,
    /// Where in time it stands.
    at: DateTime<Utc>,
    value: i64,
    close_on: NaiveDate,
    events: Vec<Event>,
    is_open: bool,
}

impl Life<'_> {
    /// From an open stage to the end, or to now.
    fn work_through(&mut self, mut stage: usize, is_won: bool) {
        let deepest = stage + self.plan.chance.weighted(LOSSES[stage..].iter().copied());
        let last = if is_won { WON - 1 } else { deepest };
        let mut may_fall_back = true;
        while self.at <= self.plan.now {
            let stay = self.plan.chance.log_normal(PACES[stage] * self.pace, 0.6);
            let leaves_at = calendar::later(&mut self.plan.chance, self.at, stay);
            self.work(stage, leaves_at);
            self.at = leaves_at;
            if stage >= last {
                return self.close(is_won);
            }
            let falls_back = may_fall_back && stage > 0 && self.plan.chance.happens(0.05);
            let skips = stage + 2 <= last && self.plan.chance.happens(0.1);
            stage = if falls_back { stage - 1 } else { stage + 1 + usize::from(skips) };
            may_fall_back &= !falls_back;
            self.enter(stage, falls_back);
        }
    }

    /// What is done while the deal stands in a stage.
    fn work(&mut self, stage: usize, leaves_at: DateTime<Utc>) {
        let (mut at, owner, until) = (self.at, self.prospect.owner, leaves_at.min(self.plan.now));
        loop {
            let wait = self.plan.chance.waiting(14.0 * self.pace);
            at = calendar::later(&mut self.plan.chance, at, wait);
            if at >= until {
                break;
            }
            let done = work::activity(self.plan, at, owner, &self.subject, texts::WORK[stage]);
            self.events.push(done);
        }
        if leaves_at > self.plan.now && self.plan.chance.happens(0.06) {
            self.ask(until);
        }
        if self.plan.chance.happens(0.2) && self.at < until {
            let task = work::task(self.plan, self.at, leaves_at, owner, &self.subject, texts::TASKS[stage]);
            self.events.extend(task);
        }
        if stage > 1 && self.plan.chance.happens(0.06) {
            let own = self.plan.chance.pick(&[0.2, 0.4, 0.6, 0.7, 0.9]);
            let at = calendar::within(&mut self.plan.chance, self.at, leaves_at);
            self.change(at, json!({"probability": own}), "progressed", "My own estimate.");
        }
        self.push_close_date(until);
    }

    /// The buyer asks something that nobody has answered yet.
    fn ask(&mut self, until: DateTime<Utc>) {
        let at = calendar::within(&mut self.plan.chance, self.at.max(until - calendar::span(4.0)), until);
        let text = self.plan.chance.pick(&texts::QUESTIONS);
        self.events.push(work::inbound(at, self.prospect.owner, &self.subject, text));
    }

    /// The close date comes nearer and is moved, or passes without anybody looking.
    fn push_close_date(&mut self, until: DateTime<Utc>) {
        let mut from = self.at;
        loop {
            let noon = self.close_on.and_time(NaiveTime::MIN).and_utc() + TimeDelta::hours(12);
            let early = self.plan.chance.between(-2.0, 4.0);
            let at = calendar::later(&mut self.plan.chance, from.max(noon - calendar::span(early)), 0.0);
            if at >= until || self.plan.chance.happens(0.25) {
                return;
            }
            let days = self.plan.chance.below(36) as u64 + 12;
            self.close_on =
                calendar::working_day(at.date_naive().checked_add_days(Days::new(days)).unwrap_or(self.close_on));
            let (code, note) = self.plan.chance.pick(&texts::PUSHES);
            self.change(at, json!({"expectedCloseDate": self.close_on}), code, note);
            from = at;
        }
    }

    fn enter(&mut self, stage: usize, falls_back: bool) {
        let notes: &[&str] = if falls_back { &texts::SETBACKS } else { &texts::PROGRESS };
        let note = self.plan.chance.pick(notes);
        let code = if falls_back { "regressed" } else { "progressed" };
        let event = Event::change(self.at, self.prospect.owner, self.subject.key, json!({}));
        let event = event.with("stageId", Key::Stage(self.prospect.brand, stage));
        self.events.push(event.because(code, &self.subject.tell(note)));
        if stage == 2 && self.plan.chance.happens(0.45) {
            let at = calendar::later(&mut self.plan.chance, self.at, 0.0);
            let changed = round(self.value as f64 * self.plan.chance.between(0.75, 1.35));
            if changed != self.value {
                self.value = changed;
                let (code, note) = self.plan.chance.pick(&texts::REVALUATIONS);
                self.change(at, json!({"value": changed}), code, note);
                self.at = at;
            }
        }
    }

    fn close(&mut self, is_won: bool) {
        if self.at > self.plan.now {
            return;
        }
        let (stage, reasons): (_, &[texts::Reason]) = if is_won { (WON, &texts::WON) } else { (LOST, &texts::LOST) };
        let (code, _, notes, learned) = reasons[self.plan.chance.weighted(reasons.iter().map(|reason| reason.1))];
        let learned = Some(self.plan.chance.pick(learned)).filter(|learned| !learned.is_empty());
        let notes = self.subject.tell(self.plan.chance.pick(notes));
        let review = json!({"primaryReasonCode": code, "notes": notes, "learned": learned});
        let by = people::closer(&mut self.plan.chance, self.prospect.brand);
        let event = Event::change(self.at, by, self.subject.key, json!({"winLossReview": review}));
        self.events.push(event.with("stageId", Key::Stage(self.prospect.brand, stage)));
        self.is_open = false;
    }

    /// A lost deal is opened again some weeks later, for another life.
    fn come_back(&mut self) {
        let wait = self.plan.chance.between(12.0, 70.0);
        let at = calendar::later(&mut self.plan.chance, self.at, wait);
        if at > self.plan.now {
            return;
        }
        let by = people::closer(&mut self.plan.chance, self.prospect.brand);
        let stage = 1 + self.plan.chance.below(2);
        self.close_on = calendar::working_day((at + calendar::span(40.0)).date_naive());
        let note = self.subject.tell(self.plan.chance.pick(&texts::COMEBACKS));
        let event = Event::change(at, by, self.subject.key, json!({"expectedCloseDate": self.close_on}));
        let event = event.with("stageId", Key::Stage(self.prospect.brand, stage));
        self.events.push(event.because("customer_request", &note));
        (self.at, self.is_open) = (at, true);
        let is_won = self.plan.chance.happens(0.45);
        self.work_through(stage, is_won);
    }

    /// All that happened. About half of the open deals have been left alone for a while, up to two months.
    fn end(mut self) -> Vec<Event> {
        if self.is_open && self.plan.chance.happens(0.5) {
            let left_at = self.plan.now - calendar::span(self.plan.chance.between(3.0, 61.0));
            self.events.retain(|event| event.at <= left_at);
        }
        if self.is_open && self.plan.chance.happens(0.4) {
            self.next_step();
        }
        self.events
    }

    /// What is to be done next about an open deal, in the coming days or already late.
    fn next_step(&mut self) {
        let now = self.plan.now;
        let from = (now - calendar::span(9.0)).max(self.prospect.born_at);
        let at = calendar::within(&mut self.plan.chance, from, now);
        let days = self.plan.chance.between(1.0, 16.0);
        let due_at = calendar::later(&mut self.plan.chance, at, days);
        let titles = self.plan.chance.pick(&texts::TASKS);
        let task = work::assignment(self.plan, at, due_at, self.prospect.owner, &self.subject, titles);
        self.events.push(task);
    }

    fn change(&mut self, at: DateTime<Utc>, body: Value, code: &str, note: &str) {
        let event = Event::change(at, self.prospect.owner, self.subject.key, body);
        self.events.push(event.because(code, &self.subject.tell(note)));
    }
}
