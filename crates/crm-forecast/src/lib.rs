//! Honest forecasts of a sales pipeline, as plain functions over plain values: no clock, no randomness. Compute on your
//! own data, as `examples/from_csv.rs` does from a file; [`database`] asks the same questions of the records of
//! `crm-core`.
//!
//! | question | module |
//! |---|---|
//! | What stands in the pipeline, and what are the three values of it? | [`pipeline`], with [`amounts`] |
//! | How likely is a deal in a stage to be won? | [`conversion`], with [`competing_risks`] and [`probability`] |
//! | How do deals move between stages? | [`transitions`] |
//! | How much will be won, and how sure is that? | [`distribution`] |
//! | What was known when, and how did it come out? | [`histories`], [`backtest`] |
//! | What changed since last week? | [`snapshots`] |
//! | Which deals does nobody touch any more? | [`stale`] |
//! | What should I do first today? | [`daily_focus`] |
//! | What goes with winning? | [`patterns`] |
//! | The same of the records of a CRM | [`database`]: forecasts, conversion rates, snapshots, backtests, stale deals |
//!
//! Deals and stages are named by whatever type the caller uses, as long as it can be compared and cloned. Money is exact
//! ([`rust_decimal::Decimal`], sums of products without rounding, one rounding at the end); doubles occur in statistics
//! alone. Nothing here panics on what it is given.
//!
//! # A forecast from past deals
//!
//! ```
//! use std::collections::BTreeMap;
//! use chrono::NaiveDate;
//! use crm_forecast::amounts::{Amount, Currency, ExchangeRates};
//! use crm_forecast::competing_risks::{Ending, Spell};
//! use crm_forecast::conversion::{Passage, Settings, StageEstimate};
//! use crm_forecast::distribution::{Chance, Distribution, Portion};
//! use crm_forecast::pipeline::{OpenDeal, Period, forecast};
//! use crm_forecast::probability::Probability;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Ten deals that went through the stage: days in it, days until the end, the end.
//! let passage = |left_after, days, ending| Passage { left_after, spell: Spell { days, ending } };
//! let mut past = vec![passage(9.0, 9.0, Ending::Lost); 7];
//! past.extend([passage(5.0, 30.0, Ending::Won); 3]);
//!
//! // People say 80 %. Ten pseudo-deals stand behind that; history pulls it down to 55 %.
//! let configured = Probability::from_percent(80.into())?;
//! let estimate = StageEstimate::fit(&past, Some(configured.to_f64()), &Settings::default());
//! assert!((estimate.belief().mean() - 0.55).abs() < 1e-12);
//!
//! let day = NaiveDate::from_ymd_opt(2025, 7, 1).ok_or("no such day")?;
//! let amount = Amount::new(25_000.into(), Currency::EUR)?;
//! let deal = OpenDeal {
//!     id: "Acme",
//!     stage: "Proposal",
//!     amount: Some(amount),
//!     expected_close_on: Some(day),
//!     own_probability: None,
//!     estimate: Probability::from_estimate(estimate.at_age(3.0).probability())?,
//! };
//! let stages = BTreeMap::from([("Proposal", configured)]);
//! let seen = forecast(&[deal], &stages, &Period::ALWAYS, &ExchangeRates::new(Currency::EUR), day)?;
//! assert_eq!(seen.totals.pipeline_value, 25_000.into());
//! assert_eq!(seen.totals.expected_value, 20_000.into());
//! assert_eq!(seen.totals.probable_value, 13_750.into());
//!
//! // All or nothing: a single deal's median is either its value or zero.
//! let values = [amount.minor_units()?];
//! let won = Distribution::of(&[Portion::new(Chance::Shared(estimate.belief()), values)]);
//! assert_eq!((won.quantile(0.1), won.quantile(0.5)), (0, 2_500_000));
//! # Ok(())
//! # }
//! ```

pub mod amounts;
pub mod backtest;
pub mod competing_risks;
pub mod conversion;
pub mod daily_focus;
pub mod database;
pub mod distribution;
pub mod histories;
pub mod patterns;
pub mod pipeline;
pub mod probability;
pub mod snapshots;
pub mod stale;
pub mod transitions;
