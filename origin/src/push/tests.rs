//! Pushes on virtual time: hours pass in milliseconds, and each run is the same.

use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};
use http::{HeaderMap, Request, StatusCode};
use origin_api::Timestamp;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::{EdgeClient, Push, PushMetrics};
use crate::ca::{self, KeyKind};
use crate::clock::Clock;
use crate::connector_config::ConnectorConfig;
use crate::http_client::{HttpClient, HttpError, Limits, Response};
use crate::list_config::Lists;
use crate::origin::{NewIssuer, NewKey, Origin, SignedBy};
use crate::profile::Profile;
use crate::random::SystemRandom;
use crate::runtime::Runtime;
use crate::vault::Vault;

/// Time that passes when nothing else can happen.
#[derive(Default)]
struct VirtualTime {
    now: Mutex<Duration>,
    sleepers: Mutex<Vec<(Duration, oneshot::Sender<()>)>>,
}

impl Clock for VirtualTime {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_795_435_200_000).after(self.uptime())
    }
}

impl Runtime for VirtualTime {
    fn uptime(&self) -> Duration {
        *self.now.lock().unwrap()
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        let (wake, woken) = oneshot::channel();
        let until = self.uptime() + time;
        self.sleepers.lock().unwrap().push((until, wake));
        Box::pin(async {
            let _ = woken.await;
        })
    }

    fn run_blocking(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        job();
        Box::pin(async {})
    }
}

impl VirtualTime {
    /// Polls a future until that time.
    fn run(&self, future: &mut BoxFuture<'_, ()>, until: Duration) {
        let mut context = Context::from_waker(Waker::noop());
        loop {
            let _ = future.as_mut().poll(&mut context);
            let mut sleepers = self.sleepers.lock().unwrap();
            sleepers.retain(|(_, wake)| !wake.is_closed());
            let next = sleepers
                .iter()
                .enumerate()
                .min_by_key(|(_, (at, _))| *at)
                .filter(|(_, (at, _))| *at <= until)
                .map(|(index, _)| index);
            let Some(index) = next else { break };
            let (at, wake) = sleepers.remove(index);
            *self.now.lock().unwrap() = at;
            let _ = wake.send(());
        }
        *self.now.lock().unwrap() = until;
    }
}

/// An edge that is down until some time, and when it was asked.
struct Edge {
    time: Arc<VirtualTime>,
    up_from: Duration,
    asked_at: Mutex<Vec<Duration>>,
}

impl HttpClient for Edge {
    fn send(&self, _: Request<Bytes>, _: Limits) -> BoxFuture<'_, Result<Response, HttpError>> {
        let now = self.time.uptime();
        self.asked_at.lock().unwrap().push(now);
        let answer = if now < self.up_from {
            Err(HttpError::Connect("refused".to_owned()))
        } else {
            let body = Bytes::from_static(br#"{"events":[]}"#);
            Ok(Response {
                status: StatusCode::OK,
                headers: HeaderMap::new(),
                body: stream::iter([Ok(body)]).boxed(),
            })
        };
        Box::pin(async { answer })
    }
}

#[test]
fn an_edge_that_was_down_for_an_hour_hears_within_seconds() {
    const HOUR: Duration = Duration::from_hours(1);
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("origin.db");
    let origin = Origin::open(&database, Vault::default(), Arc::new(SystemRandom)).unwrap();
    let time = Arc::new(VirtualTime::default());
    let new = NewIssuer {
        id: "ca".parse().unwrap(),
        subject: ca::parse_subject("CN=ca").unwrap(),
        key: NewKey::Generate(KeyKind::P256),
        validity: 24 * HOUR,
        signed_by: SignedBy::Itself,
        connector: ConnectorConfig::Local,
        profile: Profile::default(),
        lists: Lists::new(Vec::new()).unwrap(),
    };
    origin.create_issuer(new, time.now()).unwrap();
    let origin = Arc::new(origin);
    let edge = Arc::new(Edge {
        time: Arc::clone(&time),
        up_from: HOUR,
        asked_at: Mutex::default(),
    });
    let client: Arc<dyn HttpClient> = Arc::clone(&edge) as _;
    let client = EdgeClient::new(client, "http://edge", Zeroizing::new("hook".to_owned()));
    let runtime: Arc<dyn Runtime> = Arc::clone(&time) as _;
    let push = Push::new(Arc::clone(&origin), runtime, client, PushMetrics::default());
    let mut running: BoxFuture<'_, ()> = Box::pin(push.run());
    time.run(&mut running, 2 * HOUR);
    let asked_at = edge.asked_at.lock().unwrap();
    let last = asked_at.last().unwrap();
    assert!(
        *last >= HOUR && *last <= HOUR + Duration::from_secs(16),
        "{last:?}"
    );
    let tries = asked_at.len();
    assert!((200..=300).contains(&tries), "every 15 seconds: {tries}");
    assert!(origin.owed_pushes().unwrap().is_empty());
}
