//! An origin: the real service over its real database, which can crash, be restored, and have a
//! wrong clock.

use std::cell::{Cell, RefCell};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
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
use crl_origin::connector_config::{ConnectorConfig, Login, OpenBaoConfig, UrlConfig};
use crl_origin::http_client::{HttpClient, HttpError, Limits, Response as ClientResponse};
use crl_origin::import;
use crl_origin::list_config::{Lists, NewList};
use crl_origin::origin::{
    Changes, ConnectedIssuer, Evidence, NewIssuer, NewKey, Origin, ServedCrl, SignedBy,
};
use crl_origin::profile::Profile;
use crl_origin::revocation::{CertificateFacts, NamedList, RevocationRequest};
use crl_origin::running::RunningService;
use crl_origin::runtime::Runtime;
use crl_origin::store::backup;
use crl_origin::store::records::{AdoptedCrl, UnknownCrl};
use crl_origin::vault::Vault;
use futures_channel::{mpsc, oneshot};
use futures_util::future::{BoxFuture, Either, pending, select};
use futures_util::stream::{self, StreamExt as _};
use http::Request;
use origin_api::{CrlName, IssuerId, Timestamp};
use tower_service::Service as _;

use crate::clock::{Clock, Timeline};
use crate::executor::{Executor, Scope};
use crate::faults::{Fault, Faults, Owner};
use crate::ledger::sha256;
use crate::mutation::Mutation;
use crate::random::Random;
use crate::trace::Trace;
use crate::wire::{Broken, Exchange, Response, Wire};

/// How often the origin looks for changes to push. While there are none, it need not: nothing else
/// changes its database.
const LOOK_FOR_PUSHES: Duration = Duration::from_millis(500);
/// How often it looks at the directories of `openssl ca`, which only the CA's staff change.
const LOOK_AT_DIRECTORIES: Duration = Duration::from_secs(1);
/// How often at least.
const LOOK_IN_ANY_CASE: Duration = Duration::from_mins(30);
/// How often while a push fails again and again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// When certificates expire that have no end here: 2100.
const NEVER: crl::UnixTime = crl::UnixTime(4_102_444_800);

/// How many copies of the database are kept for a restore.
const BACKUPS: usize = 3;

/// The host at which a CA publishes its CRL.
const CA_HOST: &str = "ca.example";
/// The host of a PKI engine.
const ENGINE_HOST: &str = "bao.example";

/// An origin. Clones are the same origin.
#[derive(Clone)]
pub(crate) struct OriginNode(Rc<Inside>);

/// What an origin runs on.
#[derive(Clone)]
pub(crate) struct OriginDeps {
    pub(crate) executor: Executor,
    pub(crate) timeline: Timeline,
    pub(crate) random: Random,
    pub(crate) faults: Faults,
    pub(crate) trace: Trace,
    /// The way to the edge.
    pub(crate) edge: Wire,
    /// The way to the CA that publishes at a URL.
    pub(crate) ca: Wire,
    pub(crate) edge_url: String,
    pub(crate) tokens: OriginTokens,
    pub(crate) database: PathBuf,
    pub(crate) mutation: Option<Mutation>,
}

/// The tokens of an origin.
#[derive(Clone)]
pub(crate) struct OriginTokens {
    /// What it shows to the edge.
    pub(crate) hook: String,
    /// What it accepts.
    pub(crate) accepted: Vec<String>,
}

struct Inside {
    deps: OriginDeps,
    tokens: RefCell<OriginTokens>,
    clock: Clock,
    running: RefCell<Option<Running>>,
    backups: RefCell<Vec<Backup>>,
    crashes: mpsc::UnboundedSender<()>,
    runs: Cell<u32>,
    /// How many copies of the database there have been.
    copies: Cell<u32>,
}

struct Running {
    scope: Scope,
    origin: Arc<Origin>,
    router: Router,
    poke: Poke,
    directories: Poke,
}

