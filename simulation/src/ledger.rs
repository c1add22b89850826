//! What is true, as an onlooker knows it, and what must never happen. Twins report here what they
//! see; the first violation ends the run.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::Duration;

use crl::{CrlNumber, Entry, Limits, UnixTime, Visitor};
use edge::events::{Event, EventId, Outcome, Trigger};
use edge::refresh::{CrlState, Metadata, Sha256};
use origin_api::{CrlName, IssuerId, Timestamp};
use sha2::Digest as _;

use crate::clock::Timeline;
use crate::trace::Trace;

/// How long after a revocation the origin's push has the edge publish it, if nothing fails.
const PUSH: Duration = Duration::from_secs(15);

/// How often the origin looks at a directory of `openssl ca`: a revocation there is pushed as much
/// later.
const LOOK: Duration = Duration::from_secs(1);

/// How long KV takes to spread a write, as its maker says.
const KV_SPREAD: Duration = Duration::from_mins(1);

/// How long an isolate answers from a remembered head.
const HEAD_MEMORY: Duration = Duration::from_secs(2);

/// A list: an issuer and the name of one of its CRLs.
pub(crate) type List = (IssuerId, CrlName);

/// What is known of the run. Clones are the same ledger.
#[derive(Clone)]
pub(crate) struct Ledger(Rc<Inside>);

struct Inside {
    timeline: Timeline,
    trace: Trace,
    visible_within: Duration,
    back_to_normal: Duration,
    known: RefCell<Known>,
}

#[derive(Default)]
struct Known {
    violation: Option<String>,
    is_over: bool,
    crls: BTreeMap<Sha256, Rc<SeenCrl>>,
    lists: BTreeMap<List, KnownList>,
    issuers: BTreeMap<IssuerId, KnownIssuer>,
    /// Events that an object has committed, which D1 has yet to get.
    owed: BTreeMap<EventId, Event>,
    /// Events in D1.
    written: BTreeMap<EventId, Event>,
    /// How often D1 has a publication of these bytes.
    published: BTreeMap<(List, String), u64>,
    /// Since when nothing fails; absent while something does.
    calm_since: Option<Timestamp>,
    counts: Counts,
}

impl Known {
    /// Forgets what is in CRLs that nobody holds or uses any more.
    fn forget_expired(&mut self, now: Timestamp) {
        let lists = self.lists.values();
        let held: BTreeSet<_> = lists.filter_map(|list| list.committed.last()).collect();
        let longest_use = Duration::from_hours(72);
        self.crls.retain(|hash, crl| {
            let end = Timestamp::from(crl.next_update).after(longest_use);
            end > now || held.contains(hash)
        });
    }
}

/// How much a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Storms.
    pub storms: u64,
    /// CRLs that objects committed.
    pub commits: u64,
    /// Answers to relying parties that were checked.
    pub answers: u64,
    /// Revocations at origins.
    pub revocations: u64,
    /// Events in D1.
    pub events: u64,
    /// How often an issuer was found as if nothing had ever failed, at the end of a calm.
    pub normal: u64,
    /// How often that was not looked at, because a person had still to repair something.
    pub disturbed: u64,
}

impl Counts {
    /// Adds those of another run.
    pub fn add(&mut self, other: Self) {
        self.storms += other.storms;
        self.commits += other.commits;
        self.answers += other.answers;
        self.revocations += other.revocations;
        self.events += other.events;
        self.normal += other.normal;
        self.disturbed += other.disturbed;
    }
}

/// A CRL that was seen somewhere.
pub(crate) struct SeenCrl {
    pub(crate) number: CrlNumber,
    pub(crate) this_update: UnixTime,
    pub(crate) next_update: UnixTime,
    pub(crate) serials: BTreeSet<Vec<u8>>,
}

struct KnownList {
    /// The CRLs that the object committed, the oldest first.
    committed: Vec<Sha256>,
    /// The object has removed the last of them: the origin no longer lists it.
    is_removed: bool,
    /// When the last of them was.
    committed_at: Timestamp,
    /// When it is due to be refreshed.
    due_at: Option<Timestamp>,
    /// An operator has accepted a CRL. Its number may be lower.
    was_overruled: bool,
}

