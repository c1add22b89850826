//! The origin client: the three calls of the origin CA API, by `fetch`.

use std::rc::Rc;
use std::time::Duration;

use edge::config::Settings;
use edge::refresh::{
    CrlRequest, Departure, Origin, OriginAnswer, OriginBody, OriginCrl, OriginError,
};
use edge::registry::OriginPages;
use futures_util::AsyncReadExt as _;
use origin_api::{CRL_MEDIA_TYPE, CrlName, Issuer, IssuerId, WATERMARK_HEADER};
use wasm_streams::readable::IntoAsyncRead;
use web_sys::{AbortController, RequestInit};
use worker::js_sys::Promise;
use worker::wasm_bindgen::JsCast as _;
use worker::wasm_bindgen::prelude::*;
use worker::wasm_bindgen_futures::JsFuture;

use crate::js::to_js;
use crate::log::log;

/// How many issuers a page of the registry has.
const PAGE: u32 = 1000;

/// The largest record of an issuer, in bytes: a certificate and thousands of distribution points.
const LARGEST_RECORD: usize = 1024 * 1024;
/// The largest page of the registry, in bytes: 16 KiB for each issuer.
const LARGEST_PAGE: usize = 16 * 1024 * 1024;
/// The largest explanation of 10,000 departed entries, in bytes.
const LARGEST_DEPARTED: usize = 4 * 1024 * 1024;
/// The largest error that is read, in bytes.
const LARGEST_PROBLEM: usize = 64 * 1024;

/// The origin, reached over HTTP.
#[derive(Clone, Debug)]
pub(crate) struct FetchOrigin {
    pub(crate) settings: Rc<Settings>,
}

#[wasm_bindgen]
extern "C" {
    /// The platform's `fetch`.
    fn fetch(url: &str, init: &RequestInit) -> Promise;
}

/// The second argument of [`fetch`], less the signal.
#[derive(serde::Serialize)]
struct Init {
    method: &'static str,
    /// A redirect could carry the token to another host: none is followed.
    redirect: &'static str,
    headers: InitHeaders,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "kebab-case")]
struct InitHeaders {
    authorization: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    if_none_match: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crl_number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revocation_watermark: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'static str>,
}

/// A response whose connection ends when this is dropped.
struct Exchange {
    response: web_sys::Response,
    connection: Connection,
}

struct Connection(AbortController);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl FetchOrigin {
    async fn get(&self, path: &str) -> Result<Exchange, OriginError> {
        self.send("GET", path, &CrlRequest::default(), None).await
    }

    /// Sends a request to a path below the base, which may have a path of its own.
    async fn send(
        &self,
        method: &'static str,
        path: &str,
        request: &CrlRequest,
        body: Option<String>,
    ) -> Result<Exchange, OriginError> {
        let held = request.held.as_ref();
        let unreachable = |error: worker::Error| OriginError::Unreachable(error.to_string());
        let controller = AbortController::new().map_err(|error| unreachable(error.into()))?;
        let origin = self.settings.origin();
        let (base, token) = origin.map_err(|error| OriginError::Unreachable(error.to_string()))?;
        let init = to_js(&Init {
            method,
            redirect: "manual",
            headers: InitHeaders {
                authorization: format!("Bearer {}", token.reveal()),
                if_none_match: held.map(|held| format!("\"{}\"", held.sha256)),
                crl_number: held.map(|held| held.number.to_string()),
                revocation_watermark: held
                    .and_then(|held| held.watermark)
                    .map(|watermark| watermark.to_string()),
                cache_control: request.new_crl.then_some("no-cache"),
                content_type: body.is_some().then_some("application/json"),
            },
            body,
        })
        .map_err(unreachable)?;
        let init: RequestInit = init.unchecked_into();
        init.set_signal(Some(&controller.signal()));
        let connection = Connection(controller);
        let url = format!("{base}{path}");
        let response = JsFuture::from(fetch(&url, &init))
            .await
            .map_err(|error| unreachable(error.into()))?;
        Ok(Exchange {
            response: response.unchecked_into(),
            connection,
        })
    }
}

