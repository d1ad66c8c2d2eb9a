//! The ramps' tables, the rates' edges, and each automatic move.

use super::*;
use crate::testing::at;
use proptest::prelude::*;

const WARMING: Warmup = Warmup { state: WarmupState::Warming, ramp: Ramp::Mailbox, day: 5, qualified_days: 4 };

fn ended_day(sent: u32) -> EndedDay {
    EndedDay {
        now: at("2025-03-02T00:00:00Z"),
        sent,
        daily_send_limit: 100,
        outcomes: Outcomes { attempted: 100, accepted: 100, ..Outcomes::default() },
        idle_days: 0,
        days_in_state: 1,
        set_by_hand_at: None,
    }
}

fn bounces(hard_bounces: u64, attempted: u64) -> Outcomes {
    Outcomes { attempted, accepted: attempted, hard_bounces, complaints: 0 }
}

fn complaints(complaints: u64, accepted: u64) -> Outcomes {
    Outcomes { attempted: accepted, accepted, hard_bounces: 0, complaints }
}

#[test]
fn ramps_follow_their_tables() {
    let mailbox = [10, 12, 14, 17, 20, 24, 29, 35, 42, 51, 61, 74, 89, 106, 128, 154, 184, 221, 266, 319, 383, 460];
    let dedicated = [50, 70, 98, 137, 192, 268, 376, 527, 737, 1033, 1446, 2024, 2834, 3968];
    for (ramp, table) in [(Ramp::Mailbox, &mailbox[..]), (Ramp::Dedicated, &dedicated[..])] {
        let caps: Vec<u32> = (1..).take(table.len()).map(|day| ramp.cap(day)).collect();
        assert_eq!(caps, table);
        assert_eq!(ramp.cap(0), ramp.cap(1));
        assert_eq!(ramp.cap(u32::MAX), u32::MAX);
    }
    assert!(Ramp::Mailbox.cap(49) < 100_000 && Ramp::Mailbox.cap(50) == u32::MAX);
    assert!(Ramp::Dedicated.cap(44) < 100_000_000 && Ramp::Dedicated.cap(45) == u32::MAX);
}

#[test]
fn rates_are_judged_at_their_edges() {
    let table = [
        (bounces(1, 10), Health::Good),
        (bounces(2, 100), Health::Hold(Reason::BounceRate)),
        (bounces(2, 101), Health::Good),
        (bounces(5, 100), Health::Restrict(Reason::BounceRate)),
        (bounces(5, 101), Health::Hold(Reason::BounceRate)),
        (bounces(4, 50), Health::Hold(Reason::BounceRate)),
        (complaints(1, 1000), Health::Hold(Reason::ComplaintRate)),
        (complaints(1, 1001), Health::Good),
        (complaints(2, 667), Health::Hold(Reason::ComplaintRate)),
        (complaints(2, 666), Health::Restrict(Reason::ComplaintRate)),
        (complaints(3, 1000), Health::Restrict(Reason::ComplaintRate)),
        (Outcomes { complaints: 2, ..bounces(2, 100) }, Health::Restrict(Reason::ComplaintRate)),
        (Outcomes::default(), Health::Good),
    ];
    for (outcomes, health) in table {
        assert_eq!(outcomes.health(), health, "{outcomes:?}");
    }
}

#[test]
fn caps_never_exceed_the_daily_limit() {
    let table =
        [(WarmupState::New, 10), (WarmupState::Warming, 20), (WarmupState::Stable, 100), (WarmupState::Restricted, 0)];
    for (state, cap) in table {
        assert_eq!(Warmup { state, ..WARMING }.cap(100), cap, "{state:?}");
        assert_eq!(Warmup { state, ..WARMING }.cap(8), cap.min(8), "{state:?}");
    }
}

#[test]
fn the_first_aligned_message_begins_the_ramp() {
    let new = Warmup::new(Ramp::Dedicated);
    assert_eq!(new.after_accepted(false), new.unmoved());
    let begun = new.after_accepted(true);
    assert_eq!((begun.warmup.state, begun.warmup.day, begun.reason), (WarmupState::Warming, 1, Some(Reason::Ramp)));
    assert_eq!(begun.warmup.after_accepted(true), begun.warmup.unmoved());
    assert_eq!(new.after_day(&ended_day(0)), new.unmoved());
}

