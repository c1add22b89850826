//! A database that was restored from a backup makes no CRL until it has recovered what was lost.

mod harness;

use crl::Reason;
use crl_origin::origin::{Evidence, OriginError};
use crl_origin::revocation::{CertificateFacts, NamedList, RevocationRequest};
use origin_api::CrlName::{self, Delta, Full, Shard};

use harness::ca::{Ca, DAY, Edge, HOUR, evidence, id, served};
use harness::{Origin, header, json, number, serials};

fn is_lost<T>(result: &Result<T, OriginError>) -> bool {
    matches!(result, Err(OriginError::StateLost(..)))
}

#[test]
fn a_restored_database_recovers_what_the_edge_serves() {
    let (ca, mut edge) = (Ca::new(&[Full]), Edge::new("edge"));
    ca.revoke("0a", ca.in_days(90));
    edge.refresh(&ca, Full).unwrap();
    ca.back_up();
    ca.revoke("0b", ca.in_days(90));
    edge.refresh(&ca, Full).unwrap();
    assert_eq!(edge.serials(Full), ["0a", "0b"]);
    let (watermark, held) = (edge.held[&Full].watermark, edge.number(Full));
    ca.restore();
    // The review's case: a change after the restore made number and watermark pass, without 0b.
    ca.revoke("0c", ca.in_days(90));
    ca.pass(DAY);
    assert!(is_lost(&edge.refresh(&ca, Full)));
    assert!(is_lost(&edge.renew(&ca, Full)), "no-cache does not pass it");
    // Every caller is refused, also by the next process.
    ca.stop();
    assert!(is_lost(&Edge::new("new").refresh(&ca, Full)));
    assert!(is_lost(&ca.make(Full)));
    let recovery = ca
        .origin()
        .recover(&id(), &evidence(vec![served(&edge, Full)]), ca.now())
        .unwrap();
    assert_eq!((recovery.recovered, recovery.known), (1, 1));
    assert!(recovery.missing.is_empty());
    edge.refresh(&ca, Full).unwrap();
    assert_eq!(edge.serials(Full), ["0a", "0c", "0b"]);
    assert!(edge.held[&Full].watermark > watermark);
    assert!(edge.number(Full) > held);
}

#[test]
fn numbers_and_watermarks_pass_what_was_lost_even_if_the_clock_was_set_back() {
    let (ca, mut edge) = (Ca::new(&[Full]), Edge::new("edge"));
    edge.refresh(&ca, Full).unwrap();
    ca.back_up();
    for serial in ["0a", "0b", "0c", "0d"] {
        ca.revoke(serial, ca.in_days(900));
        edge.refresh(&ca, Full).unwrap();
    }
    let (watermark, held) = (edge.held[&Full].watermark, edge.number(Full));
    ca.restore();
    ca.set(ca.now().before(365 * DAY));
    assert!(is_lost(&edge.refresh(&ca, Full)));
    ca.origin()
        .recover(&id(), &evidence(vec![served(&edge, Full)]), ca.now())
        .unwrap();
    edge.renew(&ca, Full).unwrap();
    assert_eq!(edge.serials(Full).len(), 4);
    assert!(edge.held[&Full].watermark > watermark && edge.number(Full) > held);
}

#[test]
fn what_an_edge_held_long_ago_is_known_and_older_than_the_record_is_not_lost() {
    let (ca, mut edge) = (Ca::new(&[Full]), Edge::new("edge"));
    edge.refresh(&ca, Full).unwrap();
    let old = edge.held[&Full].clone();
    for _ in 0..10 {
        ca.pass(4 * DAY);
        ca.revoke("0a", ca.in_days(90));
        ca.make(Full).unwrap();
    }
    let mut long_gone = Edge::new("long gone");
    long_gone.held.insert(Full, old.clone());
    long_gone.refresh(&ca, Full).unwrap();
    assert_eq!(long_gone.serials(Full), ["0a"]);
    let mut foreign = old;
    foreign.sha256 = [7; 32];
    foreign.number = crl::CrlNumber::from(5);
    long_gone.held.insert(Full, foreign);
    long_gone.refresh(&ca, Full).unwrap();
}

