//! The demo organization itself: two brands, their pipelines, fields of their own and saved views.
use chrono::{Months, NaiveDate};
use crm_core::{
    Patch, Result, Tx, business_units::BusinessUnit, change, custom_fields::CustomField, exchange_rates, pipelines,
    saved_views,
};
use serde_json::{Value, json};

use super::{
    ledger::Ledger,
    members,
    people::{self, ADMIN, MANAGER, PEOPLE, REP},
    plan::Key,
};

/// A brand, which is a business unit.
pub(super) struct Brand {
    name: &'static str,
    slug: &'static str,
    timezone: &'static str,
    pub(super) country: &'static str,
    pub(super) currency: &'static str,
    /// Where its customers sit, and how many of them.
    pub(super) markets: &'static [(&'static str, f64)],
    /// How much of the business is its own.
    pub(super) share: f64,
    /// By how much its odds of winning differ.
    pub(super) odds: f64,
    /// How large its deals are against the other's.
    pub(super) size: f64,
    /// What it sells.
    pub(super) products: &'static [&'static str],
}

/// The two brands. Each has the pipeline of its own place: the first the organization's, the second one of its own.
pub(super) const BRANDS: [Brand; 2] = [
    Brand {
        name: "Halvard Instruments",
        slug: "halvard",
        timezone: "Europe/Berlin",
        country: "DE",
        currency: "EUR",
        markets: &[("DE", 60.0), ("AT", 14.0), ("CH", 10.0), ("PL", 8.0), ("SE", 8.0)],
        share: 0.56,
        odds: 0.85,
        size: 1.35,
        products: &[
            "line monitoring",
            "flow sensors",
            "leak detection",
            "calibration contract",
            "retrofit",
            "spare parts",
        ],
    },
    Brand {
        name: "Tarnwick Software",
        slug: "tarnwick",
        timezone: "Europe/London",
        country: "GB",
        currency: "GBP",
        markets: &[("GB", 68.0), ("IE", 14.0), ("NL", 12.0), ("US", 6.0)],
        share: 0.44,
        odds: 1.2,
        size: 0.7,
        products: &["warehouse module", "route planning", "analytics add-on", "40 seats", "120 seats", "pilot"],
    },
];

/// The place of the stages Won and Lost in both pipelines, behind four open ones.
pub(super) const WON: usize = 4;
pub(super) const LOST: usize = 5;

/// Builds the house in which the year is told.
///
/// # Errors
/// A refusal of any part of it, which would be a fault of this module.
pub(super) fn build(tx: &mut Tx<'_>, ledger: &mut Ledger) -> Result<()> {
    create_pipelines(tx, ledger)?;
    exchange_rates::put(tx, patch(rates(tx.ctx.now.date_naive())))?;
    for (place, brand) in BRANDS.iter().enumerate() {
        let body = json!({
            "name": brand.name, "slug": brand.slug, "timezone": brand.timezone, "country": brand.country,
            "defaultPipelineId": ledger.id::<()>(Key::Pipeline(place))?,
        });
        let unit = change::create::<BusinessUnit>(tx, patch(body))?;
        ledger.keep(Key::Unit(place), unit.id);
    }
    for body in fields() {
        change::create::<CustomField>(tx, patch(body))?;
    }
    people::create_others(tx, ledger)?;
    ledger.people = (0..PEOPLE.len()).map(|place| people::context(tx, ledger, place)).collect::<Result<_>>()?;
    for (owner, body) in views() {
        tx.acting(&ledger.people[owner], |tx| saved_views::create(tx, patch(body)))?;
    }
    Ok(())
}

