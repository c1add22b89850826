//! The origin: an honest CA, or one that answers by a script; counts its calls and can keep them
//! waiting.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use origin_api::{CrlName, Issuer, IssuerId};
use sha2::Digest as _;

use super::{Ca, Gate, HOUR, TwinHost};
use crate::refresh::{
    CrlRequest, Departure, Origin, OriginAnswer, OriginBody, OriginCrl, OriginError, Runtime as _,
    Sha256,
};
use crate::time::Timestamp;

/// One answer of the script.
#[derive(Clone)]
pub(crate) enum Reply {
    /// A CRL with a watermark, in chunks of so many bytes.
    Crl(Vec<u8>, Option<u64>, usize),
    /// These bytes, and then nothing, ever.
    Hang(Vec<u8>),
    /// These bytes, and then the connection breaks.
    CutOff(Vec<u8>),
    /// 304.
    Current,
    /// 204.
    Nothing,
    /// No answer.
    Error(OriginError),
    /// This answer, after a time.
    Late(Duration, Box<Reply>),
}

impl From<Vec<u8>> for Reply {
    fn from(crl: Vec<u8>) -> Self {
        Self::Crl(crl, None, 65_536)
    }
}

/// The origin of one issuer.
#[derive(Clone)]
pub(crate) struct TwinOrigin(pub(crate) Rc<Office>);

/// What a test does with the origin.
pub(crate) struct Office {
    pub(crate) ca: RefCell<Rc<Ca>>,
    pub(crate) names: RefCell<Vec<CrlName>>,
    /// What the record's call answers, where not with the record.
    pub(crate) record_error: RefCell<Option<OriginError>>,
    pub(crate) unknown: Cell<bool>,
    /// Answers in turn; then the honest ones.
    pub(crate) script: RefCell<VecDeque<Reply>>,
    /// The answers for one CRL in turn, and then 304; where it has any, they come first.
    pub(crate) scripts: RefCell<BTreeMap<CrlName, VecDeque<Reply>>>,
    /// Every answer, where one is set.
    pub(crate) always: RefCell<Option<Reply>>,
    pub(crate) record_calls: Cell<u32>,
    /// What it says of entries that have departed; `None` is no evidence.
    pub(crate) departed: RefCell<Result<Option<Vec<Departure>>, OriginError>>,
    /// Each call for a CRL: when, and whether it asked for a new one.
    pub(crate) calls: RefCell<Vec<(CrlName, Timestamp, bool)>>,
    /// What each of them asked.
    pub(crate) requests: RefCell<Vec<CrlRequest>>,
    crls: Gate,
    records: Gate,
    made: RefCell<BTreeMap<CrlName, Made>>,
    revoked: Cell<bool>,
    host: TwinHost,
}

/// The last CRL of a name: its number, when it was made, and its bytes.
type Made = (u64, Timestamp, Vec<u8>);

impl TwinOrigin {
    pub(crate) fn new(ca: Ca, host: &TwinHost) -> Self {
        Self(Rc::new(Office {
            ca: RefCell::new(Rc::new(ca)),
            names: RefCell::new(vec![CrlName::Full]),
            record_error: RefCell::default(),
            unknown: Cell::new(false),
            script: RefCell::default(),
            scripts: RefCell::default(),
            always: RefCell::default(),
            record_calls: Cell::new(0),
            departed: RefCell::new(Ok(None)),
            calls: RefCell::default(),
            requests: RefCell::default(),
            crls: Gate::default(),
            records: Gate::default(),
            made: RefCell::default(),
            revoked: Cell::new(false),
            host: host.clone(),
        }))
    }
}

impl Office {
    /// Keeps the calls for CRLs waiting from now on.
    pub(crate) fn close(&self) {
        self.crls.close();
    }

    /// Answers them.
    pub(crate) fn open(&self) {
        self.crls.open();
    }

    /// Keeps the calls for the record waiting from now on.
    pub(crate) fn close_records(&self) {
        self.records.close();
    }

    /// Answers them.
    pub(crate) fn open_records(&self) {
        self.records.open();
    }

    /// A certificate is revoked: the next CRL is another.
    pub(crate) fn revoke(&self) {
        self.revoked.set(true);
    }

    pub(crate) fn answer_next(&self, reply: impl Into<Reply>) {
        self.script.borrow_mut().push_back(reply.into());
    }

    pub(crate) fn answer_next_for(&self, name: CrlName, reply: impl Into<Reply>) {
        let mut scripts = self.scripts.borrow_mut();
        scripts.entry(name).or_default().push_back(reply.into());
    }

