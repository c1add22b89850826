//! Entries that vanish, and CRLs that an operator accepts although a rule refused them.

use crl::{CrlNumber, IssuingDistributionPoint, Reason, Template};

use super::*;
use crate::issuer::AcceptAnswer;
use crate::refresh::{Candidate, Cause, Departure, OriginError};

/// A stage that holds number 7, with 40 entries, made an hour ago.
fn holding(set: &[(&str, &str)]) -> Stage {
    let stage = Stage::new(Ca::p256(), set);
    let crl = signed(&stage, 40, |template| {
        template.number = CrlNumber::from(7);
        template.this_update = NOW.before(HOUR).as_unix_time();
    });
    stage.origin.0.answer_next(crl);
    assert_eq!(outcome(&stage), "published");
    stage
}

/// The next CRL, with the first entries of those held, changed by `change`.
fn signed(stage: &Stage, entries: u32, change: impl FnOnce(&mut Template)) -> Vec<u8> {
    let ca = Rc::clone(&stage.origin.0.ca.borrow());
    let mut template = ca.template(FULL, 8, stage.host.now());
    change(&mut template);
    ca.sign(&template, entries)
}

/// The next CRL, with the first entries of those held.
fn next(stage: &Stage, entries: u32) -> Vec<u8> {
    signed(stage, entries, |_| ())
}

fn refreshed(stage: &Stage) -> Event {
    stage.refreshed(Trigger::Operator).remove(0)
}

/// How a refresh ends: its code, or its outcome.
fn outcome(stage: &Stage) -> String {
    let event = refreshed(stage);
    let outcome = event.outcome.to_string();
    event.error_code.unwrap_or(outcome)
}

fn candidate(stage: &Stage) -> Option<Candidate> {
    stage.disk.crl(FULL).candidate
}

fn accept(stage: &Stage, sha256: Sha256) -> AcceptAnswer {
    let object = stage.object();
    let accept = async move { object.accept(FULL, sha256, "anna").await.unwrap() };
    stage.machine.done(accept)
}

/// The outcome of accepting the CRL that was refused last, and its event.
fn accepted(stage: &Stage) -> Event {
    let sha256 = candidate(stage).expect("one was refused").sha256;
    match accept(stage, sha256) {
        AcceptAnswer::Checked(event) => *event,
        other => panic!("{other:?}"),
    }
}

fn findings(event: &Event) -> Vec<(&str, u64)> {
    let findings = event.findings.iter().flatten();
    findings
        .map(|finding| (finding.code.as_str(), finding.count))
        .collect()
}

#[test]
fn a_crl_from_which_most_entries_vanished_waits_for_an_operator() {
    let stage = holding(&[]);
    stage.origin.0.answer_next(next(&stage, 3));
    let event = refreshed(&stage);
    assert_eq!(event.error_code.as_deref(), Some("entries_vanished"));
    assert_eq!(
        (event.entries_added, event.entries_removed),
        (Some(0), Some(37))
    );
    assert_eq!(findings(&event), [("early_removal", 37)]);
    assert_eq!(stage.served().as_deref(), Ok("7"));

    // The candidate outlives the object, and its bytes are not swept.
    stage.kill();
    let refused = candidate(&stage).unwrap();
    assert_eq!(refused.code, "entries_vanished");
    assert_eq!(refused.missing.len(), 10);
    assert_eq!(
        accept(&stage, Sha256([1; 32])),
        AcceptAnswer::OtherRefused(refused.sha256)
    );
    assert_eq!(stage.served().as_deref(), Ok("7"));

    let event = accepted(&stage);
    assert_eq!(event.outcome.as_str(), "published");
    let by = &event.findings.as_ref().unwrap()[0];
    assert_eq!(by.example.as_deref(), Some("entries_vanished by anna"));
    assert_eq!(stage.served().as_deref(), Ok("8"));
    assert_eq!(stage.in_kv().as_deref(), Some("8"));
    assert_eq!(candidate(&stage), None);
    assert_eq!(accept(&stage, refused.sha256), AcceptAnswer::NoneRefused);
    // The CRL, and what it removed.
    assert_eq!(stage.disk.bodies_and_outbox(), (2, 0));
}

#[test]
fn a_crl_that_is_replaced_while_a_refresh_compares_with_it_is_still_read() {
    const LATE: Duration = Duration::from_secs(10);
    let stage = holding(&[]);
    stage.origin.0.answer_next(next(&stage, 3));
    assert_eq!(outcome(&stage), "entries_vanished");
    let newer = signed(&stage, 41, |template| template.number = CrlNumber::from(9));
    let late = Reply::Late(LATE, Box::new(newer.into()));
    stage.origin.0.answer_next(late);
    let under_way = stage.refresh(Trigger::Operator);
    stage.pass(LATE / 2);
    accepted(&stage);
    stage.pass(LATE);
    let event = under_way.answer().unwrap().remove(0);
    let replaced = "the CRL was replaced while it was being refreshed";
    assert_eq!(event.error.as_deref(), Some(replaced));
}

