//! What people do about records and have to do: activities and tasks.
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;

use super::{
    calendar,
    plan::{Event, Key, Plan},
    texts::{self, Note},
};

/// Whom and what an activity or a task is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) key: Key,
    pub(super) person: &'a str,
    pub(super) company: &'a str,
}

impl Subject<'_> {
    /// A text about them.
    pub(super) fn tell(&self, text: &str) -> String {
        texts::about(text, self.person, self.company)
    }
}

/// Something done at that instant.
pub(super) fn activity(plan: &mut Plan, at: DateTime<Utc>, by: usize, about: &Subject<'_>, notes: &[Note]) -> Event {
    let note = plan.chance.pick(notes);
    let minutes = Some(note.minutes).filter(|minutes| !minutes.is_empty()).map(|minutes| plan.chance.pick(minutes));
    // Whatever is told of a mail or a call in these texts, we have sent and made.
    let direction = ["call", "email"].contains(&note.kind).then_some("out");
    let body = json!({
        "type": note.kind, "direction": direction, "subject": about.tell(note.subject), "body": about.tell(note.body), "durationMinutes": minutes,
    });
    Event::create(at, by, Key::Activity, body).with(member(about.key), about.key)
}

/// A message of theirs.
pub(super) fn inbound(at: DateTime<Utc>, by: usize, about: &Subject<'_>, text: &str) -> Event {
    let body = json!({"type": "email", "direction": "in", "subject": about.tell(text)});
    Event::create(at, by, Key::Activity, body).with(member(about.key), about.key)
}

/// A note in a sentence.
pub(super) fn remark(at: DateTime<Utc>, by: usize, about: Key, text: &str) -> Event {
    Event::create(at, by, Key::Activity, json!({"type": "note", "subject": text})).with(member(about), about)
}

/// A task, and what becomes of it: most are done before what they are about moves on at `until`, some are cancelled
/// then, and some are left.
pub(super) fn task(
    plan: &mut Plan,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    by: usize,
    about: &Subject<'_>,
    titles: &[&str],
) -> Vec<Event> {
    let at = calendar::within(&mut plan.chance, from, until);
    let days = plan.chance.between(2.0, 14.0);
    let due_at = calendar::later(&mut plan.chance, at, days);
    let task = assignment(plan, at, due_at, by, about, titles);
    let key = task.key;
    let mut events = vec![task];
    if plan.chance.happens(0.8) {
        let (early, late) =
            (calendar::later(&mut plan.chance, at, days), calendar::within(&mut plan.chance, at, until));
        events.push(Event::change(early.min(late), by, key, json!({"status": "done"})));
    } else if plan.chance.happens(0.7) {
        let cancelled_at = calendar::later(&mut plan.chance, until, 0.0);
        let event = Event::change(cancelled_at, by, key, json!({"status": "cancelled"}));
        events.push(event.because("other", "No longer needed."));
    }
    events
}

/// A task at that instant, of which nothing has become yet.
pub(super) fn assignment(
    plan: &mut Plan,
    at: DateTime<Utc>,
    due_at: DateTime<Utc>,
    by: usize,
    about: &Subject<'_>,
    titles: &[&str],
) -> Event {
    let body = json!({
        "title": about.tell(plan.chance.pick(titles)), "dueAt": due_at.to_rfc3339_opts(SecondsFormat::Secs, true),
        "priority": plan.chance.pick_weighted(&[("low", 0.15), ("normal", 0.6), ("high", 0.25)]),
    });
    let key = Key::Task(plan.next_task());
    Event::create(at, by, key, body).with(member(about.key), about.key)
}

/// The member by which an activity or a task names what it is about.
fn member(key: Key) -> &'static str {
    match key {
        Key::Lead(_) => "leadId",
        Key::Company(_) => "companyId",
        Key::Contact(_) => "contactId",
        _ => "dealId",
    }
}
