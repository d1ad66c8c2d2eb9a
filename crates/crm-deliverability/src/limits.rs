//! Whether an identity may send now, why not, and when it may: one verdict over every rule that can stop a message.

use crate::quiet_hours::QuietHours;
use crate::zones;
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use std::fmt;

/// The reach of the per-minute limit.
const MINUTE: TimeDelta = TimeDelta::seconds(60);

/// How many messages an identity may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Messages a day; already the smaller of the identity's own limit and its warmup cap.
    pub daily: u32,
    /// Messages in any 60 seconds.
    pub per_minute: u32,
    /// What a day is.
    pub day: Day,
}

/// What the daily limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Day {
    /// The calendar day of the identity's zone; see [`zones::day`].
    Calendar(Tz),
    /// Any 24 hours, as Google counts.
    Rolling24h,
}

/// All that the decision rests on, read in the transaction that holds the identity's lock.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Taken after the lock was granted: the transaction's own start may be stale by then.
    pub now: DateTime<Utc>,
    /// Whether the identity is switched on.
    pub enabled: bool,
    /// Whether its warmup state is restricted.
    pub restricted: bool,
    /// Whether the recipient's address is suppressed.
    pub suppressed: bool,
    /// The identity's quiet hours, if it keeps any.
    pub quiet_hours: Option<QuietHours>,
    /// The identity's limits.
    pub limits: Limits,
    /// When each send was reserved, in any order, released reservations left out; at least those since
    /// [`Limits::counted_since`].
    pub reservations: &'a [DateTime<Utc>],
}

/// Whether the message may go now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing stops it.
    Open,
    /// Something does.
    Blocked {
        /// All that stops it now, the most lasting first; never empty.
        reasons: Vec<Reason>,
        /// The first instant at which nothing will, if no other message is sent; `None` when waiting does not help.
        retry_at: Option<DateTime<Utc>>,
    },
}

/// What stops a message, in the order in which reasons are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The identity is switched off.
    Disabled,
    /// Warmup has restricted the identity.
    Restricted,
    /// The recipient is on the suppression list.
    SuppressedRecipient,
    /// It is night.
    QuietHours,
    /// The day's messages are used up.
    DailyLimit,
    /// The minute's messages are used up.
    MinuteLimit,
}

/// How many messages the limits leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remaining {
    /// Until the day is over.
    pub today: u32,
    /// In the 60 seconds up to now.
    pub this_minute: u32,
}

/// When a rule on its own lets a message through, asked from an instant on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opening {
    Now,
    At(DateTime<Utc>),
    Never,
}

/// Judges `facts`; `retry_at` is the first instant at which *no* rule blocks.
pub fn decide(facts: &Facts<'_>) -> Verdict {
    let reasons = reasons(facts);
    if reasons.is_empty() { Verdict::Open } else { Verdict::Blocked { reasons, retry_at: retry_at(facts) } }
}

impl Limits {
    /// The instant from which reservations matter to a decision at `now`.
    pub fn counted_since(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let day_start = match self.day {
            Day::Calendar(zone) => zones::day(zone, now).start,
            Day::Rolling24h => earlier(now, TimeDelta::hours(24)),
        };
        day_start.min(earlier(now, MINUTE))
    }

    /// What is left at `now` after `reservations`.
    pub fn remaining(&self, reservations: &[DateTime<Utc>], now: DateTime<Utc>) -> Remaining {
        let this_minute = sent_within(MINUTE, reservations, now);
        let today = match self.day {
            Day::Calendar(zone) => sent_since(zones::day(zone, now).start, reservations),
            Day::Rolling24h => sent_within(TimeDelta::hours(24), reservations, now),
        };
        let left = |limit: u32, sent: usize| limit.saturating_sub(u32::try_from(sent).unwrap_or(u32::MAX));
        Remaining { today: left(self.daily, today), this_minute: left(self.per_minute, this_minute) }
    }
}

impl Verdict {
    /// Whether the message may go.
    pub fn can_send(&self) -> bool {
        *self == Self::Open
    }

    /// When to try again, as clocks in `zone` show it: `HH:MM`.
    pub fn retry_after(&self, zone: Tz) -> Option<String> {
        self.retry_at().map(|at| zones::wall_clock(zone, at).format("%H:%M").to_string())
    }

