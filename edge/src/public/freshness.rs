//! How long caches may keep a CRL (RFC 9111): never past its nextUpdate, and counted anew for each
//! answer.

use std::borrow::Cow;
use std::time::Duration;

use crl::UnixTime;

use super::Validity;
use crate::config::Settings;
use crate::refresh::head::Head;
use crate::time::Timestamp;

/// What the operator lets caches do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `MAX_AGE_SECONDS`: the longest that a cache may keep an answer.
    pub max_age: Duration,
    /// `CLOCK_SKEW_SECONDS`: how far clocks may be apart.
    pub clock_skew: Duration,
    /// `SERVE_EXPIRED`: whether an expired CRL is better than none.
    pub serve_expired: bool,
}

impl From<&Settings> for Policy {
    fn from(settings: &Settings) -> Self {
        Self {
            max_age: settings.max_age,
            clock_skew: settings.clock_skew,
            serve_expired: settings.serve_expired,
        }
    }
}

/// From the refresh time on, the next CRL is about to come: a copy kept for an hour would hide its
/// revocations that long, and a minute still shields the edge. Before that time the full age holds,
/// so that not every cache's copy ends at the refresh time and all of them ask at once.
const DUE_MAX_AGE: Duration = Duration::from_mins(1);

/// How long an answer given at one moment stays fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Freshness {
    /// In seconds; zero says that a cache must ask each time.
    max_age: u64,
    expires: UnixTime,
}

impl Freshness {
    pub(super) fn at(now: Timestamp, head: &Head, validity: Validity, policy: &Policy) -> Self {
        let left = Timestamp::from(head.next_update)
            .before(policy.clock_skew)
            .since(now);
        let longest = match validity {
            // Of an expired one nothing is left.
            Validity::Fresh | Validity::Expired => policy.max_age,
            // A clock that has gone back is not to be relied on for long.
            Validity::Due | Validity::NotYetValid => policy.max_age.min(DUE_MAX_AGE),
        };
        // Whole seconds, rounded down on both sides, so that the sum is not past the end.
        let max_age = left.min(longest).as_secs();
        let expires = now.as_unix_time().0.saturating_add_unsigned(max_age);
        Self {
            max_age,
            expires: UnixTime(expires),
        }
    }

    /// The value of `Cache-Control`. A cache that cannot reach the edge may serve what it has
    /// beyond max-age (RFC 9111, section 4.2.4), which helps while the CRL is valid; at its end
    /// that is forbidden.
    pub(super) fn cache_control(self) -> Cow<'static, str> {
        match self.max_age {
            0 => "public, max-age=0, must-revalidate".into(),
            max_age => format!("public, max-age={max_age}").into(),
        }
    }

    /// The moment for `Expires`, which says the same to caches of HTTP/1.0.
    pub(super) const fn expires(self) -> UnixTime {
        self.expires
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::public::tables::head;

    proptest! {
        #[test]
        fn freshness_never_outlives_the_crl_nor_the_setting(
            now in 0..40_000_000_i64,
            this_update in 0..20_000_i64,
            validity in 0..20_000_i64,
            refresh_after in 0..40_000_000_i64,
            max_age in 0..10_000_u64,
            skew in 0..1_000_u64,
        ) {
            let head = Head {
                this_update: UnixTime(this_update),
                next_update: UnixTime(this_update + validity),
                refresh_after: Timestamp::from_millis(refresh_after),
                ..head()
            };
            let policy = Policy {
                max_age: Duration::from_secs(max_age),
                clock_skew: Duration::from_secs(skew),
                serve_expired: true,
            };
            let now = Timestamp::from_millis(now);
            let validity = Validity::of(&head, now, policy.clock_skew);
            let freshness = Freshness::at(now, &head, validity, &policy);
            prop_assert!(freshness.max_age <= max_age);
            prop_assert_eq!(freshness.expires.0, now.as_unix_time().0 + i64::try_from(freshness.max_age).unwrap());
            let end = Timestamp::from(head.next_update).before(policy.clock_skew);
            prop_assert!(freshness.max_age == 0 || now.after(Duration::from_secs(freshness.max_age)) <= end);
        }
    }
}