impl Default for KnownList {
    fn default() -> Self {
        Self {
            committed: Vec::new(),
            is_removed: false,
            committed_at: Timestamp::from_millis(0),
            due_at: None,
            was_overruled: false,
        }
    }
}

impl KnownList {
    fn has_committed(&self, hash: &Sha256) -> bool {
        // Mostly one of the last.
        self.committed
            .iter()
            .rev()
            .any(|committed| committed == hash)
    }
}

#[derive(Default)]
struct KnownIssuer {
    /// Each revocation that an origin acknowledged, the oldest first.
    revocations: Vec<Revocation>,
    /// A CA that does not follow the rules: only what the edge decides is checked.
    is_liar: bool,
    /// Its revocations are in an index of its own, which the origin follows.
    is_followed: bool,
    /// Something is wrong that needs a person, such as a restored database.
    disturbed_until: Option<Timestamp>,
    /// CRLs with a signature that is not by the issuer's key.
    forged: BTreeSet<Sha256>,
    /// CRLs by a key that no operator has trusted.
    by_new_key: BTreeSet<Sha256>,
}

impl KnownIssuer {
    fn is_disturbed(&self, now: Timestamp) -> bool {
        self.disturbed_until.is_some_and(|until| now < until)
    }
}

struct Revocation {
    serial: Vec<u8>,
    at: Timestamp,
    not_after: Option<Timestamp>,
    /// The shard that its certificate names.
    shard: Option<u32>,
    /// The origin has said that it is done.
    is_acknowledged: bool,
    released: bool,
    /// The origin's database was restored to a copy without it.
    lost: bool,
}

impl Revocation {
    /// Whether the certificate must be on every CRL from now on.
    fn binds(&self, now: Timestamp) -> bool {
        self.is_acknowledged
            && !self.released
            && !self.lost
            && self.not_after.is_none_or(|end| now < end)
    }

    /// Whether it must stand on the CRL of this name. A delta may leave it to its base.
    fn stands_on(&self, name: CrlName) -> bool {
        match name {
            CrlName::Full => true,
            CrlName::Delta => false,
            CrlName::Shard(number) => self.shard == Some(number),
        }
    }
}

struct Serials(BTreeSet<Vec<u8>>);

impl Visitor for Serials {
    fn entry(&mut self, entry: &Entry<'_>) -> ControlFlow<()> {
        self.0.insert(entry.serial.as_be_bytes().to_vec());
        ControlFlow::Continue(())
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> Sha256 {
    Sha256(sha2::Sha256::digest(bytes).into())
}

/// Whether a CRL without `gone` of the entries of the one that it replaces is to be withheld: an
/// hour less than `REMOVALS_HOLD_HOURS`, and unless the one that is replaced is about to expire.
fn must_wait(before: Option<&CrlState>, replaced: &SeenCrl, gone: usize, now: Timestamp) -> bool {
    let end = Timestamp::from(replaced.next_update);
    let (left, validity) = (end.since(now), end.since(replaced.this_update.into()));
    let has_time = left > validity / 3 && left > Duration::from_hours(1);
    let withheld = before.and_then(|state| state.withheld_since);
    let has_waited = withheld.is_some_and(|since| now.since(since) >= Duration::from_hours(23));
    gone >= 20 && gone * 2 > replaced.serials.len() && has_time && !has_waited
}

/// What the origin was asked to revoke.
pub(crate) struct Revoked {
    pub(crate) serial: Vec<u8>,
    pub(crate) not_after: Option<Timestamp>,
    pub(crate) shard: Option<u32>,
    pub(crate) is_acknowledged: bool,
}

/// An answer that a relying party got.
pub(crate) struct Seen<'a> {
    pub(crate) list: &'a List,
    pub(crate) body: &'a [u8],
    /// How long ago it left the edge.
    pub(crate) age: Duration,
    /// How much longer the headers let caches keep it.
    pub(crate) max_age: Duration,
    pub(crate) etag: Option<&'a str>,
    pub(crate) who: &'a str,
}

impl Ledger {
    pub(crate) fn new(
        timeline: &Timeline,
        trace: &Trace,
        kv_cache_ttl: Duration,
        back_to_normal: Duration,
    ) -> Self {
        Self(Rc::new(Inside {
            timeline: timeline.clone(),
            trace: trace.clone(),
            visible_within: PUSH + KV_SPREAD + kv_cache_ttl + HEAD_MEMORY,
            back_to_normal,
            known: RefCell::default(),
        }))
    }