    /// Seconds from `now` until the next try, rounded up.
    pub fn retry_after_seconds(&self, now: DateTime<Utc>) -> Option<i64> {
        let wait = self.retry_at()? - now;
        Some(wait.num_seconds() + i64::from(wait.subsec_nanos() > 0))
    }

    fn retry_at(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Open => None,
            Self::Blocked { retry_at, .. } => *retry_at,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disabled => "Sending identity is disabled",
            Self::Restricted => "Sending identity is restricted",
            Self::SuppressedRecipient => "Recipient is suppressed",
            Self::QuietHours => "Within quiet hours",
            Self::DailyLimit => "Daily limit reached",
            Self::MinuteLimit => "Limit per minute reached",
        })
    }
}

fn reasons(facts: &Facts<'_>) -> Vec<Reason> {
    openings(facts, facts.now)
        .into_iter()
        .filter(|(_, opening)| *opening != Opening::Now)
        .map(|(reason, _)| reason)
        .collect()
}

/// Each rule's own opening is a lower bound for the common one, so going from bound to bound misses no open instant.
fn retry_at(facts: &Facts<'_>) -> Option<DateTime<Utc>> {
    let mut at = facts.now;
    loop {
        let mut next = at;
        for (_, opening) in openings(facts, at) {
            match opening {
                Opening::Now => {}
                Opening::At(instant) => next = next.max(instant),
                Opening::Never => return None,
            }
        }
        if next == at {
            return Some(at);
        }
        at = next;
    }
}

fn openings(facts: &Facts<'_>, at: DateTime<Utc>) -> [(Reason, Opening); 6] {
    let never = |blocked: bool| if blocked { Opening::Never } else { Opening::Now };
    let limits = facts.limits;
    let daily = match limits.day {
        Day::Calendar(zone) => calendar_opening(zone, limits.daily, facts.reservations, at),
        Day::Rolling24h => sliding_opening(TimeDelta::hours(24), limits.daily, facts.reservations, at),
    };
    let quiet = facts.quiet_hours.and_then(|hours| hours.quiet_until(at)).map_or(Opening::Now, Opening::At);
    [
        (Reason::Disabled, never(!facts.enabled)),
        (Reason::Restricted, never(facts.restricted)),
        (Reason::SuppressedRecipient, never(facts.suppressed)),
        (Reason::QuietHours, quiet),
        (Reason::DailyLimit, daily),
        (Reason::MinuteLimit, sliding_opening(MINUTE, limits.per_minute, facts.reservations, at)),
    ]
}

/// A calendar day that is full opens with the next one.
fn calendar_opening(zone: Tz, limit: u32, reservations: &[DateTime<Utc>], at: DateTime<Utc>) -> Opening {
    let day = zones::day(zone, at);
    match limit {
        0 => Opening::Never,
        _ if sent_since(day.start, reservations) < limit as usize => Opening::Now,
        _ => Opening::At(day.end),
    }
}

/// A sliding window that is full opens when the oldest of its last `limit` reservations leaves it.
fn sliding_opening(reach: TimeDelta, limit: u32, reservations: &[DateTime<Utc>], at: DateTime<Utc>) -> Opening {
    let Some(newer) = (limit as usize).checked_sub(1) else { return Opening::Never };
    let mut inside: Vec<_> =
        reservations.iter().copied().filter(|reserved_at| *reserved_at > earlier(at, reach)).collect();
    if inside.len() <= newer {
        return Opening::Now;
    }
    inside.sort_unstable_by(|a, b| b.cmp(a));
    Opening::At(inside[newer].checked_add_signed(reach).unwrap_or(DateTime::<Utc>::MAX_UTC))
}

fn sent_within(reach: TimeDelta, reservations: &[DateTime<Utc>], now: DateTime<Utc>) -> usize {
    reservations.iter().filter(|reserved_at| **reserved_at > earlier(now, reach)).count()
}

fn sent_since(start: DateTime<Utc>, reservations: &[DateTime<Utc>]) -> usize {
    reservations.iter().filter(|reserved_at| **reserved_at >= start).count()
}

fn earlier(at: DateTime<Utc>, by: TimeDelta) -> DateTime<Utc> {
    at.checked_sub_signed(by).unwrap_or(DateTime::<Utc>::MIN_UTC)
}

#[cfg(test)]
mod tests;
