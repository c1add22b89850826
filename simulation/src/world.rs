//! All parts of a run, put together.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use crl_origin::ca::KeyKind;
use edge::config::Settings;
use futures_channel::mpsc;
use origin_api::{CrlName, IssuerId, Timestamp};

use crate::clients::{Client, Way};
use crate::clock::{Clock, Sleep, Timeline};
use crate::d1::D1;
use crate::edge_node::{Edge, EdgeDeps, Isolate};
use crate::executor::{Executor, Scope};
use crate::faults::Faults;
use crate::kv::{Kv, KvDeps};
use crate::ledger::{Ledger, List};
use crate::lying_ca::LyingCa;
use crate::mutation::Mutation;
use crate::openssl_ca::OpensslCa;
use crate::origin_node::{
    OriginDeps, OriginNode, OriginTokens, database_in, made_by_engine, published_at_url,
};
use crate::pace::{Intervals, Pace};
use crate::random::Random;
use crate::shared_cache::SharedCache;
use crate::trace::Trace;
use crate::wire::{Exchange, Wire};

/// When every run begins.
pub(crate) const BEGIN: Timestamp = Timestamp::from_millis(1_800_000_000_000);
/// How many points of presence there are, with two isolates each.
const POPS: usize = 3;

/// The tokens of the edge's settings.
#[derive(Clone)]
pub(crate) struct Tokens {
    pub(crate) origin: String,
    pub(crate) hook: String,
    pub(crate) operator: String,
}

/// What a run is.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Everything that is left to chance.
    pub seed: u64,
    /// How long it lasts, in simulated time.
    pub span: Duration,
    /// How many issuers there are.
    pub issuers: usize,
    /// How close together things happen.
    pub pace: Pace,
    /// A deliberate mistake.
    pub mutation: Option<Mutation>,
    /// How many lines of the trace are kept: the last ones.
    pub trace_lines: usize,
}

/// All parts of a run.
pub(crate) struct World {
    pub(crate) executor: Executor,
    pub(crate) timeline: Timeline,
    /// What is outside of all programs: people, weather, the platform.
    pub(crate) outside: Scope,
    pub(crate) seed: u64,
    pub(crate) intervals: Intervals,
    pub(crate) faults: Faults,
    pub(crate) trace: Trace,
    pub(crate) ledger: Ledger,
    pub(crate) kv: Kv,
    pub(crate) edge: Edge,
    pub(crate) origin: OriginNode,
    pub(crate) isolates: Vec<Rc<Isolate>>,
    pub(crate) clients: Vec<Rc<Client>>,
    /// Which CRLs each issuer has.
    pub(crate) names: BTreeMap<IssuerId, Vec<CrlName>>,
    /// Those that the origin signs for.
    pub(crate) issuers: Vec<IssuerId>,
    /// Those that answer the origin API themselves.
    pub(crate) liars: Vec<Rc<LyingCa>>,
    /// The CA that publishes at a URL, from which the origin passes its CRL on.
    pub(crate) foreign: Rc<LyingCa>,
    /// The CA in a PKI engine, from which the origin passes its CRL on.
    pub(crate) engine: Rc<LyingCa>,
    /// The CA in a directory of `openssl ca`, which the origin follows.
    pub(crate) directory: OpensslCa,
    pub(crate) d1: D1,
    /// A second origin, which runs by mistake.
    pub(crate) another_origin: RefCell<Option<OriginNode>>,
    /// Since when it has run, if on a copy of the database.
    pub(crate) another_was_at: Cell<Option<Timestamp>>,
    pub(crate) tokens: RefCell<Tokens>,
    /// The last release ran before.
    pub(crate) was_upgraded: Cell<bool>,
    /// How often a token was rotated.
    pub(crate) rotations: Cell<u32>,
    /// Which isolate gets a push.
    pub(crate) hooks: Random,
    /// Which of two origins gets a request.
    pub(crate) balancer: Random,
    kv_cache_ttl: &'static str,
}

