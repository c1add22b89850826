//! Entries that leave a CRL: what is published, what is withheld, and what an operator accepts.

use std::sync::Arc;

use der::Decode as _;
use end_to_end::certificate_authority::{CertificateAuthority, revoked};
use end_to_end::edge::OPERATOR_TOKEN;
use end_to_end::test_origin::{Answer, TestOrigin, sha256};
use end_to_end::{Edge, Origin, Start, World, suite};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use x509_cert::crl::{CertificateList, RevokedCert};

struct Shared {
    origin: TestOrigin,
    edge: Edge,
}

impl World for Shared {
    async fn start() -> Self {
        let origin = TestOrigin::start().await;
        let edge = Start::new(&origin.url()).start().await;
        Self { origin, edge }
    }

    fn log(&self) -> String {
        self.edge.log()
    }
}

impl Shared {
    /// An issuer that publishes `crls` one after the other, the first of which is published.
    async fn publish(&self, ca: &CertificateAuthority, crls: &[Vec<u8>]) {
        self.origin.add(ca);
        let mut next = crls.to_vec();
        next.reverse();
        self.origin.on_call(ca.id(), move |_| match next.pop() {
            Some(crl) => Answer::crl(crl),
            None => Answer::status(304),
        });
        end_to_end::suite::until(|| async {
            self.edge
                .get(&format!("/crl/{}.crl", ca.id()))
                .await
                .status()
                == StatusCode::OK
        })
        .await;
    }

    /// The event of a refresh by an operator.
    async fn refresh(&self, ca: &CertificateAuthority) -> Value {
        event(&self.edge, ca.id()).await
    }

    async fn served(&self, ca: &CertificateAuthority) -> Vec<u8> {
        let response = self.edge.get(&format!("/crl/{}.crl", ca.id())).await;
        assert_eq!(response.status(), StatusCode::OK);
        response.bytes().await.unwrap().to_vec()
    }

    async fn status(&self, ca: &CertificateAuthority) -> Value {
        let path = format!("/v1/issuers/{}", ca.id());
        let issuer = self.edge.operate(Method::GET, &path).await;
        issuer.json::<Value>().await.unwrap()["crls"][0].take()
    }

    async fn accept(&self, ca: &CertificateAuthority, sha256: &str) -> (StatusCode, Value) {
        let accepted = self.edge.accept(ca.id(), "full", sha256).await;
        (accepted.status(), accepted.json().await.unwrap())
    }
}

async fn event(edge: &Edge, issuer: &str) -> Value {
    let refreshed = edge.refresh(issuer).await;
    refreshed.json::<Value>().await.unwrap()["events"][0].take()
}

/// A CRL with serial numbers 1 to `count`.
fn with_entries(ca: &CertificateAuthority, number: u64, count: u32) -> Vec<u8> {
    ca.crl_of(number, count)
}

async fn two_entries_of_many_that_left_early_are_reported(world: Arc<Shared>) {
    let ca = CertificateAuthority::new("two-early");
    let crls = [with_entries(&ca, 1, 40), with_entries(&ca, 2, 38)];
    world.publish(&ca, &crls).await;
    let event = world.refresh(&ca).await;
    assert_eq!(event["outcome"], "published", "{event}");
    assert_eq!(
        (&event["entries_added"], &event["entries_removed"]),
        (&json!(0), &json!(2))
    );
    assert_eq!(event["findings"][0]["code"], "early_removal");
    assert_eq!(event["findings"][0]["count"], 2);
    assert_eq!(world.served(&ca).await, crls[1]);

    // Also in the table, in the state of the CRL, and for Prometheus.
    let row = world.edge.database().query(
        "SELECT findings ->> '$[0].code' AS code FROM crl_generation_events \
         WHERE issuer_id = 'two-early' AND findings IS NOT NULL",
    );
    assert_eq!(row.len(), 1);
    assert_eq!(world.status(&ca).await["findings"], event["findings"]);
    let metrics = world.edge.operate(Method::GET, "/metrics").await;
    let metrics = metrics.text().await.unwrap();
    assert!(!metrics.contains("crl_edge_early_removals 0"), "{metrics}");
}

