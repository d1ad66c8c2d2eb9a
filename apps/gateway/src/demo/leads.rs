//! Leads: where they come from, how they are worked, and what becomes of them.
use chrono::{DateTime, Utc};
use serde_json::json;

use super::{
    Scale, calendar,
    chance::Chance,
    companies::{self, owned},
    deals::{self, Prospect},
    house::BRANDS,
    people::{self, PEOPLE},
    plan::{Conversion, Deed, Event, Key, Plan},
    texts,
    words::{self, Naming},
    work::{self, Subject},
};

/// Where leads come from.
pub(super) struct Source {
    pub(super) name: &'static str,
    share: f64,
    /// How probably such a lead is worth working.
    quality: f64,
    /// By how much the odds of a deal from there differ.
    pub(super) odds: f64,
    /// Does it come by itself, without anybody who enters it?
    is_inbound: bool,
}

const fn source(name: &'static str, share: f64, quality: f64, odds: f64, is_inbound: bool) -> Source {
    Source { name, share, quality, odds, is_inbound }
}

/// The sources, of deals too.
pub(super) const SOURCES: [Source; 6] = [
    source("website", 0.34, 0.30, 0.95, true),
    source("webinar", 0.17, 0.26, 0.8, true),
    source("trade fair", 0.14, 0.32, 0.9, false),
    source("referral", 0.11, 0.58, 2.1, false),
    source("partner", 0.08, 0.46, 1.4, true),
    source("outbound", 0.16, 0.18, 0.55, false),
];

/// How many leads the year brings.
const LEADS: usize = 2_000;

/// A source, as often as it brings somebody.
pub(super) fn any_source(chance: &mut Chance) -> &'static Source {
    &SOURCES[chance.weighted(SOURCES.iter().map(|source| source.share))]
}

/// A lead while it is planned.
struct Draft {
    key: usize,
    brand: usize,
    owner: usize,
    source: &'static Source,
    first_name: &'static str,
    /// The company, where it is one that is known.
    known: Option<usize>,
    naming: Naming,
}

impl Draft {
    fn subject(&self) -> Subject<'_> {
        Subject { key: Key::Lead(self.key), person: self.first_name, company: &self.naming.name }
    }
}

/// Plans the leads of the year, and the deals of those that are converted.
pub(super) fn plan(plan: &mut Plan, scale: Scale) {
    for key in 0..scale.of(LEADS) {
        let at = calendar::arrival(&mut plan.chance, plan.opened_at, plan.now);
        let draft = arrive(plan, key, at);
        work_on(plan, &draft, at);
    }
}

fn arrive(plan: &mut Plan, key: usize, at: DateTime<Utc>) -> Draft {
    let brand = plan.chance.weighted(BRANDS.iter().map(|brand| brand.share));
    let owner = people::owner(&mut plan.chance, brand);
    let source = any_source(&mut plan.chance);
    let there = plan.companies.known(brand, at);
    let known = (!there.is_empty() && plan.chance.happens(0.62)).then(|| plan.chance.pick(&there));
    let naming = match known {
        Some(known) => plan.companies.get(known).naming.clone(),
        None => plan.companies.next_name(),
    };
    let (first, last) = words::person(&mut plan.chance);
    let campaigns = ["spring round", "benchmark report", "customer day", "autumn round"];
    let score = (source.quality * 90.0 + plan.chance.between(0.0, 50.0)).min(98.0) as i64;
    let country = BRANDS[brand].country;
    let body = json!({
        "firstName": first, "lastName": last, "companyName": naming.name, "source": source.name, "score": score,
        "email": words::email(first, last, &naming.domain), "jobTitle": plan.chance.pick(words::JOB_TITLES),
        "phone": plan.chance.happens(0.6).then(|| words::phone(&mut plan.chance, country)),
        "doNotContact": plan.chance.happens(0.02),
        "tags": if plan.chance.happens(0.12) { vec!["newsletter"] } else { Vec::new() },
        "customFields": if source.is_inbound { json!({"campaign": plan.chance.pick(&campaigns)}) } else { json!({}) },
    });
    let by = (!source.is_inbound).then_some(owner);
    plan.add([owned(Event::create(at, by, Key::Lead(key), body), brand, owner)]);
    Draft { key, brand, owner, source, first_name: first, known, naming }
}

/// From the first call to a conversion, as far as the lead gets and the year reaches.
fn work_on(plan: &mut Plan, draft: &Draft, at: DateTime<Utc>) {
    let pace = PEOPLE[draft.owner].pace;
    if plan.chance.happens(0.07) {
        return; // nobody ever calls them
    }
    let wait = plan.chance.waiting(1.6 * pace);
    let called_at = calendar::later(&mut plan.chance, at, wait);
    let call = work::activity(plan, called_at, draft.owner, &draft.subject(), &texts::FIRST_CONTACT);
    let noted_at = calendar::later(&mut plan.chance, called_at, 0.0);
    plan.add([call, status(noted_at, draft, "contacted").because("progressed", "")]);
    let wait = plan.chance.waiting(7.0 * pace);
    let decided_at = calendar::later(&mut plan.chance, noted_at, wait + 0.5);
    if plan.chance.happens(0.2) {
        let task = work::task(plan, noted_at, decided_at, draft.owner, &draft.subject(), &texts::LEAD_TASKS);
        plan.add(task);
    }
    if plan.chance.happens(draft.source.quality) {
        plan.add([status(decided_at, draft, "qualified").because("progressed", "Budget and need are there.")]);
        if plan.chance.happens(0.42) {
            let wait = plan.chance.waiting(4.0 * pace);
            let converted_at = calendar::later(&mut plan.chance, decided_at, wait);
            convert(plan, draft, converted_at);
        }
    } else if plan.chance.happens(0.75) {
        let why = [
            "No budget.",
            "Student project.",
            "Too small for us.",
            "Wrong person, no interest.",
            "Already a customer of another brand.",
        ];
        let note = plan.chance.pick(&why);
        plan.add([status(decided_at, draft, "unqualified").because("other", note)]);
    }
}

fn status(at: DateTime<Utc>, draft: &Draft, status: &str) -> Event {
    Event::change(at, draft.owner, Key::Lead(draft.key), json!({"status": status}))
}

fn convert(plan: &mut Plan, draft: &Draft, at: DateTime<Utc>) {
    if at > plan.now {
        return;
    }
    let Draft { brand, owner, source, known, .. } = *draft;
    let company = match known {
        Some(known) => known,
        None => companies::converted(plan, brand, owner, &draft.naming, at),
    };
    let contact = plan.companies.meet(company, draft.first_name, at);
    let deal = plan.next_deal();
    let prospect = Prospect { key: deal, brand, owner, company, contact, source, born_at: at };
    let offer = deals::offer(plan, &prospect);
    let conversion = Conversion { company, is_new_company: known.is_none(), contact: contact.key, deal };
    plan.add([Event::new(at, owner, Deed::Convert(conversion), Key::Lead(draft.key), offer.body.clone())]);
    deals::live(plan, &prospect, &offer);
}
