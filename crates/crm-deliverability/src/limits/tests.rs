//! One verdict: the vectors of each limit, and that no open instant is missed.

use super::*;
use crate::testing::{at, instants, zone_names};
use proptest::prelude::*;

const LONDON: Tz = chrono_tz::Europe::London;

fn open_facts<'a>(now: DateTime<Utc>, limits: Limits, reservations: &'a [DateTime<Utc>]) -> Facts<'a> {
    Facts { now, enabled: true, restricted: false, suppressed: false, quiet_hours: None, limits, reservations }
}

fn nights() -> Option<QuietHours> {
    Some(QuietHours::parse("22:00", "08:00", "Europe/London").unwrap())
}

fn blocked(reasons: &[Reason], retry_at: Option<&str>) -> Verdict {
    Verdict::Blocked { reasons: reasons.to_vec(), retry_at: retry_at.map(at) }
}

#[test]
fn the_minute_slides() {
    let start = at("2025-01-15T12:00:00Z");
    let second = |second: i64| start + TimeDelta::seconds(second);
    let sends = [second(5), second(0), second(10)];
    let limits = Limits { daily: 100, per_minute: 3, day: Day::Calendar(LONDON) };
    let full = Verdict::Blocked { reasons: vec![Reason::MinuteLimit], retry_at: Some(second(60)) };
    let table =
        [(20, full.clone(), 0), (59, full, 0), (60, Verdict::Open, 1), (65, Verdict::Open, 2), (70, Verdict::Open, 3)];
    for (elapsed, verdict, this_minute) in table {
        assert_eq!(decide(&open_facts(second(elapsed), limits, &sends)), verdict, "after {elapsed} s");
        assert_eq!(
            limits.remaining(&sends, second(elapsed)),
            Remaining { today: 97, this_minute },
            "after {elapsed} s"
        );
    }
}

#[test]
fn the_retry_skips_an_opening_that_another_rule_closes() {
    let sends = [at("2025-01-15T09:00:00Z"), at("2025-01-15T20:00:00Z")];
    let limits = Limits { daily: 2, per_minute: 10, day: Day::Calendar(LONDON) };
    let facts = Facts { quiet_hours: nights(), ..open_facts(at("2025-01-15T21:00:00Z"), limits, &sends) };
    let verdict = decide(&facts);
    assert_eq!(verdict, blocked(&[Reason::DailyLimit], Some("2025-01-16T08:00:00Z")));
    assert_eq!(verdict.retry_after(LONDON).as_deref(), Some("08:00"));
    assert_eq!(verdict.retry_after_seconds(facts.now), Some(11 * 3600));
    assert_eq!(Reason::QuietHours.to_string(), "Within quiet hours");
}

#[test]
fn days_are_calendar_days_or_any_24_hours() {
    let sends = [at("2025-01-15T09:00:00Z"), at("2025-01-15T23:59:59.5Z")];
    let calendar = Limits { daily: 2, per_minute: 10, day: Day::Calendar(LONDON) };
    let rolling = Limits { day: Day::Rolling24h, ..calendar };
    let table = [
        (calendar, "2025-01-15T23:59:59.6Z", blocked(&[Reason::DailyLimit], Some("2025-01-16T00:00:00Z")), 0),
        (calendar, "2025-01-16T00:00:00Z", Verdict::Open, 2),
        (rolling, "2025-01-16T08:59:59Z", blocked(&[Reason::DailyLimit], Some("2025-01-16T09:00:00Z")), 0),
        (rolling, "2025-01-16T09:00:00Z", Verdict::Open, 1),
    ];
    for (limits, now, verdict, today) in table {
        assert_eq!(decide(&open_facts(at(now), limits, &sends)), verdict, "{now}");
        assert_eq!(limits.remaining(&sends, at(now)).today, today, "{now}");
    }
    assert_eq!(calendar.counted_since(at("2025-01-16T00:00:10Z")), at("2025-01-15T23:59:10Z"));
    assert_eq!(rolling.counted_since(at("2025-01-16T00:00:10Z")), at("2025-01-15T00:00:10Z"));
}

