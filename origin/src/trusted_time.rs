//! A clock for expiry that a wrong system clock cannot push ahead.
//!
//! Entries leave a CRL when their certificates expire. If the system's clock is ahead, certificates
//! that are still valid would lose their revocation. So expiry follows a time of its own: it takes
//! small steps at once, any step back at once, and a jump ahead only after the clock has kept going
//! from there for a while. Holding expiry back is harmless: entries stay longer than they must.

use std::time::Duration;

use origin_api::Timestamp;

/// A step ahead of more than this between two readings is a jump. Entries stay on CRLs for at least
/// this long after their certificates expire ([`slack`]), so a smaller step removes no live entry.
const JUMP: Duration = Duration::from_hours(12);

/// How long the clock must keep going after a jump until the jump is trusted. Less than [`JUMP`],
/// so that the readings after it are steps.
const CONFIRMATION: Duration = Duration::from_hours(6);

/// The state of the expiry clock, which the database stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrustedTime {
    /// The time that expiry follows; `None` until the first reading is confirmed.
    pub trusted: Option<Timestamp>,
    /// The first reading after a jump that is not confirmed yet.
    pub jumped_to: Option<Timestamp>,
}

impl TrustedTime {
    /// The state after the system's clock has shown `now`.
    #[must_use]
    pub fn observe(self, now: Timestamp) -> Self {
        let trust = |now| Self {
            trusted: Some(now),
            jumped_to: None,
        };
        let is_step = |trusted: Timestamp| now <= trusted.after(JUMP);
        match (self.trusted, self.jumped_to) {
            (Some(trusted), _) if is_step(trusted) => trust(now),
            (_, Some(jumped_to)) if jumped_to.after(CONFIRMATION) <= now => {
                if is_step(jumped_to) {
                    trust(now)
                } else {
                    // A second jump confirms the first one, not itself.
                    Self {
                        trusted: Some(jumped_to),
                        jumped_to: Some(now),
                    }
                }
            }
            (trusted, Some(jumped_to)) if jumped_to <= now => Self {
                trusted,
                jumped_to: Some(jumped_to),
            },
            (trusted, _) => Self {
                trusted,
                jumped_to: Some(now),
            },
        }
    }
}

/// How long an entry stays after its certificate has expired: two update periods of its list, so
/// that a list that was not published does not count as the last one, and at least as long as an
/// undetected step of the clock.
#[must_use]
pub fn slack(validity: Duration, overlap: Duration) -> Duration {
    let update_period = validity.saturating_sub(overlap);
    update_period.saturating_mul(2).max(JUMP)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_millis(1_795_435_200_000);
    const DAY: Duration = Duration::from_hours(24);

    /// Readings every hour from `from`, for `hours` hours.
    fn hourly(mut time: TrustedTime, from: Timestamp, hours: u32) -> TrustedTime {
        for hour in 0..=hours {
            time = time.observe(from.after(Duration::from_hours(1) * hour));
        }
        time
    }

    fn running() -> TrustedTime {
        let time = hourly(TrustedTime::default(), NOON.before(DAY), 24);
        assert_eq!(time.trusted, Some(NOON));
        time
    }

    #[test]
    fn a_jump_is_trusted_once_the_clock_has_kept_going() {
        let ahead = NOON.after(60 * DAY);
        // Reading the wrong clock again and again is no confirmation.
        let time = running().observe(ahead).observe(ahead).observe(ahead);
        assert_eq!(time.trusted, Some(NOON));
        assert_eq!(hourly(time, ahead, 5).trusted, Some(NOON));
        let confirmed = ahead.after(Duration::from_hours(7));
        assert_eq!(hourly(time, ahead, 7).trusted, Some(confirmed));
    }

    #[test]
    fn a_wrong_clock_that_is_set_right_leaves_no_trace() {
        let time = running().observe(NOON.after(60 * DAY));
        let right = NOON.after(Duration::from_hours(1));
        assert_eq!(
            time.observe(right),
            TrustedTime {
                trusted: Some(right),
                jumped_to: None
            }
        );
    }

    #[test]
    fn a_step_back_is_trusted_at_once() {
        let earlier = NOON.before(90 * DAY);
        assert_eq!(running().observe(earlier).trusted, Some(earlier));
    }

    #[test]
    fn a_second_jump_confirms_the_first_one_alone() {
        let (first, second) = (NOON.after(7 * DAY), NOON.after(90 * DAY));
        let time = running().observe(first).observe(second);
        assert_eq!(time.trusted, Some(first));
        assert_eq!(time.jumped_to, Some(second));
    }
}
