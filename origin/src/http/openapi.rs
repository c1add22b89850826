//! The parts of the API's description that all calls share; each handler describes its own call.

use axum::http::StatusCode;
use origin_api::Problem;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContactBuilder, Content, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr,
    ResponseBuilder,
};

/// The description, without any call.
pub(super) fn frame() -> OpenApi {
    let contact = ContactBuilder::new()
        .url(Some(env!("CARGO_PKG_REPOSITORY")))
        .build();
    let info = InfoBuilder::new()
        .title("Origin CA API")
        .version("1")
        .description(Some(
            "Makes CRLs, and lists them for edges. Errors are problem details (RFC 9457).",
        ))
        .contact(Some(contact))
        .build();
    let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    let components = ComponentsBuilder::new()
        .security_scheme("token", SecurityScheme::Http(token))
        .build();
    let needs_token = SecurityRequirement::new("token", [] as [&str; 0]);
    OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .security(Some([needs_token]))
        .build()
}

/// Adds the answers that every call may give, and a description to each status without one.
pub(super) fn complete(mut document: OpenApi) -> OpenApi {
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        let answers = &mut operation.responses.responses;
        let of_a_body = ["413", "415", "422"]
            .into_iter()
            .filter(|_| operation.request_body.is_some());
        // 503: another writer uses the database, or the issuer's HSM hangs; with Retry-After.
        for status in ["401", "403", "500", "503"].into_iter().chain(of_a_body) {
            answers.entry(status.to_owned()).or_insert_with(problem);
        }
        for (status, answer) in answers {
            if let RefOr::T(answer) = answer
                && answer.description.is_empty()
            {
                phrase(status).clone_into(&mut answer.description);
            }
        }
    }
    document
}

fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem {
        get, post, patch, ..
    } = path;
    get.iter_mut().chain(post).chain(patch)
}

fn problem() -> RefOr<utoipa::openapi::Response> {
    let content = Content::new(Some(Ref::from_schema_name("Problem")));
    ResponseBuilder::new()
        .content(Problem::MEDIA_TYPE, content)
        .build()
        .into()
}

fn phrase(status: &str) -> &'static str {
    StatusCode::from_bytes(status.as_bytes())
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Answer")
}
