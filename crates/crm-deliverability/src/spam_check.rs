//! How likely a message is to be taken for spam, each point with its reason, its place in the text and a remedy.
//!
//! Structure and identity weigh most, words little, as in the current scores of SpamAssassin, whose families these
//! rules follow and whose threshold (5.0) is the start of `high`. Points are whole tenths, so that sums are exact.

mod content;
mod rules;

pub use rules::Rule;

use serde::{Serialize, Serializer};
use std::fmt;
use std::iter::Sum;

/// A message as it stands in the composer.
#[derive(Debug, Clone, Copy)]
pub struct Draft<'a> {
    /// The subject, merge tags filled in as far as they will be.
    pub subject: &'a str,
    /// The body in Markdown.
    pub body_markdown: &'a str,
    /// The file names of attachments.
    pub attachments: &'a [&'a str],
    /// Whether a plain-text part goes along.
    pub has_text_part: bool,
    /// Whether this answers or forwards a message of the same thread.
    pub is_reply: bool,
    /// Whether the same message goes to many recipients.
    pub is_bulk: bool,
    /// Whether recipients can unsubscribe (RFC 8058).
    pub has_unsubscribe: bool,
    /// What the last check of the sender's domain found.
    pub authentication: Authentication,
}

/// How the sender's domain is authenticated. What is unknown costs no points.
#[derive(Debug, Clone, Copy, Default)]
pub struct Authentication {
    /// SPF (RFC 7208) is known to fail.
    pub spf_fails: bool,
    /// DKIM (RFC 6376) is known to fail.
    pub dkim_fails: bool,
    /// DMARC (RFC 7489) is known to fail.
    pub dmarc_fails: bool,
}

/// The outcome of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SpamCheck {
    /// The points of all findings together.
    pub score: Points,
    /// The band the score lies in.
    pub verdict: Risk,
    /// Whether the message must not be sent as it is.
    pub blocks_sending: bool,
    /// What was found, in the order of the rules.
    pub findings: Vec<Finding>,
}

/// One reason for points.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule that found it.
    pub rule: Rule,
    /// What it adds to the score.
    pub points: Points,
    /// What is wrong, in words.
    pub message: &'static str,
    /// The text in question: up to 80 characters, invisible ones spelt out.
    pub excerpt: Option<String>,
    /// What to do about it, in words.
    pub fix: &'static str,
}

/// Points in tenths; on the wire a number with one decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Points(u32);

/// The bands of the score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// Below 2.
    Low,
    /// From 2, below 5.
    Medium,
    /// From 5.
    High,
}

/// Checks `draft` against every rule.
///
/// ```
/// use crm_deliverability::spam_check::{Draft, Risk, check};
///
/// let draft = Draft {
///     subject: "RE: GUARANTEED OFFER!!!",
///     body_markdown: "Everything is at [our page](https://bit.ly/3xyz).",
///     attachments: &[],
///     has_text_part: true,
///     is_reply: false,
///     is_bulk: false,
///     has_unsubscribe: false,
///     authentication: Default::default(),
/// };
/// let report = check(&draft);
/// assert_eq!(report.score.to_string(), "4.6");
/// assert_eq!(report.verdict, Risk::Medium);
/// ```
pub fn check(draft: &Draft<'_>) -> SpamCheck {
    let findings = rules::findings(draft, &content::Content::read(draft.body_markdown));
    let score = findings.iter().map(|finding| finding.points).sum();
    SpamCheck {
        score,
        verdict: Risk::of(score),
        blocks_sending: findings.iter().any(|finding| finding.rule == Rule::UnresolvedMergeTag),
        findings,
    }
}

impl Points {
    /// So many tenths of a point.
    pub const fn tenths(tenths: u32) -> Self {
        Self(tenths)
    }
}

impl Risk {
    /// The band of `score`.
    pub fn of(score: Points) -> Self {
        match score.0 {
            0..20 => Self::Low,
            20..50 => Self::Medium,
            50.. => Self::High,
        }
    }
}

impl Sum for Points {
    fn sum<I: Iterator<Item = Self>>(points: I) -> Self {
        Self(points.map(|points| points.0).sum())
    }
}

impl fmt::Display for Points {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 10, self.0 % 10)
    }
}

impl Serialize for Points {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(self.0) / 10.0)
    }
}

#[cfg(test)]
mod tests;