/// A copy of the database.
#[derive(Clone)]
pub(crate) struct Backup {
    pub(crate) at: Timestamp,
    path: PathBuf,
}

thread_local! {
    /// Whether code of an origin runs that may crash.
    static IS_ARMED: Cell<bool> = const { Cell::new(false) };
}

/// The process ends here. Carried by an unwinding, which rolls back what is not committed.
struct Crash;

/// Runs a part of the origin, during which it may crash.
fn run_until_crash<T>(part: impl FnOnce() -> T) -> Option<T> {
    IS_ARMED.set(true);
    let ended = catch_unwind(AssertUnwindSafe(part));
    IS_ARMED.set(false);
    match ended {
        Ok(result) => Some(result),
        Err(cause) if cause.is::<Crash>() => None,
        Err(cause) => resume_unwind(cause),
    }
}

/// Has the origin crash at the points of its code that tests know, by chance.
fn crash_at_points(faults: &Faults) {
    let faults = faults.clone();
    crl_origin::pause::call_at_each_point(Rc::new(move |point| {
        if IS_ARMED.get() && faults.strikes(Fault::OriginCrash, point) {
            resume_unwind(Box::new(Crash));
        }
    }));
}

/// Ends a wait for changes.
#[derive(Clone, Default)]
struct Poke(Arc<Mutex<PokeState>>);

#[derive(Default)]
struct PokeState {
    waiting: Vec<oneshot::Sender<()>>,
    looks: u32,
    /// There was nothing to do when the wait began.
    is_idle: bool,
}

impl Poke {
    fn poke(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.looks = 0;
        for waiting in state.waiting.drain(..) {
            let _ = waiting.send(());
        }
    }

    /// Ends a wait that began while there was nothing to do.
    fn poke_if_idle(&self) {
        let is_idle = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_idle;
        if is_idle {
            self.poke();
        }
    }

