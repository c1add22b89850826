//! The calls that an edge makes: which issuers there are, and their CRLs.

use std::convert::Infallible;
use std::str::FromStr;

use axum::body::Body as HttpBody;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use crl::CrlNumber;
use futures_util::stream;
use origin_api::{
    CRL_MEDIA_TYPE, CRL_NUMBER_HEADER, CrlName, Issuer, IssuerId, IssuersPage, PAGE_LIMIT, Problem,
    WATERMARK_HEADER,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::{ApiError, Body, Path, Query};
use super::service::Service;
use crate::bearer_token::TokenHash;
use crate::connector::{Answer, CrlBody};
use crate::hex;
use crate::origin::{Caller, Cause, HeldCrl, OriginError};
use crate::wire::{HexSerial, Time};

/// Which page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// The `next_cursor` of the page before; none for the first page.
    cursor: Option<String>,
    /// How many at most, 1 to 1000.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

impl Page {
    /// The cursor, as what it is made of.
    pub(super) fn cursor<T: FromStr>(&self) -> Result<Option<T>, ApiError> {
        let cursor = self.cursor.as_deref().map(str::parse).transpose();
        cursor.map_err(|_| ApiError::invalid("cursor is the next_cursor of the page before"))
    }

    pub(super) fn limit(&self) -> Result<u32, ApiError> {
        let limit = self.limit.unwrap_or(100);
        if PAGE_LIMIT.contains(&limit) {
            Ok(limit)
        } else {
            Err(ApiError::invalid("limit is from 1 to 1000"))
        }
    }
}

/// The issuers, in the order of their ids.
#[utoipa::path(get, path = "/v1/issuers", params(Page), responses(
    (status = 200, body = IssuersPage),
    (status = 401, body = Problem, content_type = Problem::MEDIA_TYPE),
))]
pub(super) async fn list_issuers(
    State(service): State<Service>,
    Query(page): Query<Page>,
) -> Result<Json<IssuersPage>, ApiError> {
    let (cursor, limit) = (page.cursor::<IssuerId>()?, page.limit()?);
    service
        .call(move |origin, _| origin.issuers(cursor.as_ref(), limit))
        .await
        .map(Json)
}

/// One issuer.
#[utoipa::path(get, path = "/v1/issuers/{id}", params(("id" = IssuerId, Path)), responses(
    (status = 200, body = Issuer),
    (status = 401, body = Problem, content_type = Problem::MEDIA_TYPE),
    (status = 404, body = Problem, content_type = Problem::MEDIA_TYPE),
))]
pub(super) async fn show_issuer(
    State(service): State<Service>,
    Path(id): Path<IssuerId>,
) -> Result<Json<Issuer>, ApiError> {
    service
        .call(move |origin, _| origin.issuer(&id))
        .await
        .map(Json)
}

/// The route of [`current_crl`], as it is in its description.
pub(super) const CRL_ROUTE: &str = "/v1/issuers/{id}/crls/{name}";

/// The current CRL, made anew where it is due. Without `If-None-Match`, it is always made anew.
#[utoipa::path(
    post,
    path = CRL_ROUTE,
    params(
        ("id" = IssuerId, Path),
        ("name" = CrlName, Path),
        ("If-None-Match" = Option<String>, Header, description = "the SHA-256 of the DER held: \"<64 hexadecimal digits>\""),
        ("CRL-Number" = Option<String>, Header, description = "the number of the CRL held, in decimal digits"),
        ("Revocation-Watermark" = Option<u64>, Header, description = "the watermark that came with the CRL held"),
        ("Cache-Control" = Option<String>, Header, description = "no-cache asks for a new CRL whatever is held"),
    ),
    responses(
        (status = 200, description = "the CRL, in DER", body = Vec<u8>, content_type = CRL_MEDIA_TYPE, headers(
            ("ETag" = String, description = "the SHA-256 of the DER, in lower-case hexadecimal"),
            ("Revocation-Watermark" = u64, description = "grows with every change to the revocations"),
        )),
        (status = 204, description = "there is no CRL to publish"),
        (status = 304, description = "the CRL held is current"),
        (status = 401, body = Problem, content_type = Problem::MEDIA_TYPE),
        (status = 404, body = Problem, content_type = Problem::MEDIA_TYPE),
        (status = 502, description = "the CA behind the issuer failed", body = Problem, content_type = Problem::MEDIA_TYPE),
        (status = 503, description = "the CA behind the issuer cannot be reached; or, with code `state_lost`, the origin knows less than the caller holds and must be recovered", body = Problem,
            content_type = Problem::MEDIA_TYPE, headers(("Retry-After" = u32))),
    )
)]
pub(super) async fn current_crl(
    State(service): State<Service>,
    Path((id, name)): Path<(IssuerId, CrlName)>,
    Extension(token): Extension<TokenHash>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let caller = caller(&headers, token)?;
    let answer = service.connectors.crl(id, name, caller).await?;
    Ok(match answer {
        Answer::Crl(body) => crl_response(body),
        Answer::Unchanged => StatusCode::NOT_MODIFIED.into_response(),
        Answer::Nothing => StatusCode::NO_CONTENT.into_response(),
    })
}

