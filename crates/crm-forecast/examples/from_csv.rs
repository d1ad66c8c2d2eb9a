//! Forecasts the open deals of a CSV file.
//!
//! ```text
//! cargo run -p crm-forecast --example from_csv -- crates/crm-forecast/examples/deals.csv 2025-07-01 \
//!     Qualified=10 Demo=40 Proposal=80
//! ```
//!
//! The arguments are the file, the day as of which to forecast, and the stages' configured probabilities in percent.
//!
//! | column | meaning |
//! |---|---|
//! | `deal` | a name |
//! | `value` | in major units, with a point; may be empty |
//! | `currency` | an ISO 4217 code, the same in every row |
//! | `expected_close_on` | `YYYY-MM-DD`; may be empty |
//! | `outcome` | `open`, `won` or `lost` |
//! | `ended_on` | the day of the win or loss; empty while open |
//! | `path` | the stages in order, each with the day on which it was entered: `Demo 2025-01-05 > Proposal 2025-01-20` |

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use crm_forecast::amounts::{Amount, Currency, ExchangeRates, digits};
use crm_forecast::conversion::{AgedBelief, Passage, Settings, StageEstimate};
use crm_forecast::distribution::{Chance, Distribution, Portion};
use crm_forecast::histories::{Change, Event, State, Status, episodes_at, state_at};
use crm_forecast::pipeline::{Forecast, OpenDeal, Period, Totals, forecast};
use crm_forecast::probability::Probability;

type Anything<T> = Result<T, Box<dyn Error>>;

struct Deal {
    name: String,
    currency: Currency,
    events: Vec<Event<String>>,
}

fn main() -> Anything<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, day, stages @ ..] = arguments.as_slice() else {
        return Err("usage: from_csv FILE YYYY-MM-DD [STAGE=PERCENT ...]".into());
    };
    let configured = stages.iter().map(|pair| configured(pair)).collect::<Anything<BTreeMap<_, _>>>()?;
    let deals = csv::Reader::from_path(file)?.records().map(|row| deal(&row?)).collect::<Anything<Vec<_>>>()?;
    print(&deals, day.parse()?, &configured)
}

fn configured(pair: &str) -> Anything<(String, Probability)> {
    let (stage, percent) = pair.split_once('=').ok_or("a stage's probability is written STAGE=PERCENT")?;
    Ok((stage.into(), Probability::from_percent(percent.parse()?)?))
}

/// A row as the events that it stands for.
fn deal(row: &csv::StringRecord) -> Anything<Deal> {
    let field = |column: usize| row.get(column).unwrap_or_default().trim();
    let mut events = Vec::new();
    for (index, visit) in field(6).split('>').enumerate() {
        let (stage, day) = visit.trim().rsplit_once(' ').ok_or("a visit is written STAGE YYYY-MM-DD")?;
        let stage = stage.to_owned();
        let change = if index > 0 {
            Change::Moved(stage)
        } else {
            let value = Some(field(1)).filter(|text| !text.is_empty()).map(str::parse).transpose()?;
            let close = Some(field(3)).filter(|text| !text.is_empty()).map(str::parse).transpose()?;
            Change::Created { stage, value, expected_close_on: close }
        };
        events.push(Event { recorded_at: midnight(day.parse()?), change });
    }
    match field(4) {
        "open" => {}
        "won" => events.push(Event { recorded_at: midnight(field(5).parse()?), change: Change::Won }),
        "lost" => events.push(Event { recorded_at: midnight(field(5).parse()?), change: Change::Lost }),
        other => return Err(format!("an outcome is open, won or lost, not {other}").into()),
    }
    let currency = Currency::from_code(field(2)).ok_or("no such currency")?;
    Ok(Deal { name: field(0).into(), currency, events })
}

fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

