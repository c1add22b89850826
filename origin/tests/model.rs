//! Random operations against a plain model of what is revoked.

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crl::{CrlNumber, Reason};
use crl_origin::ca::{self, KeyKind, Serial, parse_subject};
use crl_origin::import;
use crl_origin::origin::{Caller, CrlAnswer, MadeCrl, NewCertificate, OriginError, Subject};
use crl_origin::revocation::{CertificateFacts, NamedList, RevocationRequest};
use origin_api::CrlName::{self, Delta, Full, Shard};
use origin_api::{Timestamp, Watermark};

use harness::ca::{Ca, DAY, Edge, HOUR, SeededRandom, evidence, id, served};

/// How many operations a run makes, unless `CRL_ORIGIN_MODEL_OPERATIONS` says otherwise.
const OPERATIONS: u32 = 10_000;

/// The lists of the issuer.
const LISTS: [CrlName; 4] = [Full, Delta, Shard(0), Shard(1)];

/// What a caller may say of a certificate's list, rightly or not.
const NAMED: [NamedList; 4] = [
    NamedList::Unknown,
    NamedList::Full,
    NamedList::Shard(0),
    NamedList::Shard(1),
];

/// Choices, which the seed repeats.
struct Random(SeededRandom);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.0.next() % limit as u64).unwrap()
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.below(from.len())].clone())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Good,
    Held,
    Revoked,
}

#[derive(Clone, Debug)]
struct Certificate {
    facts: CertificateFacts,
    status: Status,
}

/// What should be so.
struct Model {
    ca: Ca,
    edges: [Edge; 2],
    certificates: BTreeMap<Serial, Certificate>,
    /// The certificates at the last backup.
    backup: Option<BTreeMap<Serial, Certificate>>,
    /// Every full CRL that was made, by its number: a delta names one.
    fulls: BTreeMap<CrlNumber, BTreeSet<Serial>>,
    /// The last number and watermark of each edge's lists.
    last: BTreeMap<(usize, CrlName), (CrlNumber, Watermark)>,
    /// The real time. The CA's clock may be another one.
    time: Timestamp,
    random: Random,
    checked: u64,
}

