//! What the tests of several rules share: instants from text, zones and instants at random.

use chrono::{DateTime, Utc};
use proptest::prelude::*;

/// The instant that `text` names (RFC 3339).
pub(crate) fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// Zones with every kind of oddity: no rule at all, quarter hours, half-hour shifts, shifts at midnight, a lost day.
pub(crate) fn zone_names() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "UTC",
        "Europe/London",
        "Europe/Berlin",
        "Africa/Cairo",
        "Africa/Casablanca",
        "America/Havana",
        "America/St_Johns",
        "America/Sao_Paulo",
        "Asia/Kathmandu",
        "Asia/Beirut",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Pacific/Chatham",
    ])
}

/// Whole seconds from 1980 to 2050, where zones have their transitions.
pub(crate) fn instants() -> impl Strategy<Value = DateTime<Utc>> {
    (315_532_800_i64..2_524_608_000).prop_map(|second| DateTime::from_timestamp(second, 0).unwrap())
}
