//! An origin: the real service over its real database, which can crash, be restored, and have a
//! wrong clock.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::{Body, to_bytes};
use bytes::Bytes;
use crl_origin::bearer_token::TokenHash;
use crl_origin::ca::{self, KeyKind, Serial};
use crl_origin::clock::Clock as OriginClock;
use crl_origin::connector_config::ConnectorConfig;
use crl_origin::http_client::{HttpClient, HttpError, Limits, Response as ClientResponse};
use crl_origin::import;
use crl_origin::list_config::{Lists, NewList};
use crl_origin::origin::{Evidence, NewIssuer, NewKey, Origin, ServedCrl, SignedBy};
use crl_origin::profile::Profile;
use crl_origin::revocation::{NamedList, RevocationRequest};
use crl_origin::running::RunningService;
use crl_origin::runtime::Runtime;
use crl_origin::store::backup;
use crl_origin::store::records::AdoptedCrl;
use crl_origin::vault::Vault;
use futures_channel::{mpsc, oneshot};
use futures_util::future::{BoxFuture, Either, pending, select};
use futures_util::stream::{self, StreamExt as _};
use http::Request;
use origin_api::{CrlName, IssuerId, Timestamp};
use tower_service::Service as _;

use crate::clock::{Clock, Timeline};
use crate::executor::{Executor, Scope};
use crate::faults::{Fault, Faults};
use crate::ledger::sha256;
use crate::mutation::Mutation;
use crate::random::Random;
use crate::trace::Trace;
use crate::wire::{Broken, Exchange, Response, Wire};

/// How often the origin looks for changes to push. While there are none, it need not: nothing else
/// changes its database.
const LOOK_FOR_PUSHES: Duration = Duration::from_millis(500);
/// How often at least.
const LOOK_IN_ANY_CASE: Duration = Duration::from_mins(30);
/// How often while a push fails again and again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// An origin. Clones are the same origin.
#[derive(Clone)]
pub(crate) struct OriginNode(Rc<Inside>);

/// What an origin runs on.
pub(crate) struct OriginDeps {
    pub(crate) executor: Executor,
    pub(crate) timeline: Timeline,
    pub(crate) random: Random,
    pub(crate) faults: Faults,
    pub(crate) trace: Trace,
    /// The way to the edge.
    pub(crate) edge: Wire,
    pub(crate) edge_url: String,
    pub(crate) hook_token: String,
    pub(crate) token: String,
    pub(crate) database: PathBuf,
    pub(crate) mutation: Option<Mutation>,
}

struct Inside {
    deps: OriginDeps,
    clock: Clock,
    running: RefCell<Option<Running>>,
    backups: RefCell<Vec<Backup>>,
    crashes: mpsc::UnboundedSender<()>,
    runs: Cell<u32>,
}

struct Running {
    scope: Scope,
    origin: Arc<Origin>,
    router: Router,
    poke: Poke,
}

/// A copy of the database.
#[derive(Clone)]
pub(crate) struct Backup {
    pub(crate) at: Timestamp,
    path: PathBuf,
}

/// Ends a wait for changes.
#[derive(Clone, Default)]
struct Poke(Arc<Mutex<PokeState>>);

#[derive(Default)]
struct PokeState {
    waiting: Vec<oneshot::Sender<()>>,
    looks: u32,
}

impl Poke {
    fn poke(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.looks = 0;
        for waiting in state.waiting.drain(..) {
            let _ = waiting.send(());
        }
    }

    fn wait(&self) -> (oneshot::Receiver<()>, u32) {
        let (send, poked) = oneshot::channel();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting.push(send);
        state.looks += 1;
        (poked, state.looks)
    }
}

/// Time and threads of one run of the service.
struct NodeRuntime {
    timeline: Timeline,
    clock: Clock,
    started: Timestamp,
    random: Random,
    faults: Faults,
    crashes: mpsc::UnboundedSender<()>,
    origin: Weak<Origin>,
    poke: Poke,
}

impl OriginClock for NodeRuntime {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

impl Runtime for NodeRuntime {
    fn uptime(&self) -> Duration {
        self.timeline.now().since(self.started)
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        let timeline = self.timeline.clone();
        if time != LOOK_FOR_PUSHES {
            return Box::pin(async move { timeline.sleep(time).await });
        }
        let owed = self
            .origin
            .upgrade()
            .and_then(|origin| origin.owed_pushes().ok());
        let (poked, looks) = self.poke.wait();
        let time = match owed {
            Some(owed) if owed.is_empty() => LOOK_IN_ANY_CASE,
            _ if looks > 20 => LOOK_AGAIN,
            _ => LOOK_FOR_PUSHES,
        };
        Box::pin(async move {
            let _ = select(pin!(timeline.sleep(time)), poked).await;
        })
    }

