//! The origin client: the three calls of the origin CA API, by `fetch`.

use std::rc::Rc;
use std::time::Duration;

use futures_util::AsyncReadExt as _;
use origin_api::{CRL_MEDIA_TYPE, CrlName, Issuer, IssuerId, WATERMARK_HEADER};
use wasm_streams::readable::IntoAsyncRead;
use worker::wasm_bindgen::JsCast as _;
use worker::{AbortController, Fetch, Headers, Method, Request, RequestInit, RequestRedirect, Url};

use super::host::log;
use crate::config::Settings;
use crate::refresh::{Answer, Origin, OriginBody, OriginError, Sha256};
use crate::registry::OriginPages;

/// How many issuers a page of the registry has.
const PAGE: u32 = 1000;

/// The origin, reached over HTTP.
#[derive(Clone, Debug)]
pub(super) struct FetchOrigin {
    pub(super) settings: Rc<Settings>,
}

/// A response whose connection ends when this is dropped.
struct Exchange {
    response: worker::Response,
    connection: Connection,
}

struct Connection(Option<AbortController>);

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(controller) = self.0.take() {
            controller.abort();
        }
    }
}

impl FetchOrigin {
    /// The URL of a path below the base, which may have a path of its own.
    fn url(&self, segments: &[&str], query: &[(&str, &str)]) -> Result<Url, OriginError> {
        let mut url = self.settings.origin_url.clone();
        url.path_segments_mut()
            .map_err(|()| OriginError::Unreachable("ORIGIN_URL has no path".to_owned()))?
            .pop_if_empty()
            .extend(segments);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    async fn send(
        &self,
        method: Method,
        url: Url,
        held: Option<Sha256>,
    ) -> Result<Exchange, OriginError> {
        let unreachable = |error: worker::Error| OriginError::Unreachable(error.to_string());
        let headers = Headers::new();
        let token = self.settings.origin_token.reveal();
        headers
            .set("authorization", &format!("Bearer {token}"))
            .map_err(|_| {
                OriginError::Unreachable(
                    "ORIGIN_TOKEN has characters that no header can carry".to_owned(),
                )
            })?;
        if let Some(held) = held {
            headers
                .set("if-none-match", &format!("\"{held}\""))
                .map_err(unreachable)?;
        }
        let mut init = RequestInit::new();
        init.with_method(method)
            .with_headers(headers)
            // A redirect could carry the token to another host.
            .with_redirect(RequestRedirect::Manual);
        let request = Request::new_with_init(url.as_str(), &init).map_err(unreachable)?;
        let controller = AbortController::default();
        let signal = controller.signal();
        let connection = Connection(Some(controller));
        let response = Fetch::Request(request)
            .send_with_signal(&signal)
            .await
            .map_err(unreachable)?;
        Ok(Exchange {
            response,
            connection,
        })
    }
}

impl Exchange {
    /// The answer, if its status is 200, 204 or 304.
    fn accepted(self) -> Result<Self, OriginError> {
        match self.response.status_code() {
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
        let now = u64::try_from(super::host::now().as_millis()).ok()?;
        Some(since_epoch.saturating_sub(Duration::from_millis(now)))
    }

    async fn json<T: serde::de::DeserializeOwned>(mut self) -> Result<T, OriginError> {
        let text = self
            .response
            .text()
            .await
            .map_err(|error| OriginError::Truncated {
                received: 0,
                cause: error.to_string(),
            })?;
        serde_json::from_str(&text).map_err(|error| OriginError::MalformedRecord(error.to_string()))
    }
}

impl Origin for FetchOrigin {
    type Body = FetchBody;

    async fn issuer(&self, id: &IssuerId) -> Result<Option<Issuer>, OriginError> {
        let url = self.url(&["v1", "issuers", id.as_str()], &[])?;
        let exchange = self.send(Method::Get, url, None).await?;
        match exchange.response.status_code() {
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
        let url = self.url(
            &["v1", "issuers", id.as_str(), "crls", &name.to_string()],
            &[],
        )?;
        let exchange = self.send(Method::Post, url, held).await?.accepted()?;
        match exchange.response.status_code() {
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
        let response: web_sys::Response = exchange.response.into();
        let reader = response.body().map(|body| {
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
pub(super) struct FetchBody {
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
        let limit = PAGE.to_string();
        let mut query = vec![("limit", limit.as_str())];
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        let url = self.url(&["v1", "issuers"], &query)?;
        let exchange = self.send(Method::Get, url, None).await?;
        if exchange.response.status_code() != 200 {
            return Err(OriginError::Status {
                status: exchange.response.status_code(),
                retry_after: exchange.retry_after(),
            });
        }
        let page: Page = exchange.json().await?;
        let issuers = page.issuers.into_iter().filter_map(readable).collect();
        Ok((issuers, page.next_cursor))
    }
}

fn readable(record: serde_json::Value) -> Option<Issuer> {
    let id = record.get("id").cloned();
    serde_json::from_value(record)
        .inspect_err(|error| {
            log(&serde_json::json!({
                "level": "error", "what": "the origin lists an issuer whose record is not as the contract has it",
                "id": id, "cause": error.to_string(),
            }));
        })
        .ok()
}