    fn now(&self) -> Timestamp {
        self.0.timeline.now()
    }

    /// Something happened that must never happen.
    pub(crate) fn violated(&self, rule: &str, what: &str) {
        self.0.trace.line(format!("VIOLATED: {rule}: {what}"));
        let mut known = self.0.known.borrow_mut();
        let text = format!("{rule}: {what}");
        known.violation.get_or_insert(text);
    }

    pub(crate) fn violation(&self) -> Option<String> {
        self.0.known.borrow().violation.clone()
    }

    /// The run has been checked to its end.
    pub(crate) fn run_ends(&self) {
        self.0.known.borrow_mut().is_over = true;
    }

    /// Whether the run is over, or a rule is violated.
    pub(crate) fn is_over(&self) -> bool {
        let known = self.0.known.borrow();
        known.is_over || known.violation.is_some()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.0.known.borrow().counts
    }

    /// From now on something may fail.
    pub(crate) fn storm_begins(&self) {
        let mut known = self.0.known.borrow_mut();
        known.calm_since = None;
        known.counts.storms += 1;
        known.forget_expired(self.now());
    }

    /// From now on nothing fails.
    pub(crate) fn calm_begins(&self) {
        self.0.known.borrow_mut().calm_since = Some(self.now());
    }

    /// A person has restarted something: it takes its time again.
    pub(crate) fn restarted(&self) {
        let mut known = self.0.known.borrow_mut();
        if known.calm_since.is_some() {
            known.calm_since = Some(self.now());
        }
    }

    /// Whether everything must be normal by now.
    pub(crate) fn is_settled(&self) -> bool {
        let since = self.0.known.borrow().calm_since;
        since.is_some_and(|since| self.now().since(since) >= self.0.back_to_normal)
    }

    pub(crate) fn has_liar(&self, issuer: &IssuerId) {
        let mut known = self.0.known.borrow_mut();
        known.issuers.entry(issuer.clone()).or_default().is_liar = true;
    }

    /// The issuer's revocations are in an index of its own, which the origin follows.
    pub(crate) fn is_followed(&self, issuer: &IssuerId) {
        let mut known = self.0.known.borrow_mut();
        known.issuers.entry(issuer.clone()).or_default().is_followed = true;
    }

    /// Until then something may be wrong with the issuer that needs a person.
    pub(crate) fn disturb(&self, issuer: &IssuerId, until: Timestamp) {
        let mut known = self.0.known.borrow_mut();
        let issuer = known.issuers.entry(issuer.clone()).or_default();
        issuer.disturbed_until = Some(until);
    }

    /// Whether the issuer may be abnormal whatever the weather.
    pub(crate) fn is_disturbed(&self, issuer: &IssuerId) -> bool {
        let now = self.now();
        let known = self.0.known.borrow();
        let issuer = known.issuers.get(issuer);
        issuer.is_some_and(|issuer| issuer.is_liar || issuer.is_disturbed(now))
    }

    /// An issuer was looked at, at the end of a calm, or was still disturbed.
    pub(crate) fn count_calm(&self, is_disturbed: bool) {
        let counts = &mut self.0.known.borrow_mut().counts;
        if is_disturbed {
            counts.disturbed += 1;
        } else {
            counts.normal += 1;
        }
    }

    pub(crate) fn forged(&self, issuer: &IssuerId, der: &[u8]) {
        let mut known = self.0.known.borrow_mut();
        let issuer = known.issuers.entry(issuer.clone()).or_default();
        issuer.forged.insert(sha256(der));
    }

    pub(crate) fn signed_by_new_key(&self, issuer: &IssuerId, der: &[u8]) {
        let mut known = self.0.known.borrow_mut();
        let issuer = known.issuers.entry(issuer.clone()).or_default();
        issuer.by_new_key.insert(sha256(der));
    }