    fn run_blocking(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let slow = self.faults.strikes(Fault::OriginSlow, "job of the origin");
        let before = self
            .faults
            .strikes(Fault::OriginCrash, "before a job of the origin");
        let after = self
            .faults
            .strikes(Fault::OriginCrash, "after a job of the origin");
        let (timeline, random) = (self.timeline.clone(), self.random.clone());
        let crashes = self.crashes.clone();
        Box::pin(async move {
            if slow {
                timeline.sleep(random.seconds(1..60)).await;
            }
            if !before {
                job();
            }
            if before || after {
                let _ = crashes.unbounded_send(());
                pending::<()>().await;
            }
        })
    }
}

/// The origin's HTTP client.
struct NodeClient {
    wire: Wire,
    timeline: Timeline,
    random: Random,
    mutation: Option<Mutation>,
}

impl HttpClient for NodeClient {
    fn send(
        &self,
        request: Request<Bytes>,
        limits: Limits,
    ) -> BoxFuture<'_, Result<ClientResponse, HttpError>> {
        Box::pin(async move {
            let is_lost = self.mutation == Some(Mutation::PushAcknowledgedUnsent);
            let response = if is_lost && self.random.chance(500) {
                Response::of(http::StatusCode::OK, "{\"events\":[]}")
            } else {
                let call = pin!(self.wire.call(request));
                match select(call, pin!(self.timeline.sleep(limits.timeout))).await {
                    Either::Left((Ok(response), _)) => response,
                    Either::Left((Err(Broken::Unreachable), _)) => {
                        return Err(HttpError::Connect("refused".to_owned()));
                    }
                    Either::Left((Err(Broken::Lost), _)) => {
                        return Err(HttpError::Broken("reset".to_owned()));
                    }
                    Either::Right(_) => return Err(HttpError::Timeout),
                }
            };
            let length = response.cut_at.unwrap_or(response.body.len());
            let mut pieces = vec![Ok(response.body.slice(..length))];
            if response.cut_at.is_some() {
                pieces.push(Err(HttpError::Broken("cut off".to_owned())));
            }
            Ok(ClientResponse {
                status: response.status,
                headers: response.headers,
                body: stream::iter(pieces).boxed(),
            })
        })
    }
}

impl OriginNode {
    /// An origin that does not run yet, and the end at which its crashes are known.
    pub(crate) fn new(deps: OriginDeps) -> (Self, mpsc::UnboundedReceiver<()>) {
        let (crashes, ends) = mpsc::unbounded();
        let node = Self(Rc::new(Inside {
            clock: Clock::new(&deps.timeline),
            deps,
            running: RefCell::default(),
            backups: RefCell::default(),
            crashes,
            runs: Cell::new(0),
        }));
        (node, ends)
    }

    /// Starts the service.
    pub(crate) fn start(&self) -> anyhow::Result<()> {
        let deps = &self.0.deps;
        self.0.runs.set(self.0.runs.get() + 1);
        deps.trace.line("the origin starts");
        let origin = Origin::open(
            &deps.database,
            Vault::default(),
            Arc::new(deps.random.clone()),
        )?;
        let origin = Arc::new(origin);
        let poke = Poke::default();
        let runtime = Arc::new(NodeRuntime {
            timeline: deps.timeline.clone(),
            clock: self.0.clock.clone(),
            started: deps.timeline.now(),
            random: deps.random.clone(),
            faults: deps.faults.clone(),
            crashes: self.0.crashes.clone(),
            origin: Arc::downgrade(&origin),
            poke: poke.clone(),
        });
        let client = Arc::new(NodeClient {
            wire: deps.edge.clone(),
            timeline: deps.timeline.clone(),
            random: deps.random.clone(),
            mutation: deps.mutation,
        });
        let service = RunningService::new(Arc::clone(&origin), runtime, client);
        let scope = deps.executor.scope();
        deps.executor
            .spawn(scope, service.push(&deps.edge_url, &deps.hook_token));
        deps.executor.spawn(scope, service.observe_clock());
        let running = Running {
            scope,
            origin,
            router: service.router(vec![TokenHash::of(&deps.token)]),
            poke,
        };
        self.0.running.replace(Some(running));
        Ok(())
    }

