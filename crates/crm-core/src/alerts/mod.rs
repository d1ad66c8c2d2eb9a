//! Alerts: what somebody should know about the system's own state.
//!
//! A [`Cause`] is raised in the transaction that meets it. Causes of the same fingerprint share one row, which counts them;
//! it is resolved when the cause goes, and opens again should it come back. Of `error` and above a channel outside hears
//! (a [`Channel`]), by a job of the same transaction and at most once in ten minutes to a fingerprint.
//!
//! ```no_run
//! # use crm_core::{Tx, alerts::{self, Cause, Severity}};
//! # fn check(tx: &mut Tx<'_>, free_percent: u8) -> crm_core::Result<()> {
//! const FINGERPRINT: &str = "disk";
//! if free_percent >= 10 {
//!     return alerts::resolve(tx, FINGERPRINT).map(drop);
//! }
//! let message = format!("{free_percent} % are free.");
//! let cause =
//!     Cause { fingerprint: FINGERPRINT, severity: Severity::Error, source: "disk", title: "The disk is nearly full", message };
//! alerts::stand(tx, &cause)
//! # }
//! ```
mod notifications;
mod raising;
mod records;

pub use notifications::{AlertNotification, Channel, Notice, Undelivered};
pub use raising::{Cause, PAUSE, raise, resolve, stand};
pub use records::{Alert, AlertFields, NewAlert, STATUSES, Severity, acknowledge, check, create, list, read};