    pub(crate) fn call_count(&self) -> usize {
        self.calls.borrow().len()
    }

    /// As the contract has it: the list that there is, unless a new one is wanted, due, or would
    /// say more.
    fn honest(&self, name: CrlName, held: Option<Sha256>) -> Reply {
        let now = self.host.now();
        let mut made = self.made.borrow_mut();
        let last = made.get(&name);
        let (number, due) = last.map_or((0, true), |(number, at, _)| {
            (*number, now.since(*at) >= 5 * HOUR)
        });
        let current = last.map(|(_, _, crl)| Sha256(sha2::Sha256::digest(crl).into()));
        let revoked = self.revoked.replace(false);
        if !due && !revoked && held.is_some() && held == current {
            return Reply::Current;
        }
        if due || revoked || held.is_none() || last.is_none() {
            let number = number + 1;
            let ca = Rc::clone(&self.ca.borrow());
            let crl = ca.sign(&ca.template(name, number, now), 3);
            made.insert(name, (number, now, crl));
        }
        Reply::from(made[&name].2.clone())
    }
}

impl Origin for TwinOrigin {
    type Body = TwinBody;

    async fn issuer(&self, id: &IssuerId) -> Result<Option<Issuer>, OriginError> {
        let office = &self.0;
        office.record_calls.set(office.record_calls.get() + 1);
        office.records.pass().await;
        if let Some(error) = office.record_error.borrow().clone() {
            return Err(error);
        }
        let record = office.ca.borrow().record(id, &office.names.borrow());
        Ok((!office.unknown.get()).then_some(record))
    }

    async fn crl(
        &self,
        _id: &IssuerId,
        name: CrlName,
        request: &CrlRequest,
    ) -> Result<OriginAnswer<OriginCrl<TwinBody>>, OriginError> {
        let office = &self.0;
        let held = request.held.as_ref().map(|held| held.sha256);
        let held = held.filter(|_| !request.new_crl);
        office.requests.borrow_mut().push(request.clone());
        let call = (name, office.host.now(), held.is_none());
        office.calls.borrow_mut().push(call);
        office.crls.pass().await;
        let always = office.always.borrow().clone();
        let own = || {
            let mut scripts = office.scripts.borrow_mut();
            let script = scripts.get_mut(&name)?;
            Some(script.pop_front().unwrap_or(Reply::Current))
        };
        let next = || office.script.borrow_mut().pop_front();
        let mut reply = always.or_else(own).or_else(next);
        while let Some(Reply::Late(after, late)) = reply {
            office.host.sleep(after).await;
            reply = Some(*late);
        }
        let body = |bytes: Vec<u8>, chunk, end| TwinBody {
            bytes,
            at: 0,
            chunk,
            end,
        };
        let (body, watermark) = match reply.unwrap_or_else(|| office.honest(name, held)) {
            Reply::Crl(bytes, watermark, chunk) => (body(bytes, chunk, End::Whole), watermark),
            Reply::Hang(bytes) => (body(bytes, 1000, End::Hang), None),
            Reply::CutOff(bytes) => (body(bytes, 1000, End::CutOff), None),
            Reply::Current => return Ok(OriginAnswer::Unchanged),
            Reply::Nothing => return Ok(OriginAnswer::NothingToPublish),
            Reply::Error(error) => return Err(error),
            Reply::Late(..) => unreachable!("it was waited for"),
        };
        Ok(OriginAnswer::Crl(OriginCrl { body, watermark }))
    }

    async fn departed(
        &self,
        _id: &IssuerId,
        _name: CrlName,
        _serials: &[&str],
    ) -> Result<Option<Vec<Departure>>, OriginError> {
        self.0.departed.borrow().clone()
    }
}

/// A CRL on its way.
pub(crate) struct TwinBody {
    bytes: Vec<u8>,
    at: usize,
    chunk: usize,
    end: End,
}

enum End {
    Whole,
    Hang,
    CutOff,
}

impl OriginBody for TwinBody {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, OriginError> {
        let rest = &self.bytes[self.at..];
        let next = &rest[..rest.len().min(self.chunk).min(buffer.len())];
        if next.is_empty() {
            match self.end {
                End::Whole => {}
                End::Hang => std::future::pending().await,
                End::CutOff => {
                    return Err(OriginError::Truncated {
                        received: self.at as u64,
                        cause: "cut off".to_owned(),
                    });
                }
            }
        }
        buffer[..next.len()].copy_from_slice(next);
        self.at += next.len();
        Ok(next.len())
    }
}