#[test]
fn a_withheld_crl_is_published_once_its_time_has_passed() {
    let stage = holding(&[("REMOVALS_HOLD_HOURS", "2")]);
    let crl = next(&stage, 3);
    *stage.origin.0.always.borrow_mut() = Some(Reply::from(crl));
    assert_eq!(outcome(&stage), "entries_vanished");
    stage.pass(HOUR);
    assert_eq!(stage.served().as_deref(), Ok("7"));
    // Back-off is fifteen minutes at most.
    stage.pass(HOUR + 16 * MINUTE);
    assert_eq!(stage.served().as_deref(), Ok("8"));
    let held = stage.disk.crl(FULL);
    assert_eq!(held.withheld_since, None);
    assert_eq!(held.findings[0].code, "early_removal");
}

#[test]
fn a_withheld_crl_is_published_before_clients_have_none() {
    let stage = holding(&[]);
    let crl = next(&stage, 3);
    *stage.origin.0.always.borrow_mut() = Some(Reply::from(crl));
    assert_eq!(outcome(&stage), "entries_vanished");
    // The CRL held is valid for eleven hours, of which one has passed.
    stage.pass(8 * HOUR + 30 * MINUTE);
    assert_eq!(stage.served().as_deref(), Ok("7"));
    stage.pass(45 * MINUTE);
    assert_eq!(stage.served().as_deref(), Ok("8"));
}

#[test]
fn a_crl_is_refused_for_ever_if_the_settings_say_so() {
    let stage = holding(&[("REMOVALS", "refuse"), ("REMOVALS_HOLD_HOURS", "0")]);
    stage.origin.0.answer_next(next(&stage, 3));
    assert_eq!(outcome(&stage), "entries_vanished");
    let stage = holding(&[("REMOVALS", "warn")]);
    stage.origin.0.answer_next(next(&stage, 0));
    let event = refreshed(&stage);
    assert_eq!(findings(&event), [("early_removal", 40)]);
    assert_eq!(stage.served().as_deref(), Ok("8"));
}

#[test]
fn what_the_origin_explains_may_leave() {
    let departed = |because| {
        let serials = 4..=40;
        let departed = serials.map(|serial: u32| Departure {
            serial: format!("{serial:02x}"),
            because,
        });
        Ok(Some(departed.collect()))
    };
    let stage = holding(&[]);
    *stage.origin.0.departed.borrow_mut() = departed(Cause::Unknown);
    stage.origin.0.answer_next(next(&stage, 3));
    assert_eq!(outcome(&stage), "entries_vanished");
    *stage.origin.0.departed.borrow_mut() = departed(Cause::Expired);
    stage.origin.0.answer_next(next(&stage, 3));
    let event = refreshed(&stage);
    assert_eq!(event.outcome.as_str(), "published");
    assert_eq!((event.entries_removed, event.findings), (Some(37), None));
}

#[test]
fn an_origin_that_cannot_explain_for_now_is_asked_again() {
    let stage = holding(&[]);
    let down = OriginError::Unreachable("down".to_owned());
    *stage.origin.0.departed.borrow_mut() = Err(down);
    stage.origin.0.answer_next(next(&stage, 39));
    assert_eq!(outcome(&stage), "origin_unreachable");
    assert_eq!(stage.served().as_deref(), Ok("7"));
    assert_eq!(stage.disk.bodies_and_outbox(), (1, 0));
}

#[test]
fn an_origin_that_does_not_know_a_hold_that_left_has_lost_its_state() {
    let stage = Stage::new(Ca::p256(), &[]);
    let held = |number: u64, entries: u32| {
        let ca = Rc::clone(&stage.origin.0.ca.borrow());
        let made_at = stage.host.now().before(HOUR * u32::from(number == 7));
        let template = ca.template(FULL, number, made_at);
        ca.sign_revoked(&template, Reason::CertificateHold, 1..=entries)
    };
    stage.origin.0.answer_next(held(7, 2));
    assert_eq!(outcome(&stage), "published");
    *stage.origin.0.departed.borrow_mut() = Err(OriginError::StateLost { retry_after: None });
    stage.origin.0.answer_next(held(8, 1));
    assert_eq!(outcome(&stage), "state_lost");
    assert_eq!(stage.served().as_deref(), Ok("7"));
    // Of others a hold may leave without a reason.
    *stage.origin.0.departed.borrow_mut() = Ok(None);
    stage.origin.0.answer_next(held(9, 1));
    let event = refreshed(&stage);
    assert_eq!(event.outcome.as_str(), "published");
    assert_eq!((event.entries_removed, event.findings), (Some(1), None));
}

