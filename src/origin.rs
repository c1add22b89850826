//! The origin client: the three calls of the origin CA API, by `fetch`.

use std::rc::Rc;
use std::time::Duration;

use futures_util::AsyncReadExt as _;
use origin_api::{CRL_MEDIA_TYPE, CrlName, Issuer, IssuerId, WATERMARK_HEADER};
use wasm_streams::readable::IntoAsyncRead;
use web_sys::{AbortController, RequestInit};
use worker::js_sys::Promise;
use worker::wasm_bindgen::JsCast as _;
use worker::wasm_bindgen::prelude::*;
use worker::wasm_bindgen_futures::JsFuture;

use crate::host::log;
use crate::js::to_js;
use edge::config::Settings;
use edge::refresh::{Answer, Origin, OriginBody, OriginError, Sha256};
use edge::registry::OriginPages;

/// How many issuers a page of the registry has.
const PAGE: u32 = 1000;

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
}

#[derive(serde::Serialize)]
#[serde(rename_all = "kebab-case")]
struct InitHeaders {
    authorization: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    if_none_match: Option<String>,
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
    /// Sends a request to a path below the base, which may have a path of its own.
    async fn send(
        &self,
        method: &'static str,
        path: &str,
        held: Option<Sha256>,
    ) -> Result<Exchange, OriginError> {
        let unreachable = |error: worker::Error| OriginError::Unreachable(error.to_string());
        let controller = AbortController::new().map_err(|error| unreachable(error.into()))?;
        let origin = self.settings.origin();
        let (base, token) = origin.map_err(|error| OriginError::Unreachable(error.to_string()))?;
        let init = to_js(&Init {
            method,
            redirect: "manual",
            headers: InitHeaders {
                authorization: format!("Bearer {}", token.reveal()),
                if_none_match: held.map(|held| format!("\"{held}\"")),
            },
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
    fn accepted(self) -> Result<Self, OriginError> {
        match self.response.status() {
            200 | 204 | 304 => Ok(self),
            status => Err(OriginError::Status {
                status,
                retry_after: self.retry_after(),
            }),
        }
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
        let now = u64::try_from(crate::host::now().as_millis()).ok()?;
        Some(since_epoch.saturating_sub(Duration::from_millis(now)))
    }

    async fn text(&self) -> worker::Result<String> {
        let text = JsFuture::from(self.response.text()?).await?;
        Ok(text.as_string().unwrap_or_default())
    }

    async fn json<T: serde::de::DeserializeOwned>(self) -> Result<T, OriginError> {
        let text = self.text().await.map_err(|error| OriginError::Truncated {
            received: 0,
            cause: error.to_string(),
        })?;
        serde_json::from_str(&text).map_err(|error| OriginError::MalformedRecord(error.to_string()))
    }
}

impl Origin for FetchOrigin {
    type Body = FetchBody;

    async fn issuer(&self, id: &IssuerId) -> Result<Option<Issuer>, OriginError> {
        let path = format!("/v1/issuers/{id}");
        let exchange = self.send("GET", &path, None).await?;
        match exchange.response.status() {
            404 => Ok(None),
            200 => exchange.json().await.map(Some),
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
        held: Option<Sha256>,
    ) -> Result<Answer<FetchBody>, OriginError> {
        let path = format!("/v1/issuers/{id}/crls/{name}");
        let exchange = self.send("POST", &path, held).await?.accepted()?;
        match exchange.response.status() {
            204 => return Ok(Answer::Nothing),
            304 => return Ok(Answer::Current),
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
        let reader = exchange.response.body().map(|body| {
            wasm_streams::ReadableStream::from_raw(body.unchecked_into()).into_async_read()
        });
        Ok(Answer::Crl {
            body: FetchBody {
                reader,
                received: 0,
                _connection: exchange.connection,
            },
            watermark,
        })
    }
}

/// A CRL on its way.
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
        let exchange = self.send("GET", &path, None).await?;
        if exchange.response.status() != 200 {
            return Err(OriginError::Status {
                status: exchange.response.status(),
                retry_after: exchange.retry_after(),
            });
        }
        let page: Page = exchange.json().await?;
        let issuers = page.issuers.iter().filter_map(readable).collect();
        Ok((issuers, page.next_cursor))
    }
}

fn readable(record: &serde_json::Value) -> Option<Issuer> {
    let id = record.get("id").cloned();
    // By way of its text, which all other records are read from: a tree would need code of its own for each type.
    serde_json::from_str(&record.to_string())
        .inspect_err(|error| {
            log(&serde_json::json!({
                "level": "error", "what": "the origin lists an issuer whose record is not as the contract has it",
                "id": id, "cause": error.to_string(),
            }));
        })
        .ok()
}
