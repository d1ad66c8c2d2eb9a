//! The companies that the demo organization sells to, and the people there.
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::{
    Scale, calendar,
    house::BRANDS,
    members, people,
    plan::{Event, Key, Plan},
    words::{self, Naming},
    work,
};

/// How large a company is, and what follows from it.
pub(super) struct Segment {
    name: &'static str,
    share: f64,
    employees: f64,
    /// What half of its deals are worth less than, before the brand counts.
    pub(super) value: f64,
    /// How far the values of its deals spread.
    pub(super) sigma: f64,
    /// By how much its odds of buying differ.
    pub(super) odds: f64,
    /// How much longer it takes to decide.
    pub(super) pace: f64,
}

pub(super) const SEGMENTS: [Segment; 3] = [
    Segment { name: "small", share: 0.5, employees: 35.0, value: 7_000.0, sigma: 0.55, odds: 1.3, pace: 0.75 },
    Segment { name: "mid-market", share: 0.36, employees: 280.0, value: 32_000.0, sigma: 0.6, odds: 1.0, pace: 1.0 },
    Segment {
        name: "enterprise",
        share: 0.14,
        employees: 3_800.0,
        value: 140_000.0,
        sigma: 0.75,
        odds: 0.6,
        pace: 1.6,
    },
];

/// How many there are before the conversions of leads add theirs.
const COMPANIES: usize = 76;

/// What is planned of companies.
#[derive(Default)]
pub(super) struct Companies {
    list: Vec<Company>,
    contacts: usize,
    names: usize,
}

/// A planned company; its place in the list is its key.
pub(super) struct Company {
    pub(super) brand: usize,
    pub(super) naming: Naming,
    pub(super) segment: &'static Segment,
    /// When there was somebody to talk with.
    known_at: DateTime<Utc>,
    /// The people there, the first known first.
    pub(super) contacts: Vec<Contact>,
}

/// Somebody at a company.
#[derive(Debug, Clone, Copy)]
pub(super) struct Contact {
    pub(super) key: usize,
    pub(super) first_name: &'static str,
    known_at: DateTime<Utc>,
}

impl Companies {
    pub(super) fn get(&self, key: usize) -> &Company {
        &self.list[key]
    }

    /// The companies of a brand with which somebody could speak at that instant.
    pub(super) fn known(&self, brand: usize, at: DateTime<Utc>) -> Vec<usize> {
        let there = |company: &Company| company.brand == brand && company.known_at < at;
        (0..self.list.len()).filter(|key| there(&self.list[*key])).collect()
    }

    /// A name that no company has yet.
    pub(super) fn next_name(&mut self) -> Naming {
        self.names += 1;
        words::company(self.names)
    }

    /// Somebody more at a company.
    pub(super) fn meet(&mut self, company: usize, first_name: &'static str, known_at: DateTime<Utc>) -> Contact {
        self.contacts += 1;
        let contact = Contact { key: self.contacts, first_name, known_at };
        self.list[company].contacts.push(contact);
        contact
    }
}

impl Company {
    /// Those of its people who were known at that instant; the first of all where nobody was.
    pub(super) fn contacts_at(&self, at: DateTime<Utc>) -> &[Contact] {
        let known = self.contacts.iter().take_while(|contact| contact.known_at < at).count();
        &self.contacts[..known.max(1).min(self.contacts.len())]
    }
}

/// Plans the companies that are there from the start and those that come during the year.
pub(super) fn plan(plan: &mut Plan, scale: Scale) {
    for place in 0..scale.of(COMPANIES) {
        // Both brands have somebody to sell to from the first day on.
        let brand = if place < 6 { place % 2 } else { plan.chance.weighted(BRANDS.iter().map(|brand| brand.share)) };
        let at = match place < 6 || plan.chance.happens(0.7) {
            true => calendar::within(&mut plan.chance, plan.founded_at + calendar::span(2.0), plan.opened_at),
            false => calendar::arrival(&mut plan.chance, plan.opened_at, plan.now),
        };
        company(plan, brand, at);
    }
}

fn company(plan: &mut Plan, brand: usize, at: DateTime<Utc>) {
    let key = plan.companies.list.len();
    let owner = people::owner(&mut plan.chance, brand);
    let naming = plan.companies.next_name();
    let Facts { segment, country, employees, mut body } = look_up(plan, brand, &naming);
    body.insert("name".into(), naming.name.as_str().into());
    body.insert("domain".into(), naming.domain.as_str().into());
    if plan.chance.happens(0.15) {
        body.insert("tags".into(), json!(["key account"]));
    }
    let known = plan.companies.known(brand, at);
    let mut event = owned(Event::create(at, owner, Key::Company(key), body.into()), brand, owner);
    if !known.is_empty() && plan.chance.happens(0.07) {
        event = event.with("parentCompanyId", Key::Company(plan.chance.pick(&known)));
    }
    plan.companies.list.push(Company { brand, naming, segment, known_at: at, contacts: Vec::new() });
    plan.add([event]);
    let mut contact_at = at;
    for _ in 0..1 + plan.chance.weighted([0.3, 0.4, 0.3].into_iter()) {
        contact_at = calendar::later(&mut plan.chance, contact_at, 0.0);
        contact(plan, key, country, owner, contact_at);
        contact_at = calendar::later(&mut plan.chance, contact_at, 20.0);
    }
    if let Some(first) = plan.companies.list[key].contacts.first() {
        plan.companies.list[key].known_at = first.known_at;
    }
    afterwards(plan, key, owner, employees, at);
}