impl Model {
    fn new(seed: u64) -> Self {
        let ca = Ca::seeded(&LISTS, seed);
        Self {
            time: ca.now(),
            ca,
            edges: [Edge::new("one"), Edge::new("two")],
            certificates: BTreeMap::new(),
            backup: None,
            fulls: BTreeMap::new(),
            last: BTreeMap::new(),
            random: Random(SeededRandom::new(seed)),
            checked: 0,
        }
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..15 => self.issue(),
            15..30 => self.change(Reason::Superseded),
            30..38 => self.change(Reason::CertificateHold),
            38..44 => self.release(),
            44..48 => self.import(),
            48..52 => drop(self.make(Full)),
            52..80 => self.deliver(),
            80..84 => {
                let edge = self.random.below(2);
                self.edges[edge].loses = !self.edges[edge].loses;
            }
            84..86 => self.ca.stop(),
            86..94 => {
                let hours = u32::try_from(self.random.below(48)).unwrap() + 1;
                self.pass(HOUR * hours);
            }
            94..96 => self.with_wrong_clock(),
            96..97 => {
                self.ca.back_up();
                self.backup = Some(self.certificates.clone());
            }
            97..98 => self.restore(),
            98..99 => self.callers_at_once(),
            _ => self.compare_lists(),
        }
    }

    fn issue(&mut self) {
        let shard = self.random.pick(&[None, Some(0), Some(1)]).unwrap();
        let days = u32::try_from(self.random.below(40)).unwrap() + 1;
        let new = NewCertificate {
            subject: Subject::New {
                name: parse_subject("CN=leaf").unwrap(),
                dns_names: Vec::new(),
                key: KeyKind::Ed25519,
            },
            validity: DAY * days,
            shard,
        };
        let issued = self
            .ca
            .origin()
            .issue_certificate(&id(), new, self.ca.now())
            .unwrap();
        let facts = CertificateFacts {
            not_after: ca::not_after(&issued.certificate),
            list: shard.map_or(NamedList::Full, NamedList::Shard),
        };
        let status = Status::Good;
        self.certificates
            .insert(issued.serial, Certificate { facts, status });
    }

    fn request(serial: &Serial, reason: Reason) -> RevocationRequest {
        RevocationRequest {
            reason,
            ..Ca::request(&serial.to_string())
        }
    }

    fn pick(&mut self) -> Option<Serial> {
        let serials: Vec<Serial> = self.certificates.keys().cloned().collect();
        self.random.pick(&serials)
    }

    /// Revokes a certificate, or puts it on hold; the caller may be wrong about its shard and
    /// expiry.
    fn change(&mut self, reason: Reason) {
        let Some(serial) = self.pick() else { return };
        let certificate = self.certificates.get_mut(&serial).unwrap();
        let request = RevocationRequest {
            list: self.random.pick(&NAMED).unwrap(),
            not_after: self.random.pick(&[None, Some(self.ca.in_days(0))]).unwrap(),
            certificate: Some(certificate.facts),
            ..Self::request(&serial, reason)
        };
        let next = match (certificate.status, reason) {
            (Status::Revoked, _) | (_, Reason::Superseded) => Status::Revoked,
            _ => Status::Held,
        };
        match self.ca.try_revoke(&request) {
            Ok(_) => certificate.status = next,
            Err(error) => assert_eq!(
                (certificate.status, reason),
                (Status::Revoked, Reason::CertificateHold),
                "{error}"
            ),
        }
    }

    fn release(&mut self) {
        let held = self
            .certificates
            .iter()
            .filter(|(_, it)| it.status == Status::Held);
        let held: Vec<Serial> = held.map(|(serial, _)| serial.clone()).collect();
        let Some(serial) = self.random.pick(&held) else {
            return;
        };
        // An expired one cannot be released, and needs not be.
        if self.ca.origin().release(&id(), &serial).is_ok() {
            self.certificates.get_mut(&serial).unwrap().status = Status::Good;
        }
    }

    fn import(&mut self) {
        let serials: BTreeSet<Serial> = (0..5).filter_map(|_| self.pick()).collect();
        let requests: Vec<_> = serials
            .iter()
            .map(|serial| RevocationRequest {
                certificate: Some(self.certificates[serial].facts),
                ..Self::request(serial, Reason::Superseded)
            })
            .collect();
        let (origin, now) = (self.ca.origin(), self.ca.now());
        let import = origin.begin_import(&id(), "model", now).unwrap();
        let result = origin.import(&id(), &requests, Some(import), now).unwrap();
        assert!(result.refused.is_empty(), "{result:?}");
        for serial in serials {
            self.certificates.get_mut(&serial).unwrap().status = Status::Revoked;
        }
    }

    /// A CRL that no edge gets.
    fn make(&mut self, name: CrlName) -> Option<MadeCrl> {
        let made = self.ca.make(name).unwrap();
        if let Some(made) = &made {
            self.check(name, made);
        }
        made
    }

    /// One edge refreshes one list.
    fn deliver(&mut self) {
        let edge = self.random.below(2);
        let name = self.random.pick(&LISTS).unwrap();
        self.refresh(edge, name).unwrap();
    }

    fn refresh(&mut self, edge: usize, name: CrlName) -> Result<(), OriginError> {
        let before = self.edges[edge].held.get(&name).map(|held| held.number);
        if self.random.below(2) == 0 {
            self.edges[edge].refresh(&self.ca, name)?;
        } else {
            self.edges[edge].renew(&self.ca, name)?;
        }
        // Also what is lost on the way must be right.
        if let Some(made) = self.edges[edge].made.clone() {
            self.check(name, &made);
        }
        let Some(held) = self.edges[edge].held.get(&name).cloned() else {
            return Ok(());
        };
        if before == Some(held.number) {
            if self.edges[edge].made.is_none() {
                self.check(name, &held);
            }
            return Ok(());
        }
        let next = (held.number, held.watermark);
        if let Some((number, watermark)) = self.last.insert((edge, name), next) {
            assert!(held.number > number, "{name}: the number goes back");
            assert!(
                held.watermark >= watermark,
                "{name}: the watermark goes back"
            );
        }
        Ok(())
    }

    /// Every revoked certificate that is valid is on the CRL; no good one is.
    fn check(&mut self, name: CrlName, crl: &MadeCrl) {
        self.checked += 1;
        let now = self.time.as_unix_time();
        let listed = serials(crl);
        if name == Delta {
            return;
        }
        for (serial, certificate) in &self.certificates {
            let is_covered = match name {
                Shard(number) => certificate.facts.list.shard() == Some(number),
                Full | Delta => true,
            };
            let is_valid = now < certificate.facts.not_after;
            let is_listed = listed.contains(serial);
            match certificate.status {
                Status::Good => assert!(!is_listed, "{name} lists {serial}, which is good"),
                Status::Held | Status::Revoked if is_covered && is_valid => {
                    assert!(
                        is_listed,
                        "{name} lacks {serial}: {certificate:?} at {now}; stored: {:?}",
                        self.ca.origin().revocation(&id(), serial)
                    );
                }
                Status::Held | Status::Revoked => {}
            }
        }
        if name == Full {
            self.fulls.insert(crl.number, listed);
        }
    }

    /// A full CRL is any base with its delta, and what is on a shard is on the full CRL.
    fn compare_lists(&mut self) {
        let Some(delta) = self.make(Delta) else {
            return;
        };
        let full = serials(&self.make(Full).unwrap());
        let read = import::read_crl(&delta.to_der()).unwrap();
        let der = delta.to_der();
        let mut reader = crl::Reader::new(crl::Limits::default());
        reader.push(&der, &mut ()).unwrap();
        let base = reader.finish().unwrap().extensions.base_number.unwrap();
        let mut applied = self.fulls[&base].clone();
        for entry in read.entries {
            let request = entry.unwrap().request;
            if request.reason == Reason::RemoveFromCrl {
                applied.remove(&request.serial);
            } else {
                applied.insert(request.serial);
            }
        }
        assert_eq!(applied, full, "base {base} with delta {}", delta.number);
        let certificates = self.certificates.clone();
        let mut union: BTreeSet<Serial> = full
            .iter()
            .filter(|serial| {
                let known = certificates.get(*serial);
                known.is_none_or(|known| known.facts.list.shard().is_none())
            })
            .cloned()
            .collect();
        for number in [0, 1] {
            let shard = serials(&self.make(Shard(number)).unwrap());
            assert!(shard.is_subset(&full));
            union.extend(shard);
        }
        assert_eq!(union, full);
    }

    fn pass(&mut self, time: Duration) {
        let mut left = time;
        while !left.is_zero() {
            let step = left.min(HOUR * 6);
            self.time = self.time.after(step);
            self.ca.set(self.time);
            self.ca.origin().observe_clock(self.time).unwrap();
            left -= step;
        }
    }

    /// The clock is wrong for a few calls.
    fn with_wrong_clock(&mut self) {
        let by = DAY * u32::try_from(self.random.below(400)).unwrap();
        let wrong = if self.random.below(2) == 0 {
            self.time.after(by)
        } else {
            self.time.before(by)
        };
        self.ca.set(wrong);
        for _ in 0..self.random.below(4) {
            match self.random.below(3) {
                0 => self.deliver(),
                1 => drop(self.make(Full)),
                _ => self.change(Reason::Superseded),
            }
        }
        self.ca.set(self.time);
    }

    /// Restores the backup. What no edge holds is lost; the rest is recovered.
    fn restore(&mut self) {
        let Some(backup) = self.backup.clone() else {
            return;
        };
        self.ca.restore();
        let lost = std::mem::replace(&mut self.certificates, backup);
        // Nothing may be made from what an edge knows better.
        let mut is_lost = false;
        for edge in 0..2 {
            for name in LISTS {
                let caller = self.edges[edge].caller(name, false);
                let knows = self.ca.origin().knows(&id(), name, &caller).unwrap();
                let asked = self
                    .ca
                    .origin()
                    .make_crl(&id(), name, &caller, self.ca.now());
                let refused = matches!(asked, Err(OriginError::StateLost(..)));
                is_lost |= !knows;
                assert_eq!(refused, is_lost, "{name}: {asked:?}");
                self.record_full(name, asked);
            }
        }
        if !is_lost {
            return;
        }
        let crls: Vec<_> = self
            .edges
            .iter()
            .flat_map(|edge| edge.held.keys().map(|name| served(edge, *name)))
            .collect();
        let evidence = evidence(crls);
        loop {
            let recovered = self.ca.origin().recover(&id(), &evidence, self.ca.now());
            match recovered {
                Ok(recovery) => {
                    assert_eq!(recovery.missing, []);
                    break;
                }
                // An operator has the certificates.
                Err(OriginError::ShardUnknown { serials, .. }) => {
                    for serial in serials {
                        let certificate = Certificate {
                            status: Status::Revoked,
                            ..lost[&serial].clone()
                        };
                        let request = RevocationRequest {
                            certificate: Some(certificate.facts),
                            ..Self::request(&serial, Reason::Superseded)
                        };
                        self.ca.try_revoke(&request).unwrap();
                        self.certificates.insert(serial, certificate);
                    }
                }
                Err(error) => panic!("{error}"),
            }
        }
        for entry in evidence.served.iter().flat_map(|served| &served.entries) {
            let Some(certificate) = lost.get(&entry.serial) else {
                continue;
            };
            let known = self.certificates.entry(entry.serial.clone());
            let known = known.or_insert_with(|| certificate.clone());
            // What was known keeps the stronger status; an expired one stays off the CRL.
            let listed = match entry.reason {
                Reason::CertificateHold => Status::Held,
                _ => Status::Revoked,
            };
            known.status = match (known.status, listed) {
                (Status::Revoked, _) | (_, Status::Revoked) => Status::Revoked,
                _ => Status::Held,
            };
        }
        // Those issued since are not known here any more.
        self.certificates.retain(|serial, certificate| {
            certificate.status != Status::Good || lost.contains_key(serial)
        });
    }

    fn oldest_full_on_record(&self) -> CrlNumber {
        let database = rusqlite::Connection::open(self.ca.path("origin.db")).unwrap();
        let query = "SELECT min(number) FROM made_crls WHERE name = 'full'";
        let number: Vec<u8> = database.query_row(query, [], |row| row.get(0)).unwrap();
        CrlNumber::from_be_bytes(&number).unwrap()
    }

    fn record_full(&mut self, name: CrlName, asked: Result<CrlAnswer, OriginError>) {
        if let Ok(CrlAnswer::Crl(made)) = asked
            && name == Full
        {
            self.fulls.insert(made.number, serials(&made));
        }
    }

    /// Numbers are unique and each CRL is whole, however many ask at once.
    fn callers_at_once(&mut self) {
        let (origin, now) = (self.ca.origin(), self.ca.now());
        let make = || match origin
            .make_crl(&id(), Full, &Caller::default(), now)
            .unwrap()
        {
            CrlAnswer::Crl(made) => made,
            other => panic!("{other:?}"),
        };
        let crls: Vec<MadeCrl> = std::thread::scope(|scope| {
            let threads = [(); 3].map(|()| scope.spawn(|| [make(), make()]));
            threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap())
                .collect()
        });
        let numbers: BTreeSet<CrlNumber> = crls.iter().map(|crls| crls.number).collect();
        assert_eq!(numbers.len(), crls.len());
        for crls in &crls {
            self.check(Full, crls);
        }
    }
}

