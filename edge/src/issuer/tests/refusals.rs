//! Whatever is refused: head, body and KV stay as they were, and one event says why.

use crl::{CrlNumber, DistinguishedName, IssuingDistributionPoint, Template};

use super::*;
use crate::refresh::OriginError;

/// A stage that holds number 7, made an hour ago, with watermark 10.
fn holding() -> Stage {
    let stage = Stage::new(Ca::p256(), &[("MAX_CRL_BYTES", "4096")]);
    let crl = stage.origin.0.ca.borrow().crl(7, NOW.before(HOUR));
    stage.origin.0.answer_next(Reply::Crl(crl, Some(10), 1000));
    assert_eq!(
        stage.refreshed(Trigger::Cron)[0].outcome.as_str(),
        "published"
    );
    stage
}

/// Has the origin answer with `reply`, and sees that it is refused with `code` and changes nothing.
fn refused(stage: &Stage, reply: impl Into<Reply>, code: &str) {
    let (body, kv) = (stage.disk.committed(FULL), stage.replica.body(&key(FULL)));
    let (writes, events) = (
        stage.replica.writes.borrow().len(),
        stage.log.events().len(),
    );
    stage.origin.0.answer_next(reply);
    let refresh = stage.refresh(Trigger::Operator);
    stage.machine.pass(Duration::from_secs(40));
    let refreshed = refresh.answer().unwrap();
    assert_eq!(refreshed[0].error_code.as_deref(), Some(code));
    assert_eq!(refreshed[0].succeeded, 0);
    assert!(
        refreshed[0]
            .error
            .as_ref()
            .is_some_and(|words| words.len() > 10)
    );
    assert_eq!(stage.disk.committed(FULL), body, "{code}");
    assert_eq!(stage.replica.body(&key(FULL)), kv, "{code}");
    assert_eq!(stage.replica.writes.borrow().len(), writes, "{code}");
    let recorded = stage.log.events();
    assert_eq!(recorded[events..], refreshed[..], "{code} is one event");
    assert_eq!(stage.served().as_deref(), Ok("7"), "{code}");
    let candidates = usize::from(stage.disk.crl(FULL).candidate.is_some());
    assert_eq!(
        stage.disk.bodies_and_outbox(),
        (1 + candidates, 0),
        "{code} leaves nothing else behind"
    );
}

/// A CRL that differs from an admissible one by `change`.
fn changed(stage: &Stage, change: impl FnOnce(&mut Template)) -> Vec<u8> {
    let ca = Rc::clone(&stage.origin.0.ca.borrow());
    let mut template = ca.template(FULL, 8, NOW);
    change(&mut template);
    ca.sign(&template, 3)
}

#[test]
fn every_rule_of_admission_has_its_code_and_changes_nothing() {
    let stage = holding();
    let good = changed(&stage, |_| {});
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    refused(&stage, flipped, "bad_signature");
    refused(&stage, good[..good.len() - 1].to_vec(), "malformed");
    refused(&stage, [&good[..], b"\n"].concat(), "trailing_data");
    refused(&stage, b"<html>Welcome!</html>".to_vec(), "malformed");
    refused(&stage, Vec::new(), "malformed");
    let large = {
        let ca = Rc::clone(&stage.origin.0.ca.borrow());
        ca.sign(&ca.template(FULL, 8, NOW), 1000)
    };
    refused(&stage, large, "too_large");
    let name = b"\x30\x0f1\x0d0\x0b\x06\x03\x55\x04\x03\x13\x04Root";
    let other = DistinguishedName::from_der(name).unwrap();
    let wrong_issuer = changed(&stage, |template| template.issuer = other);
    refused(&stage, wrong_issuer, "wrong_issuer");
    let another_key = Ca::p256().crl(8, NOW);
    refused(&stage, another_key, "wrong_issuer");
    let later = NOW.after(2 * HOUR).as_unix_time();
    let not_yet = changed(&stage, |template| template.this_update = later);
    refused(&stage, not_yet, "not_yet_valid");
    let (from, to) = (NOW.before(3 * HOUR), NOW.before(HOUR));
    let expired = changed(&stage, |template| {
        (template.this_update, template.next_update) = (from.as_unix_time(), to.as_unix_time());
    });
    refused(&stage, expired, "expired");
    let back = changed(&stage, |template| template.number = CrlNumber::from(6));
    refused(&stage, back, "number_regressed");
    let again = changed(&stage, |template| template.number = CrlNumber::from(7));
    refused(&stage, again, "number_reused");
    let older = NOW.before(2 * HOUR).as_unix_time();
    let older = changed(&stage, |template| template.this_update = older);
    refused(&stage, older, "this_update_regressed");
    refused(
        &stage,
        Reply::Crl(good.clone(), Some(9), 1000),
        "watermark_regressed",
    );
    let delta = changed(&stage, |template| {
        template.base_number = Some(CrlNumber::from(7));
    });
    refused(&stage, delta, "wrong_scope");
    let point = IssuingDistributionPoint::from_url("http://elsewhere.example.com/");
    let elsewhere = changed(&stage, |template| {
        template.issuing_distribution_point = Some(point);
    });
    refused(&stage, elsewhere, "wrong_distribution_point");
    stage.origin.0.answer_next(good);
    assert_eq!(
        stage.refreshed(Trigger::Operator)[0].outcome.as_str(),
        "published"
    );
}

