//! A CA and edges in this process, with a clock that the test sets.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crl::{CrlNumber, Reason, UnixTime};
use crl_origin::bearer_token::TokenHash;
use crl_origin::ca::{KeyKind, parse_subject};
use crl_origin::connector_config::ConnectorConfig;
use crl_origin::import;
use crl_origin::list_config::{Lists, NewList};
use crl_origin::origin::{
    Caller, Changes, CrlAnswer, Evidence, HeldCrl, MadeCrl, NewIssuer, NewKey, Origin, OriginError,
    Revoked, ServedCrl, SignedBy,
};
use crl_origin::profile::Profile;
use crl_origin::random::{NoRandomness, RandomSource};
use crl_origin::revocation::{NamedList, RevocationRequest};
use crl_origin::store::records::AdoptedCrl;
use crl_origin::vault::Vault;
use origin_api::{CrlName, IssuerId, Timestamp};
use tempfile::TempDir;

use super::serials;

pub(crate) const DAY: Duration = Duration::from_hours(24);
pub(crate) const HOUR: Duration = Duration::from_hours(1);

/// The time at which each CA is created.
const START: Timestamp = Timestamp::from_millis(1_795_435_200_000);

/// The issuer `ca` in a database of its own. Its CRLs are valid for 7 days.
pub(crate) struct Ca {
    folder: TempDir,
    origin: Cell<Option<Arc<Origin>>>,
    now: Cell<Timestamp>,
    random: Arc<SeededRandom>,
}

/// A reproducible sequence (`SplitMix64`), for keys and serial numbers of tests.
pub(crate) struct SeededRandom(Mutex<u64>);

impl SeededRandom {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }

    pub(crate) fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = *state;
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl RandomSource for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

impl Ca {
    pub(crate) fn new(names: &[CrlName]) -> Self {
        Self::seeded(names, 1)
    }

    pub(crate) fn seeded(names: &[CrlName], seed: u64) -> Self {
        let ca = Self {
            random: Arc::new(SeededRandom::new(seed)),
            folder: folder(),
            origin: Cell::new(None),
            now: Cell::new(START),
        };
        let list = |name: &CrlName| NewList {
            name: *name,
            distribution_point: Some(format!("http://crl.example/ca/{name}.crl")),
            validity: match name {
                CrlName::Delta => DAY,
                _ => 7 * DAY,
            },
            overlap: None,
        };
        let new = NewIssuer {
            id: id(),
            subject: parse_subject("CN=ca").unwrap(),
            key: NewKey::Generate(KeyKind::Ed25519),
            validity: 3650 * DAY,
            signed_by: SignedBy::Itself,
            connector: ConnectorConfig::Local,
            profile: Profile::default(),
            lists: Lists::new(names.iter().map(list).collect()).unwrap(),
        };
        ca.origin().create_issuer(new, ca.now()).unwrap();
        // The service has been up for a while: its clock is trusted.
        for _ in 0..24 {
            ca.pass(HOUR);
        }
        ca
    }

    pub(crate) fn origin(&self) -> Arc<Origin> {
        let origin = self.origin.take().unwrap_or_else(|| {
            let path = self.folder.path().join("origin.db");
            Arc::new(Origin::open(&path, Vault::default(), self.random.clone()).unwrap())
        });
        self.origin.set(Some(Arc::clone(&origin)));
        origin
    }

    /// Ends the process, as far as the database is concerned.
    pub(crate) fn stop(&self) {
        self.origin.set(None);
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// A copy of the database file, made while no process has it open.
    pub(crate) fn back_up(&self) {
        self.stop();
        std::fs::copy(self.path("origin.db"), self.path("backup.db")).unwrap();
    }

    pub(crate) fn restore(&self) {
        self.stop();
        for suffix in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(self.path(&format!("origin.db{suffix}")));
        }
        std::fs::copy(self.path("backup.db"), self.path("origin.db")).unwrap();
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.now.get()
    }

    /// Sets the clock.
    pub(crate) fn set(&self, now: Timestamp) {
        self.now.set(now);
    }

    /// Lets time pass while the service runs.
    pub(crate) fn pass(&self, time: Duration) {
        let mut left = time;
        while !left.is_zero() {
            let step = left.min(HOUR);
            self.set(self.now().after(step));
            self.origin().observe_clock(self.now()).unwrap();
            left -= step;
        }
    }

    pub(crate) fn in_days(&self, days: u32) -> UnixTime {
        self.now().after(days * DAY).as_unix_time()
    }

    pub(crate) fn request(serial: &str) -> RevocationRequest {
        RevocationRequest {
            serial: serial.parse().unwrap(),
            reason: Reason::Superseded,
            revoked_at: None,
            invalidity_date: None,
            not_after: None,
            list: NamedList::Unknown,
            certificate: None,
        }
    }

