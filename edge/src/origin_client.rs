//! The client of the origin CA API: what is asked, and what each answer means. Who carries the HTTP
//! messages is an argument.

#![expect(
    async_fn_in_trait,
    reason = "an isolate and a Durable Object have one thread: no future here needs Send"
)]

#[cfg(test)]
mod tests;

use std::rc::Rc;
use std::time::Duration;

use origin_api::{CRL_MEDIA_TYPE, CrlName, Issuer, IssuerId, WATERMARK_HEADER};
use serde::Serialize;

use crate::config::Settings;
use crate::http;
use crate::refresh::{
    CrlRequest, Departure, Origin, OriginAnswer, OriginBody, OriginCrl, OriginError,
};
use crate::registry::OriginPages;
use crate::time::Timestamp;

/// The largest record of an issuer, in bytes: a certificate and thousands of distribution points.
const LARGEST_RECORD: usize = 1024 * 1024;
/// The largest page of the registry, in bytes: 16 KiB for each issuer.
const LARGEST_PAGE: usize = 16 * 1024 * 1024;
/// The largest explanation of 10,000 departed entries, in bytes.
const LARGEST_DEPARTED: usize = 4 * 1024 * 1024;
/// The largest error that is read, in bytes.
const LARGEST_PROBLEM: usize = 64 * 1024;

/// Carries HTTP messages to the origin.
pub trait Transport {
    /// An answer whose head has arrived.
    type Response: Response;
    /// The current time.
    fn now(&self) -> Timestamp;
    /// Sends a request, and waits for the head of the answer. Follows no redirect: it could carry
    /// the token to another host.
    ///
    /// # Errors
    /// There is no answer.
    async fn send(&self, request: Request) -> Result<Self::Response, OriginError>;
    /// Writes one JSON object to the operator's log.
    fn log(&self, line: &serde_json::Value);
}

/// An answer whose head has arrived. Dropping it, or its body, ends the connection.
pub trait Response {
    /// The bytes that follow.
    type Body: OriginBody;
    /// The status.
    fn status(&self) -> u16;
    /// A header, by its name in lower case.
    fn header(&self, name: &str) -> Option<String>;
    /// The body.
    fn into_body(self) -> Self::Body;
}

/// A request of the origin CA API.
#[derive(Debug)]
pub struct Request {
    /// GET or POST.
    pub method: &'static str,
    /// Absolute.
    pub url: String,
    /// The headers.
    pub headers: Headers,
    /// JSON.
    pub body: Option<String>,
}

/// The headers of a request, by their names.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Headers {
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

/// The client.
#[derive(Clone, Debug)]
pub struct OriginClient<T> {
    /// Carries its messages.
    pub transport: T,
    /// Where the origin is, and the token for it.
    pub settings: Rc<Settings>,
    /// How many issuers a page of the registry has.
    pub page_size: u32,
}

impl<T: Transport> OriginClient<T> {
    async fn get(&self, path: &str) -> Result<T::Response, OriginError> {
        self.send("GET", path, &CrlRequest::default(), None).await
    }

    /// Sends a request to a path below the base, which may have a path of its own.
    async fn send(
        &self,
        method: &'static str,
        path: &str,
        request: &CrlRequest,
        body: Option<String>,
    ) -> Result<T::Response, OriginError> {
        let held = request.held.as_ref();
        let origin = self.settings.origin();
        let (base, token) = origin.map_err(|error| OriginError::Unreachable(error.to_string()))?;
        let request = Request {
            method,
            url: format!("{base}{path}"),
            headers: Headers {
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
        };
        self.transport.send(request).await
    }

    /// The answer, if its status is 200, 204 or 304.
    async fn accepted(&self, response: T::Response) -> Result<T::Response, OriginError> {
        let status = response.status();
        if matches!(status, 200 | 204 | 304) {
            return Ok(response);
        }
        let retry_after = self.retry_after(&response);
        if status == 503 && problem_code(response).await.as_deref() == Some("state_lost") {
            return Err(OriginError::StateLost { retry_after });
        }
        Err(OriginError::Status {
            status,
            retry_after,
        })
    }

    fn unexpected(&self, response: &T::Response) -> OriginError {
        OriginError::Status {
            status: response.status(),
            retry_after: self.retry_after(response),
        }
    }

    /// `Retry-After` (RFC 9110, section 10.2.3), in seconds or as a date.
    fn retry_after(&self, response: &T::Response) -> Option<Duration> {
        let text = response.header("retry-after")?;
        if let Ok(seconds) = text.trim().parse() {
            return Some(Duration::from_secs(seconds));
        }
        let at = http::parse_date(text.trim())?;
        Some(Timestamp::from(at).since(self.transport.now()))
    }

    /// The record of an issuer; the log names one that is not as the contract has it.
    fn readable(&self, record: &serde_json::Value) -> Option<Issuer> {
        let id = record.get("id").cloned();
        // By way of its text, which all other records are read from: a tree would need code of its
        // own for each type.
        serde_json::from_str(&record.to_string())
            .inspect_err(|error| {
                self.transport.log(&serde_json::json!({
                    "level": "error", "what": "the origin lists an issuer whose record is not as the contract has it",
                    "id": id, "cause": error.to_string(),
                }));
            })
            .ok()
    }
}

/// The stable code of an error (RFC 9457), if the body has one.
async fn problem_code(response: impl Response) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Problem {
        code: String,
    }
    let text = text(response, LARGEST_PROBLEM).await.ok()?;
    let problem: Problem = serde_json::from_str(&text).ok()?;
    Some(problem.code)
}

