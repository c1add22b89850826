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

    for tick in 0..3 {
        if tick == 2 {
            origin.revoke(&certificate);
        }
        assert_eq!(edge.tick().await.status(), 200);
    }
    // The second tick found nothing new, which is no event.
    let events = edge.database().events_when("ticked", 2).await;
    let events: Vec<_> = events
        .iter()
        .map(|event| (event.trigger.as_str(), event.outcome.as_str()))
        .collect();
    assert_eq!(events, [("cron", "published"); 2]);
}

suite!(
    Nothing;
    a_tick_renews_only_what_changed,
);
