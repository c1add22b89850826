//! Authorization by bearer tokens (RFC 6750), from the settings and from the database.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use super::registry::{CRL_ROUTE, DEPARTED_ROUTE};
use super::service::Service;
use crate::bearer_token::{TokenHash, TokenScope};

/// Lets a request through if its token has the scope that the call needs. Handlers get the token's
/// hash, which identifies an edge to the origin.
pub(super) async fn require_token(
    State(service): State<Service>,
    mut request: Request,
    next: Next,
) -> Response {
    let needed = needed_scope(&request);
    let Some(token) = token_of(request.headers()) else {
        return ApiError::unauthorized().into_response();
    };
    match scope_of(&service, token).await {
        Ok(Some(scope)) if scope >= needed => {
            request.extensions_mut().insert(token);
            next.run(request).await
        }
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
    let is_edge = route.is_some_and(|route| [CRL_ROUTE, DEPARTED_ROUTE].contains(&route));
    if request.method().is_safe() || is_edge {
        TokenScope::Edge
    } else {
        TokenScope::Admin
    }
}

fn token_of(headers: &HeaderMap) -> Option<TokenHash> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    bearer(value).map(TokenHash::of)
}

async fn scope_of(service: &Service, token: TokenHash) -> Result<Option<TokenScope>, ApiError> {
    if service.tokens.contains(&token) {
        return Ok(Some(TokenScope::Admin));
    }
    service
        .call(move |origin, now| origin.token_scope(token, now))
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
