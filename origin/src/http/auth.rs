//! Authorization by bearer tokens (RFC 6750), from the settings and from the database.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::registry::CRL_ROUTE;
use super::{ApiError, Service};
use crate::bearer_token::{TokenHash, TokenScope};

/// A token from the settings, of scope admin. Only its hash is kept, and only hashes are compared,
/// so that the time of the comparison says nothing about the token.
#[derive(Clone, Copy)]
pub(crate) struct StaticToken(TokenHash);

impl StaticToken {
    pub(crate) fn new(token: &str) -> Self {
        Self(TokenHash::of(token))
    }
}

/// Lets a request through if its token has the scope that the call needs.
pub(super) async fn require_token(
    State(service): State<Service>,
    request: Request,
    next: Next,
) -> Response {
    let needed = needed_scope(&request);
    match scope_of(&service, request.headers()).await {
        Ok(Some(scope)) if scope >= needed => next.run(request).await,
        Ok(Some(_)) => ApiError::forbidden().into_response(),
        Ok(None) => ApiError::unauthorized().into_response(),
        Err(error) => error.into_response(),
    }
}

/// Scope edge suffices to read and to have CRLs made. Decided by the route: two paths may name the
/// same call.
fn needed_scope(request: &Request) -> TokenScope {
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map(MatchedPath::as_str);
    if request.method().is_safe() || route == Some(CRL_ROUTE) {
        TokenScope::Edge
    } else {
        TokenScope::Admin
    }
}

async fn scope_of(service: &Service, headers: &HeaderMap) -> Result<Option<TokenScope>, ApiError> {
    let Some(token) = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| bearer(value.to_str().ok()?))
    else {
        return Ok(None);
    };
    let hash = TokenHash::of(token);
    if service.tokens.iter().any(|known| known.0 == hash) {
        return Ok(Some(TokenScope::Admin));
    }
    service
        .call(move |origin, now| origin.token_scope(hash, now))
        .await
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim_start_matches(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_is_bearer_in_any_case() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc"), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("Bearer"), None);
    }
}
