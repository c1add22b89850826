//! Writes tests/fixtures/last-release.tar.gz, by the Worker of another checkout, and shows what
//! that Worker makes of a state that this checkout's Worker wrote:
//!
//! ```sh
//! git worktree add ../last-release COMMIT
//! (cd ../last-release && cargo xtask build)
//! cargo run --package end-to-end --example last_release write ../last-release
//! cargo run --package end-to-end --example last_release return ../last-release
//! ```

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use end_to_end::last_release::{
    ISSUERS, certificate, crl, keep_certificate, pack, register, unpack,
};
use end_to_end::suite::until;
use end_to_end::test_origin::sha256;
use end_to_end::{Answer, CertificateAuthority, Edge, Start, TestOrigin};

#[tokio::main]
async fn main() {
    let mut arguments = env::args().skip(1);
    let what = arguments.next().unwrap_or_default();
    let checkout = PathBuf::from(arguments.next().expect("write FOLDER, or return FOLDER"));
    let xtask = checkout
        .canonicalize()
        .expect("a folder")
        .join("target/debug/xtask");
    match what.as_str() {
        "write" => write(&xtask).await,
        "return" => return_to(&xtask).await,
        _ => panic!("write FOLDER, or return FOLDER"),
    }
}

/// Brings the issuers into the states that [`ISSUERS`] describes.
async fn write(xtask: &Path) {
    let origin = TestOrigin::start().await;
    let start = Start::new(&origin.url()).xtask(xtask);
    for id in ISSUERS {
        let certificate = CertificateAuthority::new(id).certificate();
        keep_certificate(start.state(), id, &certificate);
        register(&origin, id, certificate);
    }
    publish(&origin, 1, 3);
    origin.answer("failing", Answer::status(500));
    let edge = start.start().await;
    for id in ISSUERS {
        edge.refresh(id).await;
    }

    publish(&origin, 2, 4);
    assert_eq!(edge.refresh("kept").await.status(), 200);
    origin.answer("refused", Answer::crl(b"no CRL".to_vec()));
    assert_eq!(edge.refresh("refused").await.status(), 502);
    let rekeyed = CertificateAuthority::new("rekeyed").rekeyed();
    keep_certificate(edge.state(), "rekeyed-again", &rekeyed.certificate());
    register(&origin, "rekeyed", rekeyed.certificate());
    origin.answer("rekeyed", Answer::crl(crl(&rekeyed, "full", 2, 4)));
    assert_eq!(edge.refresh("rekeyed").await.status(), 502);
    origin.remove("gone");
    assert_eq!(edge.tick().await.status(), 200);
    let database = edge.database();
    database.events_when("rekeyed", 2).await;
    until(|| async { edge.kv().value("crl/sharded/shard-1").is_some() }).await;
    // D1 has the event of the last refresh.
    tokio::time::sleep(Duration::from_secs(5)).await;
    database.execute("ALTER TABLE crl_generation_events RENAME TO out_of_order");
    assert_eq!(edge.refresh("owing").await.status(), 200);
    until(|| async {
        let owing = CertificateAuthority::new("owing");
        let new = crl(&owing, "full", 2, 4);
        edge.kv()
            .value("crl/owing/full")
            .is_some_and(|value| value.body == new)
    })
    .await;
    let start = edge.stop();
    start
        .database()
        .execute("ALTER TABLE out_of_order RENAME TO crl_generation_events");
    pack(start.state());
}

/// This checkout's Worker opens the state, changes it, and hands it back to the other one, which
/// changes it and hands it on.
async fn return_to(xtask: &Path) {
    let origin = TestOrigin::start().await;
    let start = Start::new(&origin.url());
    unpack(start.state());
    for id in ISSUERS.iter().filter(|id| **id != "gone") {
        register(&origin, id, certificate(start.state(), id));
    }
    publish(&origin, 3, 5);
    let edge = start.start().await;
    for id in ISSUERS {
        println!("new: refresh {id}: {}", edge.refresh(id).await.status());
    }
    // A candidate that waits for an operator.
    let refused = CertificateAuthority::new("refused");
    origin.answer("refused", Answer::crl(crl(&refused, "full", 2, 5)));
    println!(
        "new: older CRL refused: {}",
        edge.refresh("refused").await.status()
    );
    show("new", &edge).await;

    publish(&origin, 4, 6);
    let edge = edge.stop().xtask(xtask).start().await;
    show("old, before a refresh", &edge).await;
    println!("old: tick {}", edge.tick().await.status());
    for id in ISSUERS {
        println!("old: refresh {id}: {}", edge.refresh(id).await.status());
    }
    show("old", &edge).await;

    publish(&origin, 5, 7);
    let edge = edge.stop().xtask(&end_to_end::xtask()).start().await;
    show("new again, before a refresh", &edge).await;
    let candidate = sha256(&crl(&refused, "full", 2, 5));
    let accepted = edge.accept("refused", "full", &candidate).await;
    println!("new again: accept the candidate: {}", accepted.status());
    println!("{}", accepted.text().await.unwrap_or_default());
    for id in ISSUERS {
        println!(
            "new again: refresh {id}: {}",
            edge.refresh(id).await.status()
        );
    }
    show("new again", &edge).await;
}

/// Lets every issuer that is registered answer with its CRL of this number.
fn publish(origin: &TestOrigin, number: u64, entries: u32) {
    for id in ISSUERS.iter().filter(|id| origin.lists(id)) {
        let ca = CertificateAuthority::new(id);
        origin.on_call(id, move |call| {
            Answer::crl(crl(&ca, &call.name, number, entries))
        });
    }
}

/// Prints what clients get, and what the event table has.
async fn show(which: &str, edge: &Edge) {
    tokio::time::sleep(Duration::from_secs(3)).await;
    for id in ISSUERS {
        let path = match id {
            "sharded" => "/crl/sharded/shard-1.crl".to_owned(),
            _ => format!("/crl/{id}.crl"),
        };
        let answer = edge.get(&path).await;
        let status = answer.status();
        let number = answer.headers().get("crl-number").cloned();
        let etag = answer.headers().get("etag").cloned();
        let body = answer.bytes().await.expect("a body");
        let is_whole = etag.is_some_and(|etag| etag == format!("\"{}\"", sha256(&body)).as_str());
        let events = edge.database().events(id);
        let numbers: Vec<_> = events
            .iter()
            .map(|event| event.crl_number.as_deref().unwrap_or(&event.outcome))
            .collect();
        println!(
            "{which}: {id}: {status}, number {number:?}, body as its ETag says: {is_whole}; events {numbers:?}"
        );
    }
    let errors: Vec<_> = edge
        .log()
        .lines()
        .filter(|line| line.contains("\"error\""))
        .map(str::to_owned)
        .collect();
    println!(
        "{which}: {} errors in the log; the last: {:?}",
        errors.len(),
        errors.last()
    );
}
