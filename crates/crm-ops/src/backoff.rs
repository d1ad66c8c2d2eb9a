//! How long to wait before the next try, for jobs and for webhooks.
//!
//! The randomness comes in as an argument, so that a schedule can be replayed.

use std::time::Duration;

/// The wait after a job's first failure; each further one doubles it.
const JOB_FIRST: Duration = Duration::from_secs(15);
/// The longest wait between two tries of a job, jitter aside.
const JOB_LONGEST: Duration = Duration::from_hours(6);

/// The waits before each try of a webhook, 75 hours and 35 minutes in all.
const WEBHOOK_WAITS: [Duration; 10] = [
    Duration::ZERO,
    Duration::from_secs(5),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(5),
    Duration::from_hours(10),
    Duration::from_hours(14),
    Duration::from_hours(20),
    Duration::from_hours(24),
];
/// The longest `Retry-After` that is obeyed in full.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(24);

/// A shift of a wait by up to a tenth either way, so that what failed together is not tried again together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jitter {
    permille: u32,
}

impl Jitter {
    /// No shift.
    pub const NONE: Self = Self { permille: 1000 };

    /// The shift that a random word stands for: all from -10 % to +10 % are equally likely if all words are.
    pub const fn from_random(word: u32) -> Self {
        Self { permille: 900 + word % 201 }
    }

    fn shifted(self, wait: Duration) -> Duration {
        wait * self.permille / 1000
    }
}

/// The wait after a job's `attempts`-th try has failed; `None` when `max_attempts` are used up.
///
/// 15 seconds, doubled each time up to 6 hours: twelve attempts take eight and a half hours.
pub fn job_delay(attempts: u32, max_attempts: u32, jitter: Jitter) -> Option<Duration> {
    let doublings = attempts.saturating_sub(1);
    let wait =
        2_u32.checked_pow(doublings).map_or(JOB_LONGEST, |times| JOB_FIRST.saturating_mul(times).min(JOB_LONGEST));
    (attempts < max_attempts).then(|| jitter.shifted(wait))
}

/// The wait before the next try of a webhook that was tried `attempts` times; `None` when all tries are used up.
///
/// A receiver's `retry_after` is obeyed up to 24 hours where it asks for more than the schedule.
pub fn webhook_delay(attempts: usize, jitter: Jitter, retry_after: Option<Duration>) -> Option<Duration> {
    let wait = jitter.shifted(*WEBHOOK_WAITS.get(attempts)?);
    Some(retry_after.map_or(wait, |asked| wait.max(asked.min(LONGEST_RETRY_AFTER))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn jobs_wait_twice_as_long_each_time() {
        let waits: Vec<_> = (1..=12).map_while(|n| job_delay(n, 12, Jitter::NONE)).map(|wait| wait.as_secs()).collect();
        assert_eq!(waits, [15, 30, 60, 120, 240, 480, 960, 1920, 3840, 7680, 15360]);
        let table = [(12, 12, None), (12, 13, Some(21_600)), (40, 100, Some(21_600)), (0, 1, Some(15)), (1, 0, None)];
        for (attempts, max_attempts, seconds) in table {
            assert_eq!(job_delay(attempts, max_attempts, Jitter::NONE), seconds.map(Duration::from_secs), "{attempts}");
        }
    }

    #[test]
    fn webhooks_are_tried_for_three_days() {
        let waits: Vec<_> = (0..).map_while(|n| webhook_delay(n, Jitter::NONE, None)).collect();
        let seconds: Vec<_> = waits.iter().map(Duration::as_secs).collect();
        assert_eq!(seconds, [0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]);
        assert_eq!(waits.iter().sum::<Duration>(), Duration::from_secs(75 * 3600 + 35 * 60 + 5));
    }

    #[test]
    fn a_receiver_may_ask_for_patience_up_to_a_day() {
        let table = [(1, 3, 5), (1, 60, 60), (1, 200_000, 86_400), (9, 60, 86_400)];
        for (attempts, asked, seconds) in table {
            let delay = webhook_delay(attempts, Jitter::NONE, Some(Duration::from_secs(asked)));
            assert_eq!(delay, Some(Duration::from_secs(seconds)), "{attempts} {asked}");
        }
        let hurried = Jitter::from_random(0);
        let asked = Duration::from_hours(1);
        assert_eq!(webhook_delay(1, hurried, Some(asked)), Some(asked));
        assert_eq!(webhook_delay(10, Jitter::NONE, Some(asked)), None);
    }

    #[test]
    fn jitter_spans_a_tenth_either_way() {
        let minute = Duration::from_mins(1);
        let table = [(0, 54_000), (100, 60_000), (200, 66_000), (201, 54_000)];
        for (word, millis) in table {
            assert_eq!(Jitter::from_random(word).shifted(minute), Duration::from_millis(millis), "{word}");
        }
        assert_eq!(Jitter::NONE, Jitter::from_random(100));
    }

    proptest! {
        #[test]
        fn waits_grow_and_stay_within_a_tenth(attempts: u32, word: u32) {
            let wait = |attempts| job_delay(attempts, u32::MAX, Jitter::NONE);
            prop_assume!(attempts < u32::MAX - 1);
            prop_assert!(wait(attempts) <= wait(attempts + 1));
            let exact = wait(attempts).unwrap();
            let shifted = job_delay(attempts, u32::MAX, Jitter::from_random(word)).unwrap();
            prop_assert!(exact * 9 / 10 <= shifted && shifted <= exact * 11 / 10);
        }
    }
}