    /// Ends the service where it stands.
    pub(crate) fn stop(&self) {
        let running = self.0.running.take();
        if let Some(running) = running {
            self.0.deps.trace.line("the origin ends");
            self.0.deps.executor.end(running.scope);
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.0.running.borrow().is_some()
    }

    /// Sets how far its clock is ahead, in milliseconds.
    pub(crate) fn set_clock(&self, millis: i64) {
        self.0.clock.set_offset(millis);
    }

    /// Answers a request, if the service runs.
    pub(crate) fn serve(&self, exchange: Exchange) {
        let running = self.0.running.borrow();
        let Some(Running { router, scope, .. }) = &*running else {
            return;
        };
        let mut router = router.clone();
        self.0.deps.executor.spawn(*scope, async move {
            let request = exchange.request.map(Body::from);
            let Ok(response) = router.call(request).await;
            let (head, body) = response.into_parts();
            let Ok(body) = to_bytes(body, usize::MAX).await else {
                return;
            };
            let _ = exchange.respond.send(Response {
                status: head.status,
                headers: head.headers,
                body,
                cut_at: None,
            });
        });
    }

    /// Runs a command of the operator's, at the origin's time.
    fn command<T>(
        &self,
        command: impl FnOnce(&Origin, Timestamp) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let running = self.0.running.borrow();
        let running = running.as_ref().context("the origin does not run")?;
        let done = command(&running.origin, self.0.clock.now())?;
        running.poke.poke();
        Ok(done)
    }

    /// Creates an issuer with a full CRL that is valid for so long.
    pub(crate) fn create_issuer(
        &self,
        id: &IssuerId,
        key: KeyKind,
        validity: Duration,
    ) -> anyhow::Result<()> {
        self.command(|origin, now| {
            let list = NewList {
                name: CrlName::Full,
                distribution_point: Some(format!("http://crl.example.com/{id}.crl")),
                validity,
                overlap: None,
            };
            let new = NewIssuer {
                id: id.clone(),
                subject: ca::parse_subject(&format!("CN={id}"))?,
                key: NewKey::Generate(key),
                validity: Duration::from_hours(24 * 3650),
                signed_by: SignedBy::Itself,
                connector: ConnectorConfig::Local,
                profile: Profile::Rfc5280,
                lists: Lists::new(vec![list])?,
            };
            origin.create_issuer(new, now)?;
            Ok(())
        })
    }

    /// Revokes a certificate.
    pub(crate) fn revoke(
        &self,
        issuer: &IssuerId,
        serial: &[u8],
        reason: crl::Reason,
        not_after: Option<Timestamp>,
    ) -> anyhow::Result<()> {
        self.command(|origin, now| {
            let request = RevocationRequest {
                serial: Serial::from_be_bytes(serial)?,
                reason,
                revoked_at: None,
                invalidity_date: None,
                not_after: not_after.map(Timestamp::as_unix_time),
                list: NamedList::Full,
                certificate: None,
            };
            origin.revoke(issuer, &request, now)?;
            Ok(())
        })
    }

    /// Ends a hold.
    pub(crate) fn release(&self, issuer: &IssuerId, serial: &[u8]) -> anyhow::Result<()> {
        self.command(|origin, _| {
            origin.release(issuer, &Serial::from_be_bytes(serial)?)?;
            Ok(())
        })
    }

    /// Whether an edge holds a CRL of the issuer that the database does not know.
    pub(crate) fn is_lost(&self, issuer: &IssuerId) -> bool {
        let unknown = self.command(|origin, _| Ok(origin.unknown_crls(issuer)?));
        unknown.is_ok_and(|unknown| !unknown.is_empty())
    }

    /// Recovers an issuer from the CRL that the edge serves. Returns whether nothing is missing.
    pub(crate) fn recover(&self, issuer: &IssuerId, der: &[u8]) -> anyhow::Result<bool> {
        self.command(|origin, now| {
            let crl = import::read_crl(der)?;
            let number = crl.number.context("a CRL without a number")?;
            let entries = crl.entries.into_iter();
            let entries: Result<_, _> = entries
                .map(|entry| entry.map(|entry| entry.request))
                .collect();
            let served = ServedCrl {
                crl: AdoptedCrl {
                    name: CrlName::Full,
                    sha256: sha256(der).0,
                    number,
                    this_update: crl.this_update,
                    next_update: crl.next_update.unwrap_or(crl.this_update),
                },
                base_number: None,
                entries: entries.map_err(|bad| anyhow::anyhow!("{bad}"))?,
            };
            let evidence = Evidence {
                served: vec![served],
                certificates: std::collections::BTreeMap::new(),
                otherwise: NamedList::Full,
            };
            Ok(origin.recover(issuer, &evidence, now)?.missing.is_empty())
        })
    }

    /// Copies the database.
    pub(crate) fn back_up(&self) -> anyhow::Result<()> {
        let deps = &self.0.deps;
        let number = self.0.backups.borrow().len();
        let path = deps.database.with_extension(format!("backup-{number}"));
        backup::back_up(&deps.database, &path)?;
        let at = deps.timeline.now();
        self.0.backups.borrow_mut().push(Backup { at, path });
        Ok(())
    }

    /// The copies, the oldest first.
    pub(crate) fn backups(&self) -> Vec<Backup> {
        self.0.backups.borrow().clone()
    }

    /// Puts a copy in the place of the database. The service must not run.
    pub(crate) fn restore(&self, copy: &Backup) -> anyhow::Result<()> {
        let deps = &self.0.deps;
        deps.trace
            .line(format!("the origin is restored to {}", copy.at));
        backup::restore(&copy.path, &deps.database)?;
        Ok(())
    }
}

/// The file of an origin's database in `folder`.
pub(crate) fn database_in(folder: &Path) -> PathBuf {
    folder.join("origin.db")
}
