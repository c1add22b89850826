//! The cron trigger: it refreshes every issuer, each refresh leaves a row, and one broken issuer
//! does not affect the others.

use std::process::Command;
use std::sync::Arc;

use end_to_end::{Answer, CertificateAuthority, Edge, Start, TestOrigin, World, suite, xtask};

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

const GOOD: [&str; 4] = ["a-good", "b-good", "y-good", "z-good"];

async fn a_tick_refreshes_every_issuer_despite_a_broken_one(world: Arc<Shared>) {
    for id in GOOD {
        world.origin.add(&CertificateAuthority::new(id));
    }
    world.origin.add(&CertificateAuthority::new("m-broken"));
    world.origin.answer("m-broken", Answer::status(500));

    assert_eq!(world.edge.tick().await.status(), 200);

    let database = world.edge.database();
    for id in GOOD {
        let events = database.events_when(id, 1).await;
        assert_eq!(
            (events[0].trigger.as_str(), events[0].outcome.as_str()),
            ("cron", "published"),
            "{id}"
        );
        assert_eq!(
            world.edge.get(&format!("/crl/{id}.crl")).await.status(),
            200,
            "{id}"
        );
        assert_eq!(world.origin.calls(id).len(), 1, "{id}");
    }
    let broken = database.events_when("m-broken", 1).await;
    assert_eq!(broken[0].outcome, "failed");
    assert_eq!(broken[0].error_code.as_deref(), Some("origin_status"));
    assert!(
        broken[0]
            .error
            .as_ref()
            .is_some_and(|error| error.contains("500")),
        "{broken:?}"
    );

    // Operators read the same rows through wrangler.
    let output = Command::new(xtask())
        .args([
            "wrangler",
            "d1",
            "execute",
            "crl-edge",
            "--local",
            "--json",
            "--persist-to",
        ])
        .arg(world.edge.state())
        .args([
            "--command",
            "SELECT issuer_id, outcome FROM crl_generation_events ORDER BY issuer_id",
        ])
        .output()
        .unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(
        GOOD.iter().all(|id| shown.contains(id)) && shown.contains("m-broken"),
        "{shown}"
    );
}

suite!(Shared; a_tick_refreshes_every_issuer_despite_a_broken_one);
