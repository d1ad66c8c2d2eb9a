//! What a mail service tells of messages that were sent: delivered, bounced, complained about, replied to. It lands on the
//! timeline of the leads and contacts of that address, who complains is not contacted any more, and those who send mail
//! hear of it.
use chrono::{DateTime, Utc};
use crm_core::{
    Error, Id, Patch, Reason, Record, Result, Tx, activities,
    business_units::BusinessUnit,
    contacts::Contact,
    events::{self, Announcement},
    leads::{self, Lead},
    mail_outcomes::{Fate, MailOutcome, MailOutcomes},
    select::Condition,
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// What a message tells.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told<'a> {
    /// Of what: `email.bounced`.
    pub(super) kind: &'a str,
    /// The whole message.
    pub(super) body: &'a Value,
    /// When it happened.
    pub(super) at: DateTime<Utc>,
    /// The name of the source.
    pub(super) source: &'a str,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Processed {
    /// It has had its effect.
    Done,
    /// It has none, and why.
    Ignored(&'static str),
}

/// A kind of mail event: the line on the timeline, and the event that others are told.
struct MailEvent {
    kind: &'static str,
    fate: Fate,
    subject: &'static str,
    told_as: Option<&'static str>,
    /// `in` where it is a message of theirs.
    direction: Option<&'static str>,
    ends_contact: bool,
}

const MAIL_EVENTS: [MailEvent; 4] = [
    MailEvent {
        kind: "email.delivered",
        fate: Fate::Delivered,
        subject: "A mail was delivered",
        told_as: None,
        direction: None,
        ends_contact: false,
    },
    MailEvent {
        kind: "email.bounced",
        fate: Fate::Bounced,
        subject: "A mail came back",
        told_as: Some("email.bounced"),
        direction: None,
        ends_contact: false,
    },
    MailEvent {
        kind: "email.complained",
        fate: Fate::Complained,
        subject: "A mail was reported as unwanted",
        told_as: Some("email.complained"),
        direction: None,
        ends_contact: true,
    },
    MailEvent {
        kind: "email.replied",
        fate: Fate::Replied,
        subject: "A mail was replied to",
        told_as: Some("email.replied"),
        direction: Some("in"),
        ends_contact: false,
    },
];

/// The most records of one address that an event is noted on.
const MOST: i64 = 20;
/// The longest reason that is kept.
const LONGEST_REASON: usize = 1_000;

/// Processes a message, and lets those who send mail hear of it.
///
/// # Errors
/// Where a rule of the organization refuses what follows from it, or the database cannot be reached.
pub(super) fn process(tx: &mut Tx<'_>, told: &Told<'_>, listener: Option<&dyn MailOutcomes>) -> Result<Processed> {
    let Some(event) = MAIL_EVENTS.iter().find(|event| event.kind == told.kind) else {
        return Ok(Processed::Ignored("No such event is known."));
    };
    let text = |name: &str| told.body.get("data").and_then(|data| data.get(name)).and_then(Value::as_str);
    let Some(email) = text("email").filter(|email| email.contains('@')) else {
        return Ok(Processed::Ignored("The message names no `data.email`."));
    };
    let reason: String = text("reason").unwrap_or_default().chars().take(LONGEST_REASON).collect();
    let leads = of_address::<Lead>(tx, email)?;
    let contacts = of_address::<Contact>(tx, email)?;
    for lead in &leads {
        note(tx, event, told, &reason, "leadId", lead.id.uuid(), lead.fields.business_unit_id)?;
        if event.ends_contact && !lead.fields.do_not_contact {
            end_contact(tx, lead, told)?;
        }
    }
    for contact in &contacts {
        note(tx, event, told, &reason, "contactId", contact.id.uuid(), contact.fields.business_unit_id)?;
    }
    let (status, bounce_type) = (text("status"), text("bounceType"));
    let (fate, at, source) = (event.fate, told.at, told.source);
    let outcome = MailOutcome { fate, email, at, status, bounce_type, words: &reason, source };
    let follows = listener.map_or(Ok(false), |listener| listener.hear(tx, &outcome))?;
    match leads.is_empty() && contacts.is_empty() && !follows {
        true => Ok(Processed::Ignored("No lead and no contact has that address, and nothing follows for it.")),
        false => Ok(Processed::Done),
    }
}

fn of_address<R: Record>(tx: &mut Tx<'_>, email: &str) -> Result<Vec<R>> {
    // A percent sign, an underscore or a backslash in an address is itself and no pattern.
    let literal: String =
        email.chars().flat_map(|c| ['\\', c].into_iter().skip(usize::from(!"%_\\".contains(c)))).collect();
    let select = tx.records::<R>().and(Condition::Compare("email".into(), "ILIKE", literal.into()));
    R::load(tx, select.order("id", false).limit(MOST))
}

/// Notes the event on a record's timeline, and tells others.
fn note(
    tx: &mut Tx<'_>,
    event: &MailEvent,
    told: &Told<'_>,
    reason: &str,
    member: &'static str,
    id: Uuid,
    unit: Option<Id<BusinessUnit>>,
) -> Result<()> {
    let mut members = Map::new();
    let body = if reason.is_empty() { Value::Null } else { reason.into() };
    let given = [
        ("type", json!("email")),
        ("direction", json!(event.direction)),
        ("subject", json!(event.subject)),
        ("body", body),
        ("occurredAt", json!(told.at)),
        (member, json!(id)),
    ];
    members.extend(given.into_iter().map(|(name, value)| (name.to_owned(), value)));
    activities::create(tx, Patch::from(members))?;
    let Some(kind) = event.told_as else { return Ok(()) };
    let entity_type = if member == "leadId" { Lead::KIND } else { Contact::KIND };
    events::announce(tx, Announcement { kind, entity_type, entity_id: id, business_unit_id: unit, details: None })
}

/// Who complains is not contacted any more.
fn end_contact(tx: &mut Tx<'_>, lead: &Lead, told: &Told<'_>) -> Result<()> {
    let members = Map::from_iter([("doNotContact".to_owned(), json!(true))]);
    let note = format!("They reported a mail as unwanted, says {}.", told.source);
    let reason = Reason { code: Some("customer_request".into()), note: Some(note) };
    let patch = |reason: Reason| Patch { members: members.clone(), reason, ..Patch::default() };
    match tx.savepoint(|tx| leads::update(tx, lead.id, patch(reason.clone()))) {
        // The organization may have removed that code from its list; the words say it all the same.
        Err(Error::Invalid(_)) => leads::update(tx, lead.id, patch(Reason { code: None, ..reason })).map(drop),
        done => done.map(drop),
    }
}