/// Where requests and crashes arrive.
pub(crate) struct Ends {
    pub(crate) at_origin: mpsc::UnboundedReceiver<Exchange>,
    pub(crate) at_edge: mpsc::UnboundedReceiver<Exchange>,
    pub(crate) at_ca: mpsc::UnboundedReceiver<Exchange>,
    pub(crate) crashed: mpsc::UnboundedReceiver<()>,
}

impl World {
    /// Builds the world of a plan. The origin's database is in `folder`.
    pub(crate) fn new(plan: &Plan, folder: &Path) -> anyhow::Result<(Rc<Self>, Ends)> {
        let kv_cache_ttl = *Random::new(plan.seed, "settings").pick(&["30", "60", "120"]);
        let tokens = Tokens {
            origin: "origin-token-of-the-simulation".to_owned(),
            hook: "hook-token-of-the-simulation".to_owned(),
            operator: "operator-token-of-the-simulation".to_owned(),
        };
        let settings = settings(&tokens, kv_cache_ttl);
        let ground = Ground::new(plan, settings.kv_cache_ttl);
        let stream = |name| ground.chance(name);
        let (to_origin, at_origin) = ground.wire("edge to origin");
        let (to_edge, at_edge) = ground.wire("origin to edge");
        let (to_ca, at_ca) = ground.wire("origin to CA");
        let kv = ground.kv();
        let d1 = ground.d1()?;
        let edge = ground.edge(&kv, &d1, to_origin, settings);
        let (origin, crashed) = ground.origin(to_edge, to_ca, &tokens, folder);
        origin.start()?;
        let mut names = create_issuers(
            &origin,
            plan.issuers,
            ground.intervals.validities,
            &stream("issuers"),
        )?;
        let directory = ground.directory(&origin, folder)?;
        names.insert(directory.id.clone(), vec![CrlName::Full]);
        let issuers: Vec<_> = names.keys().cloned().collect();
        let ca = |id: &str, is_published| {
            let (timeline, ledger) = (&ground.timeline, &ground.ledger);
            LyingCa::new(
                id.parse()?,
                timeline,
                ground.chance(id),
                ledger,
                is_published,
            )
            .map(Rc::new)
        };
        let (liar, foreign) = (ca("liar", false)?, ca("foreign", true)?);
        let engine = ca("engine", true)?;
        for (ca, connector) in [
            (&foreign, published_at_url(&foreign.id)),
            (&engine, made_by_engine(folder)?),
        ] {
            origin.connect_issuer(&ca.id, &ca.certificate(), connector)?;
        }
        for ca in [&liar, &foreign, &engine] {
            names.insert(ca.id.clone(), vec![CrlName::Full]);
        }
        origin.back_up()?;
        let isolates: Vec<_> = (0..POPS * 2)
            .map(|number| Rc::new(Isolate::new(&edge, number, number % POPS)))
            .collect();
        let world = Self {
            clients: ground.clients(&isolates),
            isolates,
            kv,
            edge,
            origin,
            names,
            issuers,
            liars: vec![liar],
            foreign,
            engine,
            directory,
            d1,
            another_origin: RefCell::default(),
            another_was_at: Cell::default(),
            tokens: RefCell::new(tokens),
            was_upgraded: Cell::new(false),
            rotations: Cell::new(0),
            hooks: stream("hooks"),
            balancer: stream("balancer"),
            kv_cache_ttl,
            executor: ground.executor,
            timeline: ground.timeline,
            outside: ground.outside,
            seed: plan.seed,
            intervals: ground.intervals,
            faults: ground.faults,
            trace: ground.trace,
            ledger: ground.ledger,
        };
        let ends = Ends {
            at_origin,
            at_edge,
            at_ca,
            crashed,
        };
        Ok((Rc::new(world), ends))
    }

    /// Everyone with a CRL.
    pub(crate) fn all_issuers(&self) -> Vec<IssuerId> {
        self.names.keys().cloned().collect()
    }

    /// Every CRL.
    pub(crate) fn all_lists(&self) -> Vec<List> {
        let lists = self.names.iter();
        let lists = lists.flat_map(|(id, names)| names.iter().map(|name| (id.clone(), *name)));
        lists.collect()
    }

