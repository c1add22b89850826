//! Which push is next. Pure: time is an argument, measured from a fixed instant.
//!
//! Issuers whose push was not tried yet come before those that failed, and the latest change comes
//! first, so that a fresh revocation does not wait behind a thousand issuers that the edge will not
//! hear of.

use std::collections::HashMap;
use std::time::Duration;

use origin_api::{IssuerId, Watermark};

/// The longest time between two attempts for an issuer that the edge refuses.
const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// The longest time between two attempts to reach an edge that is down: once it is back,
/// revocations show within seconds.
const LONGEST_WAIT_FOR_EDGE: Duration = Duration::from_secs(15);

/// How long a push counts as young. Only young pushes count towards [`MOST_YOUNG`], so that pushes
/// that hang do not keep others from starting.
const YOUNG: Duration = Duration::from_secs(1);

/// How many young pushes run at once: what an edge and the signing of CRLs here can take.
const MOST_YOUNG: usize = 32;

/// How many pushes run at once, hanging ones included.
const MOST: usize = 512;

/// How many may run when an issuer starts that has failed or waited: the rest is for fresh changes.
const MOST_BEFORE_BACKLOG: usize = 256;

/// How long a change is fresh.
const FRESH: Duration = Duration::from_secs(2);

/// The issuers that are owed a push.
#[derive(Debug, Default)]
pub(super) struct Queue {
    issuers: HashMap<IssuerId, Entry>,
    /// While the edge cannot be reached at all.
    down: Option<Backoff>,
}

#[derive(Debug)]
struct Entry {
    watermark: Watermark,
    /// When the change was first seen.
    since: Duration,
    /// When the push began that is running.
    started: Option<Duration>,
    failure: Option<Failure>,
    /// Pushed, though the database may have been read before it said so.
    done: bool,
}

/// The last attempt for an issuer failed.
#[derive(Clone, Copy, Debug)]
struct Failure {
    backoff: Backoff,
    /// The edge refused, rather than not having heard.
    refused: bool,
}

#[derive(Clone, Copy, Debug)]
struct Backoff {
    attempts: u32,
    again_at: Duration,
}

/// How a push ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The edge has refreshed what was current at this watermark.
    Done(Watermark),
    /// The edge answered that it did not refresh this issuer.
    Refused,
    /// The edge took the request, and did not answer.
    Unheard,
    /// No connection to the edge, for whatever issuer.
    EdgeDown,
}

impl Queue {
    /// Takes over what the database says. A new change is tried at once, whatever became of earlier
    /// attempts.
    pub(super) fn update(&mut self, owed: Vec<(IssuerId, Watermark)>, now: Duration) {
        let mut before = std::mem::take(&mut self.issuers);
        for (issuer, watermark) in owed {
            let entry = match before.remove(&issuer) {
                Some(entry) if entry.watermark == watermark => entry,
                Some(entry) => Entry {
                    watermark,
                    since: now,
                    failure: entry.failure.map(|failure| failure.retried_at(now)),
                    started: entry.started,
                    done: false,
                },
                None => Entry {
                    watermark,
                    since: now,
                    started: None,
                    failure: None,
                    done: false,
                },
            };
            self.issuers.insert(issuer, entry);
        }
        // A push that runs is waited for, also if another process has made it needless.
        let running = before
            .into_iter()
            .filter(|(_, entry)| entry.started.is_some());
        self.issuers.extend(running);
    }

    /// The next push to begin now, if any. It counts as running from then on.
    pub(super) fn start(&mut self, now: Duration) -> Option<(IssuerId, Watermark)> {
        let running = self.running();
        let young = self.started().filter(|at| now < *at + YOUNG).count();
        if young >= MOST_YOUNG || running >= MOST {
            return None;
        }
        if let Some(down) = &mut self.down {
            // One push finds out whether the edge is back.
            if now < down.again_at || young > 0 {
                return None;
            }
        }
        let ready = self.issuers.iter().filter(|(_, entry)| entry.is_ready(now));
        let (issuer, entry) = ready.max_by_key(|(issuer, entry)| (entry.rank(), *issuer))?;
        if !entry.is_fresh(now) && running >= MOST_BEFORE_BACKLOG {
            return None;
        }
        let (issuer, watermark) = (issuer.clone(), entry.watermark);
        if let Some(entry) = self.issuers.get_mut(&issuer) {
            entry.started = Some(now);
        }
        Some((issuer, watermark))
    }