impl Exchange {
    /// The answer, if its status is 200, 204 or 304.
    async fn accepted(self) -> Result<Self, OriginError> {
        let status = self.response.status();
        if matches!(status, 200 | 204 | 304) {
            return Ok(self);
        }
        let retry_after = self.retry_after();
        if status == 503 && self.problem_code().await.as_deref() == Some("state_lost") {
            return Err(OriginError::StateLost { retry_after });
        }
        Err(OriginError::Status {
            status,
            retry_after,
        })
    }

    /// The stable code of an error (RFC 9457), if the body has one.
    async fn problem_code(self) -> Option<String> {
        #[derive(serde::Deserialize)]
        struct Problem {
            code: String,
        }
        let text = self.text(LARGEST_PROBLEM).await.ok()?;
        let problem: Problem = serde_json::from_slice(&text).ok()?;
        Some(problem.code)
    }

    fn header(&self, name: &str) -> Option<String> {
        self.response.headers().get(name).ok().flatten()
    }

    /// `Retry-After` (RFC 9110, section 10.2.3), in seconds or as a date.
    fn retry_after(&self) -> Option<Duration> {
        let text = self.header("retry-after")?;
        if let Ok(seconds) = text.trim().parse() {
            return Some(Duration::from_secs(seconds));
        }
        let at = httpdate::parse_http_date(text.trim()).ok()?;
        let since_epoch = at.duration_since(std::time::UNIX_EPOCH).ok()?;
        let now = u64::try_from(crate::clock::now().as_millis()).ok()?;
        Some(since_epoch.saturating_sub(Duration::from_millis(now)))
    }

    /// The body, if it has at most `limit` bytes.
    async fn text(self, limit: usize) -> Result<Vec<u8>, OriginError> {
        let mut body = self.body();
        let mut text = Vec::new();
        let mut chunk = vec![0; 64 * 1024];
        loop {
            let read = body.read(&mut chunk).await?;
            let Some(bytes) = chunk.get(..read).filter(|bytes| !bytes.is_empty()) else {
                return Ok(text);
            };
            if text.len().saturating_add(read) > limit {
                return Err(OriginError::MalformedRecord(format!(
                    "it has more than {limit} bytes"
                )));
            }
            text.extend_from_slice(bytes);
        }
    }

    async fn json<T: serde::de::DeserializeOwned>(self, limit: usize) -> Result<T, OriginError> {
        let text = self.text(limit).await?;
        serde_json::from_slice(&text)
            .map_err(|error| OriginError::MalformedRecord(error.to_string()))
    }

    fn body(self) -> FetchBody {
        let reader = self.response.body().map(|body| {
            wasm_streams::ReadableStream::from_raw(body.unchecked_into()).into_async_read()
        });
        FetchBody {
            reader,
            received: 0,
            _connection: self.connection,
        }
    }
}

impl Origin for FetchOrigin {
    type Body = FetchBody;

    async fn issuer(&self, id: &IssuerId) -> Result<Option<Issuer>, OriginError> {
        let path = format!("/v1/issuers/{id}");
        let exchange = self.get(&path).await?;
        match exchange.response.status() {
            404 => Ok(None),
            200 => exchange.json(LARGEST_RECORD).await.map(Some),
            status => Err(OriginError::Status {
                status,
                retry_after: exchange.retry_after(),
            }),
        }
    }

