//! The rules of data protection: when a request must be answered, whose data has been kept long enough, and how an
//! objection survives erasure.
//!
//! - [`requests`]: due dates of requests by data subjects, their one extension, and how urgent they are.
//! - [`retention`]: which leads and imports fall due, and when a run must stop for a person to look.
//! - [`suppression`]: the key under which an erased address stays suppressed without being kept.
//!
//! Everything here is a pure function of its arguments, today's date and keys included, so that the crate can be used
//! alone:
//!
//! ```
//! use crm_gdpr::requests::{Deadline, Urgency};
//! use std::collections::BTreeSet;
//!
//! let holidays = BTreeSet::new();
//! let deadline = Deadline::new("2025-10-15".parse()?);
//! // The 15th of November 2025 is a Saturday: the answer is due on the Monday.
//! let due_on = deadline.due_on(&holidays).unwrap();
//! assert_eq!(due_on, "2025-11-17".parse()?);
//! assert_eq!(Urgency::of(due_on, "2025-11-10".parse()?), Urgency::TenDays);
//!
//! let longer = deadline.extended("2025-11-10".parse()?, "Mail of six years has to be searched.", &holidays)?;
//! assert_eq!(longer.due_on(&holidays), Some("2026-01-15".parse()?));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod requests;
pub mod retention;
pub mod suppression;
