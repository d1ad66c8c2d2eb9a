//! What the program would have computed by now had the organization been there all year: conversion rates and snapshots.
//! And what was learnt about some deals.
use crm_core::{
    Record, Result, Tx,
    deals::{Deal, intel},
    jobs::{self, Enqueue, closings::CONVERSION_RATES},
};
use crm_forecast::database::{deal_snapshots, forecast_errors::ForecastErrorsJob, stage_statistics};
use serde_json::{Value, json};

use super::members;

/// Every so many deals somebody has written down what is known.
const EVERY: usize = 7;

/// Deals that are looked through for that, the oldest first.
const DEALS: i64 = 700;

/// Who else would sell to them, in the spellings of different people.
const COMPETITORS: [&[&str]; 6] = [
    &["Vantora"],
    &["Helmstat", "vantora"],
    &["In-house"],
    &["Quillpoint"],
    &["Helmstat"],
    &["Quill Point", "In-house"],
];

/// What the buyers hold against it.
const OBJECTIONS: [&[&str]; 5] = [
    &["Price too high"],
    &["Needs board approval"],
    &["No time this quarter", "price too high"],
    &["Missing integration"],
    &[],
];

/// What the buyers suffer from.
const PAINS: [&[&str]; 4] =
    [&["Manual data entry"], &["Unplanned downtime"], &["Poor reporting", "Manual data entry"], &["Slow onboarding"]];

/// Who decides.
const DECIDERS: [&str; 4] = ["Head of operations", "CFO", "CTO", "Plant manager"];

/// Carries it out, at the instant at which the demo data ends.
pub(super) fn foresee(tx: &mut Tx<'_>) -> Result<()> {
    let select = tx.records::<Deal>().order("created_at", false).limit(DEALS);
    for (i, deal) in Deal::load(tx, select)?.iter().step_by(EVERY).enumerate() {
        intel::put(tx, deal.id, members(known(i, &deal.fields.status)).into())?;
    }
    stage_statistics::compute_all(tx)?;
    deal_snapshots::take_all(tx)?;
    // It takes a while and nobody waits for it.
    jobs::enqueue(tx, &ForecastErrorsJob {}, &Enqueue::default())?;
    fail_once(tx)
}

/// A job that was given up and the alert about it, so that there is something to look at. Run again it does its work, and
/// the alert resolves by itself.
fn fail_once(tx: &mut Tx<'_>) -> Result<()> {
    let job = jobs::enqueue_kind(tx, &CONVERSION_RATES, json!({}), &Enqueue::default())?;
    jobs::give_up(tx, job, "the database was being restored")
}

fn known(i: usize, status: &str) -> Value {
    json!({
        "decisionMaker": DECIDERS[i % DECIDERS.len()], "keyPainPoints": PAINS[i % PAINS.len()],
        "objections": OBJECTIONS[i % OBJECTIONS.len()], "competitors": COMPETITORS[i % COMPETITORS.len()],
        "whatWorked": (status == "won").then_some("A pilot with their own data."),
        "whatFailed": (status == "lost").then_some("We met the people who decide too late."),
    })
}