#[test]
fn a_crl_that_was_only_signed_anew_is_unchanged() {
    let stage = holding();
    let held = stage.disk.committed(FULL);
    let resigned = stage.origin.0.ca.borrow().crl(7, NOW.before(HOUR));
    assert_ne!(held.as_ref(), Some(&resigned));
    let reply = Reply::Crl(resigned, Some(10), 1000);
    stage.origin.0.answer_next(reply);
    let refreshed = stage.refreshed(Trigger::Operator);
    assert_eq!(refreshed[0].outcome.as_str(), "unchanged");
    assert_eq!(stage.disk.committed(FULL), held);
}

/// `der` with the occurrence number `which` of `from` replaced.
fn patched(der: &[u8], which: usize, from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut places = (0..der.len()).filter(|at| der[*at..].starts_with(from));
    let at = places.nth(which).unwrap();
    [&der[..at], to, &der[at + from.len()..]].concat()
}

#[test]
fn what_no_writer_of_ours_makes_is_refused_as_well() {
    const ECDSA: [&[u8]; 3] = [
        b"\x2a\x86\x48\xce\x3d\x04\x03\x01",
        b"\x2a\x86\x48\xce\x3d\x04\x03\x02",
        b"\x2a\x86\x48\xce\x3d\x04\x03\x03",
    ];
    let [sha224, sha256, sha384] = ECDSA;
    let stage = holding();
    let good = changed(&stage, |_| {});
    let version_1 = patched(&good, 0, b"\x02\x01\x01", b"\x02\x01\x00");
    refused(&stage, version_1, "unsupported_version");
    let mismatch = patched(&good, 1, sha256, sha384);
    refused(&stage, mismatch, "algorithm_mismatch");
    let sha224_twice = patched(&patched(&good, 0, sha256, sha224), 0, sha256, sha224);
    refused(&stage, sha224_twice, "unsupported_algorithm");
    let number_missing = patched(&good, 0, b"\x55\x1d\x14", b"\x55\x1d\x7f");
    refused(&stage, number_missing, "number_missing");
    let point = IssuingDistributionPoint::from_url("http://crl.example.com/full.crl");
    let limited = changed(&stage, |template| {
        template.issuing_distribution_point = Some(point);
    });
    let unknown = patched(&limited, 0, b"\x55\x1d\x1c", b"\x55\x1d\x7f");
    refused(&stage, unknown, "unknown_critical_extension");
}

#[test]
fn every_failure_of_the_transport_has_its_code_and_changes_nothing() {
    let stage = holding();
    let good = changed(&stage, |_| {});
    refused(
        &stage,
        Reply::CutOff(good[..200].to_vec()),
        "origin_truncated",
    );
    refused(&stage, Reply::Hang(good[..200].to_vec()), "origin_timeout");
    let status = |status| {
        Reply::Error(OriginError::Status {
            status,
            retry_after: None,
        })
    };
    refused(&stage, status(500), "origin_status");
    refused(&stage, status(401), "origin_status");
    // 304 to a demand for a new CRL, with and without the name of the one held.
    stage.origin.0.answer_next(Reply::Current);
    refused(&stage, Reply::Current, "origin_status");
    let html = OriginError::WrongContentType(Some("text/html".to_owned()));
    refused(&stage, Reply::Error(html), "wrong_content_type");
    let down = OriginError::Unreachable("connection refused".to_owned());
    refused(&stage, Reply::Error(down), "origin_unreachable");
}

#[test]
fn a_crl_that_comes_byte_by_byte_is_as_good_as_another() {
    for ca in [Ca::p256(), Ca::ed25519()] {
        let stage = Stage::new(ca, &[]);
        let crl = stage.origin.0.ca.borrow().crl(7, NOW);
        stage.origin.0.answer_next(Reply::Crl(crl.clone(), None, 1));
        let events = stage.refreshed(Trigger::Cron);
        assert_eq!(events[0].outcome.as_str(), "published");
        assert_eq!(events[0].revoked_count, Some(3));
        assert_eq!(stage.disk.committed(FULL), Some(crl));
    }
}