/// What the headers say of the caller. A malformed value is refused: ignoring it could hide that
/// the database was restored.
fn caller(headers: &HeaderMap, token: TokenHash) -> Result<Caller, ApiError> {
    let text = |name: &str| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap_or_default().trim())
    };
    let number = text(CRL_NUMBER_HEADER)
        .map(str::parse::<CrlNumber>)
        .transpose()
        .map_err(|error| ApiError::invalid(format!("CRL-Number: {error}")))?;
    let watermark = text(WATERMARK_HEADER)
        .map(str::parse)
        .transpose()
        .map_err(|error| ApiError::invalid(format!("Revocation-Watermark: {error}")))?;
    let held = text(header::IF_NONE_MATCH.as_str()).and_then(entity_tag);
    Ok(Caller {
        token: Some(token),
        held: held.map(|sha256| HeldCrl {
            sha256,
            number,
            watermark,
        }),
        renew: no_cache(headers),
    })
}

/// Whether `Cache-Control` has the directive `no-cache` (RFC 9111, section 5.2.1.4).
fn no_cache(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::CACHE_CONTROL).into_iter();
    let mut directives = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    directives.any(|directive| directive.trim().eq_ignore_ascii_case("no-cache"))
}

/// Sends the parts as they lie in memory.
fn crl_response(crl: CrlBody) -> Response {
    let headers = [
        (header::CONTENT_TYPE, CRL_MEDIA_TYPE.to_owned()),
        (header::CONTENT_LENGTH, crl.size.to_string()),
        (header::ETAG, format!("\"{}\"", hex::encode(&crl.sha256))),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    let watermark = crl.watermark.map(|watermark| {
        [(
            HeaderName::from_static(WATERMARK_HEADER),
            watermark.to_string(),
        )]
    });
    let parts = crl.parts.into_iter().map(Ok::<_, Infallible>);
    let body = HttpBody::from_stream(stream::iter(parts));
    match watermark {
        Some(watermark) => (headers, watermark, body).into_response(),
        None => (headers, body).into_response(),
    }
}

/// The route of [`departed`].
pub(super) const DEPARTED_ROUTE: &str = "/v1/issuers/{id}/crls/{name}/departed";

/// The number of serial numbers that one call may name.
const DEPARTED_LIMIT: std::ops::RangeInclusive<usize> = 1..=10_000;

/// Certificates that an edge misses on the latest CRL.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DepartedBody {
    /// Their serial numbers, 1 to 10,000.
    serials: Vec<HexSerial>,
}

/// Why certificates are no longer on a CRL.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DepartedView {
    /// One for each serial number, in the order of the request.
    departed: Vec<DepartureView>,
}

/// Why a certificate is no longer on a CRL.
#[derive(Debug, Serialize, ToSchema)]
struct DepartureView {
    serial: HexSerial,
    /// `expired`, `released` (from a hold) or `unknown`.
    because: &'static str,
    /// When the certificate expired, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_after: Option<Time>,
}

/// Why certificates that were on the last CRL are not on this one.
#[utoipa::path(post, path = DEPARTED_ROUTE, params(("id" = IssuerId, Path), ("name" = CrlName, Path)),
    request_body = DepartedBody, responses(
    (status = 200, body = DepartedView),
    (status = 400, body = Problem, content_type = Problem::MEDIA_TYPE),
    (status = 404, body = Problem, content_type = Problem::MEDIA_TYPE),
    (status = 501, description = "another CA decides; the origin has no evidence", body = Problem,
        content_type = Problem::MEDIA_TYPE),
    (status = 503, description = "with code `state_lost`: the database was restored, and the CA's index no longer lists one of them; the issuer must be recovered",
        body = Problem, content_type = Problem::MEDIA_TYPE),
))]
pub(super) async fn departed(
    State(service): State<Service>,
    Path((id, name)): Path<(IssuerId, CrlName)>,
    Body(body): Body<DepartedBody>,
) -> Result<Json<DepartedView>, ApiError> {
    if !DEPARTED_LIMIT.contains(&body.serials.len()) {
        return Err(ApiError::invalid("serials has 1 to 10000 elements"));
    }
    let serials = body.serials.into_iter().map(|serial| serial.0).collect();
    let departures = service
        .call(
            move |origin, _| match origin.departures(&id, name, serials) {
                Err(OriginError::ManagedElsewhere(_)) => Ok(None),
                departures => departures.map(Some),
            },
        )
        .await?
        .ok_or_else(ApiError::no_evidence)?;
    let departed = departures.into_iter().map(|departure| {
        let (because, not_after) = match departure.cause {
            Cause::Expired(not_after) => ("expired", Some(Time(not_after))),
            Cause::Released => ("released", None),
            Cause::Unknown => ("unknown", None),
        };
        DepartureView {
            serial: HexSerial(departure.serial),
            because,
            not_after,
        }
    });
    Ok(Json(DepartedView {
        departed: departed.collect(),
    }))
}

/// The SHA-256 in an entity tag; `None` for any other text, which no CRL of ours has as its tag.
fn entity_tag(value: &str) -> Option<[u8; 32]> {
    let value = value.trim();
    let value = value.strip_prefix("W/").unwrap_or(value);
    hex::decode(value.strip_prefix('"')?.strip_suffix('"')?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_tag_is_a_quoted_sha_256() {
        let hex = "0f".repeat(32);
        assert_eq!(entity_tag(&format!("\"{hex}\"")), Some([0x0f; 32]));
        assert_eq!(entity_tag(&format!("W/\"{hex}\"")), Some([0x0f; 32]));
        for other in [&hex[..], "*", "\"0f\"", &format!("\"{}\"", "zz".repeat(32))] {
            assert_eq!(entity_tag(other), None, "{other}");
        }
    }
}
