//! What a receiver's answer means: done, again later, given up, or never again. Pure rules.
//!
//! References: Standard Webhooks 1.0.0 (retries, `410`), RFC 9110, 10.2.3 (`Retry-After`).
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::backoff::{Jitter, webhook_delay};

/// For how long an endpoint may do nothing but fail before it is disabled.
pub const LONGEST_FAILURE: TimeDelta = TimeDelta::days(5);
/// For how long an overloaded endpoint that names no time is left alone.
const PAUSE: Duration = Duration::from_secs(60);
/// The longest pause that an endpoint can ask for.
const LONGEST_PAUSE: Duration = Duration::from_hours(24);

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The receiver answered.
    Answered {
        /// The status of its answer.
        status: u16,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// Nothing came back.
    Unanswered,
}

/// What follows from a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It arrived.
    Delivered,
    /// It is tried again at this instant.
    Again(DateTime<Utc>),
    /// All tries are used up.
    GivenUp,
    /// The receiver says that nobody is there any more: nothing further is sent.
    Gone,
}

/// Judges the `attempts`-th try (from 1) of a message. Only 2xx is success: a redirect is none, since it is not followed.
pub fn judge(ending: Ending, attempts: usize, now: DateTime<Utc>, jitter: Jitter) -> Verdict {
    let retry_after = match ending {
        Ending::Answered { status: 200..=299, .. } => return Verdict::Delivered,
        Ending::Answered { status: 410, .. } => return Verdict::Gone,
        Ending::Answered { retry_after, .. } => retry_after,
        Ending::Unanswered => None,
    };
    match webhook_delay(attempts, jitter, retry_after) {
        Some(wait) => Verdict::Again(now + wait),
        None => Verdict::GivenUp,
    }
}

/// Until when nothing at all is sent to an endpoint that says that it cannot take more: 429, 502, 503 and 504.
pub fn pause(ending: Ending, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match ending {
        Ending::Answered { status: 429 | 502 | 503 | 504, retry_after } => {
            Some(now + retry_after.unwrap_or(PAUSE).min(LONGEST_PAUSE))
        }
        _ => None,
    }
}

/// Has an endpoint failed for so long that it is disabled?
pub fn is_lost(failing_since: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    failing_since.is_some_and(|since| now - since >= LONGEST_FAILURE)
}

/// Reads `Retry-After`: seconds, or a date. One in the past asks for nothing.
pub fn retry_after(header: &str, now: DateTime<Utc>) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let at = DateTime::parse_from_rfc2822(header).ok()?;
    at.signed_duration_since(now).to_std().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn now() -> DateTime<Utc> {
        "2025-12-16T10:00:00Z".parse().unwrap()
    }

    fn answered(status: u16) -> Ending {
        Ending::Answered { status, retry_after: None }
    }

    #[test]
    fn answers_mean_what_the_specification_says() {
        let after = |seconds| Verdict::Again(now() + TimeDelta::seconds(seconds));
        let patient = Ending::Answered { status: 503, retry_after: Some(Duration::from_secs(900)) };
        let table = [
            (answered(200), 1, Verdict::Delivered),
            (answered(204), 10, Verdict::Delivered),
            (answered(301), 1, after(5)),
            (answered(302), 2, after(300)),
            (answered(400), 3, after(1_800)),
            (answered(410), 1, Verdict::Gone),
            (answered(429), 1, after(5)),
            (answered(500), 9, after(86_400)),
            (answered(500), 10, Verdict::GivenUp),
            (Ending::Unanswered, 1, after(5)),
            (Ending::Unanswered, 10, Verdict::GivenUp),
            (patient, 1, after(900)),
        ];
        for (ending, attempts, verdict) in table {
            assert_eq!(judge(ending, attempts, now(), Jitter::NONE), verdict, "{ending:?} {attempts}");
        }
    }

    #[test]
    fn an_overloaded_endpoint_is_left_alone() {
        let after = |seconds| Some(now() + TimeDelta::seconds(seconds));
        let asked = |status, seconds| Ending::Answered { status, retry_after: Some(Duration::from_secs(seconds)) };
        let table = [
            (answered(429), after(60)),
            (answered(504), after(60)),
            (asked(503, 7), after(7)),
            (asked(429, 200_000), after(86_400)),
            (answered(500), None),
            (asked(500, 7), None),
            (Ending::Unanswered, None),
        ];
        for (ending, until) in table {
            assert_eq!(pause(ending, now()), until, "{ending:?}");
        }
    }

    #[test]
    fn five_days_of_failure_are_enough() {
        let before = |hours| Some(now() - TimeDelta::hours(hours));
        let table = [(None, false), (before(0), false), (before(119), false), (before(120), true), (before(-1), false)];
        for (since, lost) in table {
            assert_eq!(is_lost(since, now()), lost, "{since:?}");
        }
    }

    #[test]
    fn patience_is_asked_for_in_seconds_or_by_a_date() {
        let table = [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Tue, 16 Dec 2025 10:01:30 GMT", Some(90)),
            ("Tue, 16 Dec 2025 09:00:00 GMT", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("99999999999", None),
        ];
        for (header, seconds) in table {
            assert_eq!(retry_after(header, now()), seconds.map(Duration::from_secs), "{header}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read(header: String) {
            prop_assert!(retry_after(&header, now()).is_none_or(|wait| wait <= Duration::from_secs(u64::MAX)));
        }

        #[test]
        fn a_message_is_tried_again_later_or_never(status in 100_u16..600, attempts in 1_usize..20, word: u32) {
            let verdict = judge(answered(status), attempts, now(), Jitter::from_random(word));
            match verdict {
                Verdict::Again(at) => prop_assert!(at > now() && attempts < 10),
                Verdict::GivenUp => prop_assert!(attempts >= 10),
                Verdict::Delivered => prop_assert!((200..300).contains(&status)),
                Verdict::Gone => prop_assert_eq!(status, 410),
            }
        }
    }
}