    /// Takes over how a push ended.
    pub(super) fn finish(&mut self, issuer: &IssuerId, outcome: Outcome, now: Duration) {
        match outcome {
            Outcome::Done(watermark) => {
                self.edge_answered(now);
                if let Some(entry) = self.issuers.get_mut(issuer) {
                    entry.started = None;
                    entry.failure = None;
                    entry.done = entry.watermark <= watermark;
                }
            }
            Outcome::Refused => {
                self.edge_answered(now);
                self.failed(issuer, true, now);
            }
            Outcome::Unheard => self.failed(issuer, false, now),
            Outcome::EdgeDown => {
                // Pushes that ran side by side fail together, which is one failure.
                if self.down.is_none_or(|down| now >= down.again_at) {
                    let longest = LONGEST_WAIT_FOR_EDGE;
                    self.down = Some(Backoff::after(self.down, longest, now));
                }
                if let Some(entry) = self.issuers.get_mut(issuer) {
                    entry.started = None;
                }
            }
        }
    }

    /// How many issuers are owed a push, running ones included.
    pub(super) fn waiting(&self) -> usize {
        self.owed().count()
    }

    /// How many pushes run.
    pub(super) fn running(&self) -> usize {
        self.started().count()
    }

    /// How long the issuer that waits longest has been owed its push.
    pub(super) fn oldest_wait(&self, now: Duration) -> Duration {
        let first = self.owed().map(|entry| entry.since).min();
        first.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    fn owed(&self) -> impl Iterator<Item = &Entry> {
        self.issuers.values().filter(|entry| !entry.done)
    }

    fn started(&self) -> impl Iterator<Item = Duration> {
        self.issuers.values().filter_map(|entry| entry.started)
    }

    /// The edge is there: those that it has not heard need wait no longer.
    fn edge_answered(&mut self, now: Duration) {
        self.down = None;
        for entry in self.issuers.values_mut() {
            if let Some(failure) = entry.failure.filter(|failure| !failure.refused) {
                entry.failure = Some(failure.retried_at(now));
            }
        }
    }

    fn failed(&mut self, issuer: &IssuerId, refused: bool, now: Duration) {
        if let Some(entry) = self.issuers.get_mut(issuer) {
            let before = entry.failure.map(|failure| failure.backoff);
            entry.started = None;
            entry.failure = Some(Failure {
                backoff: Backoff::after(before, LONGEST_WAIT, now),
                refused,
            });
        }
    }
}

impl Entry {
    fn is_ready(&self, now: Duration) -> bool {
        let is_due = |failure: Failure| now >= failure.backoff.again_at;
        !self.done && self.started.is_none() && self.failure.is_none_or(is_due)
    }

    fn is_fresh(&self, now: Duration) -> bool {
        self.failure.is_none() && now < self.since + FRESH
    }

