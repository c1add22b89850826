//! The network between two programs: HTTP requests that are delayed, lost, cut off or doubled.

use std::time::Duration;

use bytes::Bytes;
use futures_channel::{mpsc, oneshot};
use http::{HeaderMap, Request, StatusCode};

use crate::clock::Timeline;
use crate::faults::{Fault, Faults};
use crate::random::Random;

/// A way for requests. Clones are the same way.
#[derive(Clone)]
pub(crate) struct Wire {
    link: &'static str,
    exchanges: mpsc::UnboundedSender<Exchange>,
    timeline: Timeline,
    random: Random,
    faults: Faults,
}

/// A request that has arrived.
pub(crate) struct Exchange {
    pub(crate) request: Request<Bytes>,
    /// Where the response goes; the caller may have left.
    pub(crate) respond: oneshot::Sender<Response>,
}

/// A response.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The connection breaks after so many bytes of the body.
    pub(crate) cut_at: Option<usize>,
}

/// There is no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// No connection: the request was not received.
    Unreachable,
    /// The connection broke: the request may have been received.
    Lost,
}

impl Response {
    pub(crate) fn of(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: body.into(),
            cut_at: None,
        }
    }
}

impl Wire {
    /// A way, and the end at which requests arrive.
    pub(crate) fn new(
        link: &'static str,
        timeline: &Timeline,
        random: Random,
        faults: &Faults,
    ) -> (Self, mpsc::UnboundedReceiver<Exchange>) {
        let (exchanges, arriving) = mpsc::unbounded();
        let wire = Self {
            link,
            exchanges,
            timeline: timeline.clone(),
            random,
            faults: faults.clone(),
        };
        (wire, arriving)
    }

    /// Sends a request and waits for its response, for ever if it must.
    pub(crate) async fn call(&self, request: Request<Bytes>) -> Result<Response, Broken> {
        let strikes = |fault| self.faults.strikes(fault, self.link);
        if strikes(Fault::NetworkDown) {
            self.pass(1..3_000).await;
            return Err(Broken::Unreachable);
        }
        self.pass(1..40).await;
        if strikes(Fault::NetworkDelay) {
            self.pass(1_000..50_000).await;
        }
        if strikes(Fault::RequestLost) {
            self.pass(10_000..100_000).await;
            return Err(Broken::Lost);
        }
        if strikes(Fault::RequestTwice) {
            let (respond, _) = oneshot::channel();
            let again = Exchange {
                request: request.clone(),
                respond,
            };
            let _ = self.exchanges.unbounded_send(again);
        }
        let (respond, response) = oneshot::channel();
        let sent = self.exchanges.unbounded_send(Exchange { request, respond });
        if sent.is_err() {
            return Err(Broken::Unreachable);
        }
        let mut response = response.await.map_err(|_| Broken::Lost)?;
        self.pass(1..40).await;
        if strikes(Fault::ResponseLost) {
            self.pass(1_000..60_000).await;
            return Err(Broken::Lost);
        }
        if response.body.len() > 1 && strikes(Fault::ResponseCut) {
            response.cut_at = Some(self.random.index(response.body.len()));
        }
        Ok(response)
    }

    async fn pass(&self, millis: std::ops::Range<u64>) {
        let span: Duration = self.random.millis(millis);
        self.timeline.sleep(span).await;
    }
}