    /// An operator trusts the issuer's new key.
    pub(crate) fn trusts_new_key(&self, issuer: &IssuerId) {
        let mut known = self.0.known.borrow_mut();
        let issuer = known.issuers.entry(issuer.clone()).or_default();
        issuer.by_new_key.clear();
    }

    /// The origin was asked to revoke a certificate. If it did not acknowledge that, it may have
    /// done it all the same.
    pub(crate) fn revoked(&self, issuer: &IssuerId, revoked: Revoked) {
        let now = self.now();
        let mut known = self.0.known.borrow_mut();
        known.counts.revocations += u64::from(revoked.is_acknowledged);
        let issuer = known.issuers.entry(issuer.clone()).or_default();
        let Revoked {
            serial,
            not_after,
            shard,
            is_acknowledged,
        } = revoked;
        issuer.revocations.push(Revocation {
            serial,
            at: now,
            not_after,
            shard,
            is_acknowledged,
            released: false,
            lost: false,
        });
    }

    /// What a CA's staff knows of the certificates that it revoked: serial number, end, and shard.
    pub(crate) fn certificates(
        &self,
        issuer: &IssuerId,
    ) -> Vec<(Vec<u8>, Option<Timestamp>, Option<u32>)> {
        let known = self.0.known.borrow();
        let revocations = known.issuers.get(issuer).into_iter();
        let revocations = revocations.flat_map(|issuer| &issuer.revocations);
        revocations
            .map(|known| (known.serial.clone(), known.not_after, known.shard))
            .collect()
    }

    /// A hold ends, or ended.
    pub(crate) fn released(&self, issuer: &IssuerId, serial: &[u8]) {
        let mut known = self.0.known.borrow_mut();
        let issuer = known.issuers.entry(issuer.clone()).or_default();
        let mut revocations = issuer.revocations.iter_mut();
        if let Some(revocation) = revocations.find(|known| known.serial == serial) {
            revocation.released = true;
        }
    }

    /// The origin's database is that of `backup` again. What no edge has seen since then is lost,
    /// unless the origin can read it again.
    pub(crate) fn restored(&self, backup: Timestamp) {
        let mut known = self.0.known.borrow_mut();
        let known = &mut *known;
        let lost = known.issuers.iter_mut();
        for (id, issuer) in lost.filter(|(_, issuer)| !issuer.is_followed) {
            let held = known.lists.iter().filter(|((of, _), _)| of == id);
            let held: Vec<_> = held
                .filter_map(|(_, list)| known.crls.get(list.committed.last()?))
                .collect();
            for revocation in &mut issuer.revocations {
                let is_held = held
                    .iter()
                    .any(|crl| crl.serials.contains(&revocation.serial));
                if revocation.at >= backup && !is_held {
                    revocation.lost = true;
                }
            }
        }
    }

    /// What a CRL says.
    pub(crate) fn read(&self, der: &[u8]) -> Option<Rc<SeenCrl>> {
        let sha256 = sha256(der);
        if let Some(seen) = self.0.known.borrow().crls.get(&sha256) {
            return Some(Rc::clone(seen));
        }
        let mut serials = Serials(BTreeSet::new());
        let crl = crl::read(der, Limits::default(), &mut serials).ok()?;
        let seen = Rc::new(SeenCrl {
            number: crl.extensions.number?,
            this_update: crl.header.this_update,
            next_update: crl.header.next_update?,
            serials: serials.0,
        });
        let mut known = self.0.known.borrow_mut();
        known.crls.insert(sha256, Rc::clone(&seen));
        Some(seen)
    }

