//! The port through which those who send mail hear what became of it. `crm-ops` hears it from mail services, and
//! `crm-deliverability` listens.
use chrono::{DateTime, Utc};

use crate::{Result, Tx};

/// What became of a message, by somebody else's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It arrived.
    Delivered,
    /// It came back.
    Bounced,
    /// Whoever got it reported it as unwanted.
    Complained,
    /// Whoever got it answered.
    Replied,
}

/// What is told of a message that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailOutcome<'a> {
    /// What became of it.
    pub fate: Fate,
    /// The address that it was sent to, as it was told.
    pub email: &'a str,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// The enhanced status code (RFC 3463), where it was told apart from the words: `5.1.1`.
    pub status: Option<&'a str>,
    /// What the mail service calls a bounce: `hard` or `permanent`, `soft` or `transient`.
    pub bounce_type: Option<&'a str>,
    /// What the receiving server said, perhaps nothing.
    pub words: &'a str,
    /// The name of whoever tells it.
    pub source: &'a str,
}

/// Whoever wants to hear what became of mail.
pub trait MailOutcomes: Send + Sync {
    /// Hears it, within the transaction in which it is noted. The same may be told more than once. Answers whether anything
    /// follows from it.
    ///
    /// # Errors
    /// What the database says.
    fn hear(&self, tx: &mut Tx<'_>, outcome: &MailOutcome<'_>) -> Result<bool>;
}
