//! How far deals closed from the day that had been stated for them.

use chrono::NaiveDate;
use chrono_tz::Tz;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::super::four_digits;
use crate::{
    backtest::slippage::{OnTime, Slip, last_closed_at, slip, slippage},
    histories::Event,
    patterns::ENOUGH_DEALS,
};

/// Days before the close of which the stated day counts.
const LEAD_DAYS: u16 = 30;

/// Deals that were pushed so often or more are told together.
const MOST_PUSHES: u32 = 10;

/// How deals closed against the day that had been stated for them thirty days earlier: the last closes of deals, won or lost,
/// from the first day of the question to the last, in the organization's zone.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CloseSlippage {
    /// How many days before the close the stated day counts.
    pub lead_days: u16,
    /// Days from the stated to the actual close on average; negative where deals closed early. Null below five deals.
    pub mean_days: Option<f64>,
    /// Days that half of the deals slipped at most; null below five deals.
    pub median_days: Option<f64>,
    /// Closes on the stated day or before, among all that had one.
    pub all: OnTimeRate,
    /// The same by how often the stated day had been moved to a later one.
    pub by_push_count: Vec<OnTimeRate>,
}

/// How many deals closed on time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OnTimeRate {
    /// How often the stated day had been moved to a later one; 10 stands for ten times and more. Absent over all deals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push_count: Option<u32>,
    /// Deals that closed.
    pub closed: u32,
    /// Of these, on the stated day or before.
    pub on_time: u32,
    /// On time in all that closed, 0 to 1; null below five deals.
    pub rate: Option<f64>,
    /// The lower end of the 90 % interval of the rate (Jeffreys).
    pub low: f64,
    /// The upper end of the 90 % interval of the rate.
    pub high: f64,
    /// Are they fewer than five, too few for a rate?
    pub insufficient_data: bool,
}

impl CloseSlippage {
    /// Nothing where no deal closed against a stated day.
    pub(super) fn of(histories: &[Vec<Event<Uuid>>], from: NaiveDate, to: NaiveDate, zone: Tz) -> Option<Self> {
        let is_asked = |events: &&Vec<Event<Uuid>>| {
            last_closed_at(events).is_some_and(|at| (from..=to).contains(&at.with_timezone(&zone).date_naive()))
        };
        let slips: Vec<Slip> =
            histories.iter().filter(is_asked).filter_map(|events| slip(events, LEAD_DAYS, &zone)).collect();
        let seen = slippage(&slips, MOST_PUSHES)?;
        let is_enough = slips.len() as u64 >= ENOUGH_DEALS;
        let tenths = |days: f64| is_enough.then(|| (days * 10.0).round() / 10.0);
        Some(Self {
            lead_days: LEAD_DAYS,
            mean_days: tenths(seen.mean_days),
            median_days: tenths(seen.median_days),
            all: OnTimeRate::of(None, &seen.all),
            by_push_count: seen.by_pushes.iter().map(|(pushes, one)| OnTimeRate::of(Some(*pushes), one)).collect(),
        })
    }
}

impl OnTimeRate {
    fn of(push_count: Option<u32>, seen: &OnTime) -> Self {
        let OnTime { on_time, closed, belief } = *seen;
        let (low, high) = belief.interval(0.9);
        let insufficient_data = u64::from(closed) < ENOUGH_DEALS;
        Self {
            push_count,
            closed,
            on_time,
            rate: (!insufficient_data).then(|| four_digits(f64::from(on_time) / f64::from(closed))),
            low: if on_time == 0 { 0.0 } else { four_digits(low) },
            high: if on_time == closed { 1.0 } else { four_digits(high) },
            insufficient_data,
        }
    }
}