async fn a_list_that_lost_everything_is_withheld_until_it_is_accepted(world: Arc<Shared>) {
    let ca = CertificateAuthority::new("all-gone");
    let crls = [with_entries(&ca, 1, 40), with_entries(&ca, 2, 0)];
    world.publish(&ca, &crls).await;
    let event = world.refresh(&ca).await;
    assert_eq!(event["error_code"], "entries_vanished", "{event}");
    assert_eq!(event["entries_removed"], 40);
    assert_eq!(world.served(&ca).await, crls[0]);

    let status = world.status(&ca).await;
    let candidate = &status["candidate"];
    let named = sha256(&crls[1]);
    assert_eq!(candidate["sha256"], named);
    assert_eq!(candidate["code"], "entries_vanished");
    assert_eq!(candidate["missing"].as_array().unwrap().len(), 10);

    let (refused, problem) = world.accept(&ca, &sha256(&crls[0])).await;
    assert_eq!(refused, StatusCode::CONFLICT);
    assert_eq!(problem["code"], "candidate_mismatch");
    let (accepted, outcome) = world.accept(&ca, &named).await;
    assert_eq!(accepted, StatusCode::OK, "{outcome}");
    let finding = &outcome["events"][0]["findings"][0];
    assert_eq!(finding["code"], "accepted");
    assert_eq!(world.served(&ca).await, crls[1]);
    let (nothing, problem) = world.accept(&ca, &named).await;
    assert_eq!(
        (nothing, &problem["code"]),
        (StatusCode::CONFLICT, &json!("no_candidate"))
    );
    let actions = world.edge.operate(Method::GET, "/v1/actions").await;
    let actions: Value = actions.json().await.unwrap();
    let is_it = |action: &&Value| action["action"] == "accept" && action["sha256"] == named;
    assert!(
        actions["actions"]
            .as_array()
            .unwrap()
            .iter()
            .any(|action| is_it(&action))
    );
}

async fn a_serial_number_that_is_listed_twice_is_a_finding(world: Arc<Shared>) {
    let ca = CertificateAuthority::new("duplicate");
    let doubled = ca.crl_with(2, |tbs| {
        let mut entries = revoked(3);
        entries.push(entries[1].clone());
        tbs.revoked_certificates = Some(entries);
    });
    world
        .publish(&ca, &[with_entries(&ca, 1, 3), doubled])
        .await;
    let event = world.refresh(&ca).await;
    assert_eq!(event["outcome"], "published", "{event}");
    let codes = event["findings"].as_array().unwrap().iter();
    let codes: Vec<_> = codes.map(|finding| &finding["code"]).collect();
    assert_eq!(codes, ["duplicate_serial"]);
}

async fn the_list_of_another_ca_is_refused_and_nobody_can_accept_it(world: Arc<Shared>) {
    let (ca, other) = (
        CertificateAuthority::new("this-ca"),
        CertificateAuthority::new("other-ca"),
    );
    let foreign = with_entries(&other, 2, 40);
    world
        .publish(&ca, &[with_entries(&ca, 1, 40), foreign.clone()])
        .await;
    assert_eq!(world.refresh(&ca).await["error_code"], "wrong_issuer");
    assert_eq!(world.status(&ca).await["candidate"], Value::Null);
    let (refused, problem) = world.accept(&ca, &sha256(&foreign)).await;
    assert_eq!(
        (refused, &problem["code"]),
        (StatusCode::CONFLICT, &json!("no_candidate"))
    );
}

async fn a_number_that_went_back_can_be_accepted(world: Arc<Shared>) {
    let ca = CertificateAuthority::new("rebuilt");
    let crls = [
        with_entries(&ca, 900, 3),
        with_entries(&ca, 1, 3),
        with_entries(&ca, 2, 3),
    ];
    world.publish(&ca, &crls).await;
    assert_eq!(world.refresh(&ca).await["error_code"], "number_regressed");
    let (accepted, outcome) = world.accept(&ca, &sha256(&crls[1])).await;
    assert_eq!(accepted, StatusCode::OK, "{outcome}");
    assert_eq!(world.served(&ca).await, crls[1]);
    assert_eq!(world.refresh(&ca).await["outcome"], "published");
    assert_eq!(world.served(&ca).await, crls[2]);
}