    /// An object has committed a CRL in place of `before`.
    pub(crate) fn committed(
        &self,
        list: &List,
        before: Option<&CrlState>,
        state: &CrlState,
        der: &[u8],
    ) {
        let (now, hash) = (self.now(), sha256(der));
        let Some(head) = state.head() else { return };
        self.0.trace.line(format!(
            "commit {}/{} number {} with {} entries, {}",
            list.0, list.1, head.number, head.entry_count, head.sha256
        ));
        if hash != head.sha256 || der.len() as u64 != head.size {
            self.violated("head and body agree", &format!("{list:?}"));
        }
        let Some(seen) = self.read(der) else {
            return self.violated("only CRLs are committed", &format!("{list:?}"));
        };
        let is_accepted = state
            .findings
            .iter()
            .any(|finding| finding.code == "accepted");
        let known = self.0.known.borrow();
        let issuer = known.issuers.get(&list.0);
        let mut wrong = Vec::new();
        // What was removed may come back as it was.
        if let Some(last) = before
            .and_then(CrlState::last_head)
            .filter(|last| !is_accepted && last.sha256 != hash)
        {
            if seen.number <= last.number {
                wrong.push((
                    "numbers do not go back",
                    format!("{} after {}", seen.number, last.number),
                ));
            }
            if seen.this_update < last.this_update {
                wrong.push(("thisUpdate does not go back", format!("{list:?}")));
            }
        }
        if issuer.is_some_and(|issuer| issuer.forged.contains(&hash)) {
            wrong.push((
                "only what the issuer signed is committed",
                format!("{list:?}"),
            ));
        }
        if issuer.is_some_and(|issuer| issuer.by_new_key.contains(&hash)) {
            wrong.push(("a new key needs an operator's trust", format!("{list:?}")));
        }
        let of_list = known.lists.get(list);
        let replaced = of_list
            .and_then(|known| known.committed.last())
            .and_then(|hash| known.crls.get(hash));
        let is_back =
            of_list.is_some_and(|list| list.is_removed && list.committed.last() == Some(&hash));
        if let (Some(replaced), false) = (replaced, is_accepted || is_back) {
            // The object's own memory of what it replaces may be wrong.
            if seen.number <= replaced.number || seen.this_update < replaced.this_update {
                let what = format!("{} after {}", seen.number, replaced.number);
                wrong.push(("numbers do not go back", what));
            }
        }
        if let (Some(replaced), false, true) = (replaced, is_accepted, list.1 != CrlName::Delta) {
            let is_liar = issuer.is_some_and(|issuer| issuer.is_liar);
            let gone = replaced.serials.difference(&seen.serials);
            let of = |serial: &Vec<u8>| {
                let mut revocations = issuer.into_iter().flat_map(|issuer| &issuer.revocations);
                revocations.find(|known| known.serial == *serial)
            };
            let is_explained = |serial: &Vec<u8>| {
                of(serial).is_some_and(|known| {
                    known.released || known.not_after.is_some_and(|end| end <= now)
                })
            };
            let gone: Vec<_> = gone.filter(|serial| !is_explained(serial)).collect();
            if !is_liar && !gone.is_empty() {
                wrong.push((
                    "what was revoked stays revoked",
                    format!(
                        "{} of {list:?} left with number {}",
                        gone.len(),
                        seen.number
                    ),
                ));
            }
            if is_liar && must_wait(before, replaced, gone.len(), now) {
                wrong.push((
                    "a list that lost most entries waits",
                    format!("{} of {list:?}", gone.len()),
                ));
            }
        }
        drop(known);
        for (rule, what) in wrong {
            self.violated(rule, &what);
        }
        let mut known = self.0.known.borrow_mut();
        known.counts.commits += 1;
        let list = known.lists.entry(list.clone()).or_default();
        list.committed.push(hash);
        list.is_removed = false;
        list.committed_at = now;
        list.due_at = Some(head.refresh_after);
        list.was_overruled |= is_accepted;
    }

    /// An object has removed a CRL that the origin no longer lists.
    pub(crate) fn removed(&self, list: &List) {
        self.0.trace.line(format!("remove {}/{}", list.0, list.1));
        let mut known = self.0.known.borrow_mut();
        let list = known.lists.entry(list.clone()).or_default();
        list.is_removed = true;
        list.due_at = None;
    }

    /// The object holds a CRL of the list that is valid for some minutes more.
    pub(crate) fn is_servable(&self, list: &List) -> bool {
        let known = self.0.known.borrow();
        let of_list = known.lists.get(list).filter(|known| !known.is_removed);
        let held = of_list.and_then(|of_list| known.crls.get(of_list.committed.last()?));
        held.is_some_and(|crl| {
            let end = Timestamp::from(crl.next_update);
            end.since(self.now()) > Duration::from_mins(10)
        })
    }