#[test]
fn a_shard_that_is_missing_is_asked_for() {
    let (ca, mut edge) = (Ca::new(&[Full, Shard(0), Shard(1)]), Edge::new("edge"));
    let names = [Full, Shard(0), Shard(1)];
    for name in names {
        edge.refresh(&ca, name).unwrap();
    }
    ca.back_up();
    for (serial, shard) in [("0a", 0), ("0b", 1)] {
        ca.try_revoke(&in_shard(serial, shard)).unwrap();
    }
    for name in names {
        edge.refresh(&ca, name).unwrap();
    }
    ca.restore();
    for name in names {
        assert!(is_lost(&edge.refresh(&ca, name)));
    }
    let recover = |names: &[CrlName]| {
        let served: Vec<_> = names.iter().map(|name| served(&edge, *name)).collect();
        ca.origin().recover(&id(), &evidence(served), ca.now())
    };
    assert!(matches!(
        recover(&[Full, Shard(0)]),
        Err(OriginError::ShardUnknown { serials, .. }) if serials.len() == 1
    ));
    assert_eq!(recover(&[Full, Shard(0), Shard(1)]).unwrap().missing, []);
    assert_eq!(ca.listed(Full), ["0a", "0b"]);
    assert_eq!(ca.listed(Shard(0)), ["0a"]);
    assert_eq!(ca.listed(Shard(1)), ["0b"]);
}

/// A CA with two shards, and an edge that holds every list; a backup of that.
fn with_shards() -> (Ca, Edge) {
    let (ca, mut edge) = (Ca::new(&SHARDED), Edge::new("edge"));
    for name in SHARDED {
        edge.refresh(&ca, name).unwrap();
    }
    ca.back_up();
    ca.pass(HOUR);
    (ca, edge)
}

const SHARDED: [CrlName; 3] = [Full, Shard(0), Shard(1)];

/// Restores the backup; the edge's next call shows that.
fn restore(ca: &Ca, edge: &mut Edge) {
    ca.restore();
    assert!(is_lost(&edge.refresh(ca, Full)));
}

fn all_served(edge: &Edge) -> Evidence {
    evidence(edge.held.keys().map(|name| served(edge, *name)).collect())
}