async fn what_each_list_added_and_removed_outlives_a_restart(_: Arc<Shared>) {
    let origin = TestOrigin::start().await;
    let ca = CertificateAuthority::new("changes");
    origin.add(&ca);
    let mut edge = Start::new(&origin.url()).start().await;
    let entries = revoked(41);
    for (number, count) in [(1, 40), (2, 39), (3, 41)] {
        let some = entries[..count].to_vec();
        let crl = ca.crl_with(number, |tbs| tbs.revoked_certificates = Some(some));
        origin.answer(ca.id(), Answer::crl(crl));
        assert_eq!(event(&edge, ca.id()).await["outcome"], "published");
        if number == 2 {
            edge = edge.stop().start().await;
        }
    }
    let path = "/v1/issuers/changes/crls/full/changes?since=";
    let changes = edge.operate(Method::GET, &format!("{path}1")).await;
    let changes: Value = changes.json().await.unwrap();
    let mut shown: Vec<_> = changes["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| {
            (
                change["crl_number"].as_str().unwrap(),
                change["change"].as_str().unwrap(),
                &change["serial"].as_str().unwrap()[24..],
            )
        })
        .collect();
    shown.sort_unstable();
    let expected = [
        ("2", "removed", "00000028"),
        ("3", "added", "00000028"),
        ("3", "added", "00000029"),
    ];
    assert_eq!(shown, expected, "{changes}");
    assert_eq!(changes["crl_number"], "3");

    let csv = edge.request(Method::GET, &format!("{path}2"));
    let csv = csv
        .bearer_auth(OPERATOR_TOKEN)
        .header("accept", "text/csv")
        .send()
        .await
        .unwrap();
    let csv = csv.text().await.unwrap();
    assert_eq!(csv.lines().count(), 3, "{csv}");
    let forgotten = edge.operate(Method::GET, &format!("{path}0")).await;
    assert_eq!(forgotten.status(), StatusCode::GONE);
    let problem: Value = forgotten.json().await.unwrap();
    assert_eq!(problem["code"], "changes_forgotten");
}

async fn a_hold_that_was_released_is_explained(_: Arc<Shared>) {
    let origin = Origin::start();
    origin.create_issuer("released", "p256", "http://127.0.0.1:9/crl/released.crl");
    let edge = Start::new(origin.url()).start().await;
    let certificate = origin.issue("released", "www.example");
    origin.hold(&certificate);
    assert_eq!(event(&edge, "released").await["revoked_count"], 1);
    origin.release(&certificate);
    let event = event(&edge, "released").await;
    assert_eq!(event["outcome"], "published", "{event}");
    assert_eq!(event["entries_removed"], 1);
    assert_eq!(event["findings"], Value::Null);
}

async fn an_expired_entry_that_left_after_its_last_list_is_explained(world: Arc<Shared>) {
    let ca = CertificateAuthority::new("expired");
    // The third expires while the second CRL is current, which lists it for the last time.
    let crls = [
        with_entries(&ca, 1, 3),
        with_entries(&ca, 2, 3),
        with_entries(&ca, 3, 2),
    ];
    world.publish(&ca, &crls).await;
    let serial = "5a5a5a5a5a5a5a5a5a5a5a5a00000003";
    let not_after = "2026-01-01T00:00:00Z";
    let departed = json!([{ "serial": serial, "because": "expired", "not_after": not_after }]);
    world.origin.explain_departed(ca.id(), departed);
    for removed in [0, 1] {
        let event = world.refresh(&ca).await;
        assert_eq!(event["outcome"], "published", "{event}");
        assert_eq!(event["entries_removed"], removed, "{event}");
        assert_eq!(event["findings"], Value::Null, "{event}");
    }
    assert_eq!(world.served(&ca).await, crls[2]);
}

async fn a_list_that_was_only_signed_again_is_unchanged(world: Arc<Shared>) {
    let ca = CertificateAuthority::new("signed-again");
    let crl = with_entries(&ca, 1, 3);
    let again = CertificateAuthority::signed_again(&crl);
    assert_ne!(crl, again);
    world.publish(&ca, &[crl.clone(), again]).await;
    let event = world.refresh(&ca).await;
    assert_eq!(event["outcome"], "unchanged", "{event}");
    assert_eq!(world.served(&ca).await, crl);
}

