//! The platform's twin for the handlers' tests: real tables, objects in memory, and failures on
//! demand.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use origin_api::{CrlName, Der, IssuerId};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::access;
use crate::actions::Action;
use crate::events::{Event, EventId, Outcome, Trigger};
use crate::issuer::{
    AcceptAnswer, IssuerAnswer, IssuerRequest, Overview, RetireAnswer, TrustAnswer,
};
use crate::object_calls::{IssuerObjects, PlatformError, RegistryObject};
use crate::operator::{OperatorMemory, Ports, Request, RsaKey};
use crate::refresh::{
    ChangesAnswer, ChangesPage, ChangesPlace, CrlState, IssuerState, Sha256, fingerprint,
};
use crate::registry::{
    Index, JobState, Listed, RefreshJob, RegistryAnswer, RegistryRequest, Shrink, Summary,
};
use crate::served::{Served, ServedRequest, ServedTotals};
use crate::tables::testing::{NOW, Tables, event};
use crate::tables::{Query, append_actions};
use crate::time::{Rfc3339, Timestamp};

/// What a failing part of the platform says: it must reach the log, and never a client.
pub(crate) const CAUSE: &str = "internal cause 0815";

/// The parts of the platform that fail on demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Registry,
    Objects,
    Tables,
    Random,
    Actions,
    /// The keys of Cloudflare Access.
    AccessKeys,
}

/// Two issuers, `a` with a full CRL and a delta, and `b` with a full CRL.
pub(crate) struct Platform {
    pub(crate) tables: Tables,
    /// How refreshes end.
    pub(crate) outcome: Cell<Outcome>,
    /// The changed certificate that is waiting at every issuer.
    pub(crate) waiting: RefCell<Option<Der>>,
    /// The last refresh of everything.
    pub(crate) job: RefCell<Option<RefreshJob>>,
    /// The CRL that was refused last.
    pub(crate) refused: Cell<Option<Sha256>>,
    /// What CRLs changed, by where it is.
    pub(crate) changes: RefCell<Vec<(ChangesPlace, ChangesPage)>>,
    /// What every issuer's object has of CRLs.
    pub(crate) crls: RefCell<Vec<(CrlName, CrlState)>>,
    /// The key set that Cloudflare Access publishes; none if it does not answer.
    pub(crate) key_set: RefCell<Option<String>>,
    memory: Rc<OperatorMemory>,
    /// What isolates reported.
    pub(crate) served: ServedTotals,
    /// Whether the origin no longer lists `b`.
    pub(crate) b_is_gone: Cell<bool>,
    /// What was done, in words.
    pub(crate) done: RefCell<Vec<String>>,
    /// The log.
    pub(crate) log: RefCell<Vec<Value>>,
    pub(crate) now: Cell<Timestamp>,
    /// The events that D1 refuses.
    pub(crate) pending: Cell<u64>,
    /// What the registry's gate holds.
    shrink: Cell<Option<Shrink>>,
    failing: Cell<Option<Part>>,
    /// After how many more queries the tables fail.
    queries_left: Cell<u32>,
    rows_read: Cell<u64>,
    /// How many random values were drawn.
    drawn: Cell<u8>,
}

