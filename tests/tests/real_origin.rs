//! The edge in front of the real origin. clients.rs has its relying parties.

use std::sync::Arc;

use end_to_end::{Origin, Start, World, suite};

struct Nothing;

impl World for Nothing {
    async fn start() -> Self {
        Self
    }

    fn log(&self) -> String {
        String::new()
    }
}

async fn a_tick_renews_only_what_changed(_: Arc<Nothing>) {
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
    Nothing;
    a_tick_renews_only_what_changed,
);