/// Two shards: what leaves the first one is on the second, and another entry is on neither.
async fn a_shard_that_lost_what_another_gained_is_no_early_removal(world: Arc<Shared>) {
    let ca = CertificateAuthority::new("sharded");
    let names = ["shard-0", "shard-1"];
    world.origin.register(ca.record(&names));
    let entries = revoked(80);
    let shard = |name: &str, number, entries: &[RevokedCert]| {
        ca.scoped_crl(name, number, |tbs| {
            tbs.revoked_certificates = Some(entries.to_vec());
        })
    };
    let publish = |number: u64, of_first: &[RevokedCert], of_second: &[RevokedCert]| {
        let (first, second) = (
            shard(names[0], number, of_first),
            shard(names[1], number, of_second),
        );
        world.origin.on_call(ca.id(), move |call| {
            Answer::crl(if call.name == names[0] {
                first.clone()
            } else {
                second.clone()
            })
        });
    };
    let refresh = |name: &'static str| {
        let path = format!("/v1/issuers/{}/refresh?name={name}", ca.id());
        let world = Arc::clone(&world);
        async move {
            let refreshed = world.edge.operate(Method::POST, &path).await;
            refreshed.json::<Value>().await.unwrap()["events"][0].take()
        }
    };
    let lists = |name: &'static str, entry: RevokedCert| {
        let (world, path) = (Arc::clone(&world), format!("/crl/{}/{name}.crl", ca.id()));
        async move {
            let served = world.edge.get(&path).await.bytes().await.unwrap();
            let served: CertificateList = CertificateList::from_der(&served).unwrap();
            let entries = served.tbs_cert_list.revoked_certificates.unwrap();
            let serial = entry.serial_number;
            entries.iter().any(|entry| entry.serial_number == serial)
        }
    };
    publish(1, &entries[..40], &entries[40..]);
    for name in names {
        end_to_end::suite::until(|| async {
            let path = format!("/crl/{}/{name}.crl", ca.id());
            world.edge.get(&path).await.status() == StatusCode::OK
        })
        .await;
    }

    // The fortieth moves. Only the shard that loses it is asked for.
    publish(2, &entries[..39], &entries[39..]);
    let event = refresh(names[0]).await;
    assert_eq!(event["outcome"], "published", "{event}");
    assert_eq!(event["entries_removed"], 1);
    assert_eq!(event["findings"][0]["code"], "moved", "{event}");
    assert_eq!(event["findings"].as_array().unwrap().len(), 1);
    // KV gets the shard that gained it first: for a client that reads both it is always on one.
    assert!(lists(names[0], entries[39].clone()).await);
    end_to_end::suite::until(|| lists(names[1], entries[39].clone())).await;

    // The thirty-ninth moves nowhere.
    publish(3, &entries[..38], &entries[39..]);
    let event = refresh(names[0]).await;
    assert_eq!(event["findings"][0]["code"], "early_removal", "{event}");

    // Two entries change places: both CRLs are committed in one transaction.
    let first = [&entries[..37], &entries[79..]].concat();
    let second = [&entries[37..38], &entries[39..79]].concat();
    publish(4, &first, &second);
    let event = refresh(names[0]).await;
    assert_eq!(event["findings"][0]["code"], "moved", "{event}");
    end_to_end::suite::until(|| lists(names[0], entries[79].clone())).await;
    end_to_end::suite::until(|| lists(names[1], entries[37].clone())).await;
}

suite!(
    Shared;
    two_entries_of_many_that_left_early_are_reported,
    a_list_that_lost_everything_is_withheld_until_it_is_accepted,
    a_serial_number_that_is_listed_twice_is_a_finding,
    the_list_of_another_ca_is_refused_and_nobody_can_accept_it,
    a_number_that_went_back_can_be_accepted,
    a_hold_that_was_released_is_explained,
    an_expired_entry_that_left_after_its_last_list_is_explained,
    a_list_that_was_only_signed_again_is_unchanged,
    a_shard_that_lost_what_another_gained_is_no_early_removal,
    what_each_list_added_and_removed_outlives_a_restart,
);