    /// Untried before failed, then the latest change first; of those that failed, whichever was due
    /// first.
    fn rank(&self) -> (bool, Duration) {
        match self.failure {
            None => (true, self.since),
            Some(failure) => (
                false,
                Duration::MAX.saturating_sub(failure.backoff.again_at),
            ),
        }
    }
}

impl Failure {
    fn retried_at(self, now: Duration) -> Self {
        let again_at = self.backoff.again_at.min(now);
        let backoff = Backoff {
            again_at,
            ..self.backoff
        };
        Self { backoff, ..self }
    }
}

impl Backoff {
    fn after(before: Option<Self>, longest: Duration, now: Duration) -> Self {
        let attempts = before.map_or(0, |before| before.attempts).saturating_add(1);
        Self {
            attempts,
            again_at: now + wait_after(attempts).min(longest),
        }
    }
}

/// One second, then twice as long each time.
fn wait_after(attempts: u32) -> Duration {
    let seconds = 1_u64
        .checked_shl(attempts.saturating_sub(1))
        .unwrap_or(u64::MAX);
    Duration::from_secs(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> IssuerId {
        text.parse().unwrap()
    }

    fn owed(count: u64) -> Vec<(IssuerId, Watermark)> {
        (0..count)
            .map(|n| (id(&format!("ca-{n}")), Watermark(n + 1)))
            .collect()
    }

    /// Starts all that may start now.
    fn start_all(queue: &mut Queue, now: Duration) -> Vec<String> {
        std::iter::from_fn(|| queue.start(now))
            .map(|(issuer, _)| issuer.to_string())
            .collect()
    }

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn attempts_become_rarer_up_to_a_limit() {
        let waits: Vec<u64> = [1, 2, 3, 9, 10, 64, 65, u32::MAX]
            .map(|n| wait_after(n).min(LONGEST_WAIT).as_secs())
            .into();
        assert_eq!(waits, [1, 2, 4, 256, 300, 300, 300, 300]);
    }

    /// The edge hangs for a thousand issuers. One more is revoked from, and must be pushed within
    /// two seconds, of which the database's tick takes half a second.
    #[test]
    fn a_fresh_change_starts_within_a_second_while_a_thousand_hang() {
        for at in [0, 1, 5, 20, 60] {
            let mut queue = Queue::default();
            let all = owed(1000);
            for second in 0..=at {
                queue.update(all.clone(), seconds(second));
                start_all(&mut queue, seconds(second));
            }
            let fresh = [all, vec![(id("fresh"), Watermark(1))]].concat();
            queue.update(fresh, seconds(at));
            let first = start_all(&mut queue, seconds(at));
            let second = start_all(&mut queue, seconds(at + 1));
            assert!(
                [first, second].concat().contains(&"fresh".to_owned()),
                "after {at} s, with {} running",
                queue.running()
            );
        }
    }

    #[test]
    fn a_fresh_change_goes_before_those_that_failed() {
        let mut queue = Queue::default();
        queue.update(owed(1000), seconds(0));
        // All were tried, and refused.
        for round in 0..100 {
            for issuer in start_all(&mut queue, seconds(round)) {
                queue.finish(&id(&issuer), Outcome::Refused, seconds(round));
            }
        }
        let fresh = [owed(1000), vec![(id("fresh"), Watermark(1))]].concat();
        queue.update(fresh, seconds(100));
        assert_eq!(start_all(&mut queue, seconds(100))[0], "fresh");
    }

    #[test]
    fn an_edge_that_is_down_is_tried_by_one_push_at_a_time() {
        let mut queue = Queue::default();
        queue.update(owed(100), seconds(0));
        let first = start_all(&mut queue, seconds(0));
        assert_eq!(first.len(), MOST_YOUNG);
        for issuer in first {
            queue.finish(&id(&issuer), Outcome::EdgeDown, seconds(0));
        }
        assert!(start_all(&mut queue, Duration::from_millis(900)).is_empty());
        let probe = start_all(&mut queue, seconds(1));
        assert_eq!(probe.len(), 1);
        queue.finish(&id(&probe[0]), Outcome::EdgeDown, seconds(1));
        // Down for hours, it is still tried every 15 seconds.
        let mut tries = 0;
        for now in 2..3600 {
            for issuer in start_all(&mut queue, seconds(now)) {
                queue.finish(&id(&issuer), Outcome::EdgeDown, seconds(now));
                tries += 1;
            }
        }
        assert!((235..=245).contains(&tries), "{tries}");
        let now = seconds(3700);
        let probe = queue.start(now).unwrap();
        queue.finish(&probe.0, Outcome::Done(probe.1), now);
        assert_eq!(start_all(&mut queue, now).len(), MOST_YOUNG);
    }

    #[test]
    fn what_the_edge_did_not_hear_is_repeated_once_it_answers() {
        let mut queue = Queue::default();
        queue.update(owed(2), seconds(0));
        for _ in 0..10 {
            let now = seconds(10_000);
            let started = start_all(&mut queue, now);
            for issuer in started {
                queue.finish(&id(&issuer), Outcome::Unheard, now);
            }
        }
        let now = seconds(10_001);
        queue.finish(&id("ca-0"), Outcome::Done(Watermark(1)), now);
        assert_eq!(start_all(&mut queue, now), ["ca-1"]);
    }

    #[test]
    fn a_change_during_a_push_is_pushed_again() {
        let mut queue = Queue::default();
        queue.update(vec![(id("ca"), Watermark(1))], seconds(0));
        assert_eq!(queue.start(seconds(0)), Some((id("ca"), Watermark(1))));
        queue.update(vec![(id("ca"), Watermark(2))], seconds(1));
        assert_eq!(queue.start(seconds(1)), None, "one at a time");
        queue.finish(&id("ca"), Outcome::Done(Watermark(1)), seconds(2));
        assert_eq!(queue.start(seconds(2)), Some((id("ca"), Watermark(2))));
        queue.finish(&id("ca"), Outcome::Done(Watermark(2)), seconds(3));
        assert_eq!(queue.waiting(), 0);
        // The database was read before the push was recorded.
        queue.update(vec![(id("ca"), Watermark(2))], seconds(3));
        assert_eq!(queue.start(seconds(3)), None);
        queue.update(Vec::new(), seconds(4));
        queue.update(vec![(id("ca"), Watermark(3))], seconds(5));
        assert!(queue.start(seconds(5)).is_some());
    }

    #[test]
    fn a_new_change_ends_the_wait_of_one_that_failed() {
        let mut queue = Queue::default();
        queue.update(vec![(id("ca"), Watermark(1))], seconds(0));
        for n in 0..10 {
            let now = seconds(1000 * n);
            assert!(queue.start(now).is_some());
            queue.finish(&id("ca"), Outcome::Refused, now);
        }
        assert_eq!(queue.start(seconds(9001)), None);
        queue.update(vec![(id("ca"), Watermark(2))], seconds(9001));
        assert!(queue.start(seconds(9001)).is_some());
    }
}