#[test]
fn reasons_come_in_order_and_lasting_ones_have_no_retry() {
    let now = at("2025-01-15T23:00:00Z");
    let limits = Limits { daily: 1, per_minute: 1, day: Day::Calendar(LONDON) };
    let sends = [now];
    let night = Facts { quiet_hours: nights(), ..open_facts(now, limits, &sends) };
    let all = [
        Reason::Disabled,
        Reason::Restricted,
        Reason::SuppressedRecipient,
        Reason::QuietHours,
        Reason::DailyLimit,
        Reason::MinuteLimit,
    ];
    assert_eq!(decide(&night), blocked(&all[3..], Some("2025-01-16T08:00:00Z")));
    let suppressed = Facts { suppressed: true, ..night };
    assert_eq!(decide(&suppressed), blocked(&all[2..], None));
    assert_eq!(decide(&Facts { enabled: false, restricted: true, ..suppressed }), blocked(&all, None));
    let nothing_allowed = Facts { limits: Limits { daily: 0, ..limits }, ..open_facts(now, limits, &[]) };
    assert_eq!(decide(&nothing_allowed), blocked(&[Reason::DailyLimit], None));
}

#[test]
fn a_wait_is_rounded_up_to_whole_seconds() {
    let verdict = blocked(&[Reason::MinuteLimit], Some("2025-01-15T12:01:00Z"));
    assert_eq!(verdict.retry_after_seconds(at("2025-01-15T12:00:00Z")), Some(60));
    assert_eq!(verdict.retry_after_seconds(at("2025-01-15T12:00:00.001Z")), Some(60));
    assert_eq!(Verdict::Open.retry_after_seconds(at("2025-01-15T12:00:00Z")), None);
}

fn days() -> impl Strategy<Value = Day> {
    prop_oneof![Just(Day::Rolling24h), zone_names().prop_map(|zone| Day::Calendar(zone.parse().unwrap()))]
}

proptest! {
    #[test]
    fn the_retry_is_the_first_open_instant(
        now in instants(),
        ages in prop::collection::vec(0_i64..90_000, 0..12),
        (daily, per_minute, day) in (1_u32..8, 1_u32..4, days()),
        zone in zone_names(),
        start in 0_u32..24,
    ) {
        let reservations: Vec<_> = ages.iter().map(|age| now - TimeDelta::seconds(*age)).collect();
        let hours = (format!("{start}:00"), format!("{}:30", (start + 9) % 24));
        let facts = Facts {
            quiet_hours: Some(QuietHours::parse(&hours.0, &hours.1, zone).unwrap()),
            ..open_facts(now, Limits { daily, per_minute, day }, &reservations)
        };
        let Verdict::Blocked { retry_at, .. } = decide(&facts) else { return Ok(()) };
        let retry_at = retry_at.unwrap();
        prop_assert!(retry_at > now);
        prop_assert_eq!(decide(&Facts { now: retry_at, ..facts }), Verdict::Open);
        let mut still = retry_at - TimeDelta::seconds(1);
        while still > now {
            let blocked = matches!(decide(&Facts { now: still, ..facts }), Verdict::Blocked { .. });
            prop_assert!(blocked, "open at {} before {}", still, retry_at);
            still -= TimeDelta::minutes(37);
        }
    }

    #[test]
    fn no_burst_passes_the_limit(per_minute in 1_u32..6, gaps in prop::collection::vec(0_i64..30, 1..60)) {
        let limits = Limits { daily: 1000, per_minute, day: Day::Calendar(LONDON) };
        let mut now = at("2025-01-15T12:00:00Z");
        let mut sent = Vec::new();
        for gap in gaps {
            now += TimeDelta::seconds(gap);
            if decide(&open_facts(now, limits, &sent)).can_send() {
                sent.push(now);
            }
        }
        for last in &sent {
            let in_minute = sent.iter().filter(|at| **at <= *last && **at > *last - MINUTE).count();
            prop_assert!(in_minute <= per_minute as usize);
        }
    }
}
