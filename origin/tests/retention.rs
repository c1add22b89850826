//! What the origin remembers of CRLs is bounded, and forgetting hides no restore.

mod harness;

use std::time::Duration;

use crl_origin::origin::OriginError;
use origin_api::CrlName::Full;

use harness::ca::{Ca, DAY, Edge, HOUR, id};

/// Lets time pass while an edge refreshes every few days.
fn pass_with(ca: &Ca, edge: &mut Edge, time: Duration) {
    let end = ca.now().after(time);
    let mut refreshed = ca.now();
    while ca.now() < end {
        ca.set(ca.now().after(HOUR * 11));
        ca.origin().observe_clock(ca.now()).unwrap();
        if refreshed.after(DAY * 3) <= ca.now() {
            edge.renew(ca, Full).unwrap();
            refreshed = ca.now();
        }
    }
}

fn rows(ca: &Ca, table: &str) -> u32 {
    let database = rusqlite::Connection::open(ca.path("origin.db")).unwrap();
    let count = format!("SELECT count(*) FROM {table}");
    database.query_row(&count, [], |row| row.get(0)).unwrap()
}

fn knows(ca: &Ca, edge: &Edge) -> bool {
    let caller = edge.caller(Full, false);
    ca.origin().knows(&id(), Full, &caller).unwrap()
}

#[test]
fn crls_that_expired_long_ago_are_forgotten_once_no_edge_holds_them() {
    let (ca, mut here, mut away) = (Ca::new(&[Full]), Edge::new("here"), Edge::new("away"));
    away.refresh(&ca, Full).unwrap();
    ca.pass(HOUR);
    away.refresh(&ca, Full).unwrap();
    pass_with(&ca, &mut here, 390 * DAY);
    let before = rows(&ca, "made_crls");
    assert!(before > 100, "{before}");
    assert!(knows(&ca, &away));
    // What has expired for less than 400 days stays, however many are made.
    pass_with(&ca, &mut here, 500 * DAY);
    let after = rows(&ca, "made_crls");
    assert!(after < before + 20, "{before} rows, and then {after}");
    assert!(!knows(&ca, &away));
    assert_eq!(rows(&ca, "holdings"), 1);
    // It comes back: what it holds is too old to be the sign of a restore.
    ca.revoke("0a", ca.in_days(90));
    away.refresh(&ca, Full).unwrap();
    assert_eq!(away.serials(Full), ["0a"]);
    here.refresh(&ca, Full).unwrap();
    assert_eq!(here.serials(Full), ["0a"]);
}

#[test]
fn an_edge_that_was_away_for_a_year_still_shows_a_restore() {
    let (ca, mut away, mut here) = (Ca::new(&[Full]), Edge::new("away"), Edge::new("here"));
    away.refresh(&ca, Full).unwrap();
    ca.back_up();
    ca.revoke("0a", ca.in_days(900));
    away.refresh(&ca, Full).unwrap();
    ca.restore();
    pass_with(&ca, &mut here, 395 * DAY);
    assert!(matches!(
        away.refresh(&ca, Full),
        Err(OriginError::StateLost(..))
    ));
}

#[test]
fn a_wrong_clock_forgets_nothing() {
    let (ca, mut edge) = (Ca::new(&[Full]), Edge::new("edge"));
    for _ in 0..5 {
        edge.renew(&ca, Full).unwrap();
    }
    let right = ca.now();
    let made = rows(&ca, "made_crls");
    ca.set(right.after(5000 * DAY));
    for _ in 0..5 {
        edge.renew(&ca, Full).unwrap();
        ca.pass(HOUR);
    }
    ca.set(right);
    edge.renew(&ca, Full).unwrap();
    assert_eq!(rows(&ca, "made_crls"), made + 6);
}