    /// A relying party got the head of a CRL, and may keep it for so much longer.
    pub(crate) fn head_served(&self, list: &List, etag: Option<&str>, max_age: Duration) {
        let known = self.0.known.borrow();
        let is_named = |hash: &&Sha256| {
            let hash = hash.to_string();
            etag.is_some_and(|etag| etag.contains(&hash[..16]))
        };
        let committed = known.lists.get(list);
        let hash = committed.and_then(|list| list.committed.iter().rev().find(is_named));
        let next_update = hash.and_then(|hash| Some(known.crls.get(hash)?.next_update));
        drop(known);
        match next_update.map(Timestamp::from) {
            None => self.violated(
                "only what was committed is served",
                &format!("{list:?} {etag:?}"),
            ),
            Some(end) if self.now().after(max_age) > end => {
                let what = format!("{list:?}: the head for {max_age:?}, until {end}");
                self.violated("freshness ends before nextUpdate", &what);
            }
            Some(_) => {}
        }
    }

    /// An object committed an event with its state.
    pub(crate) fn event_committed(&self, event: &Event) {
        let mut known = self.0.known.borrow_mut();
        if !known.written.contains_key(&event.id) {
            known.owed.insert(event.id, event.clone());
        }
    }

    /// An object says what a refresh did. What was published has an event, and a request of a
    /// relying party causes none that is not due, if storage works: what its own storage does not
    /// give, an object takes for missing.
    pub(crate) fn refreshed(&self, event: &Event, storage_works: bool) {
        let known = self.0.known.borrow();
        let is_kept = known.owed.contains_key(&event.id) || known.written.contains_key(&event.id);
        let list = (event.issuer_id.clone(), event.crl_name);
        let held = known.lists.get(&list);
        // What was committed meanwhile does not count.
        let held = held.filter(|held| held.committed_at.to_string() <= event.started_at);
        let due_at = held.and_then(|held| held.due_at);
        drop(known);
        if event.outcome == Outcome::Published && !is_kept {
            self.violated("every refresh has its event", &format!("{event:?}"));
        }
        let is_early = due_at.is_some_and(|due| event.started_at < due.to_string());
        let is_asked = event.trigger == Trigger::Request && event.outcome != Outcome::Published;
        if is_asked && is_early && storage_works {
            let rule = "a request causes no more than the due refresh";
            self.violated(rule, &format!("{event:?}"));
        }
    }

    /// D1 has written an event.
    pub(crate) fn event_written(&self, event: &Event) {
        let mut known = self.0.known.borrow_mut();
        let owed = known.owed.remove(&event.id);
        let is_new = owed.is_some();
        if let Some(owed) = owed {
            known.written.insert(owed.id, owed);
        }
        let is_known = known.written.get(&event.id) == Some(event);
        if is_new {
            known.counts.events += 1;
            // An operator may accept an old CRL of a CA that lies once more.
            let issuer = known.issuers.get(&event.issuer_id);
            let is_liar = issuer.is_some_and(|issuer| issuer.is_liar);
            if let (Outcome::Published, Some(sha256), false) =
                (event.outcome, &event.sha256, is_liar)
            {
                let list = (event.issuer_id.clone(), event.crl_name);
                let times = known.published.entry((list, sha256.clone())).or_insert(0);
                *times += 1;
                if *times > 1 {
                    drop(known);
                    return self.violated("no event is doubled", &format!("{event:?}"));
                }
            }
        }
        drop(known);
        if !is_known {
            self.violated(
                "an event is what the object committed",
                &format!("{event:?}"),
            );
        }
    }

    /// The events that D1 does not have yet.
    pub(crate) fn events_missing(&self) -> Vec<Event> {
        let known = self.0.known.borrow();
        known.owed.values().cloned().collect()
    }

    /// Events before this time were pruned from D1, and need not be remembered.
    pub(crate) fn forget_events(&self, before: Timestamp) {
        let mut known = self.0.known.borrow_mut();
        let before = before.to_string();
        // Ids are ordered by time.
        while let Some(oldest) = known.written.first_entry()
            && oldest.get().started_at < before
        {
            oldest.remove();
        }
    }