    async fn crl(
        &self,
        id: &IssuerId,
        name: CrlName,
        request: &CrlRequest,
    ) -> Result<OriginAnswer<OriginCrl<FetchBody>>, OriginError> {
        let path = format!("/v1/issuers/{id}/crls/{name}");
        let exchange = self.send("POST", &path, request, None).await?;
        let exchange = exchange.accepted().await?;
        match exchange.response.status() {
            204 => return Ok(OriginAnswer::NothingToPublish),
            304 => return Ok(OriginAnswer::Unchanged),
            _ => {}
        }
        let media_type = exchange.header("content-type");
        let essence = media_type
            .as_deref()
            .and_then(|text| text.split(';').next())
            .map(str::trim);
        if !essence.is_some_and(|essence| essence.eq_ignore_ascii_case(CRL_MEDIA_TYPE)) {
            return Err(OriginError::WrongContentType(media_type));
        }
        let watermark = exchange
            .header(WATERMARK_HEADER)
            .and_then(|text| text.trim().parse().ok());
        let body = exchange.body();
        Ok(OriginAnswer::Crl(OriginCrl { body, watermark }))
    }

    async fn departed(
        &self,
        id: &IssuerId,
        name: CrlName,
        serials: &[&str],
    ) -> Result<Option<Vec<Departure>>, OriginError> {
        #[derive(serde::Serialize)]
        struct Asked<'a> {
            serials: &'a [&'a str],
        }
        #[derive(serde::Deserialize)]
        struct Answered {
            departed: Vec<Departure>,
        }
        let path = format!("/v1/issuers/{id}/crls/{name}/departed");
        // Text and arrays of text: this cannot fail.
        let body = serde_json::to_string(&Asked { serials }).unwrap_or_default();
        let request = CrlRequest::default();
        let exchange = self.send("POST", &path, &request, Some(body)).await?;
        if matches!(exchange.response.status(), 404 | 405 | 501) {
            return Ok(None);
        }
        let exchange = exchange.accepted().await?;
        let answered: Answered = exchange.json(LARGEST_DEPARTED).await?;
        Ok(Some(answered.departed))
    }
}

/// A body as it arrives.
pub(crate) struct FetchBody {
    /// None where the response has no body at all.
    reader: Option<IntoAsyncRead<'static>>,
    received: u64,
    _connection: Connection,
}

impl OriginBody for FetchBody {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, OriginError> {
        let Some(reader) = &mut self.reader else {
            return Ok(0);
        };
        let read = reader
            .read(buffer)
            .await
            .map_err(|error| OriginError::Truncated {
                received: self.received,
                cause: error.to_string(),
            })?;
        self.received = self.received.saturating_add(read as u64);
        Ok(read)
    }
}

/// One page as it comes: records that cannot be read must not hide the others.
#[derive(serde::Deserialize)]
struct Page {
    issuers: Vec<serde_json::Value>,
    next_cursor: Option<String>,
}

impl OriginPages for FetchOrigin {
    async fn page(
        &self,
        cursor: Option<&str>,
    ) -> Result<(Vec<Issuer>, Option<String>), OriginError> {
        let mut path = format!("/v1/issuers?limit={PAGE}");
        if let Some(cursor) = cursor {
            path.push_str("&cursor=");
            path.extend(form_urlencoded::byte_serialize(cursor.as_bytes()));
        }
        let exchange = self.get(&path).await?;
        if exchange.response.status() != 200 {
            return Err(OriginError::Status {
                status: exchange.response.status(),
                retry_after: exchange.retry_after(),
            });
        }
        let page: Page = exchange.json(LARGEST_PAGE).await?;
        let issuers = page.issuers.iter().filter_map(readable).collect();
        Ok((issuers, page.next_cursor))
    }
}

fn readable(record: &serde_json::Value) -> Option<Issuer> {
    let id = record.get("id").cloned();
    // By way of its text, which all other records are read from: a tree would need code of its own
    // for each type.
    serde_json::from_str(&record.to_string())
        .inspect_err(|error| {
            log(&serde_json::json!({
                "level": "error", "what": "the origin lists an issuer whose record is not as the contract has it",
                "id": id, "cause": error.to_string(),
            }));
        })
        .ok()
}
