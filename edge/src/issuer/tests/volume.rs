//! How much D1 holds: the rows of a simulated month of one issuer, times the bytes that a row takes
//! with its indexes.

use super::*;
use crate::events::EventId;
use crate::refresh::{OriginError, StatusReport};
use crate::tables::append;
use crate::tables::testing::Tables;

const ISSUERS: u64 = 10_000;
/// How many of them are written, to measure a row.
const WRITTEN: u8 = 50;
const DAY: Duration = Duration::from_hours(24);

/// Thirty days at the default settings: the cron trigger each quarter of an hour, alarms, a CRL
/// that is valid for ten hours, and an origin that is down for a day.
fn month() -> Stage {
    let stage = Stage::p256();
    let quarters = |span: Duration| span.as_secs() / (15 * MINUTE).as_secs();
    let pass = |span| {
        for _ in 0..quarters(span) {
            stage.refreshed(Trigger::Cron);
            let _ = stage.served();
            stage.pass(15 * MINUTE);
        }
    };
    pass(29 * DAY);
    let down = OriginError::Unreachable("connection refused: 192.0.2.1:443".to_owned());
    *stage.origin.0.always.borrow_mut() = Some(Reply::Error(down));
    pass(DAY);
    stage
}

#[test]
fn ten_thousand_issuers_take_less_than_two_gigabytes_for_thirty_days() {
    let stage = month();
    let (events, crl) = (stage.log.events(), stage.disk.crl(FULL));
    let refreshes: u64 = crl.counts.iter().map(|count| count.refreshes).sum();
    assert!(refreshes > 2_880, "{refreshes}");
    // 100 CRLs, and a failure each hour of a day.
    assert!((100..200).contains(&events.len()), "{}", events.len());

    let tables = Tables::new();
    let empty = tables.size();
    for issuer in 0..WRITTEN {
        let id: IssuerId = format!("issuer-with-a-name-{issuer:04}").parse().unwrap();
        let row = |(number, event): (usize, &Event)| {
            let at = NOW.after(Duration::from_secs(number as u64));
            let id = EventId::new(at, [issuer; 10]);
            let sha256 = Some("f".repeat(64));
            Event {
                id,
                issuer_id: format!("issuer-with-a-name-{issuer:04}").parse().unwrap(),
                sha256,
                ..event.clone()
            }
        };
        let events: Vec<_> = events.iter().enumerate().map(row).collect();
        let status = StatusReport {
            issuer_id: id,
            crl_name: FULL,
            state: crl.clone(),
            pinned: None,
            pending_certificate: None,
            events_owed: 0,
        };
        for query in append(&events, &[status]) {
            tables.run(&query).unwrap();
        }
    }
    let of_one = (tables.size() - empty) / u64::from(WRITTEN);
    let all = of_one * ISSUERS;
    println!(
        "{} events an issuer, {} bytes an event, {} MB for {ISSUERS} issuers",
        events.len(),
        of_one / events.len() as u64,
        all / 1_000_000
    );
    assert!(all < 2_000_000_000, "{all}");
}