fn create_pipelines(tx: &mut Tx<'_>, ledger: &mut Ledger) -> Result<()> {
    let mut all = pipelines::list(tx, &[])?.items;
    all.push(pipelines::create(
        tx,
        patch(json!({
            "name": "Subscriptions",
            "stages": [
                {"name": "Demo requested", "probability": 0.1, "rottenAfterDays": 10},
                {"name": "Trial", "probability": 0.3, "rottenAfterDays": 21, "maxDaysInStage": 45},
                {"name": "Security review", "probability": 0.55, "rottenAfterDays": 21, "maxDaysInStage": 60},
                {"name": "Contract", "probability": 0.8, "rottenAfterDays": 14},
                {"name": "Won", "kind": "won"},
                {"name": "Lost", "kind": "lost"},
            ],
        })),
    )?);
    for (place, pipeline) in all.iter().enumerate() {
        ledger.keep(Key::Pipeline(place), pipeline.pipeline.id);
        for (stage_place, stage) in pipeline.stages.iter().enumerate() {
            ledger.keep(Key::Stage(place, stage_place), stage.id);
        }
    }
    Ok(())
}

/// What a pound was worth in euros, month by month from the beginning on.
fn rates(first: NaiveDate) -> Value {
    const POUND: [f64; 14] = [
        1.1702, 1.1655, 1.1688, 1.1741, 1.1719, 1.1684, 1.1593, 1.1561, 1.1527, 1.1498, 1.1476, 1.1409, 1.1388, 1.1442,
    ];
    let month = |(n, rate): (u32, &f64)| {
        let on = first.checked_add_months(Months::new(n))?;
        Some(json!({"fromCurrency": "GBP", "effectiveOn": on, "rate": rate}))
    };
    json!({"exchangeRates": (0..).zip(&POUND).filter_map(month).collect::<Vec<_>>()})
}

fn fields() -> [Value; 5] {
    [
        json!({"entityType": "company", "key": "segment", "label": "Segment", "type": "select", "options": ["small", "mid-market", "enterprise"]}),
        json!({"entityType": "contact", "key": "language", "label": "Language", "type": "select", "options": ["de", "en", "nl", "pl", "sv"]}),
        json!({"entityType": "lead", "key": "campaign", "label": "Campaign", "type": "text"}),
        json!({"entityType": "deal", "key": "termMonths", "label": "Term in months", "type": "number"}),
        json!({"entityType": "deal", "key": "source", "label": "Source", "type": "select", "options": super::leads::SOURCES.map(|source| source.name)}),
    ]
}

fn views() -> [(usize, Value); 6] {
    [
        (
            MANAGER,
            json!({"entityType": "deal", "name": "Open deals by close date", "filters": {"status": "open"}, "sort": "expectedCloseDate", "columns": ["title", "value", "currency", "stageId", "ownerId", "expectedCloseDate"], "isShared": true}),
        ),
        (
            MANAGER,
            json!({"entityType": "deal", "name": "Large open deals", "filters": {"status": "open", "value[gte]": 100_000}, "sort": "-value", "columns": ["title", "value", "currency", "stageId", "ownerId", "lastActivityAt"], "isShared": true}),
        ),
        (
            MANAGER,
            json!({"entityType": "deal", "name": "Longest untouched", "filters": {"status": "open"}, "sort": "lastActivityAt", "columns": ["title", "ownerId", "lastActivityAt", "stageId"], "isShared": false}),
        ),
        (
            ADMIN,
            json!({"entityType": "lead", "name": "New leads, best first", "filters": {"status": "new"}, "sort": "-score", "columns": ["lastName", "companyName", "source", "score", "ownerId"], "isShared": true}),
        ),
        (
            REP,
            json!({"entityType": "deal", "name": "My open deals", "filters": {"status": "open", "ownerId": "me"}, "sort": "expectedCloseDate", "columns": ["title", "value", "stageId", "expectedCloseDate"], "isShared": false}),
        ),
        (
            REP,
            json!({"entityType": "task", "name": "My open tasks", "filters": {"status": "open", "assigneeId": "me"}, "sort": "dueAt", "columns": ["title", "dueAt", "priority"], "isShared": false}),
        ),
    ]
}

fn patch(body: Value) -> Patch {
    members(body).into()
}
