//! The whole chain with nothing made for tests in it: crl-origin, the Worker in workerd, and OpenSSL.

use std::sync::Arc;

use end_to_end::{
    Edge, Origin, Skipped, Start, World,
    openssl::{Verdict, verify},
    suite,
};

struct Shared {
    origin: Origin,
    edge: Edge,
}

/// Issuers by the kind of their key.
const KEYS: [&str; 4] = ["rsa-2048", "p256", "p384", "ed25519"];

impl World for Shared {
    async fn start() -> Self {
        let origin = Origin::start();
        let start = Start::new(origin.url());
        for key in KEYS {
            origin.create_issuer(key, key, &start.url(&format!("/crl/{key}.crl")));
        }
        let edge = start.start().await;
        Self { origin, edge }
    }

    fn log(&self) -> String {
        self.edge.log()
    }
}

async fn openssl_accepts_a_certificate_until_it_is_revoked(
    world: Arc<Shared>,
) -> Result<(), Skipped> {
    for key in KEYS {
        let issuer = world.origin.issuer_certificate(key);
        let certificate = world.origin.issue(key, "www.example");
        let other = world.origin.issue(key, "other.example");
        assert_eq!(verify(&issuer, certificate.file())?, Verdict::Good, "{key}");

        world.origin.revoke(&certificate);
        let refreshed = world.edge.refresh(key).await;

        assert_eq!(refreshed.status(), 200, "{key}");
        assert_eq!(
            verify(&issuer, certificate.file())?,
            Verdict::Revoked,
            "{key}"
        );
        assert_eq!(verify(&issuer, other.file())?, Verdict::Good, "{key}");
    }
    Ok(())
}

async fn a_tick_renews_only_what_changed(_: Arc<Shared>) {
    let origin = Origin::start();
    origin.create_issuer("ticked", "p256", "http://127.0.0.1:9/crl/ticked.crl");
    let edge = Start::new(origin.url()).start().await;
    let certificate = origin.issue("ticked", "www.example");

    for (seen, outcome) in ["published", "unchanged", "published"]
        .into_iter()
        .enumerate()
    {
        if seen == 2 {
            origin.revoke(&certificate);
        }
        assert_eq!(edge.tick().await.status(), 200);
        let events = edge.database().events_when("ticked", seen + 1).await;
        assert_eq!(
            (events[seen].trigger.as_str(), events[seen].outcome.as_str()),
            ("cron", outcome)
        );
    }
}

suite!(
    Shared;
    openssl_accepts_a_certificate_until_it_is_revoked,
    a_tick_renews_only_what_changed,
);
