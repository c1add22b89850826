//! What each CRL added and removed.

use crl::CrlNumber;

use super::*;
use crate::refresh::{ChangesAnswer, ChangesPage, ChangesPlace};

/// Publishes a CRL with these serial numbers.
fn publish(stage: &Stage, name: CrlName, number: u64, serials: impl IntoIterator<Item = u32>) {
    let ca = Rc::clone(&stage.origin.0.ca.borrow());
    let template = ca.template(name, number, stage.host.now());
    stage
        .origin
        .0
        .answer_next(ca.sign_serials(&template, serials));
    let object = stage.object();
    let refresh = async move { object.refresh(Some(name), Trigger::Operator).await };
    let event = stage.machine.done(refresh).remove(0);
    assert_eq!(event.outcome.as_str(), "published", "{event:?}");
    stage.pass(MINUTE);
}

fn read(stage: &Stage, name: CrlName, place: ChangesPlace) -> ChangesAnswer {
    stage.object().changes(name, &place).unwrap()
}

/// All changes since a number, each page with the number of its CRL.
fn since(stage: &Stage, number: u64) -> Result<Vec<(String, String)>, Option<String>> {
    let mut place = Some(ChangesPlace {
        after: CrlNumber::from(number),
        piece: 0,
    });
    let mut pages = Vec::new();
    while let Some(next) = place {
        match read(stage, FULL, next) {
            ChangesAnswer::Page(ChangesPage {
                number,
                lines,
                next,
                ..
            }) => {
                pages.push((number.to_string(), lines));
                place = next;
            }
            ChangesAnswer::Forgotten(since) => return Err(since),
        }
    }
    Ok(pages)
}

fn page(number: &str, lines: &str) -> (String, String) {
    (number.to_owned(), lines.to_owned())
}

#[test]
fn what_each_crl_added_and_removed_is_kept() {
    let stage = Stage::new(Ca::p256(), &[]);
    assert_eq!(since(&stage, 7), Err(None));
    publish(&stage, FULL, 7, 1..=3);
    publish(&stage, FULL, 8, [1, 3, 0xAB]);
    publish(&stage, FULL, 9, [1, 3, 0xAB]);
    publish(&stage, FULL, 10, [1, 3, 0xAB, 0xAC]);
    // The oldest CRL has none before it.
    assert_eq!(since(&stage, 6), Err(Some("7".to_owned())));
    stage.kill();
    stage.pass(HOUR);
    let eighth = "- 02 1700000000 -\n+ ab 1700000000 -\n";
    let tenth = "+ ac 1700000000 -\n";
    let pages = since(&stage, 7).unwrap();
    assert_eq!(pages[0].0, "8");
    let mut lines: Vec<_> = pages[0].1.lines().collect();
    lines.sort_unstable_by(|one, other| other.cmp(one));
    assert_eq!(lines, eighth.lines().collect::<Vec<_>>());
    assert_eq!(pages[1..], [page("10", tenth)]);
    assert_eq!(since(&stage, 8), Ok(vec![page("10", tenth)]));
    assert_eq!(since(&stage, 10), Ok(vec![page("10", "")]));
    // A body for the CRL, one for each of the two that changed something.
    assert_eq!(stage.disk.bodies_and_outbox(), (3, 0));
}

#[test]
fn more_changes_than_a_page_has_come_in_several() {
    let stage = Stage::new(Ca::p256(), &[]);
    publish(&stage, FULL, 7, []);
    publish(&stage, FULL, 8, 1..=20_000);
    publish(&stage, FULL, 9, 1..=20_001);
    let pages = since(&stage, 7).unwrap();
    let eighth = pages.iter().filter(|(number, _)| number == "8");
    let eighth: Vec<_> = eighth.map(|(_, lines)| lines).collect();
    assert!(eighth.len() > 1);
    let lines = eighth.iter().flat_map(|lines| lines.lines());
    assert_eq!(lines.count(), 20_000);
    assert_eq!(pages.last().unwrap().0, "9");
}

#[test]
fn too_many_changes_are_not_kept() {
    let stage = Stage::new(Ca::p256(), &[]);
    publish(&stage, FULL, 7, []);
    publish(&stage, FULL, 8, 1..=200_000);
    publish(&stage, FULL, 9, 1..=200_001);
    assert_eq!(since(&stage, 7), Err(Some("8".to_owned())));
    assert_eq!(since(&stage, 8).unwrap().len(), 1);
    // What was written of them is swept.
    assert_eq!(stage.disk.bodies_and_outbox(), (2, 0));
}

#[test]
fn a_delta_has_no_changes_of_its_own() {
    let stage = Stage::new(Ca::p256(), &[]);
    *stage.origin.0.names.borrow_mut() = vec![FULL, CrlName::Delta];
    publish(&stage, CrlName::Delta, 8, [1]);
    publish(&stage, CrlName::Delta, 9, [2]);
    let place = ChangesPlace {
        after: CrlNumber::from(8),
        piece: 0,
    };
    let answer = read(&stage, CrlName::Delta, place);
    assert_eq!(answer, ChangesAnswer::Forgotten(Some("9".to_owned())));
}