#[test]
fn old_entries_may_leave_once_their_certificates_must_have_expired() {
    // The twin's entries are of 1,700,000,000, November 2023.
    let stage = holding(&[("MAX_CERTIFICATE_DAYS", "1")]);
    stage.origin.0.answer_next(next(&stage, 3));
    let event = refreshed(&stage);
    assert_eq!((event.entries_removed, event.findings), (Some(37), None));
}

#[test]
fn a_few_early_removals_are_published_and_reported() {
    let stage = holding(&[]);
    stage.origin.0.answer_next(next(&stage, 38));
    let event = refreshed(&stage);
    assert_eq!(event.outcome.as_str(), "published");
    assert_eq!(findings(&event), [("early_removal", 2)]);
    let finding = &event.findings.unwrap()[0];
    let mut shown: Vec<_> = finding.example.as_deref().unwrap().split(", ").collect();
    shown.sort_unstable();
    assert_eq!(shown, ["27", "28"]);
}

/// Makes an answer that is refused.
type Make = Box<dyn Fn(&Stage) -> Reply>;

#[test]
fn an_operator_may_overrule_what_relates_to_the_crl_held() {
    let point = IssuingDistributionPoint::from_url("http://elsewhere.example.com/");
    let users = IssuingDistributionPoint {
        only_user_certificates: true,
        ..IssuingDistributionPoint::from_url("http://crl.example.com/full.crl")
    };
    let changed = |change: fn(&mut Template)| -> Make {
        Box::new(move |stage| Reply::from(signed(stage, 40, change)))
    };
    let cases: [(&str, Make); 6] = [
        (
            "number_regressed",
            changed(|template| template.number = CrlNumber::from(3)),
        ),
        (
            "number_reused",
            changed(|template| template.number = CrlNumber::from(7)),
        ),
        (
            "this_update_regressed",
            changed(|template| template.this_update = NOW.before(2 * HOUR).as_unix_time()),
        ),
        (
            "watermark_regressed",
            Box::new(|stage| Reply::Crl(next(stage, 40), Some(9), 1000)),
        ),
        (
            "wrong_distribution_point",
            Box::new(move |stage| {
                let point = point.clone();
                Reply::from(signed(stage, 40, |template| {
                    template.issuing_distribution_point = Some(point);
                }))
            }),
        ),
        (
            "scope_changed",
            Box::new(move |stage| {
                let users = users.clone();
                Reply::from(signed(stage, 40, |template| {
                    template.issuing_distribution_point = Some(users);
                }))
            }),
        ),
    ];
    for (code, make) in cases {
        let stage = Stage::new(Ca::p256(), &[]);
        let held = signed(&stage, 40, |template| {
            template.number = CrlNumber::from(7);
            template.this_update = NOW.before(HOUR).as_unix_time();
        });
        stage.origin.0.answer_next(Reply::Crl(held, Some(10), 1000));
        assert_eq!(outcome(&stage), "published");
        stage.origin.0.answer_next(make(&stage));
        assert_eq!(outcome(&stage), code);
        let number = candidate(&stage).unwrap().number.unwrap();
        assert_eq!(accepted(&stage).outcome.as_str(), "published", "{code}");
        assert_eq!(stage.served(), Ok(number), "{code}");
    }
}

#[test]
fn an_operator_may_overrule_nothing_else() {
    let stage = holding(&[]);
    stage.origin.0.answer_next(next(&stage, 3));
    assert_eq!(outcome(&stage), "entries_vanished");
    // The one that was refused last counts.
    let mut forged = next(&stage, 40);
    *forged.last_mut().unwrap() ^= 1;
    stage.origin.0.answer_next(forged);
    assert_eq!(outcome(&stage), "bad_signature");
    assert_eq!(candidate(&stage), None);

    // All other rules are checked again.
    stage.origin.0.answer_next(next(&stage, 3));
    assert_eq!(outcome(&stage), "entries_vanished");
    stage.machine.set_time(stage.host.now().after(11 * HOUR));
    let event = accepted(&stage);
    assert_eq!(event.error_code.as_deref(), Some("expired"));
}

#[test]
fn a_delta_that_starts_from_a_later_crl_is_refused() {
    let stage = holding(&[]);
    *stage.origin.0.names.borrow_mut() = vec![FULL, CrlName::Delta];
    stage.machine.pass(2 * MINUTE);
    let ca = Rc::clone(&stage.origin.0.ca.borrow());
    let mut template = ca.template(CrlName::Delta, 9, stage.host.now());
    template.base_number = Some(CrlNumber::from(8));
    let delta = ca.sign(&template, 1);
    stage.origin.0.answer_next(delta);
    let object = stage.object();
    let refresh = async move {
        object
            .refresh(Some(CrlName::Delta), Trigger::Operator)
            .await
    };
    let event = stage.machine.done(refresh).remove(0);
    assert_eq!(event.error_code.as_deref(), Some("delta_base"));
}
