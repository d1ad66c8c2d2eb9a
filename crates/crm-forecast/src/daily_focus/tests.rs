//! Points, order and limits of the list.

use super::*;
use proptest::prelude::*;

fn today() -> NaiveDate {
    NaiveDate::from_ymd_opt(2025, 6, 2).unwrap()
}

fn candidate(id: u32, probable_value: i64) -> Candidate<u32, &'static str> {
    let probable_value = probable_value.into();
    Candidate {
        figures: Some(Figures { probable_value, probability: 0.5, probability_last_week: Some(0.5) }),
        ..Candidate::blank(id)
    }
}

/// Five deals; the first stands at the 75th percentile.
fn among_others(first: Candidate<u32, &'static str>) -> Vec<Candidate<u32, &'static str>> {
    [first].into_iter().chain([(2, 10), (3, 20), (4, 30), (5, 900)].map(|(id, value)| candidate(id, value))).collect()
}

fn score_of_first(first: Candidate<u32, &'static str>) -> Option<u32> {
    daily_focus(&among_others(first), today()).iter().find(|item| item.id == 1).map(|item| item.score)
}

#[test]
fn each_reason_has_its_points() {
    let plain = candidate(1, 500);
    let close = |days| Some(today() + chrono::TimeDelta::days(days));
    let figures = |before| Some(Figures { probability_last_week: Some(before), ..plain.figures.unwrap() });
    let late = Candidate { overdue_task: Some(("t1", 2)), expected_close_on: close(3), ..plain.clone() };
    let cases = [
        ("value only", plain.clone(), 15),
        ("overdue and closing", late.clone(), 75),
        ("closing", Candidate { overdue_task: None, ..late.clone() }, 35),
        ("closing in 7 days", Candidate { expected_close_on: close(7), ..plain.clone() }, 35),
        ("closing in 8 days", Candidate { expected_close_on: close(8), ..plain.clone() }, 15),
        ("task today", Candidate { task_due_today: Some("t1"), ..plain.clone() }, 40),
        ("inbound 4 h", Candidate { unanswered_inbound: Some(("m1", 4.0)), ..plain.clone() }, 15),
        ("inbound 4.1 h", Candidate { unanswered_inbound: Some(("m1", 4.1)), ..plain.clone() }, 50),
        ("meeting", Candidate { unprepared_meeting: Some("a1"), ..plain.clone() }, 30),
        ("close day passed", Candidate { expected_close_on: close(-1), ..plain.clone() }, 35),
        ("untouched", Candidate { untouched_days: Some(20), ..plain.clone() }, 30),
        ("hot lead", Candidate { hot_lead_score: Some(90), ..plain.clone() }, 45),
        ("no review", Candidate { is_review_missing: true, ..plain.clone() }, 35),
        ("age at the limit", Candidate { stage_age: Some((30.0, 30.0)), ..plain.clone() }, 15),
        ("age over it", Candidate { stage_age: Some((31.0, 30.0)), ..plain.clone() }, 30),
        ("overstayed", Candidate { overstayed: Some((30, 30)), ..plain.clone() }, 30),
        (
            "overstayed and over the age of won deals, told once",
            Candidate { overstayed: Some((31, 30)), stage_age: Some((31.0, 30.0)), ..plain.clone() },
            30,
        ),
        ("decision awaited", Candidate { decision_awaited_days: Some(0), ..plain.clone() }, 45),
        ("fell by ten", Candidate { figures: figures(0.6), ..plain.clone() }, 15),
        ("fell by eleven", Candidate { figures: figures(0.61), ..plain.clone() }, 25),
        ("capped", Candidate { unanswered_inbound: Some(("m1", 9.0)), task_due_today: Some("t2"), ..late }, 100),
    ];
    for (name, first, expected) in cases {
        assert_eq!(score_of_first(first), Some(expected), "{name}");
    }
}

#[test]
fn reasons_come_strongest_first_with_their_evidence() {
    let first = Candidate { unanswered_inbound: Some(("m1", 5.5)), overdue_task: Some(("t1", 1)), ..candidate(1, 500) };
    let items = daily_focus(&among_others(first), today());
    let reasons: Vec<_> = items[0].reasons.iter().map(|reason| (reason.points, reason.evidence)).collect();
    assert_eq!(reasons, [(40, Some("t1")), (35, Some("m1")), (15, None)]);
    assert_eq!(items[0].reasons[0].text, "A task is overdue by 1 day.");
    assert_eq!(items[0].action, Action::DoTask);
}

fn text_of(candidates: &[Candidate<u32, &'static str>], id: u32, code: ReasonCode) -> Option<String> {
    let items = daily_focus(candidates, today());
    let reason = items.iter().find(|item| item.id == id)?.reasons.iter().find(|reason| reason.code == code)?;
    Some(reason.text.clone())
}

#[test]
fn a_rank_is_told_as_it_is() {
    let due = |id, value| Candidate { task_due_today: Some("t"), ..candidate(id, value) };
    let ranked: Vec<_> = (0..9).map(|id| due(id, i64::from(id))).collect();
    let cases = [
        (0, None),
        (1, None),
        (2, Some("Its probable value exceeds that of 25 % of your other open deals with a value.")),
        (5, Some("Its probable value exceeds that of 62 % of your other open deals with a value.")),
        (8, Some("None of your other open deals has a probable value as high.")),
    ];
    for (id, expected) in cases {
        assert_eq!(text_of(&ranked, id, ReasonCode::Valuable).as_deref(), expected, "{id} of 8");
    }
    let alike: Vec<_> = (0..3).map(|id| due(id, 7)).collect();
    assert_eq!(text_of(&alike, 0, ReasonCode::Valuable), None, "all are worth the same");
}

#[test]
fn the_age_in_a_stage_never_contradicts_itself() {
    let cases = [
        ((0.5, 0.1), None),
        ((0.99, 0.0), None),
        ((1.0, 1.0), None),
        ((1.2, 0.1), Some("1 day in its stage: longer than nine in ten won deals.")),
        ((2.0, 0.1), Some("2 days in its stage; nine in ten won deals took 1 day or less.")),
        ((2.0, 0.0), Some("2 days in its stage; nine in ten won deals took 1 day or less.")),
        ((10.5, 10.2), Some("10 days in its stage: longer than nine in ten won deals.")),
        ((11.5, 10.2), Some("11 days in its stage: longer than nine in ten won deals.")),
        ((31.0, 30.0), Some("31 days in its stage; nine in ten won deals took 30 days or less.")),
    ];
    for (age, expected) in cases {
        let first = Candidate { stage_age: Some(age), ..candidate(1, 0) };
        assert_eq!(text_of(&[first], 1, ReasonCode::StandingLong).as_deref(), expected, "{age:?}");
    }
}

#[test]
fn excluded_items_and_suppressed_mail_are_left_out() {
    let plain = Candidate { figures: None, ..candidate(1, 0) };
    let mail = Candidate { unanswered_inbound: Some(("m1", 9.0)), ..plain.clone() };
    assert_eq!(score_of_first(mail.clone()), Some(35));
    assert_eq!(score_of_first(Candidate { is_mail_suppressed: true, ..mail.clone() }), None);
    assert_eq!(score_of_first(Candidate { is_excluded: true, ..mail }), None);
    assert_eq!(score_of_first(plain), None);
}

#[test]
fn nobody_is_told_to_write_to_a_suppressed_address() {
    let lead = Candidate { figures: None, hot_lead_score: Some(90), ..candidate(1, 0) };
    let first = |candidate: Candidate<u32, &'static str>| {
        let item = daily_focus(&[candidate], today()).into_iter().next()?;
        Some((item.action, item.reasons[0].text.contains("suppressed")))
    };
    assert_eq!(first(lead.clone()), Some((Action::GetInTouch, false)));
    let suppressed = Candidate { is_mail_suppressed: true, ..lead };
    assert_eq!(first(suppressed.clone()), None, "there is no other way");
    let with_phone = Candidate { has_phone: true, ..suppressed };
    assert_eq!(first(with_phone.clone()), Some((Action::Call, true)));
    let stale = Candidate { hot_lead_score: None, untouched_days: Some(20), ..with_phone };
    assert_eq!(first(stale.clone()), Some((Action::Call, false)));
    assert_eq!(first(Candidate { has_phone: false, ..stale }), Some((Action::GetInTouch, false)));
}

/// What presses for a candidate now, taken off the list.
fn dismissed(candidate: &Candidate<u32, &'static str>) -> Candidate<u32, &'static str> {
    let dismissal = Dismissal {
        version: candidate.version,
        touched_at: candidate.touched_at,
        grounds: grounds(candidate, today()),
    };
    Candidate { dismissal: Some(dismissal), ..candidate.clone() }
}

#[test]
fn what_is_dismissed_comes_back_when_something_changes() {
    let touched = Some("2025-05-01T09:00:00Z".parse().unwrap());
    let pressing = Candidate {
        overdue_task: Some(("t1", 2)),
        untouched_days: Some(20),
        version: 3,
        touched_at: touched,
        ..candidate(1, 500)
    };
    let off = dismissed(&pressing);
    let codes: Vec<_> = off.dismissal.as_ref().unwrap().grounds.iter().map(|ground| ground.code).collect();
    assert_eq!(codes, [ReasonCode::TaskOverdue, ReasonCode::Untouched], "its rank is no ground");
    let later = Some("2025-06-01T09:00:00Z".parse().unwrap());
    let cases = [
        ("as it was", off.clone(), true),
        ("days later", Candidate { overdue_task: Some(("t1", 9)), untouched_days: Some(27), ..off.clone() }, true),
        ("a ground is gone", Candidate { overdue_task: None, ..off.clone() }, true),
        ("worth more than the others", Candidate { figures: candidate(1, 9_000).figures, ..off.clone() }, true),
        ("edited", Candidate { version: 4, ..off.clone() }, false),
        ("touched", Candidate { touched_at: later, ..off.clone() }, false),
        ("another task", Candidate { overdue_task: Some(("t2", 2)), ..off.clone() }, false),
        ("a new ground", Candidate { task_due_today: Some("t3"), ..off.clone() }, false),
        ("its close day comes near", Candidate { expected_close_on: Some(today()), ..off.clone() }, false),
    ];
    for (name, first, is_off) in cases {
        assert_eq!(first.is_dismissed(today()), is_off, "{name}");
        assert_eq!(score_of_first(first).is_none(), is_off, "{name}");
    }
}

#[test]
fn ties_go_to_the_larger_value_and_then_to_the_smaller_id() {
    let due = |id, value| Candidate { task_due_today: Some("t"), ..candidate(id, value) };
    let masked = |id| Candidate { figures: None, ..due(id, 0) };
    // With 41 deals between them, 1,000 and 1,001 share their points.
    let mut candidates: Vec<_> = (100..141).map(|id| candidate(id, 1)).collect();
    candidates.extend([due(7, 1_000), due(6, 1_001), due(9, 1_001)]);
    let ids: Vec<u32> = daily_focus(&candidates, today()).iter().map(|item| item.id).collect();
    assert_eq!(ids[..3], [6, 9, 7]);
    let ids: Vec<u32> = daily_focus(&[masked(3), masked(1), masked(2)], today()).iter().map(|item| item.id).collect();
    assert_eq!(ids, [1, 2, 3]);
}

proptest! {
    #[test]
    fn a_dismissal_hides_its_item_and_no_other(
        rows in prop::collection::vec((0_i64..50, any::<bool>(), any::<bool>(), 0_i64..20), 1..10),
        chosen in any::<prop::sample::Index>(),
    ) {
        let mut candidates: Vec<_> = rows.iter().enumerate().map(|(id, (value, overdue, waits, days))| Candidate {
            overdue_task: overdue.then_some(("t", 1)),
            decision_awaited_days: waits.then_some(1),
            expected_close_on: Some(today() + chrono::TimeDelta::days(*days)),
            ..candidate(id as u32, *value)
        }).collect();
        let before = daily_focus(&candidates, today());
        let chosen = chosen.index(candidates.len());
        candidates[chosen] = dismissed(&candidates[chosen]);
        let after = daily_focus(&candidates, today());
        let others: Vec<_> = before.into_iter().filter(|item| item.id != chosen as u32).collect();
        prop_assert_eq!(after, others);
    }

    #[test]
    fn the_list_is_short_sorted_and_does_not_depend_on_order(
        rows in prop::collection::vec((0_i64..50, any::<bool>(), any::<bool>(), 0_i64..20), 0..40),
    ) {
        let mut candidates: Vec<_> = rows.iter().enumerate().map(|(id, (value, overdue, due, days))| Candidate {
            overdue_task: overdue.then_some(("t", 1)),
            task_due_today: due.then_some("u"),
            expected_close_on: Some(today() + chrono::TimeDelta::days(*days)),
            ..candidate(id as u32, *value)
        }).collect();
        let items = daily_focus(&candidates, today());
        candidates.reverse();
        prop_assert_eq!(&items, &daily_focus(&candidates, today()));
        prop_assert!(items.len() <= LIST_LENGTH);
        prop_assert!(items.is_sorted_by_key(|item| Reverse(item.score)));
        for item in &items {
            let points: u32 = item.reasons.iter().map(|reason| reason.points).sum();
            prop_assert!(item.score == points.min(MAX_SCORE) && item.score > 0);
        }
    }
}