    /// Publishes a delta from now on, or no more.
    pub(crate) fn publish_delta(&self, is_published: bool) {
        let url = is_published.then(|| "http://crl.example.com/ca/delta.crl".to_owned());
        let changes = Changes::of_delta(url);
        let done = self.origin().change_issuer(&id(), &changes, self.now());
        done.unwrap();
    }

    pub(crate) fn try_revoke(&self, request: &RevocationRequest) -> Result<Revoked, OriginError> {
        self.origin().revoke(&id(), request, self.now())
    }

    /// Revokes a certificate that expires then.
    pub(crate) fn revoke(&self, serial: &str, not_after: UnixTime) {
        let request = RevocationRequest {
            not_after: Some(not_after),
            ..Self::request(serial)
        };
        self.try_revoke(&request).unwrap();
    }

    /// Makes a CRL by hand: no edge gets it.
    pub(crate) fn make(&self, name: CrlName) -> Result<Option<MadeCrl>, OriginError> {
        let made = self
            .origin()
            .make_crl(&id(), name, &Caller::default(), self.now())?;
        Ok(match made {
            CrlAnswer::Crl(made) => Some(made),
            _ => None,
        })
    }

    /// The serial numbers on a CRL made by hand.
    pub(crate) fn listed(&self, name: CrlName) -> Vec<String> {
        serials(&self.make(name).unwrap().unwrap().to_der())
    }
}

/// In memory, if the system has such a folder: thousands of transactions need not wait for a disk.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

pub(crate) fn id() -> IssuerId {
    "ca".parse().unwrap()
}

/// An edge: it names what it holds, and holds what it gets.
pub(crate) struct Edge {
    token: TokenHash,
    pub(crate) held: BTreeMap<CrlName, MadeCrl>,
    /// What it gets is lost: the transfer breaks, or its rules refuse it.
    pub(crate) loses: bool,
    /// What the origin made at the last call, held or lost.
    pub(crate) made: Option<MadeCrl>,
}

impl Edge {
    pub(crate) fn new(token: &str) -> Self {
        Self {
            token: TokenHash::of(token),
            held: BTreeMap::new(),
            loses: false,
            made: None,
        }
    }

    pub(crate) fn caller(&self, name: CrlName, renew: bool) -> Caller {
        let held = self.held.get(&name).map(|held| HeldCrl {
            sha256: held.sha256,
            number: Some(held.number),
            watermark: Some(held.watermark),
        });
        Caller {
            token: Some(self.token),
            held,
            renew,
        }
    }

    fn ask(&mut self, ca: &Ca, name: CrlName, renew: bool) -> Result<(), OriginError> {
        let caller = self.caller(name, renew);
        let answer = ca.origin().make_crl(&id(), name, &caller, ca.now())?;
        self.made = match answer {
            CrlAnswer::Crl(made) => Some(made),
            CrlAnswer::Unchanged | CrlAnswer::Nothing => None,
        };
        if let Some(made) = self.made.clone().filter(|_| !self.loses) {
            self.held.insert(name, made);
        }
        Ok(())
    }

    /// Asks for what changed.
    pub(crate) fn refresh(&mut self, ca: &Ca, name: CrlName) -> Result<(), OriginError> {
        self.ask(ca, name, false)
    }

    /// Asks for a new CRL.
    pub(crate) fn renew(&mut self, ca: &Ca, name: CrlName) -> Result<(), OriginError> {
        self.ask(ca, name, true)
    }

    pub(crate) fn serials(&self, name: CrlName) -> Vec<String> {
        serials(&self.held[&name].to_der())
    }

    pub(crate) fn number(&self, name: CrlName) -> CrlNumber {
        self.held[&name].number
    }
}

/// What `crl-origin recover` reads from an edge.
pub(crate) fn served(edge: &Edge, name: CrlName) -> ServedCrl {
    let held = &edge.held[&name];
    let crl = import::read_crl(&held.to_der()).unwrap();
    let entries = crl.entries.into_iter().map(|entry| entry.unwrap().request);
    let entries = entries.filter(|entry| entry.reason != Reason::RemoveFromCrl);
    ServedCrl {
        crl: AdoptedCrl {
            name,
            sha256: held.sha256,
            number: held.number,
            this_update: held.this_update,
            next_update: held.next_update,
        },
        base_number: crl.base_number,
        entries: entries.collect(),
    }
}

/// These CRLs, without any certificate.
pub(crate) fn evidence(served: Vec<ServedCrl>) -> Evidence {
    Evidence {
        served,
        certificates: BTreeMap::new(),
        otherwise: NamedList::Unknown,
    }
}
