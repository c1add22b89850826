//! An entry leaves only after each edge holds a CRL with it that was made after its certificate
//! expired (RFC 5280, section 3.3).

mod harness;

use crl_origin::origin::Cause;
use origin_api::CrlName::{Full, Shard};

use harness::ca::{Ca, DAY, Edge, id};

#[test]
fn what_is_made_by_hand_is_not_published() {
    let ca = Ca::new(&[Full]);
    ca.revoke("0a", ca.in_days(1));
    ca.pass(30 * DAY);
    for _ in 0..3 {
        assert_eq!(ca.listed(Full), ["0a"]);
    }
}

#[test]
fn an_expired_entry_leaves_once_every_edge_has_shown_it() {
    let ca = Ca::new(&[Full]);
    let (mut one, mut two) = (Edge::new("one"), Edge::new("two"));
    ca.revoke("0a", ca.in_days(1));
    ca.revoke("0b", ca.in_days(90));
    one.refresh(&ca, Full).unwrap();
    two.refresh(&ca, Full).unwrap();
    ca.pass(9 * DAY);
    // One gets a CRL made after the expiry; whatever two gets is lost on the way, or refused.
    two.loses = true;
    for _ in 0..3 {
        one.renew(&ca, Full).unwrap();
        two.renew(&ca, Full).unwrap();
        assert_eq!(one.serials(Full), ["0a", "0b"]);
    }
    two.loses = false;
    two.renew(&ca, Full).unwrap();
    assert_eq!(two.serials(Full), ["0a", "0b"]);
    one.renew(&ca, Full).unwrap();
    assert_eq!(one.serials(Full), ["0a", "0b"], "two has not confirmed yet");
    two.renew(&ca, Full).unwrap();
    assert_eq!(two.serials(Full), ["0b"]);
    let serials = ["0a", "0b", "0c"].map(|serial| serial.parse().unwrap());
    let departures = ca.origin().departures(&id(), Full, serials.into()).unwrap();
    let causes: Vec<Cause> = departures.iter().map(|departure| departure.cause).collect();
    assert!(matches!(
        causes[..],
        [Cause::Expired(_), Cause::Unknown, Cause::Unknown]
    ));
}

#[test]
fn an_edge_that_is_gone_for_a_validity_no_longer_counts() {
    let ca = Ca::new(&[Full]);
    let (mut one, mut gone) = (Edge::new("one"), Edge::new("gone"));
    ca.revoke("0a", ca.in_days(1));
    gone.refresh(&ca, Full).unwrap();
    ca.pass(9 * DAY);
    one.renew(&ca, Full).unwrap();
    one.renew(&ca, Full).unwrap();
    one.renew(&ca, Full).unwrap();
    assert!(one.serials(Full).is_empty());
}

#[test]
fn an_entry_has_slack_of_two_update_periods() {
    let (ca, mut edge) = (Ca::new(&[Full]), Edge::new("edge"));
    ca.revoke("0a", ca.in_days(1));
    // Two update periods of a CRL that is valid for 7 days, and renewed after 3.5, are 7 days.
    ca.pass(7 * DAY);
    for _ in 0..3 {
        edge.renew(&ca, Full).unwrap();
        assert_eq!(edge.serials(Full), ["0a"]);
    }
    ca.pass(2 * DAY);
    edge.renew(&ca, Full).unwrap();
    edge.renew(&ca, Full).unwrap();
    assert!(edge.serials(Full).is_empty());
}

#[test]
fn an_entry_of_a_shard_leaves_when_both_its_lists_have_shown_it() {
    let (ca, mut edge) = (Ca::new(&[Full, Shard(0)]), Edge::new("edge"));
    let request = crl_origin::revocation::RevocationRequest {
        list: crl_origin::revocation::NamedList::Shard(0),
        not_after: Some(ca.in_days(1)),
        ..Ca::request("0a")
    };
    ca.try_revoke(&request).unwrap();
    edge.refresh(&ca, Full).unwrap();
    ca.pass(9 * DAY);
    for _ in 0..3 {
        edge.renew(&ca, Full).unwrap();
        assert_eq!(edge.serials(Full), ["0a"], "nobody holds the shard's CRL");
    }
    edge.renew(&ca, Shard(0)).unwrap();
    edge.renew(&ca, Shard(0)).unwrap();
    edge.renew(&ca, Full).unwrap();
    edge.renew(&ca, Shard(0)).unwrap();
    assert!(edge.serials(Full).is_empty());
    assert!(edge.serials(Shard(0)).is_empty());
}

#[test]
fn entries_leave_and_return_in_steps_that_other_writers_can_wait_for() {
    const MANY: u32 = 4_500;
    let (ca, mut edge) = (Ca::new(&[Full]), Edge::new("edge"));
    let requests: Vec<_> = (1..=MANY)
        .map(|serial| crl_origin::revocation::RevocationRequest {
            not_after: Some(ca.in_days(1)),
            ..Ca::request(&format!("{serial:x}"))
        })
        .collect();
    ca.origin().revoke_all(&id(), &requests, ca.now()).unwrap();
    edge.refresh(&ca, Full).unwrap();
    let expires = ca.now();
    ca.pass(9 * DAY);
    edge.renew(&ca, Full).unwrap();
    assert_eq!(edge.serials(Full).len(), MANY as usize);
    let before = edge.held[&Full].watermark.0;
    edge.renew(&ca, Full).unwrap();
    assert!(edge.serials(Full).is_empty());
    assert_eq!(edge.held[&Full].watermark.0, before + 3, "three steps");
    // The clock was ahead after all: all of them return.
    ca.set(expires);
    assert_eq!(ca.listed(Full).len(), MANY as usize);
}

#[test]
fn an_issuer_that_keeps_expired_entries_keeps_them() {
    let (ca, mut edge) = (Ca::new(&[Full]), Edge::new("edge"));
    let changes = crl_origin::origin::Changes {
        keep_expired: Some(true),
        ..Default::default()
    };
    ca.origin()
        .change_issuer(&id(), &changes, ca.now())
        .unwrap();
    ca.revoke("0a", ca.in_days(1));
    edge.refresh(&ca, Full).unwrap();
    ca.pass(30 * DAY);
    for _ in 0..3 {
        edge.renew(&ca, Full).unwrap();
        assert_eq!(edge.serials(Full), ["0a"]);
    }
}