    /// A value has landed in KV.
    pub(crate) fn in_kv(&self, list: &List, metadata: &Metadata, body: &[u8]) {
        let hash = sha256(body);
        if metadata.parts == 0 && hash != metadata.head.sha256 {
            self.violated("KV has no mix of two", &format!("{list:?}"));
        }
        let known = self.0.known.borrow();
        let of_list = known.lists.get(list);
        let is_committed = of_list.is_some_and(|list| list.has_committed(&metadata.head.sha256));
        drop(known);
        if !is_committed {
            self.violated(
                "KV has only what was committed",
                &format!("{list:?} number {}", metadata.head.number),
            );
        }
    }

    /// The SHA-256 of what the object holds of a list.
    pub(crate) fn held(&self, list: &List) -> Option<Sha256> {
        let known = self.0.known.borrow();
        let list = known.lists.get(list).filter(|list| !list.is_removed)?;
        list.committed.last().copied()
    }

    /// Whether an operator has accepted a CRL of the list, so that numbers may have gone back.
    pub(crate) fn was_overruled(&self, list: &List) -> bool {
        let known = self.0.known.borrow();
        known.lists.get(list).is_some_and(|list| list.was_overruled)
    }

    /// A relying party uses a CRL. Returns the CRL's number and thisUpdate.
    pub(crate) fn served(&self, seen: &Seen<'_>) -> Option<(CrlNumber, UnixTime)> {
        let now = self.now();
        let (list, hash) = (seen.list, sha256(seen.body));
        let Some(crl) = self.read(seen.body) else {
            self.violated("an answer is a CRL", &format!("{list:?} to {}", seen.who));
            return None;
        };
        let mut wrong = Vec::new();
        let mut known = self.0.known.borrow_mut();
        known.counts.answers += 1;
        let is_committed = known
            .lists
            .get(list)
            .is_some_and(|list| list.has_committed(&hash));
        if !is_committed {
            wrong.push((
                "only what was committed is served",
                format!("{list:?} number {}", crl.number),
            ));
        }
        if let Some(etag) = seen.etag
            && !etag.contains(&hash.to_string()[..16])
        {
            wrong.push((
                "the validator is that of the body",
                format!("{list:?}: {etag} for {hash}"),
            ));
        }
        let end = Timestamp::from(crl.next_update);
        if now >= end {
            wrong.push((
                "no CRL is served past nextUpdate",
                format!("{list:?} number {}, until {end}", crl.number),
            ));
        }
        if now.after(seen.max_age) > end {
            wrong.push((
                "freshness ends before nextUpdate",
                format!("{list:?}: {:?} at {now}, until {end}", seen.max_age),
            ));
        }
        let is_settled = known
            .calm_since
            .is_some_and(|since| now.since(since) >= self.0.back_to_normal);
        let issuer = known.issuers.get(&list.0);
        // What a cache still has was right when it left the edge.
        let is_settled = is_settled
            && known
                .calm_since
                .is_some_and(|since| now.before(seen.age).since(since) >= self.0.back_to_normal);
        if let Some(issuer) =
            issuer.filter(|issuer| is_settled && !issuer.is_disturbed(now) && !issuer.is_liar)
        {
            let noticed = if issuer.is_followed {
                LOOK
            } else {
                Duration::ZERO
            };
            let visible_from = now.before(noticed + self.0.visible_within + seen.age);
            let due = issuer
                .revocations
                .iter()
                .filter(|known| known.stands_on(list.1))
                .filter(|known| known.at <= visible_from && known.binds(now));
            let missing = due
                .filter(|known| !crl.serials.contains(&known.serial))
                .map(|known| known.at);
            if let Some(at) = missing.min() {
                wrong.push((
                    "a revocation is visible everywhere in time",
                    format!(
                        "{list:?} number {} to {}: revoked at {at}",
                        crl.number, seen.who
                    ),
                ));
            }
        }
        drop(known);
        for (rule, what) in wrong {
            self.violated(rule, &what);
        }
        Some((crl.number, crl.this_update))
    }
}
