//! All parts of a run, put together.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use crl_origin::ca::KeyKind;
use edge::config::Settings;
use futures_channel::mpsc;
use origin_api::{IssuerId, Timestamp};

use crate::clients::Client;
use crate::clock::Timeline;
use crate::d1::D1;
use crate::edge_node::{Edge, EdgeDeps, Isolate};
use crate::executor::{Executor, Scope};
use crate::faults::Faults;
use crate::kv::{Kv, KvDeps};
use crate::ledger::Ledger;
use crate::lying_ca::LyingCa;
use crate::mutation::Mutation;
use crate::origin_node::{OriginDeps, OriginNode, database_in};
use crate::random::Random;
use crate::trace::Trace;
use crate::wire::{Exchange, Wire};

/// When every run begins.
pub(crate) const BEGIN: Timestamp = Timestamp::from_millis(1_800_000_000_000);
/// How many points of presence there are, with two isolates each.
const POPS: usize = 3;

const ORIGIN_TOKEN: &str = "origin-token-of-the-simulation";
/// What the origin shows to the edge.
pub(crate) const HOOK_TOKEN: &str = "hook-token-of-the-simulation";

/// What a run is.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Everything that is left to chance.
    pub seed: u64,
    /// How long it lasts, in simulated time.
    pub span: Duration,
    /// How many issuers there are.
    pub issuers: usize,
    /// A deliberate mistake.
    pub mutation: Option<Mutation>,
}

/// All parts of a run.
pub(crate) struct World {
    pub(crate) executor: Executor,
    pub(crate) timeline: Timeline,
    /// What is outside of all programs: people, weather, the platform.
    pub(crate) outside: Scope,
    pub(crate) seed: u64,
    pub(crate) faults: Faults,
    pub(crate) trace: Trace,
    pub(crate) ledger: Ledger,
    pub(crate) kv: Kv,
    pub(crate) edge: Edge,
    pub(crate) origin: OriginNode,
    pub(crate) isolates: Vec<Rc<Isolate>>,
    pub(crate) clients: Vec<Rc<Client>>,
    pub(crate) issuers: Vec<IssuerId>,
    pub(crate) liars: Vec<Rc<LyingCa>>,
}

/// Where requests and crashes arrive.
pub(crate) struct Ends {
    pub(crate) at_origin: mpsc::UnboundedReceiver<Exchange>,
    pub(crate) at_edge: mpsc::UnboundedReceiver<Exchange>,
    pub(crate) crashed: mpsc::UnboundedReceiver<()>,
}

impl World {
    /// Builds the world of a plan. The origin's database is in `folder`.
    pub(crate) fn new(plan: &Plan, folder: &Path) -> anyhow::Result<(Rc<Self>, Ends)> {
        let Plan { seed, mutation, .. } = *plan;
        let timeline = Timeline::new(BEGIN);
        let stream = |name| Random::new(seed, name);
        let executor = Executor::new(&timeline, stream("order"));
        let trace = Trace::new(&timeline);
        let faults = Faults::new(stream("faults"), &trace);
        let outside = executor.scope();
        let settings = settings(&stream("settings"));
        let ledger = Ledger::new(&timeline, &trace, settings.kv_cache_ttl);
        let kv = Kv::new(KvDeps {
            timeline: timeline.clone(),
            executor: executor.clone(),
            platform: outside,
            random: stream("kv"),
            faults: faults.clone(),
            trace: trace.clone(),
            ledger: ledger.clone(),
            pops: POPS,
        });
        let d1 = D1::new(&timeline, stream("d1"), &faults, &ledger, mutation)?;
        let (to_origin, at_origin) =
            Wire::new("edge to origin", &timeline, stream("wire"), &faults);
        let (to_edge, at_edge) = Wire::new("origin to edge", &timeline, stream("push"), &faults);
        let edge = Edge::new(EdgeDeps {
            executor: executor.clone(),
            timeline: timeline.clone(),
            random: stream("edge"),
            faults: faults.clone(),
            trace: trace.clone(),
            ledger: ledger.clone(),
            kv: kv.clone(),
            d1,
            origin: to_origin,
            platform: outside,
            started_at: BEGIN,
            settings,
            mutation,
        });
        let (origin, crashed) = OriginNode::new(OriginDeps {
            executor: executor.clone(),
            timeline: timeline.clone(),
            random: stream("origin"),
            faults: faults.clone(),
            trace: trace.clone(),
            edge: to_edge,
            edge_url: "http://edge".to_owned(),
            hook_token: HOOK_TOKEN.to_owned(),
            token: ORIGIN_TOKEN.to_owned(),
            database: database_in(folder),
            mutation,
        });
        origin.start()?;
        let issuers = create_issuers(&origin, plan.issuers, &stream("issuers"))?;
        origin.back_up()?;
        let liar = LyingCa::new("liar".parse()?, &timeline, stream("liar"), &ledger)?;
        let isolates = (0..POPS * 2).map(|number| Rc::new(Isolate::new(&edge, number % POPS)));
        let isolates: Vec<_> = isolates.collect();
        let clients = isolates.iter().enumerate().map(|(number, isolate)| {
            Rc::new(Client {
                name: format!("client {number}"),
                isolate: Rc::clone(isolate),
                timeline: timeline.clone(),
                random: stream("clients"),
                trace: trace.clone(),
                ledger: ledger.clone(),
                mutation,
                cache: std::cell::RefCell::default(),
            })
        });
        let world = Self {
            clients: clients.collect(),
            isolates,
            executor,
            timeline: timeline.clone(),
            outside,
            seed,
            faults,
            trace,
            ledger,
            kv,
            edge,
            origin,
            issuers,
            liars: vec![Rc::new(liar)],
        };
        let ends = Ends {
            at_origin,
            at_edge,
            crashed,
        };
        Ok((Rc::new(world), ends))
    }

    /// Everyone with a CRL.
    pub(crate) fn all_issuers(&self) -> Vec<IssuerId> {
        let liars = self.liars.iter().map(|liar| &liar.id);
        self.issuers.iter().chain(liars).cloned().collect()
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

fn create_issuers(
    origin: &OriginNode,
    count: usize,
    random: &Random,
) -> anyhow::Result<Vec<IssuerId>> {
    let mut issuers = Vec::new();
    for number in 0..count {
        let id: IssuerId = format!("ca-{number}").parse()?;
        // Ed25519 is the cheapest to sign and to check.
        let key = if number % 8 == 1 {
            KeyKind::P256
        } else {
            KeyKind::Ed25519
        };
        let hours = *random.pick(&[4, 12, 24, 24, 72, 168]);
        origin.create_issuer(&id, key, Duration::from_hours(hours))?;
        issuers.push(id);
    }
    Ok(issuers)
}

fn settings(random: &Random) -> Settings {
    let ttl = *random.pick(&["30", "60", "120"]);
    Settings::read(|name| {
        let value = match name {
            "ORIGIN_URL" => "http://origin",
            "ORIGIN_TOKEN" => ORIGIN_TOKEN,
            "OPERATOR_TOKEN" => "operator-token-of-the-simulation",
            "HOOK_TOKEN" => HOOK_TOKEN,
            "KV_CACHE_TTL_SECONDS" => ttl,
            _ => return None,
        };
        Some(value.to_owned())
    })
}
