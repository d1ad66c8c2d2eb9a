//! What a worker does of one queue: how many jobs run, which are held until there is room, and how many more to take.
//!
//! Taking a job costs as much as finishing one, so jobs that end within milliseconds are taken many at a time and held. How
//! many follows from how long they took of late: no more than the slots do within a twentieth of a second. Where jobs take
//! long nothing is held, so that no job waits here while another worker is idle.
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crm_core::jobs::Share;

/// What is held is done within this time, at the pace of late.
const HORIZON: Duration = Duration::from_millis(50);
/// The most jobs that are held.
const MOST_HELD: usize = 64;
/// How long a job is held at most; then it is given back to the queue, for others.
const LONGEST_HELD: Duration = Duration::from_secs(1);

/// One queue of a worker, and its jobs.
pub(crate) struct Lane<J> {
    /// How many jobs run at a time.
    pub(crate) slots: usize,
    /// How many threads are at it.
    pub(crate) running: usize,
    held: VecDeque<(Instant, J)>,
    /// How long a job takes; not known before the first one has ended.
    pace: Option<Duration>,
    /// Nothing is held before a slot is free, since a job waits that only a free slot may take.
    is_yielding: bool,
}

impl<J> Lane<J> {
    pub(crate) fn new(slots: usize) -> Self {
        Self { slots, running: 0, held: VecDeque::new(), pace: None, is_yielding: false }
    }

    /// How many jobs may be held, at the pace of late.
    fn room(&self) -> usize {
        let Some(pace) = self.pace.filter(|_| !self.is_yielding) else { return 0 };
        let within = HORIZON.as_micros() * self.slots as u128 / pace.as_micros().max(1);
        usize::try_from(within).unwrap_or(MOST_HELD).min(MOST_HELD)
    }

    /// How many jobs to take now: none while at least half of what may be held is there.
    pub(crate) fn wanted(&self) -> Share {
        let (room, held) = (self.room(), self.held.len());
        let begun = self.slots.saturating_sub(self.running + held);
        match held * 2 > room {
            true => Share { begun, held: 0 },
            false => Share { begun, held: room - held.saturating_sub(self.slots.saturating_sub(self.running)) },
        }
    }

    /// Takes in what was claimed, from each organization in turn. Gives the number of threads that are to be started.
    pub(crate) fn add(&mut self, claims: Vec<Vec<J>>, now: Instant) -> usize {
        let mut turns: Vec<_> = claims.into_iter().map(Vec::into_iter).collect();
        while !turns.is_empty() {
            turns.retain_mut(|turn| match turn.next() {
                Some(claim) => {
                    self.held.push_back((now, claim));
                    true
                }
                None => false,
            });
        }
        self.is_yielding = false;
        let threads = self.held.len().min(self.slots.saturating_sub(self.running));
        self.running += threads;
        threads
    }

    /// Lets no job be held until a slot is free.
    pub(crate) fn yield_slots(&mut self) {
        self.is_yielding = true;
    }

    /// The next job to run.
    pub(crate) fn next(&mut self) -> Option<J> {
        self.held.pop_front().map(|(_, claim)| claim)
    }

    /// Notes how long a job took. One slow job counts at once, a quick one little by little.
    pub(crate) fn note(&mut self, took: Duration) {
        self.pace = Some(self.pace.map_or(took, |pace| took.max((pace * 7 + took) / 8)));
    }

    /// What is held.
    pub(crate) fn held(&self) -> impl Iterator<Item = &J> {
        self.held.iter().map(|(_, claim)| claim)
    }

    /// Takes everything out that is held.
    pub(crate) fn empty(&mut self) -> Vec<J> {
        self.held.drain(..).map(|(_, claim)| claim).collect()
    }

    /// Takes out what has been held for too long: its jobs turned out to be slow.
    pub(crate) fn overdue(&mut self, now: Instant) -> Vec<J> {
        let is_overdue = self.held.front().is_some_and(|(since, _)| now.duration_since(*since) >= LONGEST_HELD);
        if !is_overdue {
            return Vec::new();
        }
        self.pace = Some(LONGEST_HELD);
        self.empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::disallowed_methods, reason = "only differences to it count")]
    fn began() -> Instant {
        Instant::now()
    }

    /// A lane of two slots at a pace.
    fn lane(milliseconds: u64) -> Lane<u32> {
        let mut lane = Lane::new(2);
        lane.note(Duration::from_millis(milliseconds));
        lane
    }

    #[test]
    fn as_many_are_held_as_are_done_in_a_moment() {
        let table = [(0, 64), (1, 64), (2, 50), (10, 10), (50, 2), (100, 1), (101, 0), (60_000, 0)];
        for (milliseconds, held) in table {
            assert_eq!(lane(milliseconds).wanted(), Share { begun: 2, held }, "{milliseconds} ms");
        }
        assert_eq!(Lane::<u32>::new(2).wanted(), Share { begun: 2, held: 0 }, "the pace is not known");
    }

    #[test]
    fn none_are_taken_while_half_of_them_are_there() {
        let mut lane = lane(10);
        assert_eq!(lane.add(vec![(0..12).collect()], began()), 2);
        assert_eq!([lane.next(), lane.next()], [Some(0), Some(1)]);
        let nothing = Share { begun: 0, held: 0 };
        for _ in 0..4 {
            assert_eq!(lane.wanted(), nothing);
            lane.next();
        }
        assert_eq!(lane.wanted(), nothing, "six are left");
        lane.next();
        assert_eq!(lane.wanted(), Share { begun: 0, held: 5 });
        lane.running = 1;
        assert_eq!(lane.wanted(), Share { begun: 0, held: 6 }, "the free slot takes one of those that are held");
    }

    #[test]
    fn organizations_take_turns_among_those_that_are_held() {
        let mut lane = lane(1);
        lane.add(vec![vec![1, 2, 3], vec![10], vec![20, 21]], began());
        let order: Vec<_> = std::iter::from_fn(|| lane.next()).collect();
        assert_eq!(order, [1, 10, 20, 2, 21, 3]);
    }

    #[test]
    fn one_slow_job_ends_the_holding_and_quick_ones_bring_it_back() {
        let mut lane = lane(1);
        lane.note(Duration::from_secs(1));
        assert_eq!(lane.wanted().held, 0);
        let quick = (1..).find(|_| {
            lane.note(Duration::from_millis(1));
            lane.wanted().held > 10
        });
        assert!(quick.is_some_and(|jobs| (20..60).contains(&jobs)), "{quick:?}");
    }

    #[test]
    fn what_is_held_too_long_is_given_back() {
        let (mut lane, began) = (lane(1), began());
        lane.add(vec![vec![1, 2, 3]], began);
        lane.next();
        assert_eq!(lane.overdue(began + Duration::from_millis(999)), Vec::<u32>::new());
        assert_eq!(lane.overdue(began + Duration::from_secs(1)), [2, 3]);
        assert_eq!((lane.wanted().held, lane.held().count()), (0, 0));
    }

    #[test]
    fn a_job_that_only_a_free_slot_may_take_gets_one() {
        let mut lane = lane(1);
        lane.add(vec![vec![1, 2]], began());
        lane.next();
        lane.next();
        lane.yield_slots();
        assert_eq!(lane.wanted(), Share { begun: 0, held: 0 });
        lane.running = 1;
        assert_eq!(lane.wanted(), Share { begun: 1, held: 0 });
        lane.add(vec![vec![3]], began());
        lane.next();
        assert_eq!(lane.wanted(), Share { begun: 0, held: 64 });
    }
}