/// The body, if it has at most `limit` bytes. Text, not bytes: all else is read from text, and a
/// second way would compile each type twice.
async fn text(response: impl Response, limit: usize) -> Result<String, OriginError> {
    let mut body = response.into_body();
    let mut text = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let read = body.read(&mut chunk).await?;
        let Some(bytes) = chunk.get(..read).filter(|bytes| !bytes.is_empty()) else {
            let text = String::from_utf8(text);
            return text.map_err(|error| OriginError::MalformedRecord(error.to_string()));
        };
        if text.len().saturating_add(read) > limit {
            return Err(OriginError::MalformedRecord(format!(
                "it has more than {limit} bytes"
            )));
        }
        text.extend_from_slice(bytes);
    }
}

async fn json<J: serde::de::DeserializeOwned>(
    response: impl Response,
    limit: usize,
) -> Result<J, OriginError> {
    let text = text(response, limit).await?;
    serde_json::from_str(&text).map_err(|error| OriginError::MalformedRecord(error.to_string()))
}

impl<T: Transport> Origin for OriginClient<T> {
    type Body = <T::Response as Response>::Body;

    async fn issuer(&self, id: &IssuerId) -> Result<Option<Issuer>, OriginError> {
        let path = format!("/v1/issuers/{id}");
        let response = self.get(&path).await?;
        match response.status() {
            404 => Ok(None),
            200 => json(response, LARGEST_RECORD).await.map(Some),
            _ => Err(self.unexpected(&response)),
        }
    }

    async fn crl(
        &self,
        id: &IssuerId,
        name: CrlName,
        request: &CrlRequest,
    ) -> Result<OriginAnswer<OriginCrl<Self::Body>>, OriginError> {
        let path = format!("/v1/issuers/{id}/crls/{name}");
        let response = self.send("POST", &path, request, None).await?;
        let response = self.accepted(response).await?;
        match response.status() {
            204 => return Ok(OriginAnswer::NothingToPublish),
            304 => return Ok(OriginAnswer::Unchanged),
            _ => {}
        }
        let media_type = response.header("content-type");
        let essence = media_type
            .as_deref()
            .and_then(|text| text.split(';').next())
            .map(str::trim);
        if !essence.is_some_and(|essence| essence.eq_ignore_ascii_case(CRL_MEDIA_TYPE)) {
            return Err(OriginError::WrongContentType(media_type));
        }
        let watermark = response
            .header(WATERMARK_HEADER)
            .and_then(|text| text.trim().parse().ok());
        let body = response.into_body();
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
        let response = self.send("POST", &path, &request, Some(body)).await?;
        if matches!(response.status(), 404 | 405 | 501) {
            return Ok(None);
        }
        let response = self.accepted(response).await?;
        let answered: Answered = json(response, LARGEST_DEPARTED).await?;
        Ok(Some(answered.departed))
    }
}

/// One page as it comes: records that cannot be read must not hide the others.
#[derive(serde::Deserialize)]
struct Page {
    issuers: Vec<serde_json::Value>,
    next_cursor: Option<String>,
}

impl<T: Transport> OriginPages for OriginClient<T> {
    async fn page(
        &self,
        cursor: Option<&str>,
    ) -> Result<(Vec<Issuer>, Option<String>), OriginError> {
        let mut path = format!("/v1/issuers?limit={}", self.page_size);
        if let Some(cursor) = cursor {
            path.push_str("&cursor=");
            path.extend(form_urlencoded::byte_serialize(cursor.as_bytes()));
        }
        let response = self.get(&path).await?;
        if response.status() != 200 {
            return Err(self.unexpected(&response));
        }
        let page: Page = json(response, LARGEST_PAGE).await?;
        let readable = |record| self.readable(record);
        let issuers = page.issuers.iter().filter_map(readable).collect();
        Ok((issuers, page.next_cursor))
    }
}