impl Platform {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self {
            tables: Tables::new(),
            outcome: Cell::new(Outcome::Published),
            waiting: RefCell::default(),
            job: RefCell::default(),
            refused: Cell::default(),
            changes: RefCell::default(),
            crls: RefCell::default(),
            key_set: RefCell::default(),
            memory: Rc::default(),
            served: ServedTotals::default(),
            b_is_gone: Cell::new(false),
            done: RefCell::default(),
            log: RefCell::default(),
            now: Cell::new(NOW),
            pending: Cell::new(0),
            shrink: Cell::new(None),
            failing: Cell::new(None),
            queries_left: Cell::new(u32::MAX),
            rows_read: Cell::new(0),
            drawn: Cell::new(0),
        })
    }

    /// From now on this part fails.
    pub(crate) fn fail(&self, part: Part) {
        self.failing.set(Some(part));
    }

    /// The tables fail after so many more queries.
    pub(crate) fn fail_tables_after(&self, queries: u32) {
        self.queries_left.set(queries);
    }

    /// From now on a changed certificate is waiting; gives its SHA-256.
    pub(crate) fn certificate_waits(&self, der: &[u8]) -> Sha256 {
        let der = Der(der.to_vec());
        let sha256 = fingerprint(&der);
        *self.waiting.borrow_mut() = Some(der);
        sha256
    }

    /// From now on the registry's gate holds so many issuers.
    pub(crate) fn registry_shrinks(&self, vanished: u64) {
        self.shrink.set(Some(Shrink {
            since: NOW,
            vanished,
            confirmed: None,
        }));
    }

    fn check(&self, part: Part) -> Result<(), PlatformError> {
        if self.failing.get() == Some(part) {
            return Err(PlatformError(CAUSE.to_owned()));
        }
        Ok(())
    }

    fn note(&self, done: String) {
        self.done.borrow_mut().push(done);
    }

    fn event(&self, issuer: &IssuerId, name: CrlName, trigger: Trigger) -> Event {
        let outcome = self.outcome.get();
        Event {
            issuer_id: issuer.clone(),
            crl_name: name,
            trigger,
            outcome,
            succeeded: outcome.succeeded().into(),
            ..event(9)
        }
    }

    fn overview_of(&self) -> Overview {
        Overview {
            issuer: IssuerState {
                pending_certificate: self.waiting.borrow().clone(),
                ..IssuerState::default()
            },
            crls: self.crls.borrow().clone(),
            events_owed: 1,
            outbox: vec![event(8)],
        }
    }

    fn pin(&self, issuer: &IssuerId, sha256: Sha256) -> TrustAnswer {
        let waiting = self.waiting.borrow().as_ref().map(fingerprint);
        if waiting != Some(sha256) {
            return waiting.map_or(TrustAnswer::NoneWaiting, TrustAnswer::OtherWaiting);
        }
        self.note(format!("trusts {sha256} at {issuer}"));
        let event = self.event(issuer, CrlName::Full, Trigger::Operator);
        TrustAnswer::Pinned(vec![event])
    }

    fn remove(&self, issuer: &IssuerId, name: Option<CrlName>) -> RetireAnswer {
        if name != Some(CrlName::Delta) && issuer.as_str() == "a" {
            return RetireAnswer::StillListed;
        }
        let which = name.map_or("all".to_owned(), |name| name.to_string());
        self.note(format!("retires {which} of {issuer}"));
        RetireAnswer::Retired(vec![CrlName::Delta])
    }

    fn overrule(&self, issuer: &IssuerId, name: CrlName, sha256: Sha256, by: &str) -> AcceptAnswer {
        match self.refused.get() {
            None => AcceptAnswer::NoneRefused,
            Some(refused) if refused != sha256 => AcceptAnswer::OtherRefused(refused),
            Some(_) => {
                self.note(format!("{by} accepts {name} of {issuer}"));
                let event = self.event(issuer, name, Trigger::Operator);
                AcceptAnswer::Checked(Box::new(event))
            }
        }
    }

    fn begin_job(&self, id: EventId) -> RefreshJob {
        self.note("refreshes all".to_owned());
        let job = RefreshJob {
            id,
            state: JobState::Running,
            requested_at: Rfc3339(self.now()),
            started_at: Some(Rfc3339(self.now())),
            finished_at: None,
            summary: Summary {
                issuers: 1,
                published: 2,
                not_reached: 1,
                ..Summary::default()
            },
        };
        *self.job.borrow_mut() = Some(job.clone());
        job
    }
}

impl Ports for Platform {
    fn now(&self) -> Timestamp {
        self.now.get()
    }

    async fn sleep(&self, span: Duration) {
        self.now.set(self.now.get().after(span));
    }

    fn random(&self) -> Result<[u8; 16], PlatformError> {
        self.check(Part::Random)?;
        self.drawn.set(self.drawn.get().wrapping_add(1));
        Ok([self.drawn.get(); 16])
    }

    fn memory(&self) -> Rc<OperatorMemory> {
        Rc::clone(&self.memory)
    }

    async fn read(&self, url: &str, limit: u32, _: Duration) -> Result<String, PlatformError> {
        self.note(format!("reads {url}"));
        self.check(Part::AccessKeys)?;
        let text = self.key_set.borrow().clone();
        let Some(text) = text else {
            return pending().await;
        };
        assert!(text.len() <= limit as usize);
        Ok(text)
    }

    async fn verify_rs256(
        &self,
        key: &RsaKey,
        signed: &str,
        signature: &[u8],
    ) -> Result<bool, PlatformError> {
        Ok(access::verify_rs256(key, signed, signature))
    }

    fn log(&self, line: &Value) {
        self.log.borrow_mut().push(line.clone());
    }

    async fn index(&self) -> Result<Rc<Index>, PlatformError> {
        self.check(Part::Registry)?;
        let listed = |crls: &[CrlName]| Listed {
            crls: crls.to_vec(),
            ..Listed::default()
        };
        let issuers = [
            ("a", listed(&[CrlName::Full, CrlName::Delta])),
            (
                "b",
                Listed {
                    gone_since: self.b_is_gone.get().then_some(NOW),
                    ..listed(&[CrlName::Full])
                },
            ),
        ];
        Ok(Rc::new(Index {
            read_at: NOW.before(Duration::from_secs(1)),
            issuers: issuers
                .into_iter()
                .map(|(id, listed)| (id.parse().unwrap(), listed))
                .collect(),
            shrink: self.shrink.get(),
        }))
    }

