//! How an identity earns its volume: ramps, what bounces and complaints do to it, and its automatic moves.
//!
//! References: Sender Best Common Practices of M3AAWG for the principles, the warmup tables of mail services for the
//! ramps, and Google's sender guidelines for the complaint rates (below 0.1 %, never 0.3 %).

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// Qualified days before an identity counts as stable.
const QUALIFIED_DAYS: u32 = 14;
/// Days without a message after which a stable identity has to warm up anew.
const IDLE_DAYS: u32 = 30;
/// Days a restriction lasts unless an administrator lifts it.
const COOL_OFF_DAYS: u32 = 7;
/// How long a state set by hand is left alone.
const BY_HAND: TimeDelta = TimeDelta::hours(24);

/// Where an identity stands in its warmup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WarmupState {
    /// Has not sent yet.
    New,
    /// Climbs its ramp.
    Warming,
    /// May use its whole daily limit.
    Stable,
    /// May send nothing.
    Restricted,
}

/// How fast the daily cap grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ramp {
    /// One person's mailbox: from 10 a day, a fifth more each day.
    Mailbox,
    /// A dedicated sending address: from 50 a day, two fifths more each day.
    Dedicated,
}

/// The warmup of one identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Warmup {
    /// Where it stands.
    pub state: WarmupState,
    /// The ramp it climbs.
    pub ramp: Ramp,
    /// The day of the ramp, from 1; kept while restricted.
    pub day: u32,
    /// Days that counted since warming began.
    pub qualified_days: u32,
}

/// What became of the messages of the last 30 days, but not of those before the end of a restriction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Messages tried.
    pub attempted: u64,
    /// Messages that the receiving server took.
    pub accepted: u64,
    /// Messages that bounced for good, or were refused by the receiver's policy.
    pub hard_bounces: u64,
    /// Messages that their recipients reported.
    pub complaints: u64,
}

/// What an identity's outcomes ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Nothing.
    Good,
    /// The ramp must wait.
    Hold(Reason),
    /// Sending must stop.
    Restrict(Reason),
}

/// Why a state changed by itself; the reason code in the field history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Too many hard bounces.
    BounceRate,
    /// Too many complaints.
    ComplaintRate,
    /// Nothing was sent for long.
    Idle,
    /// The ramp began, or came to its end.
    Ramp,
    /// A restriction has lasted long enough.
    CoolOff,
}

/// A local day that has ended, with what the nightly evaluation needs to know.
#[derive(Debug, Clone, Copy)]
pub struct EndedDay {
    /// The instant of the evaluation.
    pub now: DateTime<Utc>,
    /// Messages sent on the day.
    pub sent: u32,
    /// The identity's own daily limit.
    pub daily_send_limit: u32,
    /// The outcomes up to the end of the day.
    pub outcomes: Outcomes,
    /// Whole days since the last message.
    pub idle_days: u32,
    /// Whole days since the state last changed.
    pub days_in_state: u32,
    /// When the state was last set by hand, if it ever was.
    pub set_by_hand_at: Option<DateTime<Utc>>,
}

/// A warmup after an event; `reason` is there when the state has changed, and is then history and alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The warmup from now on.
    pub warmup: Warmup,
    /// Why its state is another.
    pub reason: Option<Reason>,
}

impl Ramp {
    /// The cap of the ramp's `day` (from 1), rounded down.
    ///
    /// `u32::MAX`, no cap, once the exact figure no longer fits into 128 bits: from day 50 on for a mailbox
    /// (63 000 a day), from day 45 on for a dedicated address (96 million).
    pub fn cap(self, day: u32) -> u32 {
        let (first, numerator, denominator): (u128, u128, u128) = match self {
            Self::Mailbox => (10, 6, 5),
            Self::Dedicated => (50, 7, 5),
        };
        let power = day.saturating_sub(1);
        let exact = || Some(first.checked_mul(numerator.checked_pow(power)?)? / denominator.checked_pow(power)?);
        exact().and_then(|cap| u32::try_from(cap).ok()).unwrap_or(u32::MAX)
    }

    /// The last day whose cap is at most a quarter of `limit`, at least the first.
    fn day_for_quarter_of(self, limit: u32) -> u32 {
        (2..).take_while(|day| u64::from(self.cap(*day)) * 4 <= u64::from(limit)).last().unwrap_or(1)
    }
}

