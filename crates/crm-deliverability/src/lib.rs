//! Rules that protect the reputation of those who send: when a message may go, how many, and what it looks like.
//!
//! - [`quiet_hours`]: the hours of the night in which nothing is sent, exact when clocks change.
//! - [`limits`]: messages a day and a minute, and one [`Verdict`](limits::Verdict) over everything that can stop one.
//! - [`warmup`]: how a new identity earns its volume, and loses it by bounces and complaints.
//! - [`spam_check`]: what makes a message look like spam, point by point.
//! - [`zones`]: from wall time to instants, on every day of the year.
//! - [`bounces`]: what a message that came back says of its address.
//! - [`soft_bounces`]: when bounces that may pass are enough, counted by days.
//! - [`suppressions`]: addresses that nothing is sent to. These two keep something.
//!
//! All the others are pure functions of their arguments, the instant included, so that the crate can be used alone:
//!
//! ```
//! use crm_deliverability::limits::{self, Day, Facts, Limits, Reason, Verdict};
//! use crm_deliverability::quiet_hours::QuietHours;
//! use crm_deliverability::warmup::{Ramp, Warmup};
//!
//! let zone: chrono_tz::Tz = "Europe/London".parse()?;
//! let daily = Warmup::new(Ramp::Mailbox).cap(100);
//! assert_eq!(daily, 10);
//!
//! // Ten messages went this afternoon; at nine in the evening the eleventh has to wait, but not for midnight.
//! let now = "2025-01-15T21:00:00Z".parse()?;
//! let sent_at = [now - chrono::TimeDelta::hours(5); 10];
//! let verdict = limits::decide(&Facts {
//!     now,
//!     enabled: true,
//!     restricted: false,
//!     suppressed: false,
//!     quiet_hours: Some(QuietHours::parse("22:00", "08:00", "Europe/London")?),
//!     limits: Limits { daily, per_minute: 10, day: Day::Calendar(zone) },
//!     reservations: &sent_at,
//! });
//! let retry_at = Some("2025-01-16T08:00:00Z".parse()?);
//! assert_eq!(verdict, Verdict::Blocked { reasons: vec![Reason::DailyLimit], retry_at });
//! assert_eq!(verdict.retry_after(zone).as_deref(), Some("08:00"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod bounces;
pub mod limits;
pub mod quiet_hours;
mod schema;
pub mod soft_bounces;
pub mod spam_check;
pub mod suppressions;
pub mod warmup;
pub mod zones;

#[cfg(test)]
mod testing;
