//! A clock that is wrong removes no entry of a certificate that is still valid.

mod harness;

use std::time::Duration;

use origin_api::CrlName::Full;

use harness::ca::{Ca, DAY, Edge, HOUR};

/// The case of a review: the second CRL made 60 days ahead took the entry off, for good.
#[test]
fn a_clock_that_is_ahead_for_a_while_removes_nothing() {
    let (ca, mut edge) = (Ca::new(&[Full]), Edge::new("edge"));
    ca.revoke("0a", ca.in_days(30));
    edge.refresh(&ca, Full).unwrap();
    let right = ca.now();
    ca.set(right.after(60 * DAY));
    for _ in 0..3 {
        edge.renew(&ca, Full).unwrap();
        assert_eq!(edge.serials(Full), ["0a"]);
    }
    let ahead = edge.number(Full);
    ca.set(right.after(HOUR));
    edge.renew(&ca, Full).unwrap();
    assert_eq!(edge.serials(Full), ["0a"]);
    assert!(edge.number(Full) > ahead);
    let held = &edge.held[&Full];
    assert_eq!(held.this_update, ca.now().as_unix_time());
}

#[test]
fn a_jump_that_lasts_is_trusted_and_expiry_goes_on() {
    let (ca, mut edge) = (Ca::new(&[Full]), Edge::new("edge"));
    ca.revoke("0a", ca.in_days(30));
    edge.refresh(&ca, Full).unwrap();
    // The service was down for 60 days.
    ca.set(ca.now().after(60 * DAY));
    edge.renew(&ca, Full).unwrap();
    edge.renew(&ca, Full).unwrap();
    assert_eq!(edge.serials(Full), ["0a"]);
    ca.pass(DAY);
    edge.renew(&ca, Full).unwrap();
    assert!(edge.serials(Full).is_empty());
}

#[test]
fn an_entry_that_left_too_early_returns_by_itself() {
    let (ca, mut edge) = (Ca::new(&[Full]), Edge::new("edge"));
    ca.revoke("0a", ca.in_days(30));
    edge.refresh(&ca, Full).unwrap();
    let right = ca.now();
    // A clock that stays wrong for long is believed in the end.
    ca.set(right.after(60 * DAY));
    ca.pass(DAY);
    edge.renew(&ca, Full).unwrap();
    ca.pass(HOUR);
    edge.renew(&ca, Full).unwrap();
    assert!(edge.serials(Full).is_empty());
    ca.set(right.after(2 * DAY));
    edge.renew(&ca, Full).unwrap();
    assert_eq!(edge.serials(Full), ["0a"]);
}

#[test]
fn this_update_repeats_for_a_clock_that_steps_back_a_little() {
    let ca = Ca::new(&[Full]);
    let first = ca.make(Full).unwrap().unwrap();
    ca.set(ca.now().before(Duration::from_mins(4)));
    let second = ca.make(Full).unwrap().unwrap();
    assert!(second.number > first.number);
    assert_eq!(second.this_update, first.this_update);
    // An edge would take a thisUpdate at most 5 minutes ahead of its own clock.
    ca.set(ca.now().before(Duration::from_mins(4)));
    let third = ca.make(Full).unwrap().unwrap();
    assert!(third.number > second.number);
    assert_eq!(third.this_update, ca.now().as_unix_time());
}