    fn wait(&self, is_idle: bool) -> (oneshot::Receiver<()>, u32) {
        let (send, poked) = oneshot::channel();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting.push(send);
        state.looks += 1;
        state.is_idle = is_idle;
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
    directories: Poke,
}

impl NodeRuntime {
    /// Whether an issuer is owed a push; also if the database does not say.
    fn owes_pushes(&self) -> bool {
        self.origin
            .upgrade()
            .is_none_or(|origin| owes_pushes(&origin))
    }
}

fn owes_pushes(origin: &Origin) -> bool {
    origin.owed_pushes().map_or(true, |owed| !owed.is_empty())
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
        let (poked, time) = match time {
            LOOK_FOR_PUSHES => {
                let owes = self.owes_pushes();
                let (poked, looks) = self.poke.wait(!owes);
                let time = match owes {
                    false => LOOK_IN_ANY_CASE,
                    true if looks > 20 => LOOK_AGAIN,
                    true => LOOK_FOR_PUSHES,
                };
                (poked, time)
            }
            LOOK_AT_DIRECTORIES => {
                // What was written within the same second is seen when it is looked at again.
                let (poked, looks) = self.directories.wait(false);
                let is_quiet = looks > 5;
                (poked, if is_quiet { LOOK_IN_ANY_CASE } else { time })
            }
            _ => return Box::pin(async move { timeline.sleep(time).await }),
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
        let (crashes, faults) = (self.crashes.clone(), self.faults.clone());
        let (owes, poke) = (self.origin.clone(), self.poke.clone());
        Box::pin(async move {
            let _under_way = faults.under_way(Owner::Origin, "job of the origin");
            if slow {
                timeline.sleep(random.seconds(1..60)).await;
            }
            let crashes_within = !before && run_until_crash(job).is_none();
            // A job may have found what is to be pushed: an entry that expired, or a revocation of
            // `openssl ca`.
            let owes = owes.upgrade().is_some_and(|origin| owes_pushes(&origin));
            if owes {
                poke.poke_if_idle();
            }
            if before || crashes_within || after {
                let _ = crashes.unbounded_send(());
                pending::<()>().await;
            }
        })
    }
}

/// The origin's HTTP client.
struct NodeClient {
    edge: Wire,
    ca: Wire,
    faults: Faults,
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
            let is_push = !matches!(request.uri().host(), Some(CA_HOST | ENGINE_HOST));
            let (wire, step) = if is_push {
                (&self.edge, "push to the edge")
            } else {
                (&self.ca, "fetch from a CA")
            };
            let _under_way = self.faults.under_way(Owner::Origin, step);
            let response = if is_push && is_lost && self.random.chance(500) {
                Response::of(http::StatusCode::OK, "{\"events\":[]}")
            } else {
                let call = pin!(wire.call(request));
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
            tokens: RefCell::new(deps.tokens.clone()),
            deps,
            running: RefCell::default(),
            backups: RefCell::default(),
            crashes,
            runs: Cell::new(0),
            copies: Cell::new(0),
        }));
        (node, ends)
    }

    /// Starts the service.
    pub(crate) fn start(&self) -> anyhow::Result<()> {
        let deps = &self.0.deps;
        self.0.runs.set(self.0.runs.get() + 1);
        deps.trace.line("the origin starts");
        crash_at_points(&deps.faults);
        let origin = Origin::open(
            &deps.database,
            Vault::default(),
            Arc::new(deps.random.clone()),
        )?;
        let origin = Arc::new(origin);
        let (poke, directories) = (Poke::default(), Poke::default());
        let runtime = Arc::new(NodeRuntime {
            timeline: deps.timeline.clone(),
            clock: self.0.clock.clone(),
            started: deps.timeline.now(),
            random: deps.random.clone(),
            faults: deps.faults.clone(),
            crashes: self.0.crashes.clone(),
            origin: Arc::downgrade(&origin),
            poke: poke.clone(),
            directories: directories.clone(),
        });
        let client = Arc::new(NodeClient {
            edge: deps.edge.clone(),
            ca: deps.ca.clone(),
            faults: deps.faults.clone(),
            timeline: deps.timeline.clone(),
            random: deps.random.clone(),
            mutation: deps.mutation,
        });
        let service = RunningService::new(Arc::clone(&origin), runtime, client);
        let scope = deps.executor.scope();
        let tokens = self.0.tokens.borrow();
        deps.executor
            .spawn(scope, service.push(&deps.edge_url, &tokens.hook));
        deps.executor.spawn(scope, service.observe_clock());
        deps.executor.spawn(scope, service.follow_directories());
        let running = Running {
            scope,
            origin,
            router: service.router(
                tokens
                    .accepted
                    .iter()
                    .map(|token| TokenHash::of(token))
                    .collect(),
            ),
            poke,
            directories,
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
        let faults = self.0.deps.faults.clone();
        self.0.deps.executor.spawn(*scope, async move {
            let _under_way = faults.under_way(Owner::Origin, "request at the origin");
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
        let now = self.0.clock.now();
        let Some(done) = run_until_crash(|| command(&running.origin, now)) else {
            let _ = self.0.crashes.unbounded_send(());
            anyhow::bail!("the origin crashed");
        };
        running.poke.poke();
        done
    }

    /// Creates an issuer with these CRLs, each valid for so long.
    pub(crate) fn create_issuer(
        &self,
        id: &IssuerId,
        key: KeyKind,
        names: &[CrlName],
        validity: Duration,
    ) -> anyhow::Result<()> {
        let lists = names.iter().map(|name| NewList {
            name: *name,
            distribution_point: Some(distribution_point(id, *name)),
            validity: validity_of(*name, validity),
            overlap: None,
        });
        self.add_issuer(NewIssuer {
            id: id.clone(),
            subject: ca::parse_subject(&format!("CN={id}"))?,
            key: NewKey::Generate(key),
            validity: Duration::from_hours(24 * 3650),
            signed_by: SignedBy::Itself,
            connector: ConnectorConfig::Local,
            profile: Profile::Rfc5280,
            lists: Lists::new(lists.collect())?,
        })
    }

    /// Adds an issuer whose CRLs are made here.
    pub(crate) fn add_issuer(&self, new: NewIssuer) -> anyhow::Result<()> {
        self.command(|origin, now| {
            origin.create_issuer(new, now)?;
            Ok(())
        })
    }

    /// Adds an issuer whose CRL another CA makes.
    pub(crate) fn connect_issuer(
        &self,
        id: &IssuerId,
        certificate: &[u8],
        connector: ConnectorConfig,
    ) -> anyhow::Result<()> {
        self.command(|origin, now| {
            let list = NewList {
                name: CrlName::Full,
                distribution_point: None,
                validity: Duration::from_hours(12),
                overlap: None,
            };
            let new = ConnectedIssuer {
                id: id.clone(),
                certificate: ca::certificate_from_pem_or_der(certificate)?,
                connector,
                lists: Lists::new(vec![list])?,
            };
            origin.connect_issuer(&new, now)?;
            Ok(())
        })
    }

    /// A directory of `openssl ca` has changed.
    pub(crate) fn directory_changed(&self) {
        if let Some(running) = &*self.0.running.borrow() {
            running.directories.poke();
        }
    }

    /// Publishes a delta from now on, or no more.
    pub(crate) fn set_delta(&self, id: &IssuerId, is_published: bool) -> anyhow::Result<()> {
        self.command(|origin, now| {
            let url = is_published.then(|| distribution_point(id, CrlName::Delta));
            origin.change_issuer(id, &Changes::of_delta(url), now)?;
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
        list: NamedList,
    ) -> anyhow::Result<()> {
        self.command(|origin, now| {
            let request = RevocationRequest {
                serial: Serial::from_be_bytes(serial)?,
                reason,
                revoked_at: None,
                invalidity_date: None,
                not_after: not_after.map(Timestamp::as_unix_time),
                list,
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

    /// The CRLs of the issuer that an edge holds, or held, and that the database does not know.
    pub(crate) fn unknown_crls(&self, issuer: &IssuerId) -> Vec<UnknownCrl> {
        let unknown = self.command(|origin, _| Ok(origin.unknown_crls(issuer)?));
        unknown.unwrap_or_default()
    }

    /// Gives up what is known of a CRL to nobody any more.
    pub(crate) fn dismiss(&self, issuer: &IssuerId, crl: &UnknownCrl) -> anyhow::Result<()> {
        self.command(|origin, now| {
            origin.dismiss(issuer, crl.sha256, now)?;
            Ok(())
        })
    }

    /// Recovers an issuer from the CRLs that the edge holds.
    pub(crate) fn recover(
        &self,
        issuer: &IssuerId,
        crls: &[(CrlName, Bytes)],
        certificates: Vec<(Vec<u8>, Option<Timestamp>, Option<u32>)>,
    ) -> anyhow::Result<()> {
        let certificates = certificates.into_iter().map(|(serial, not_after, shard)| {
            let facts = CertificateFacts {
                not_after: not_after.map_or(NEVER, Timestamp::as_unix_time),
                list: shard.map_or(NamedList::Full, NamedList::Shard),
            };
            Ok((Serial::from_be_bytes(&serial)?, facts))
        });
        let served = crls.iter().map(|(name, der)| served_crl(*name, der));
        let evidence = Evidence {
            served: served.collect::<anyhow::Result<_>>()?,
            certificates: certificates.collect::<anyhow::Result<_>>()?,
            otherwise: NamedList::Full,
        };
        self.command(|origin, now| {
            origin.recover(issuer, &evidence, now)?;
            Ok(())
        })
    }

    /// Changes its tokens, and starts it again.
    pub(crate) fn set_tokens(&self, change: impl FnOnce(&mut OriginTokens)) -> anyhow::Result<()> {
        change(&mut self.0.tokens.borrow_mut());
        if !self.is_running() {
            return Ok(());
        }
        self.stop();
        self.start()
    }

    /// Another origin: on the same database, or on a copy as of now.
    pub(crate) fn another(
        &self,
        shares: bool,
    ) -> anyhow::Result<(Self, mpsc::UnboundedReceiver<()>)> {
        let mut deps = self.0.deps.clone();
        deps.tokens = self.0.tokens.borrow().clone();
        if !shares {
            let number = self.0.copies.replace(self.0.copies.get() + 1);
            deps.database = deps.database.with_extension(format!("stray-{number}"));
            backup::back_up(&self.0.deps.database, &deps.database)?;
        }
        let (another, crashed) = Self::new(deps);
        another.start()?;
        Ok((another, crashed))
    }

    /// Copies the database.
    pub(crate) fn back_up(&self) -> anyhow::Result<()> {
        let deps = &self.0.deps;
        let number = self.0.copies.replace(self.0.copies.get() + 1);
        let path = deps.database.with_extension(format!("backup-{number}"));
        backup::back_up(&deps.database, &path)?;
        let at = deps.timeline.now();
        let mut backups = self.0.backups.borrow_mut();
        backups.push(Backup { at, path });
        // They are in memory, and a year has thousands.
        if backups.len() > BACKUPS {
            fs::remove_file(backups.remove(0).path)?;
        }
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

fn served_crl(name: CrlName, der: &[u8]) -> anyhow::Result<ServedCrl> {
    let crl = import::read_crl(der)?;
    let entries = crl.entries.into_iter().filter_map(|entry| match entry {
        Ok(entry) if entry.request.reason == crl::Reason::RemoveFromCrl => None,
        Ok(entry) => Some(Ok(entry.request)),
        Err(bad) => Some(Err(anyhow::anyhow!("{bad}"))),
    });
    Ok(ServedCrl {
        crl: AdoptedCrl {
            name,
            sha256: sha256(der).0,
            number: crl.number.context("a CRL without a number")?,
            this_update: crl.this_update,
            next_update: crl.next_update.unwrap_or(crl.this_update),
        },
        base_number: crl.base_number,
        entries: entries.collect::<anyhow::Result<_>>()?,
    })
}

/// A CA that publishes its CRL at a URL.
pub(crate) fn published_at_url(id: &IssuerId) -> ConnectorConfig {
    ConnectorConfig::Url(UrlConfig {
        url: format!("http://{CA_HOST}/{id}.crl"),
        allow_local: false,
    })
}

/// A PKI engine. The file with its token is in `folder`.
pub(crate) fn made_by_engine(folder: &Path) -> anyhow::Result<ConnectorConfig> {
    let token = folder.join("engine-token");
    fs::write(&token, "token-of-the-engine")?;
    Ok(ConnectorConfig::OpenBao(OpenBaoConfig {
        address: format!("http://{ENGINE_HOST}"),
        mount: "pki".to_owned(),
        issuer: "default".to_owned(),
        login: Login::TokenFile(token),
    }))
}

/// Whether a request is for the PKI engine.
pub(crate) fn is_for_engine(request: &Request<Bytes>) -> bool {
    request.uri().host() == Some(ENGINE_HOST)
}

fn distribution_point(id: &IssuerId, name: CrlName) -> String {
    format!("http://crl.example.com/{id}/{name}.crl")
}

/// A delta is valid for a shorter time than its base.
fn validity_of(name: CrlName, validity: Duration) -> Duration {
    if name == CrlName::Delta {
        validity / 2
    } else {
        validity
    }
}

/// The file of an origin's database in `folder`.
pub(crate) fn database_in(folder: &Path) -> PathBuf {
    folder.join("origin.db")
}