#[test]
fn an_ed25519_crl_of_many_pieces_is_verified_over_all_of_them() {
    let stage = Stage::new(Ca::ed25519(), &[]);
    let crl = {
        let ca = Rc::clone(&stage.origin.0.ca.borrow());
        ca.sign(&ca.template(FULL, 1, NOW), 100_000)
    };
    let mut flipped = crl.clone();
    flipped[1_500_000] ^= 1;
    stage.origin.0.answer_next(flipped);
    stage.origin.0.answer_next(crl.clone());
    let codes = [(); 2].map(|()| stage.refreshed(Trigger::Operator)[0].error_code.clone());
    assert_ne!(codes[0], None);
    assert_eq!(codes[1], None);
    assert!(stage.disk.crl(FULL).current.unwrap().pieces > 1);
    assert_eq!(stage.disk.committed(FULL), Some(crl));
}

#[test]
fn the_same_bytes_again_are_unchanged() {
    let stage = holding();
    let same = stage.disk.committed(FULL).unwrap();
    stage.origin.0.answer_next(same);
    let events = stage.refreshed(Trigger::Operator);
    assert_eq!(events[0].outcome.as_str(), "unchanged");
    assert_eq!(events[0].crl_number.as_deref(), Some("7"));
    assert_eq!(stage.disk.bodies_and_outbox(), (1, 0));
}

#[test]
fn another_certificate_waits_for_the_operator_and_is_then_pinned() {
    let stage = Stage::p256();
    stage.refreshed(Trigger::Cron);
    stage.pass(2 * MINUTE);
    *stage.origin.0.ca.borrow_mut() = Rc::new(Ca::p256());
    let calls = stage.origin.0.call_count();
    for _ in 0..2 {
        let events = stage.refreshed(Trigger::Operator);
        assert_eq!(events[0].error_code.as_deref(), Some("issuer_changed"));
        assert_eq!(stage.served().as_deref(), Ok("1"));
    }
    assert_eq!(
        stage.origin.0.call_count(),
        calls,
        "its CRL is not even fetched"
    );
    let newer = stage.origin.0.ca.borrow().crl(2, stage.host.now());
    stage.origin.0.answer_next(newer);
    let events = pinned(&stage);
    assert_eq!(events[0].outcome.as_str(), "published");
    assert_eq!(stage.served().as_deref(), Ok("2"));
    assert_eq!(stage.disk.issuer().pending_certificate, None);
    let trust = stage.trust(Sha256([0; 32]));
    stage.machine.run();
    assert_eq!(trust.answer(), Some(TrustAnswer::NoneWaiting));
}

/// The events of the refresh that follows when the certificate that waits is trusted.
fn pinned(stage: &Stage) -> Vec<Event> {
    let trust = stage.trust_waiting();
    stage.machine.run();
    match trust.answer() {
        Some(TrustAnswer::Pinned(events)) => events,
        other => panic!("{other:?}"),
    }
}

#[test]
fn trust_pins_only_the_certificate_that_the_operator_compared() {
    let stage = Stage::p256();
    stage.refreshed(Trigger::Cron);
    let pinned = stage.disk.issuer().pinned;
    // The origin shows one certificate, which the operator compares, and then another.
    let mut waiting = Vec::new();
    for _ in 0..2 {
        // Without alarms, which would read the record in between.
        stage.machine.pass(2 * MINUTE);
        *stage.origin.0.ca.borrow_mut() = Rc::new(Ca::p256());
        stage.refreshed(Trigger::Cron);
        waiting.push(fingerprint(
            &stage.disk.issuer().pending_certificate.unwrap(),
        ));
    }
    let calls = stage.origin.0.call_count();
    let trust = stage.trust(waiting[0]);
    stage.machine.run();
    assert_eq!(trust.answer(), Some(TrustAnswer::OtherWaiting(waiting[1])));
    assert_eq!(stage.disk.issuer().pinned, pinned);
    assert!(stage.disk.issuer().pending_certificate.is_some());
    assert_eq!(stage.origin.0.call_count(), calls);
}

#[test]
fn a_certificate_that_changed_while_the_record_was_fresh_is_told_at_once() {
    for (before, after) in [
        (Ca::p256(), Ca::p256()),
        (Ca::ed25519(), Ca::ed25519()),
        (Ca::p256(), Ca::ed25519()),
    ] {
        let stage = Stage::new(before, &[]);
        stage.refreshed(Trigger::Cron);
        let records = stage.origin.0.record_calls.get();
        stage.machine.pass(MINUTE / 2);
        let changed = Rc::new(after);
        let newer = changed.crl(2, stage.host.now());
        *stage.origin.0.ca.borrow_mut() = changed;
        stage.origin.0.answer_next(newer.clone());
        let events = stage.refreshed(Trigger::Hook);
        assert_eq!(events[0].error_code.as_deref(), Some("issuer_changed"));
        assert_eq!(stage.origin.0.record_calls.get(), records + 1);
        assert_eq!(stage.served().as_deref(), Ok("1"));
        stage.origin.0.answer_next(newer);
        let events = pinned(&stage);
        assert_eq!(events[0].outcome.as_str(), "published");
        assert_eq!(stage.served().as_deref(), Ok("2"));
    }
}