/// The serials that a recovery refuses to place.
fn unplaced(ca: &Ca, evidence: &Evidence) -> Vec<String> {
    match ca.origin().recover(&id(), evidence, ca.now()) {
        Err(OriginError::ShardUnknown { serials, .. }) => {
            serials.iter().map(ToString::to_string).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn in_shard(serial: &str, shard: u32) -> RevocationRequest {
    RevocationRequest {
        list: NamedList::Shard(shard),
        ..Ca::request(serial)
    }
}

fn names_shard(ca: &Ca, shard: u32) -> CertificateFacts {
    CertificateFacts {
        not_after: ca.in_days(90),
        list: NamedList::Shard(shard),
    }
}

#[test]
fn a_hold_that_a_newer_shard_lacks_may_still_belong_to_it() {
    let (ca, mut edge) = with_shards();
    let hold = RevocationRequest {
        reason: Reason::CertificateHold,
        ..in_shard("0a", 1)
    };
    ca.try_revoke(&hold).unwrap();
    edge.refresh(&ca, Full).unwrap();
    ca.origin().release(&id(), &hold.serial).unwrap();
    ca.pass(HOUR);
    edge.renew(&ca, Shard(0)).unwrap();
    edge.renew(&ca, Shard(1)).unwrap();
    ca.try_revoke(&hold).unwrap();
    restore(&ca, &mut edge);
    let mut evidence = all_served(&edge);
    assert_eq!(unplaced(&ca, &evidence), ["0a"]);
    let facts = names_shard(&ca, 1);
    evidence.certificates.insert(hold.serial, facts);
    ca.origin().recover(&id(), &evidence, ca.now()).unwrap();
    assert_eq!(
        (ca.listed(Full), ca.listed(Shard(1))),
        (vec!["0a".into()], vec!["0a".into()])
    );
    assert!(ca.listed(Shard(0)).is_empty());
}

#[test]
fn a_revocation_that_a_shard_dated_ahead_lacks_may_still_belong_to_it() {
    let (ca, mut edge) = with_shards();
    let right = ca.now();
    ca.set(right.after(2 * HOUR));
    edge.renew(&ca, Shard(0)).unwrap();
    edge.renew(&ca, Shard(1)).unwrap();
    ca.set(right.after(HOUR));
    ca.try_revoke(&in_shard("0a", 1)).unwrap();
    edge.refresh(&ca, Full).unwrap();
    restore(&ca, &mut edge);
    assert_eq!(unplaced(&ca, &all_served(&edge)), ["0a"]);
}

#[test]
fn an_entry_that_moved_since_the_backup_is_recovered_where_it_moved() {
    let (ca, mut edge) = (Ca::new(&SHARDED), Edge::new("edge"));
    ca.try_revoke(&in_shard("0a", 0)).unwrap();
    for name in SHARDED {
        edge.refresh(&ca, name).unwrap();
    }
    ca.back_up();
    let moved = RevocationRequest {
        certificate: Some(names_shard(&ca, 1)),
        ..Ca::request("0a")
    };
    ca.try_revoke(&moved).unwrap();
    edge.refresh(&ca, Full).unwrap();
    edge.refresh(&ca, Shard(1)).unwrap();
    restore(&ca, &mut edge);
    // The CRL of shard 0 is as old as the backup: what is stored says no more than that.
    let evidence = all_served(&edge);
    let recovery = ca.origin().recover(&id(), &evidence, ca.now()).unwrap();
    assert_eq!((recovery.recovered, recovery.missing), (1, vec![]));
    assert_eq!(ca.listed(Shard(1)), ["0a"]);
    assert!(ca.listed(Shard(0)).is_empty());
}

#[test]
fn an_entry_on_two_shards_needs_its_certificate() {
    let (ca, mut edge) = with_shards();
    ca.try_revoke(&in_shard("0a", 0)).unwrap();
    edge.refresh(&ca, Shard(0)).unwrap();
    let moved = RevocationRequest {
        certificate: Some(names_shard(&ca, 1)),
        ..Ca::request("0a")
    };
    ca.try_revoke(&moved).unwrap();
    edge.refresh(&ca, Shard(1)).unwrap();
    edge.refresh(&ca, Full).unwrap();
    restore(&ca, &mut edge);
    let mut evidence = all_served(&edge);
    evidence.otherwise = NamedList::Full;
    assert_eq!(unplaced(&ca, &evidence), ["0a"]);
    evidence
        .certificates
        .insert(moved.serial, names_shard(&ca, 1));
    ca.origin().recover(&id(), &evidence, ca.now()).unwrap();
    assert_eq!(ca.listed(Shard(1)), ["0a"]);
}

#[test]
fn a_later_delta_answers_for_an_earlier_one_only_with_its_base() {
    let ca = Ca::new(&[Full, Delta]);
    let (mut behind, mut ahead) = (Edge::new("behind"), Edge::new("ahead"));
    for edge in [&mut behind, &mut ahead] {
        edge.refresh(&ca, Full).unwrap();
        edge.refresh(&ca, Delta).unwrap();
    }
    ca.back_up();
    ca.revoke("0a", ca.in_days(90));
    behind.refresh(&ca, Delta).unwrap();
    // Every CRL without 0a has expired, so the next delta's base has it.
    ca.pass(8 * DAY);
    ahead.renew(&ca, Full).unwrap();
    ca.revoke("0b", ca.in_days(90));
    ahead.renew(&ca, Full).unwrap();
    ahead.renew(&ca, Delta).unwrap();
    assert_eq!(ahead.serials(Delta), ["0b"], "0a is in the base");
    ca.restore();
    assert!(is_lost(&behind.refresh(&ca, Delta)));
    let recover = |names: &[CrlName]| {
        let served = names.iter().map(|name| served(&ahead, *name)).collect();
        ca.origin()
            .recover(&id(), &evidence(served), ca.now())
            .unwrap()
    };
    let number = behind.number(Delta);
    assert_eq!(recover(&[Delta]).missing, [(Delta, number)]);
    assert_eq!(recover(&[Full, Delta]).missing, []);
    assert_eq!(ca.listed(Full).len(), 2);
}

#[test]
fn a_delta_that_the_backup_does_not_publish_is_recovered_or_dismissed() {
    for recovers in [true, false] {
        let (ca, mut edge) = (Ca::new(&[Full]), Edge::new("edge"));
        ca.back_up();
        ca.publish_delta(true);
        edge.refresh(&ca, Full).unwrap();
        ca.revoke("0a", ca.in_days(90));
        edge.refresh(&ca, Delta).unwrap();
        assert_eq!(edge.serials(Delta), ["0a"]);
        ca.restore();
        assert!(is_lost(&edge.refresh(&ca, Full)));
        // Staff publish it again, the edge asks for it, and they withdraw it.
        ca.publish_delta(true);
        assert!(is_lost(&edge.refresh(&ca, Delta)));
        ca.publish_delta(false);
        let (full, delta) = (served(&edge, Full), served(&edge, Delta));
        if recovers {
            let all = evidence(vec![full, delta.clone()]);
            let recovery = ca.origin().recover(&id(), &all, ca.now()).unwrap();
            assert_eq!(recovery.missing, []);
        } else {
            let full = evidence(vec![full]);
            let recovery = ca.origin().recover(&id(), &full, ca.now()).unwrap();
            assert_eq!(recovery.missing, [(Delta, delta.crl.number)]);
            let missing = ca.origin().dismiss(&id(), delta.crl.sha256, ca.now());
            assert!(missing.unwrap().is_empty());
        }
        edge.refresh(&ca, Full).unwrap();
        assert_eq!(edge.serials(Full).len(), usize::from(recovers));
        assert!(edge.number(Full) > delta.crl.number);
    }
}

#[test]
fn a_crl_of_another_database_is_dismissed_and_nothing_else_is() {
    let (ca, other) = (Ca::new(&[Full]), Ca::seeded(&[Full], 2));
    let mut edge = Edge::new("edge");
    ca.revoke("0a", ca.in_days(90));
    ca.make(Full).unwrap();
    other.pass(DAY);
    edge.refresh(&other, Full).unwrap();
    assert!(is_lost(&edge.refresh(&ca, Full)));
    let held = edge.held[&Full].clone();
    assert!(matches!(
        ca.origin().dismiss(&id(), [7; 32], ca.now()),
        Err(OriginError::CrlNotUnknown(_, unknown)) if unknown[0].sha256 == held.sha256
    ));
    assert!(is_lost(&edge.refresh(&ca, Full)));
    let missing = ca.origin().dismiss(&id(), held.sha256, ca.now()).unwrap();
    assert!(missing.is_empty());
    edge.refresh(&ca, Full).unwrap();
    assert_eq!(edge.serials(Full), ["0a"]);
    assert!(edge.number(Full) > held.number && edge.held[&Full].watermark > held.watermark);
}

/// The commands and the API, end to end.
#[test]
fn the_api_answers_state_lost_until_the_command_has_recovered() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    origin.crl("ca", "full");
    origin.run(&["backup", "copy.db"]);
    origin.run(&["revoke", "ca", "0a", "--reason", "keyCompromise"]);
    let server = origin.serve();
    let mut first = server.crl("ca", "full", None);
    let (tag, watermark) = (
        header(&first, "etag").to_owned(),
        header(&first, "revocation-watermark").to_owned(),
    );
    let der = first.body_mut().read_to_vec().unwrap();
    std::fs::write(origin.path("served.crl"), &der).unwrap();
    drop(server);
    origin.run(&["restore", "copy.db"]);
    let server = origin.serve();
    let held = |cache_control: &str| {
        harness::agent()
            .post(format!("{}/v1/issuers/ca/crls/full", server.url))
            .header("Authorization", "Bearer secret")
            .header("If-None-Match", &tag)
            .header("CRL-Number", number(&der).to_string())
            .header("Revocation-Watermark", &watermark)
            .header("Cache-Control", cache_control)
            .send_empty()
            .unwrap()
    };
    for cache_control in ["max-age=0", "no-cache"] {
        let mut lost = held(cache_control);
        assert_eq!(lost.status(), 503);
        assert!(header(&lost, "retry-after").parse::<u32>().is_ok());
        assert_eq!(json(&mut lost)["code"], "state_lost");
    }
    assert_eq!(server.crl("ca", "full", None).status(), 503);
    let metrics = server.get("/metrics").body_mut().read_to_string().unwrap();
    let alarm = r#"crl_origin_crl_state_lost{issuer="ca",name="full"} 1"#;
    assert!(metrics.contains(alarm), "{metrics}");
    let (_, complaint) = origin.fail(&["crl", "make", "ca", "--json"]);
    assert!(complaint.contains("state_lost"), "{complaint}");
    let recovered = origin.run(&["recover", "ca", "served.crl", "--json"]);
    assert!(recovered.contains("\"recovered\":1"), "{recovered}");
    let mut answer = held("max-age=0");
    assert_eq!(answer.status(), 200);
    let higher = header(&answer, "revocation-watermark")
        .parse::<u64>()
        .unwrap();
    assert!(higher > watermark.parse().unwrap());
    assert_eq!(serials(&answer.body_mut().read_to_vec().unwrap()), ["0a"]);
}

#[test]
fn only_the_issuers_own_crls_recover_it() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    origin.issuer("other", "p256");
    let (path, _) = origin.crl("other", "full");
    let (_, complaint) = origin.fail(&["recover", "ca", path.to_str().unwrap()]);
    assert!(complaint.contains("wrong_issuer"), "{complaint}");
}

#[test]
fn the_command_takes_the_certificates_of_entries_on_the_full_crl_alone() {
    let origin = Origin::new();
    let create = ["issuer", "create", "ca", "--distribution-point"];
    let urls = ["http://crl.example/ca.crl", "http://crl.example/0.crl"];
    origin.run(&[&create[..], &[urls[0], "--shard", urls[1]]].concat());
    origin.crl("ca", "full");
    origin.run(&["backup", "copy.db"]);
    let mut lost = Vec::new();
    for name in ["one", "two"] {
        let (out, key) = (format!("{name}.pem"), format!("{name}.key"));
        let files = ["--shard", "0", "--out", &out, "--key-out", &key];
        origin.run(&[&["cert", "issue", "ca", "--dns", name], &files[..]].concat());
        origin.run(&["revoke", "ca", "--certificate", &out]);
        lost.extend(std::fs::read(origin.path(&out)).unwrap());
    }
    std::fs::write(origin.path("lost.pem"), lost).unwrap();
    let listed = serials(&origin.crl("ca", "full").1);
    std::fs::rename(origin.path("ca-full.crl"), origin.path("served.crl")).unwrap();
    origin.run(&["restore", "copy.db"]);
    let (_, complaint) = origin.fail(&["recover", "ca", "served.crl"]);
    for serial in &listed {
        assert!(complaint.contains(serial), "{complaint}");
    }
    origin.run(&["recover", "ca", "served.crl", "--certificate", "lost.pem"]);
    assert_eq!(serials(&origin.crl("ca", "full").1), listed);
    assert_eq!(serials(&origin.crl("ca", "shard-0").1), listed);
}