    /// Which CRLs an issuer has. A delta may be withdrawn for a time.
    pub(crate) fn names_of(&self, issuer: &IssuerId) -> &[CrlName] {
        self.names
            .get(issuer)
            .map_or(&[CrlName::Full], Vec::as_slice)
    }

    /// The CAs that do not follow the rules.
    pub(crate) fn cas(&self) -> impl Iterator<Item = &Rc<LyingCa>> {
        self.liars.iter().chain([&self.foreign, &self.engine])
    }

    /// The directory of `openssl ca` has changed, as each running origin sees.
    pub(crate) fn directory_changed(&self) {
        self.origin.directory_changed();
        if let Some(another) = &*self.another_origin.borrow() {
            another.directory_changed();
        }
    }

    /// The edge's settings, with the tokens of now.
    pub(crate) fn settings(&self) -> Settings {
        settings(&self.tokens.borrow(), self.kv_cache_ttl)
    }

    /// Starts an isolate anew.
    pub(crate) fn restart_isolate(&self, isolate: &Rc<Isolate>) {
        isolate.restart();
        for client in &self.clients {
            client.isolate_restarted(isolate);
        }
    }

    /// Lets someone pause for so many seconds, and longer in a run that is not dense.
    pub(crate) fn pause(&self, random: &Random, seconds: Range<u64>) -> Sleep {
        let span = self.intervals.pause(random, seconds);
        self.timeline.sleep(span)
    }

    /// A stream of chance of its own.
    pub(crate) fn chance(&self, stream: &str) -> Random {
        Random::new(self.seed, stream)
    }

    /// Runs a task that belongs to no program.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.executor.spawn(self.outside, task);
    }
}

/// What all parts of a run stand on.
struct Ground {
    plan: Plan,
    intervals: Intervals,
    timeline: Timeline,
    executor: Executor,
    trace: Trace,
    faults: Faults,
    ledger: Ledger,
    /// The platform, and all that is outside of programs.
    outside: Scope,
}

impl Ground {
    fn new(plan: &Plan, kv_cache_ttl: Duration) -> Self {
        let timeline = Timeline::new(BEGIN);
        let trace = Trace::new(&timeline, plan.trace_lines);
        let executor = Executor::new(&timeline, Random::new(plan.seed, "order"));
        let intervals = Intervals::new(plan.pace, &Random::new(plan.seed, "intervals"));
        let back_to_normal = intervals.back_to_normal();
        Self {
            plan: *plan,
            intervals,
            faults: Faults::new(Random::new(plan.seed, "faults"), &trace),
            ledger: Ledger::new(&timeline, &trace, kv_cache_ttl, back_to_normal),
            outside: executor.scope(),
            timeline,
            executor,
            trace,
        }
    }

    fn chance(&self, stream: &str) -> Random {
        Random::new(self.plan.seed, stream)
    }

    fn wire(&self, link: &'static str) -> (Wire, mpsc::UnboundedReceiver<Exchange>) {
        Wire::new(link, &self.timeline, self.chance(link), &self.faults)
    }

    fn kv(&self) -> Kv {
        Kv::new(KvDeps {
            timeline: self.timeline.clone(),
            executor: self.executor.clone(),
            platform: self.outside,
            random: self.chance("kv"),
            faults: self.faults.clone(),
            trace: self.trace.clone(),
            ledger: self.ledger.clone(),
            pops: POPS,
        })
    }

    fn d1(&self) -> anyhow::Result<D1> {
        let Self {
            timeline,
            faults,
            ledger,
            plan,
            ..
        } = self;
        D1::new(timeline, self.chance("d1"), faults, ledger, plan.mutation)
    }

    fn edge(&self, kv: &Kv, d1: &D1, origin: Wire, settings: Settings) -> Edge {
        Edge::new(EdgeDeps {
            executor: self.executor.clone(),
            timeline: self.timeline.clone(),
            random: self.chance("edge"),
            faults: self.faults.clone(),
            trace: self.trace.clone(),
            ledger: self.ledger.clone(),
            kv: kv.clone(),
            d1: d1.clone(),
            origin,
            platform: self.outside,
            started_at: BEGIN,
            settings,
            mutation: self.plan.mutation,
        })
    }