#[test]
fn a_foreign_crl_costs_one_reading_of_the_record_and_keeps_its_code() {
    let stage = Stage::p256();
    stage.refreshed(Trigger::Cron);
    let records = || stage.origin.0.record_calls.get();
    stage.machine.pass(MINUTE / 2);
    let foreign = || Ca::p256().crl(2, stage.host.now());
    for record_error in [None, Some(OriginError::Unreachable("down".to_owned()))] {
        *stage.origin.0.record_error.borrow_mut() = record_error;
        let before = records();
        stage.origin.0.answer_next(foreign());
        let events = stage.refreshed(Trigger::Operator);
        assert_eq!(events[0].error_code.as_deref(), Some("wrong_issuer"));
        assert_eq!(records(), before + 1);
        assert_eq!(stage.disk.issuer().pending_certificate, None);
        stage.machine.pass(MINUTE / 4);
    }
    // A record that this very refresh has read need not be read again.
    stage.origin.0.record_error.take();
    stage.machine.pass(2 * MINUTE);
    let before = records();
    stage.origin.0.answer_next(foreign());
    stage.refreshed(Trigger::Operator);
    assert_eq!(records(), before + 1);
}

#[test]
fn a_certificate_that_was_changed_back_waits_no_more() {
    let stage = Stage::p256();
    stage.refreshed(Trigger::Cron);
    stage.pass(2 * MINUTE);
    let ours = stage.origin.0.ca.replace(Rc::new(Ca::p256()));
    stage.refreshed(Trigger::Cron);
    assert!(stage.disk.issuer().pending_certificate.is_some());
    stage.origin.0.ca.replace(ours);
    stage.pass(2 * MINUTE);
    assert_eq!(
        stage.refreshed(Trigger::Cron)[0].outcome.as_str(),
        "unchanged"
    );
    assert_eq!(stage.disk.issuer().pending_certificate, None);
}

#[test]
fn an_issuer_that_is_gone_at_the_origin_is_served_while_its_crl_is_valid() {
    let stage = Stage::p256();
    stage.refreshed(Trigger::Cron);
    stage.origin.0.unknown.set(true);
    stage.pass(9 * HOUR);
    assert_eq!(stage.served().as_deref(), Ok("1"));
    stage.pass(2 * HOUR);
    assert!(stage.served().is_err());
    assert!(
        stage.log.codes()[1..]
            .iter()
            .all(|code| code == "origin_status")
    );
    let asked = stage.origin.0.record_calls.get();
    stage.pass(24 * HOUR);
    assert_eq!(
        stage.origin.0.record_calls.get(),
        asked,
        "no alarm asks for ever"
    );
    stage.origin.0.unknown.set(false);
    assert_eq!(stage.served().as_deref(), Ok("2"), "it may come back");
}

#[test]
fn a_list_that_is_due_does_not_wait_for_the_registry() {
    let stage = Stage::p256();
    stage.refreshed(Trigger::Cron);
    stage.pass(2 * MINUTE);
    let down = OriginError::Unreachable("down".to_owned());
    *stage.origin.0.record_error.borrow_mut() = Some(down);
    assert_eq!(
        stage.refreshed(Trigger::Operator)[0].outcome.as_str(),
        "published"
    );
}

#[test]
fn a_record_that_hangs_does_not_keep_a_list_that_is_due_waiting_for_ever() {
    let stage = Stage::p256();
    stage.refreshed(Trigger::Cron);
    stage.machine.pass(2 * MINUTE);
    stage.origin.0.close_records();
    let refresh = stage.refresh(Trigger::Operator);
    stage.machine.pass(MINUTE);
    assert_eq!(refresh.answer().unwrap()[0].outcome.as_str(), "published");
}

#[test]
fn an_origin_that_takes_an_expired_crl_for_current_is_asked_for_a_new_one() {
    let stage = Stage::p256();
    stage.refreshed(Trigger::Cron);
    *stage.origin.0.always.borrow_mut() = Some(Reply::Current);
    stage.pass(11 * HOUR);
    stage.origin.0.always.take();
    assert!(stage.served().is_err());
    let events = stage.log.events();
    let last = &events[events.len() - 1];
    assert_eq!(last.error_code.as_deref(), Some("origin_status"));
    assert!(events.len() < 60, "{}", events.len());
    assert_eq!(
        stage.refreshed(Trigger::Cron)[0].outcome.as_str(),
        "published"
    );
}