/// The serial numbers on a CRL.
fn serials(crl: &MadeCrl) -> BTreeSet<Serial> {
    let read = import::read_crl(&crl.to_der()).unwrap();
    let entries = read.entries.into_iter();
    entries.map(|entry| entry.unwrap().request.serial).collect()
}

#[test]
fn random_operations_never_lose_a_revocation() {
    let seed = match std::env::var("CRL_ORIGIN_MODEL_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => std::process::id().into(),
    };
    let operations = match std::env::var("CRL_ORIGIN_MODEL_OPERATIONS") {
        Ok(operations) => operations.parse().unwrap(),
        Err(_) => OPERATIONS,
    };
    println!("seed {seed}: CRL_ORIGIN_MODEL_SEED={seed} repeats this run");
    let mut model = Model::new(seed);
    let start = model.time;
    for edge in 0..2 {
        for name in LISTS {
            model.refresh(edge, name).unwrap();
        }
    }
    let first = model.last[&(0, Full)].0;
    for _ in 0..operations {
        model.step();
    }
    assert!(model.checked > u64::from(operations) / 4);
    let days = (model.time.as_millis() - start.as_millis()) / 86_400_000;
    println!("{} CRLs were checked, {days} days passed", model.checked);
    // An expired CRL stays on record for 400 days, and a little longer if an edge holds it.
    assert!(days < 500 || model.oldest_full_on_record() > first);
}