/// What can be found out about a company.
struct Facts {
    segment: &'static Segment,
    country: &'static str,
    employees: i64,
    body: Map<String, Value>,
}

fn look_up(plan: &mut Plan, brand: usize, naming: &Naming) -> Facts {
    let segment = &SEGMENTS[plan.chance.weighted(SEGMENTS.iter().map(|segment| segment.share))];
    let country = plan.chance.pick_weighted(BRANDS[brand].markets);
    let employees = plan.chance.log_normal(segment.employees, 0.5) as i64 + 3;
    let revenue = (employees as f64 * plan.chance.between(90.0, 260.0)) as i64 * 1_000;
    let body = members(json!({
        "industry": naming.industry, "employees": employees, "annualRevenue": revenue, "country": country,
        "city": words::city(&mut plan.chance, country), "customFields": {"segment": segment.name},
    }));
    Facts { segment, country, employees, body }
}

/// A company that the conversion of a lead makes. What there is to know of it is looked up afterwards.
pub(super) fn converted(plan: &mut Plan, brand: usize, owner: usize, naming: &Naming, at: DateTime<Utc>) -> usize {
    let key = plan.companies.list.len();
    let Facts { segment, body, .. } = look_up(plan, brand, naming);
    plan.companies.list.push(Company { brand, naming: naming.clone(), segment, known_at: at, contacts: Vec::new() });
    let looked_up_at = calendar::later(&mut plan.chance, at, 0.0);
    let event = Event::change(looked_up_at, owner, Key::Company(key), body.into());
    plan.add([event.because("data_quality", "From their website.")]);
    key
}

fn contact(plan: &mut Plan, company: usize, country: &str, owner: usize, at: DateTime<Utc>) {
    let (first, last) = words::person(&mut plan.chance);
    let language = match country {
        "DE" | "AT" | "CH" => "de",
        "PL" => "pl",
        "SE" => "sv",
        "NL" => "nl",
        _ => "en",
    };
    let body = json!({
        "firstName": first, "lastName": last, "jobTitle": plan.chance.pick(words::JOB_TITLES),
        "email": words::email(first, last, &plan.companies.get(company).naming.domain),
        "phone": words::phone(&mut plan.chance, country), "customFields": {"language": language},
    });
    let contact = plan.companies.meet(company, first, at);
    let brand = plan.companies.get(company).brand;
    let event = owned(Event::create(at, owner, Key::Contact(contact.key), body), brand, owner);
    plan.add([event.with("companyId", Key::Company(company))]);
    if plan.chance.happens(0.06) {
        let (later, title) = (calendar::later(&mut plan.chance, at, 90.0), plan.chance.pick(words::JOB_TITLES));
        let change = Event::change(later, owner, Key::Contact(contact.key), json!({"jobTitle": title}));
        plan.add([change.because("data_quality", "New position, says the signature.")]);
    }
}

/// What becomes known of a company later.
fn afterwards(plan: &mut Plan, key: usize, owner: usize, employees: i64, at: DateTime<Utc>) {
    if plan.chance.happens(0.2) {
        let later = within_year(plan, at);
        let grown = (employees as f64 * plan.chance.between(0.85, 1.3)) as i64;
        let change = Event::change(later, owner, Key::Company(key), json!({"employees": grown}));
        plan.add([change.because("data_quality", "From their yearly report.")]);
    }
    if plan.chance.happens(0.3) {
        let noted_at = within_year(plan, at);
        let name = plan.companies.get(key).naming.name.clone();
        plan.add([work::remark(noted_at, owner, Key::Company(key), &format!("{name} plans a second site next year."))]);
    }
}

fn within_year(plan: &mut Plan, from: DateTime<Utc>) -> DateTime<Utc> {
    calendar::later(&mut plan.chance, from, 0.0).max(calendar::arrival(&mut plan.chance, plan.opened_at, plan.now))
}

/// A new record in a brand, that somebody looks after.
pub(super) fn owned(event: Event, brand: usize, owner: usize) -> Event {
    event.with("businessUnitId", Key::Unit(brand)).with("ownerId", Key::User(owner))
}