impl Outcomes {
    /// Judges the rates in whole numbers; of two reasons the bounces are named, and a restriction outdoes a hold.
    pub fn health(&self) -> Health {
        let bounced = |at_least: u64, percent: u64| {
            self.hard_bounces >= at_least && at_rate(self.hard_bounces, 100, self.attempted, percent)
        };
        let reported = |at_least: u64, per_mille: u64| {
            self.complaints >= at_least && at_rate(self.complaints, 1000, self.accepted, per_mille)
        };
        if bounced(5, 5) {
            Health::Restrict(Reason::BounceRate)
        } else if reported(2, 3) {
            Health::Restrict(Reason::ComplaintRate)
        } else if bounced(2, 2) {
            Health::Hold(Reason::BounceRate)
        } else if reported(1, 1) {
            Health::Hold(Reason::ComplaintRate)
        } else {
            Health::Good
        }
    }
}

impl Warmup {
    /// A warmup that has not begun.
    pub fn new(ramp: Ramp) -> Self {
        Self { state: WarmupState::New, ramp, day: 1, qualified_days: 0 }
    }

    /// How many messages the identity may send today, given its own `daily_send_limit`.
    pub fn cap(&self, daily_send_limit: u32) -> u32 {
        match self.state {
            WarmupState::New => self.ramp.cap(1).min(daily_send_limit),
            WarmupState::Warming => self.ramp.cap(self.day).min(daily_send_limit),
            WarmupState::Stable => daily_send_limit,
            WarmupState::Restricted => 0,
        }
    }

    /// After a message was accepted; `aligned` says that SPF or DKIM passed for the domain of its From.
    #[must_use]
    pub fn after_accepted(self, aligned: bool) -> Step {
        if self.state == WarmupState::New && aligned {
            self.warming_from(1).moved(Reason::Ramp)
        } else {
            self.unmoved()
        }
    }

    /// After a bounce or a complaint: restricts at once when the rates say so.
    #[must_use]
    pub fn after_outcome(self, outcomes: &Outcomes) -> Step {
        match outcomes.health() {
            Health::Restrict(reason) if self.state != WarmupState::Restricted => {
                Self { state: WarmupState::Restricted, ..self }.moved(reason)
            }
            _ => self.unmoved(),
        }
    }

    /// After a local day has ended: the ramp advances if the day qualified, and the state moves if it is due.
    ///
    /// A day qualifies when at least half of the cap was sent and nothing asks for a hold. A state set by hand in the
    /// last 24 hours stays as it is.
    #[must_use]
    pub fn after_day(self, day: &EndedDay) -> Step {
        if day.set_by_hand_at.is_some_and(|set_at| day.now.signed_duration_since(set_at) < BY_HAND) {
            return self.unmoved();
        }
        let judged = self.after_outcome(&day.outcomes);
        if judged.reason.is_some() {
            return judged;
        }
        match self.state {
            WarmupState::New => self.unmoved(),
            WarmupState::Warming => self.climbed(day),
            WarmupState::Stable if day.idle_days >= IDLE_DAYS => {
                self.warming_from(self.ramp.day_for_quarter_of(day.daily_send_limit)).moved(Reason::Idle)
            }
            WarmupState::Restricted if day.days_in_state >= COOL_OFF_DAYS => self.lifted().moved(Reason::CoolOff),
            WarmupState::Stable | WarmupState::Restricted => self.unmoved(),
        }
    }

    /// After a restriction is lifted, by time or by an administrator whose reason code it then is: warming again, from
    /// half the day reached. Any other state stays.
    #[must_use]
    pub fn lifted(self) -> Self {
        match self.state {
            WarmupState::Restricted => self.warming_from((self.day / 2).max(1)),
            _ => self,
        }
    }

    fn climbed(self, day: &EndedDay) -> Step {
        let enough = u64::from(day.sent) * 2 >= u64::from(self.cap(day.daily_send_limit));
        if !enough || day.outcomes.health() != Health::Good {
            return self.unmoved();
        }
        let next =
            Self { day: self.day.saturating_add(1), qualified_days: self.qualified_days.saturating_add(1), ..self };
        if next.qualified_days >= QUALIFIED_DAYS && next.ramp.cap(next.day) >= day.daily_send_limit {
            Self { state: WarmupState::Stable, ..next }.moved(Reason::Ramp)
        } else {
            next.unmoved()
        }
    }

    fn warming_from(self, day: u32) -> Self {
        Self { state: WarmupState::Warming, day, qualified_days: 0, ..self }
    }

    fn moved(self, reason: Reason) -> Step {
        Step { warmup: self, reason: Some(reason) }
    }

    fn unmoved(self) -> Step {
        Step { warmup: self, reason: None }
    }
}

/// Whether `count / total >= rate / unit`, without a division.
fn at_rate(count: u64, unit: u64, total: u64, rate: u64) -> bool {
    u128::from(unit) * u128::from(count) >= u128::from(rate) * u128::from(total)
}

#[cfg(test)]
mod tests;
