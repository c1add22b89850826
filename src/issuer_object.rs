//! The issuer's Durable Object: its calls and its alarm, carried over to [`Custodian`].
#![expect(
    missing_docs,
    reason = "the macro's exports are for the platform, not for people"
)]

use std::cell::OnceCell;
use std::rc::Rc;

use origin_api::{CrlName, IssuerId};
use worker::durable::State;
use worker::{DurableObject, Env, Request, Response, ResponseBuilder, durable_object};

use crate::bindings::Bindings;
use crate::d1::D1Log;
use crate::host::JsHost;
use crate::issuer_store::SqlStore;
use crate::kv::KvReplica;
use crate::origin::FetchOrigin;
use crate::reply;
use crate::streams::Stored;
use edge::events::Trigger;
use edge::issuer::{Custodian, Flights, Leases, OneAtATime, Parts, Serving};
use edge::refresh::{Pieces, Sha256};
use edge::url;

/// The header in which the object tells the head of the CRL that it serves, as JSON.
pub(crate) const HEAD_HEADER: &str = "crl-head";

/// Cloudflare's side of the seams.
#[derive(Debug)]
pub(crate) struct Cloudflare;

impl Parts for Cloudflare {
    type Host = JsHost;
    type Origin = FetchOrigin;
    type Store = SqlStore;
    type Replica = KvReplica;
    type Log = D1Log;
}

/// One issuer's object.
#[durable_object(alarm)]
#[derive(Debug)]
pub struct IssuerObject {
    state: Rc<State>,
    bindings: Bindings,
    custodian: OnceCell<Rc<Custodian<Cloudflare>>>,
}

impl DurableObject for IssuerObject {
    fn new(state: State, env: Env) -> Self {
        Self {
            state: Rc::new(state),
            bindings: Bindings { env },
            custodian: OnceCell::new(),
        }
    }

    async fn fetch(&self, request: Request) -> worker::Result<Response> {
        let call = Call::parse(&request.inner().url()).ok_or("not a call of this object")?;
        let custodian = self.custodian(Some(&call.issuer))?;
        match call.action.as_str() {
            "serve" => {
                let name = call.name.ok_or("which CRL?")?;
                serve(&custodian, name, call.seen).await
            }
            "refresh" => {
                let trigger = call.trigger.ok_or("who asks?")?;
                reply::json(&custodian.refresh(call.name, trigger).await)
            }
            "refresh-due" => {
                custodian.refresh_due(call.name.ok_or("which CRL?")?);
                reply::json(&())
            }
            "overview" => reply::json(&custodian.overview().map_err(failed)?),
            "trust" => reply::json(&custodian.trust().await.map_err(failed)?),
            _ => Err("not a call of this object".into()),
        }
    }

    async fn alarm(&self) -> worker::Result<Response> {
        self.custodian(None)?.alarm().await.map_err(failed)?;
        Response::empty()
    }
}

impl IssuerObject {
    /// The custodian. An alarm does not say whose object it wakes: that was noted with the first call.
    fn custodian(&self, caller: Option<&IssuerId>) -> worker::Result<Rc<Custodian<Cloudflare>>> {
        if let Some(custodian) = self.custodian.get() {
            return Ok(Rc::clone(custodian));
        }
        let settings = self
            .bindings
            .settings()
            .map_err(|error| error.to_string())?;
        let store = Rc::new(SqlStore::open(&self.state).map_err(failed)?);
        let issuer = match (store.issuer_id().map_err(failed)?, caller) {
            (Some(known), _) => known,
            (None, Some(caller)) => {
                store.set_issuer_id(caller).map_err(failed)?;
                caller.clone()
            }
            (None, None) => return Err("an alarm of an object that was never called".into()),
        };
        let custodian = Rc::new(Custodian {
            host: JsHost {
                state: Rc::clone(&self.state),
            },
            origin: FetchOrigin {
                settings: Rc::clone(&settings),
            },
            replica: KvReplica {
                kv: self.bindings.kv()?,
                stored: Stored {
                    store: Rc::clone(&store),
                },
            },
            log: D1Log(self.bindings.d1()?),
            store,
            settings,
            issuer,
            flights: Flights::default(),
            leases: Leases::default(),
            publishing: OneAtATime::default(),
            delivering: OneAtATime::default(),
        });
        custodian.start();
        Ok(Rc::clone(self.custodian.get_or_init(|| custodian)))
    }
}

async fn serve(
    custodian: &Rc<Custodian<Cloudflare>>,
    name: CrlName,
    seen: Option<Sha256>,
) -> worker::Result<Response> {
    let Serving { current, lease } = match custodian.serve(name).await {
        Ok(serving) => serving,
        Err(unserved) => return Ok(reply::json(&unserved)?.with_status(503)),
    };
    if seen != Some(current.head.sha256) {
        custodian.replica_disagrees(name);
    }
    let pieces = Pieces {
        body: current.body,
        first: 0,
        end: current.pieces,
        size: current.head.size,
    };
    let stored = Stored {
        store: Rc::clone(&custodian.store),
    };
    let body = stored
        .stream(pieces, Some(lease))
        .map_err(worker::Error::from)?;
    let head = serde_json::to_string(&current.head)?;
    Ok(ResponseBuilder::new()
        .with_header(HEAD_HEADER, &head)?
        .stream(body))
}

/// A call of the object, as its URL says it: `http://issuer/{id}/{action}?name=&trigger=&seen=`.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) issuer: IssuerId,
    pub(crate) action: String,
    pub(crate) name: Option<CrlName>,
    pub(crate) trigger: Option<Trigger>,
    pub(crate) seen: Option<Sha256>,
}

impl Call {
    /// The URL that says this.
    pub(crate) fn url(&self) -> String {
        let mut url = format!("http://issuer/{}/{}?", self.issuer, self.action);
        let parameters = [
            ("name", self.name.map(|name| name.to_string())),
            ("trigger", self.trigger.map(|trigger| trigger.to_string())),
            ("seen", self.seen.map(|seen| seen.to_string())),
        ];
        for (key, value) in parameters {
            // Every value is of letters, digits and `-`.
            if let Some(value) = value {
                url.extend([key, "=", value.as_str(), "&"]);
            }
        }
        url
    }

    fn parse(url: &str) -> Option<Self> {
        let mut segments = url::path(url).split('/').skip(1);
        let mut call = Self {
            issuer: segments.next()?.parse().ok()?,
            action: segments.next()?.to_owned(),
            name: None,
            trigger: None,
            seen: None,
        };
        for (key, value) in url::query(url) {
            match key.as_str() {
                "name" => call.name = Some(value.parse().ok()?),
                "trigger" => call.trigger = Some(value.parse().ok()?),
                "seen" => call.seen = Some(value.parse().ok()?),
                _ => return None,
            }
        }
        Some(call)
    }
}

fn failed(error: impl std::fmt::Display) -> worker::Error {
    worker::Error::RustError(error.to_string())
}
