//! The edge's client of the origin CA API, over the network's twin.

use std::time::Duration;

use bytes::Bytes;
use edge::refresh::{
    Cause, CrlRequest, Departure, Origin, OriginAnswer, OriginBody, OriginCrl, OriginError,
};
use edge::registry::OriginPages;
use http::{Method, Request, StatusCode, header};
use origin_api::{
    CRL_MEDIA_TYPE, CRL_NUMBER_HEADER, CrlName, Issuer, IssuerId, IssuersPage, WATERMARK_HEADER,
};
use serde::Deserialize;

use crate::mutation::Mutation;
use crate::wire::{Broken, Response, Wire};

/// How many issuers a page of the registry has: few, so that there is more than one page.
const PAGE: u32 = 7;

/// The origin, as objects reach it.
#[derive(Clone)]
pub(crate) struct OriginClient {
    pub(super) wire: Wire,
    pub(super) token: String,
    pub(super) mutation: Option<Mutation>,
}

/// The bytes of a response, as they arrive.
pub(crate) struct Arriving {
    bytes: Bytes,
    received: u64,
    is_cut: bool,
}

impl Arriving {
    fn of(response: &Response) -> Self {
        let is_cut = response.cut_at.is_some();
        let length = response.cut_at.unwrap_or(response.body.len());
        Self {
            bytes: response.body.slice(..length),
            received: 0,
            is_cut,
        }
    }

    fn whole(self) -> Result<Bytes, OriginError> {
        if self.is_cut {
            return Err(truncated(self.bytes.len() as u64));
        }
        Ok(self.bytes)
    }
}

fn truncated(received: u64) -> OriginError {
    OriginError::Truncated {
        received,
        cause: "the connection broke".to_owned(),
    }
}

impl OriginBody for Arriving {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, OriginError> {
        let count = buffer.len().min(self.bytes.len());
        if count == 0 && self.is_cut {
            return Err(truncated(self.received));
        }
        let bytes = self.bytes.split_to(count);
        buffer[..count].copy_from_slice(&bytes);
        self.received += count as u64;
        Ok(count)
    }
}

#[derive(Deserialize)]
struct Problem {
    code: String,
}

fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    Some(Duration::from_secs(text.parse().ok()?))
}

fn refused(response: &Response) -> OriginError {
    let retry_after = retry_after(response);
    let problem = serde_json::from_slice::<Problem>(&response.body).ok();
    if response.status == StatusCode::SERVICE_UNAVAILABLE
        && problem.is_some_and(|problem| problem.code == "state_lost")
    {
        return OriginError::StateLost { retry_after };
    }
    OriginError::Status {
        status: response.status.as_u16(),
        retry_after,
    }
}

fn json<T: for<'d> Deserialize<'d>>(response: &Response) -> Result<T, OriginError> {
    let body = Arriving::of(response).whole()?;
    serde_json::from_slice(&body).map_err(|error| OriginError::MalformedRecord(error.to_string()))
}

impl OriginClient {
    async fn send(
        &self,
        method: Method,
        path: &str,
        request: &CrlRequest,
        body: Bytes,
    ) -> Result<Response, OriginError> {
        let held = request.held.as_ref();
        let held = held.filter(|_| self.mutation != Some(Mutation::StateLostHidden));
        let mut builder = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        if let Some(held) = held {
            builder = builder
                .header(header::IF_NONE_MATCH, format!("\"{}\"", held.sha256))
                .header(CRL_NUMBER_HEADER, held.number.to_string());
            if let Some(watermark) = held.watermark {
                builder = builder.header(WATERMARK_HEADER, watermark.to_string());
            }
        }
        if request.new_crl {
            builder = builder.header(header::CACHE_CONTROL, "no-cache");
        }
        if !body.is_empty() {
            builder = builder.header(header::CONTENT_TYPE, "application/json");
        }
        let request = builder.body(body);
        let request = request.map_err(|error| OriginError::Unreachable(error.to_string()))?;
        self.wire.call(request).await.map_err(|broken| {
            OriginError::Unreachable(
                match broken {
                    Broken::Unreachable => "no connection",
                    Broken::Lost => "the connection broke",
                }
                .to_owned(),
            )
        })
    }

    async fn get(&self, path: &str) -> Result<Response, OriginError> {
        self.send(Method::GET, path, &CrlRequest::default(), Bytes::new())
            .await
    }
}

impl Origin for OriginClient {
    type Body = Arriving;

    async fn issuer(&self, id: &IssuerId) -> Result<Option<Issuer>, OriginError> {
        let response = self.get(&format!("/v1/issuers/{id}")).await?;
        match response.status {
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::OK => json(&response).map(Some),
            _ => Err(refused(&response)),
        }
    }

    async fn crl(
        &self,
        id: &IssuerId,
        name: CrlName,
        request: &CrlRequest,
    ) -> Result<OriginAnswer<OriginCrl<Arriving>>, OriginError> {
        let path = format!("/v1/issuers/{id}/crls/{name}");
        let response = self
            .send(Method::POST, &path, request, Bytes::new())
            .await?;
        match response.status {
            StatusCode::NO_CONTENT => return Ok(OriginAnswer::NothingToPublish),
            StatusCode::NOT_MODIFIED => return Ok(OriginAnswer::Unchanged),
            StatusCode::OK => {}
            _ => return Err(refused(&response)),
        }
        let text = |name: &str| {
            let value = response.headers.get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let media_type = text("content-type");
        if media_type.as_deref() != Some(CRL_MEDIA_TYPE) {
            return Err(OriginError::WrongContentType(media_type));
        }
        let watermark = text(WATERMARK_HEADER).and_then(|text| text.parse().ok());
        let body = Arriving::of(&response);
        Ok(OriginAnswer::Crl(OriginCrl { body, watermark }))
    }

    async fn departed(
        &self,
        id: &IssuerId,
        name: CrlName,
        serials: &[&str],
    ) -> Result<Option<Vec<Departure>>, OriginError> {
        #[derive(Deserialize)]
        struct Answered {
            departed: Vec<Departure>,
        }
        if self.mutation == Some(Mutation::GateOpened) {
            let explained = serials.iter().map(|serial| Departure {
                serial: (*serial).to_owned(),
                because: Cause::Expired,
            });
            return Ok(Some(explained.collect()));
        }
        let path = format!("/v1/issuers/{id}/crls/{name}/departed");
        let body = serde_json::json!({ "serials": serials }).to_string();
        let request = CrlRequest::default();
        let response = self
            .send(Method::POST, &path, &request, body.into())
            .await?;
        match response.status.as_u16() {
            404 | 405 | 501 => Ok(None),
            200 => json::<Answered>(&response).map(|answered| Some(answered.departed)),
            _ => Err(refused(&response)),
        }
    }
}

impl OriginPages for OriginClient {
    async fn page(
        &self,
        cursor: Option<&str>,
    ) -> Result<(Vec<Issuer>, Option<String>), OriginError> {
        let mut path = format!("/v1/issuers?limit={PAGE}");
        if let Some(cursor) = cursor {
            path.push_str("&cursor=");
            path.push_str(cursor);
        }
        let response = self.get(&path).await?;
        if response.status != StatusCode::OK {
            return Err(refused(&response));
        }
        let page: IssuersPage = json(&response)?;
        Ok((page.issuers, page.next_cursor))
    }
}