    fn origin(
        &self,
        edge: Wire,
        ca: Wire,
        tokens: &Tokens,
        folder: &Path,
    ) -> (OriginNode, mpsc::UnboundedReceiver<()>) {
        OriginNode::new(OriginDeps {
            executor: self.executor.clone(),
            timeline: self.timeline.clone(),
            random: self.chance("origin"),
            faults: self.faults.clone(),
            trace: self.trace.clone(),
            edge,
            ca,
            edge_url: "https://edge".to_owned(),
            tokens: OriginTokens {
                hook: tokens.hook.clone(),
                accepted: vec![tokens.origin.clone()],
            },
            database: database_in(folder),
            mutation: self.plan.mutation,
        })
    }

    /// The CA in a directory of `openssl ca`, which the origin follows from now on.
    fn directory(&self, origin: &OriginNode, folder: &Path) -> anyhow::Result<OpensslCa> {
        let random = self.chance("directory");
        let (timeline, trace, ledger) = (&self.timeline, &self.trace, &self.ledger);
        let (ca, new) = OpensslCa::new(folder, timeline, random, trace, ledger)?;
        origin.add_issuer(new)?;
        Ok(ca)
    }

    /// One asks each isolate, and two share a cache before every other one.
    fn clients(&self, isolates: &[Rc<Isolate>]) -> Vec<Rc<Client>> {
        let clocks = self.chance("clocks");
        let ways = isolates.iter().flat_map(|isolate| {
            let direct = Way::Direct(Rc::clone(isolate));
            if isolate.number() % 2 > 0 {
                return vec![direct];
            }
            let cache = SharedCache::new(isolate, self.clock(&clocks));
            let cached = Way::Cached(Rc::new(cache));
            vec![direct, cached.clone(), cached]
        });
        let ways: Vec<_> = ways.collect();
        let clients = ways.into_iter().enumerate().map(|(number, way)| {
            Rc::new(Client {
                name: format!("client {number}"),
                way,
                timeline: self.timeline.clone(),
                clock: self.clock(&clocks),
                random: self.chance("clients"),
                trace: self.trace.clone(),
                ledger: self.ledger.clone(),
                faults: self.faults.clone(),
                mutation: self.plan.mutation,
                cache: RefCell::default(),
            })
        });
        clients.collect()
    }

    /// A clock, which may be wrong by up to a day.
    fn clock(&self, random: &Random) -> Clock {
        const DAY: i64 = 86_400_000;
        let clock = Clock::new(&self.timeline);
        if random.chance(300) {
            let ahead = random.below(2 * DAY.unsigned_abs()).cast_signed();
            clock.set_offset(ahead - DAY);
        }
        clock
    }
}

fn create_issuers(
    origin: &OriginNode,
    count: usize,
    validities: &[u64],
    random: &Random,
) -> anyhow::Result<BTreeMap<IssuerId, Vec<CrlName>>> {
    use CrlName::{Delta, Full, Shard};
    let mut issuers = BTreeMap::new();
    for number in 0..count {
        let id: IssuerId = format!("ca-{number}").parse()?;
        // Ed25519 is the cheapest to sign and to check.
        let key = if number % 8 == 1 {
            KeyKind::P256
        } else {
            KeyKind::Ed25519
        };
        let names = match random.below(8) {
            0 | 1 => vec![Full, Delta],
            2 => vec![Full, Shard(0), Shard(1)],
            3 => vec![Shard(0), Shard(1), Shard(2)],
            _ => vec![Full],
        };
        let hours = *random.pick(validities);
        origin.create_issuer(&id, key, &names, Duration::from_hours(hours))?;
        issuers.insert(id, names);
    }
    Ok(issuers)
}

fn settings(tokens: &Tokens, kv_cache_ttl: &str) -> Settings {
    Settings::read(|name| {
        let value = match name {
            "ORIGIN_URL" => "http://origin",
            "ORIGIN_TOKEN" => &tokens.origin,
            "OPERATOR_TOKEN" => &tokens.operator,
            "HOOK_TOKEN" => &tokens.hook,
            "KV_CACHE_TTL_SECONDS" => kv_cache_ttl,
            _ => return None,
        };
        Some(value.to_owned())
    })
}