    async fn record(&self, action: &Action) -> Result<(), PlatformError> {
        self.check(Part::Actions)?;
        let appended = append_actions(std::slice::from_ref(action));
        self.tables.run(&appended).map_err(PlatformError)?;
        Ok(())
    }

    async fn events_pending(&self) -> Result<u64, PlatformError> {
        self.check(Part::Registry).map(|()| self.pending.get())
    }

    async fn served(&self) -> Result<Served, PlatformError> {
        self.check(Part::Registry)?;
        Ok(self.served.answer(ServedRequest::Totals))
    }

    async fn rows<T: DeserializeOwned>(&self, query: &Query) -> Result<Vec<T>, PlatformError> {
        self.check(Part::Tables)?;
        let left = self.queries_left.get();
        self.queries_left.set(
            left.checked_sub(1)
                .ok_or_else(|| PlatformError(CAUSE.to_owned()))?,
        );
        let rows = self.tables.typed(query);
        self.rows_read.set(self.rows_read.get() + rows.len() as u64);
        Ok(rows)
    }

    fn rows_read(&self) -> u64 {
        self.rows_read.get()
    }
}

impl IssuerObjects for Platform {
    async fn issuer_object(
        &self,
        issuer: &IssuerId,
        request: IssuerRequest,
    ) -> Result<IssuerAnswer, PlatformError> {
        self.check(Part::Objects)?;
        Ok(match request {
            IssuerRequest::Overview => IssuerAnswer::Overview(Box::new(self.overview_of())),
            IssuerRequest::Refresh { name, trigger } => {
                let which = name.map_or("all".to_owned(), |name| name.to_string());
                self.note(format!("{trigger} refreshes {which} of {issuer}"));
                let event = self.event(issuer, name.unwrap_or(CrlName::Full), trigger);
                IssuerAnswer::Refreshed(vec![event])
            }
            IssuerRequest::Trust { sha256 } => IssuerAnswer::Trust(self.pin(issuer, sha256)),
            IssuerRequest::Retire { name } => IssuerAnswer::Retire(self.remove(issuer, name)),
            IssuerRequest::Accept { name, sha256, by } => {
                IssuerAnswer::Accept(self.overrule(issuer, name, sha256, &by))
            }
            IssuerRequest::Changes { place, .. } => {
                let changes = self.changes.borrow();
                let page = changes.iter().find(|(from, _)| *from == place);
                let none = ChangesAnswer::Forgotten(Some("7".to_owned()));
                let found = page.map_or(none, |(_, page)| ChangesAnswer::Page(page.clone()));
                IssuerAnswer::Changes(found)
            }
            other => panic!("operators do not send {other:?}"),
        })
    }
}

impl RegistryObject for Platform {
    async fn registry_object(
        &self,
        request: RegistryRequest,
    ) -> Result<RegistryAnswer, PlatformError> {
        self.check(Part::Registry)?;
        Ok(match request {
            RegistryRequest::ConfirmShrink => {
                RegistryAnswer::Confirmed(self.shrink.get().map(|shrink| shrink.vanished))
            }
            RegistryRequest::RequestJob(id) => RegistryAnswer::Job(Some(self.begin_job(id))),
            RegistryRequest::LastJob => RegistryAnswer::Job(self.job.borrow().clone()),
            other => panic!("operators do not send {other:?}"),
        })
    }
}

/// A request to `https://edge.example`.
#[derive(Clone, Debug)]
pub(crate) struct TestRequest {
    method: &'static str,
    url: String,
    headers: BTreeMap<&'static str, String>,
    body: String,
}

impl TestRequest {
    pub(crate) fn new(method: &'static str, path: &str) -> Self {
        Self {
            method,
            url: format!("https://edge.example{path}"),
            headers: BTreeMap::new(),
            body: String::new(),
        }
    }

    /// Sends it to another host, or with another scheme.
    pub(crate) fn at(mut self, origin: &str) -> Self {
        self.url = self.url.replacen("https://edge.example", origin, 1);
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.insert(name, value.into());
        self
    }

    pub(crate) fn body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into();
        let length = self.body.len().to_string();
        self.header("content-length", length)
    }
}

impl Request for TestRequest {
    fn method(&self) -> &str {
        self.method
    }

    fn url(&self) -> &str {
        &self.url
    }

    fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).cloned()
    }

    async fn text(&self) -> Result<String, String> {
        Ok(self.body.clone())
    }
}