#[test]
fn only_qualified_days_advance_the_ramp() {
    let advanced = Warmup { day: 6, qualified_days: 5, ..WARMING };
    let held = EndedDay { outcomes: bounces(2, 100), ..ended_day(20) };
    let by_hand = EndedDay { set_by_hand_at: Some(at("2025-03-01T00:00:01Z")), ..ended_day(20) };
    let long_ago = EndedDay { set_by_hand_at: Some(at("2025-03-01T00:00:00Z")), ..ended_day(20) };
    let table =
        [(ended_day(10), advanced), (ended_day(9), WARMING), (held, WARMING), (by_hand, WARMING), (long_ago, advanced)];
    for (day, warmup) in table {
        assert_eq!(WARMING.after_day(&day), warmup.unmoved(), "{day:?}");
    }
}

#[test]
fn a_ramp_that_reaches_the_limit_after_fourteen_days_is_stable() {
    // Day 14 of a mailbox allows 106, more than the limit of 100.
    let thirteenth = Warmup { day: 13, qualified_days: 12, ..WARMING };
    let fourteenth = thirteenth.after_day(&ended_day(89));
    assert_eq!((fourteenth.warmup.state, fourteenth.reason), (WarmupState::Warming, None));
    let stable = fourteenth.warmup.after_day(&ended_day(100));
    assert_eq!((stable.warmup.state, stable.reason), (WarmupState::Stable, Some(Reason::Ramp)));
    let higher = EndedDay { daily_send_limit: 10_000, ..ended_day(106) };
    assert_eq!(fourteenth.warmup.after_day(&higher).warmup.state, WarmupState::Warming);
}

#[test]
fn idleness_restrictions_and_releases_move_the_state() {
    let stable = Warmup { state: WarmupState::Stable, day: 20, qualified_days: 20, ..WARMING };
    let restricted = Warmup { state: WarmupState::Restricted, ..stable };
    let idle = |idle_days| EndedDay { idle_days, ..ended_day(0) };
    let cooled = |days_in_state| EndedDay { days_in_state, ..ended_day(0) };
    let rates = EndedDay { outcomes: bounces(5, 100), ..ended_day(50) };
    let warming = |day| Warmup { state: WarmupState::Warming, day, qualified_days: 0, ..WARMING };
    let table = [
        (stable, idle(29), stable, None),
        // A quarter of 100 is 25: day 6 allows 24, day 7 already 29.
        (stable, idle(30), warming(6), Some(Reason::Idle)),
        (stable, rates, restricted, Some(Reason::BounceRate)),
        (restricted, rates, restricted, None),
        (restricted, cooled(6), restricted, None),
        (restricted, cooled(7), warming(10), Some(Reason::CoolOff)),
    ];
    for (before, day, after, reason) in table {
        assert_eq!(before.after_day(&day), Step { warmup: after, reason }, "{before:?} {day:?}");
    }
    assert_eq!(restricted.lifted(), warming(10));
    assert_eq!(Warmup { day: 1, ..restricted }.lifted(), warming(1));
    assert_eq!(stable.lifted(), stable);
    assert_eq!(stable.after_outcome(&complaints(3, 1000)).reason, Some(Reason::ComplaintRate));
}

#[test]
fn names_on_the_wire_are_lower_case() {
    let state: WarmupState = serde_json::from_str("\"restricted\"").unwrap();
    assert_eq!(state, WarmupState::Restricted);
    assert_eq!(serde_json::to_string(&Reason::BounceRate).unwrap(), "\"bounce_rate\"");
}

proptest! {
    #[test]
    fn ramps_are_monotone(day in 1_u32..200) {
        for ramp in [Ramp::Mailbox, Ramp::Dedicated] {
            prop_assert!(ramp.cap(day) <= ramp.cap(day + 1));
        }
    }

    #[test]
    fn an_idle_identity_restarts_at_no_more_than_a_quarter(limit in 40_u32..1_000_000) {
        let day = Ramp::Mailbox.day_for_quarter_of(limit);
        prop_assert!(Ramp::Mailbox.cap(day) <= limit / 4);
        prop_assert!(Ramp::Mailbox.cap(day + 1) > limit / 4);
    }

    #[test]
    fn more_bounces_never_help(bounced in 0_u64..200, attempted in 0_u64..2000) {
        let severity = |outcomes: Outcomes| match outcomes.health() {
            Health::Good => 0,
            Health::Hold(_) => 1,
            Health::Restrict(_) => 2,
        };
        prop_assert!(severity(bounces(bounced, attempted)) <= severity(bounces(bounced + 1, attempted)));
    }
}