/// What each stage's history says.
fn estimates(
    deals: &[Deal],
    at: DateTime<Utc>,
    configured: &BTreeMap<String, Probability>,
) -> BTreeMap<String, StageEstimate> {
    let mut passages: BTreeMap<String, Vec<Passage>> = BTreeMap::new();
    for episode in deals.iter().flat_map(|deal| episodes_at(&deal.events, at)) {
        let stages: BTreeSet<&String> = episode.visits.iter().map(|(stage, _)| stage).collect();
        for stage in stages {
            passages.entry(stage.clone()).or_default().extend(episode.passage(stage));
        }
    }
    let fit = |(stage, passages): (String, Vec<Passage>)| {
        let configured = configured.get(&stage).map(|probability| probability.to_f64());
        let estimate = StageEstimate::fit(&passages, configured, &Settings::default());
        (stage, estimate)
    };
    passages.into_iter().map(fit).collect()
}

fn print(deals: &[Deal], day: NaiveDate, configured: &BTreeMap<String, Probability>) -> Anything<()> {
    let at = midnight(day);
    let estimates = estimates(deals, at, configured);
    let rates = ExchangeRates::new(deals.first().ok_or("the file has no deals")?.currency);
    let (mut open, mut portions) = (Vec::new(), Vec::new());
    for deal in deals {
        let state = state_at(&deal.events, at).filter(|state| state.status == Status::Open);
        let Some(State { stage, stage_entered_at, value, expected_close_on, .. }) = state else { continue };
        let outlook = estimates[&stage].at_age((at - stage_entered_at).as_seconds_f64() / 86_400.0);
        let amount = value.map(|value| Amount::new(value, deal.currency)).transpose()?;
        if let Some(amount) = amount.filter(|amount| amount.currency() == rates.into_currency()) {
            portions.push((stage.clone(), outlook, amount.minor_units()?));
        }
        let estimate = Probability::from_estimate(outlook.probability())?;
        let id = deal.name.as_str();
        open.push(OpenDeal { id, stage, amount, expected_close_on, own_probability: None, estimate });
    }
    let seen = forecast(&open, configured, &Period::ALWAYS, &rates, day)?;
    print_values(&seen, &estimates);
    print_deciles(&Distribution::of(&shared(&portions)), seen.currency);
    seen.unconverted_deals.iter().for_each(|deal| println!("{deal} is in another currency and left out"));
    Ok(())
}

fn print_values(seen: &Forecast<&str, String>, estimates: &BTreeMap<String, StageEstimate>) {
    let line = |name: &str, totals: &Totals, note: &str| {
        let Totals { deals_count, pipeline_value, expected_value, probable_value } = totals;
        println!("{name:<12} {deals_count:>5} {pipeline_value:>12} {expected_value:>12} {probable_value:>12}  {note}");
    };
    println!(
        "{:<12} {:>5} {:>12} {:>12} {:>12}  entering it, won",
        "stage", "deals", "pipeline", "expected", "probable"
    );
    for (stage, totals) in &seen.by_stage {
        let belief = estimates[stage].belief();
        let [won, low, high] = [belief.mean(), belief.quantile(0.05), belief.quantile(0.95)].map(|share| share * 100.0);
        line(stage, totals, &format!("{won:.0} % ({low:.0} to {high:.0} %)"));
    }
    line("all", &seen.totals, seen.currency.code());
}

fn print_deciles(distribution: &Distribution, currency: Currency) {
    let minor = 10_f64.powi(digits(currency) as i32);
    for level in [0.1, 0.5, 0.9] {
        let value = distribution.quantile(level) as f64 / minor;
        println!("with probability {level} no more than {value:.2} will be won");
    }
}

/// Deals that stand in the same stage at the same landmark share their chance.
fn shared(deals: &[(String, &AgedBelief, u64)]) -> Vec<Portion> {
    let mut portions: BTreeMap<(&str, u64), (Chance, Vec<u64>)> = BTreeMap::new();
    for (stage, outlook, value) in deals {
        let fresh = (Chance::Shared(outlook.belief), Vec::new());
        portions.entry((stage, outlook.age as u64)).or_insert(fresh).1.push(*value);
    }
    portions.into_values().map(|(chance, values)| Portion::new(chance, values)).collect()
}
