//! Errors as callers see them: problem details (RFC 9457) with a stable code and no internal text.

use std::any::Any;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use origin_api::Problem;

use crate::connector::ConnectorError;
use crate::origin::{Fault, OriginError};

/// An error answer.
#[derive(Debug)]
pub(crate) struct ApiError {
    problem: Problem,
    challenge: bool,
    retry_after: Option<u32>,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self {
            problem: Problem::new(status.as_u16(), code, title).with_detail(detail),
            challenge: false,
            retry_after: None,
        }
    }

    pub(super) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "The origin failed; its log says why.",
        )
    }

    pub(super) fn unauthorized() -> Self {
        let detail = "This call needs a valid bearer token: Authorization: Bearer …";
        Self {
            challenge: true,
            ..Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
        }
    }

    pub(super) fn forbidden() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "This token is of scope edge; the call needs one of scope admin.",
        )
    }

    /// 503: the same request may succeed after so many seconds.
    fn unavailable(seconds: u32, code: &'static str, detail: &str) -> Self {
        Self {
            retry_after: Some(seconds),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
        }
    }

    pub(super) fn no_evidence() -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            "no_evidence",
            "Another CA decides on this issuer's revocations; the origin cannot explain them.",
        )
    }

    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", detail)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(Problem::MEDIA_TYPE),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<OriginError> for ApiError {
    fn from(error: OriginError) -> Self {
        let status = match error.fault() {
            Fault::NotFound => StatusCode::NOT_FOUND,
            Fault::Conflict => StatusCode::CONFLICT,
            Fault::Request => StatusCode::BAD_REQUEST,
            Fault::Unavailable => {
                tracing::error!(code = error.code(), %error, "an operator must act");
                return Self {
                    retry_after: Some(60),
                    ..Self::new(
                        StatusCode::SERVICE_UNAVAILABLE,
                        error.code(),
                        error.to_string(),
                    )
                };
            }
            Fault::Busy => {
                tracing::warn!(code = error.code(), %error, "the database was busy: the call was answered with 503");
                let detail = "Another writer uses the database; ask again.";
                return Self::unavailable(2, error.code(), detail);
            }
            Fault::Origin => {
                tracing::error!(code = error.code(), error = %error, "a call failed");
                return Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    error.code(),
                    "The origin failed; its log says why.",
                );
            }
        };
        Self::new(status, error.code(), error.to_string())
    }
}

impl From<ConnectorError> for ApiError {
    fn from(error: ConnectorError) -> Self {
        let code = error.code();
        let (issuer, fault) = match error {
            ConnectorError::Origin(error) => return error.into(),
            ConnectorError::Panicked => return Self::internal(),
            ConnectorError::Busy(issuer) => {
                tracing::warn!(%issuer, "earlier calls for the issuer are still running");
                let detail = "Earlier calls for this issuer are still running: its HSM, directory or CA hangs.";
                return Self::unavailable(5, code, detail);
            }
            ConnectorError::Upstream { issuer, fault } => (issuer, fault),
        };
        // The fault's text may contain paths and addresses, which are for the log alone.
        tracing::warn!(code, %issuer, error = %fault, "the CA behind an issuer failed");
        if fault.is_passing() {
            let detail = "The CA behind this issuer cannot be reached now; the log says why.";
            Self::unavailable(30, code, detail)
        } else {
            Self::new(
                StatusCode::BAD_GATEWAY,
                code,
                "The CA behind this issuer failed; the log says why.",
            )
        }
    }
}

/// A JSON body; its faults are answered as problem details.
#[derive(FromRequest)]
#[from_request(via(axum::Json), rejection(ApiError))]
pub(super) struct Body<T>(pub(super) T);

/// A path's parameters; one that cannot be parsed names nothing, which is a 404.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(ApiError))]
pub(super) struct Path<T>(pub(super) T);

/// A query's parameters; their faults are answered as problem details.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(ApiError))]
pub(super) struct Query<T>(pub(super) T);

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), "invalid_body", rejection.body_text())
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", rejection.body_text())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::invalid(rejection.body_text())
    }
}

pub(super) async fn no_such_path() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "not_found",
        "No call has this path; /v1/openapi.json lists them.",
    )
}

pub(super) async fn method_not_allowed() -> ApiError {
    let detail = "This path does not take that method; /v1/openapi.json lists what it takes.";
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

pub(super) fn panicked(_: Box<dyn Any + Send>) -> Response {
    ApiError::internal().into_response()
}
