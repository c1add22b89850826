//! The clock is wrong for a while.

mod harness;

use std::sync::Arc;
use std::time::Duration;

use crl_origin::clock::{Clock, SystemClock};
use crl_origin::origin::{CrlAnswer, MadeCrl, Origin};
use crl_origin::random::SystemRandom;
use crl_origin::revocation::RevocationRequest;
use crl_origin::vault::Vault;
use harness::serials;
use origin_api::{CrlName, Timestamp};

const DAY: Duration = Duration::from_hours(24);

struct Clocks {
    /// Holds the database.
    _harness: harness::Origin,
    origin: Origin,
}

impl Clocks {
    fn new() -> Self {
        let harness = harness::Origin::new();
        harness.issuer("ca", "p256");
        let origin = Origin::open(
            &harness.path("origin.db"),
            Vault::default(),
            Arc::new(SystemRandom),
        )
        .unwrap();
        Self {
            _harness: harness,
            origin,
        }
    }

    /// Revokes a certificate that ends in thirty days.
    fn revoke(&self, now: Timestamp, present: Timestamp) {
        let request = RevocationRequest {
            serial: "0a".parse().unwrap(),
            reason: crl::Reason::Superseded,
            revoked_at: None,
            invalidity_date: None,
            not_after: Some(present.as_unix_time().saturating_add(30 * DAY)),
            shard: None,
        };
        self.origin
            .revoke(&"ca".parse().unwrap(), &request, now)
            .unwrap();
    }

    fn crl(&self, now: Timestamp) -> MadeCrl {
        let id = "ca".parse().unwrap();
        match self.origin.make_crl(&id, CrlName::Full, None, now).unwrap() {
            CrlAnswer::Crl(crl) => crl,
            other => panic!("{other:?}"),
        }
    }
}

fn later(now: Timestamp, by: Duration) -> Timestamp {
    now.after(by)
}

#[test]
fn a_list_made_by_a_clock_that_was_ahead_takes_nothing_off_the_next() {
    let (clocks, now) = (Clocks::new(), SystemClock.now());
    clocks.revoke(now, now);
    let ahead = clocks.crl(later(now, 365 * DAY));
    let right = clocks.crl(later(now, DAY));
    assert_eq!(serials(&right.to_der()), ["0a"]);
    assert!(right.number > ahead.number);
    assert_eq!(right.this_update, later(now, DAY).as_unix_time());
}

#[test]
fn what_a_clock_that_was_ahead_took_off_the_list_can_be_put_on_it_again() {
    let (clocks, now) = (Clocks::new(), SystemClock.now());
    clocks.revoke(now, now);
    let next_year = later(now, 365 * DAY);
    assert_eq!(serials(&clocks.crl(next_year).to_der()), ["0a"]);
    assert!(serials(&clocks.crl(next_year).to_der()).is_empty());
    clocks.revoke(later(now, DAY), now);
    assert_eq!(serials(&clocks.crl(later(now, DAY)).to_der()), ["0a"]);
}

#[test]
fn a_clock_that_steps_back_a_little_goes_unnoticed() {
    let (clocks, now) = (Clocks::new(), later(SystemClock.now(), DAY));
    let first = clocks.crl(now);
    let second = clocks.crl(now.before(Duration::from_mins(1)));
    assert!(second.number > first.number);
    assert_eq!(second.this_update, first.this_update);
}
