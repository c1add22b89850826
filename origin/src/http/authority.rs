//! The calls of a CA: issuers, certificates, revocations.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use der::EncodePem;
use der::pem::LineEnding;
use origin_api::{CrlName, Issuer, IssuerId, Problem, WATERMARK_HEADER};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::{ApiError, Body, Path, Query};
use super::registry::Page;
use super::service::Service;
use crate::ca::{self, KeyKind, Request, Serial};
use crate::connector_config::ConnectorConfig;
use crate::list_config::{Lists, NewList};
use crate::origin::{
    Changes, Fault, ListChange, NewCertificate, NewIssuer, NewKey, Origin, OriginError, Revoked,
    SignedBy, Subject,
};
use crate::profile::Profile;
use crate::revocation::{self, NamedList, RevocationRequest};
use crate::store::revocations::Filter;
use crate::wire::{
    HexSerial, IssuedCertificateView, IssuerSetup, KeyName, ProfileName, ReasonName,
    RevocationView, Time,
};

/// An issuer to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct IssuerBody {
    id: IssuerId,
    /// Its distinguished name, as RFC 4514 writes it; `CN=<id>` if absent.
    subject: Option<String>,
    key: KeyName,
    /// How long its certificate is valid; ten years if absent.
    validity_seconds: Option<u64>,
    /// The issuer that signs its certificate; itself if absent.
    signed_by: Option<IssuerId>,
    /// The rules that it is held to; `rfc5280` if absent.
    profile: Option<ProfileName>,
    /// The CRLs that it publishes.
    crls: Vec<CrlBody>,
}

/// A CRL of an issuer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CrlBody {
    name: CrlName,
    /// The http URL at which relying parties find it.
    distribution_point: Option<String>,
    /// From thisUpdate to nextUpdate; seven days if absent, one for a delta.
    validity_seconds: Option<u64>,
    /// How long before nextUpdate the next one is due; half of the validity if absent.
    overlap_seconds: Option<u64>,
}

/// Makes an issuer with a key of its own.
#[utoipa::path(post, path = "/v1/issuers", request_body = IssuerBody, responses(
    (status = 201, body = Issuer),
    (status = 400, body = Problem, content_type = Problem::MEDIA_TYPE),
    (status = 409, body = Problem, content_type = Problem::MEDIA_TYPE),
))]
pub(super) async fn create_issuer(
    State(service): State<Service>,
    Body(body): Body<IssuerBody>,
) -> Result<Response, ApiError> {
    let parent = body.signed_by.clone();
    let create = move |origin: &Origin, now| {
        let lists = body.crls.into_iter().map(NewList::from).collect();
        let new = NewIssuer {
            subject: ca::parse_subject(
                body.subject
                    .as_deref()
                    .unwrap_or(&format!("CN={}", body.id)),
            )?,
            id: body.id,
            key: NewKey::Generate(body.key.0),
            validity: seconds(body.validity_seconds).unwrap_or(crate::defaults::ISSUER_VALIDITY),
            signed_by: body.signed_by.map_or(SignedBy::Itself, SignedBy::Issuer),
            connector: ConnectorConfig::Local,
            profile: body.profile.map_or(Profile::default(), |profile| profile.0),
            lists: Lists::new(lists)?,
        };
        origin.create_issuer(new, now)
    };
    let issuer = match parent {
        Some(parent) => service.call_and_sign(&parent, create).await?,
        None => service.call(create).await?,
    };
    Ok((StatusCode::CREATED, Json(issuer)).into_response())
}

impl From<CrlBody> for NewList {
    fn from(body: CrlBody) -> Self {
        Self {
            name: body.name,
            distribution_point: body.distribution_point,
            validity: seconds(body.validity_seconds)
                .unwrap_or(crate::defaults::crl_validity(body.name)),
            overlap: seconds(body.overlap_seconds),
        }
    }
}

/// Changes to the configuration of an issuer. What is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct IssuerChanges {
    /// The rules that it is held to.
    profile: Option<ProfileName>,
    /// CRLs, by their names: what is absent stays, and one that is not published yet is added.
    #[serde(default)]
    crls: Vec<CrlBody>,
    /// Its delta CRL is no longer published.
    #[serde(default)]
    no_delta: bool,
    /// Keep the entries of certificates that expire from now on (expiredCertsOnCRL), or do not.
    keep_expired: Option<bool>,
}

/// Changes the configuration of an issuer. CRLs made before are no longer current.
#[utoipa::path(patch, path = "/v1/issuers/{id}", params(("id" = IssuerId, Path)), request_body = IssuerChanges, responses(
    (status = 200, body = IssuerSetup),
    (status = 400, body = Problem, content_type = Problem::MEDIA_TYPE),
    (status = 404, body = Problem, content_type = Problem::MEDIA_TYPE),
    (status = 409, description = "its CA elsewhere decides on this", body = Problem, content_type = Problem::MEDIA_TYPE),
))]
pub(super) async fn change_issuer(
    State(service): State<Service>,
    Path(id): Path<IssuerId>,
    Body(body): Body<IssuerChanges>,
) -> Result<Json<IssuerSetup>, ApiError> {
    let changes = Changes {
        connector: None,
        profile: body.profile.map(|profile| profile.0),
        lists: body.crls.into_iter().map(ListChange::from).collect(),
        keep_expired: body.keep_expired,
        no_delta: body.no_delta,
    };
    let setup = service
        .call(move |origin, now| origin.change_issuer(&id, &changes, now))
        .await?;
    Ok(Json(setup.into()))
}

impl From<CrlBody> for ListChange {
    fn from(body: CrlBody) -> Self {
        Self {
            name: body.name,
            distribution_point: body.distribution_point,
            validity: seconds(body.validity_seconds),
            overlap: seconds(body.overlap_seconds),
        }
    }
}

/// How an issuer is set up.
#[utoipa::path(get, path = "/v1/issuers/{id}/setup", params(("id" = IssuerId, Path)), responses(
    (status = 200, body = IssuerSetup),
    (status = 404, body = Problem, content_type = Problem::MEDIA_TYPE),
))]
pub(super) async fn show_setup(
    State(service): State<Service>,
    Path(id): Path<IssuerId>,
) -> Result<Json<IssuerSetup>, ApiError> {
    let setup = service.call(move |origin, _| origin.setup(&id)).await?;
    Ok(Json(setup.into()))
}

/// A certificate to be issued: for a request, or for a key that is made here.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CertificateBody {
    /// A certificate signing request (PKCS#10), in PEM.
    csr: Option<String>,
    /// Without a request: the distinguished name, as RFC 4514 writes it.
    subject: Option<String>,
    /// Without a request: the DNS names.
    #[serde(default)]
    dns_names: Vec<String>,
    /// Without a request: the kind of key to make; `p256` if absent.
    key: Option<KeyName>,
    /// How long it is valid; 90 days if absent.
    validity_seconds: Option<u64>,
    /// The shard that lists it once it is revoked.
    shard: Option<u32>,
}

/// A certificate that was issued.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CertificateView {
    serial: HexSerial,
    /// In PEM.
    certificate: String,
    /// In PEM (PKCS#8), if it was made here: the origin keeps no copy.
    private_key: Option<String>,
}

/// Issues a certificate.
#[utoipa::path(post, path = "/v1/issuers/{id}/certificates", params(("id" = IssuerId, Path)),
    request_body = CertificateBody, responses(
    (status = 201, body = CertificateView),
    (status = 400, body = Problem, content_type = Problem::MEDIA_TYPE),
    (status = 404, body = Problem, content_type = Problem::MEDIA_TYPE),
))]
pub(super) async fn issue_certificate(
    State(service): State<Service>,
    Path(id): Path<IssuerId>,
    Body(body): Body<CertificateBody>,
) -> Result<Response, ApiError> {
    let signer = id.clone();
    let view = service
        .call_and_sign(&signer, move |origin, now| {
            let subject = match (body.csr, body.subject) {
                (Some(csr), _) => Subject::Request(Request::from_pem_or_der(csr.as_bytes())?),
                (None, subject) => Subject::New {
                    name: ca::parse_subject(&subject.unwrap_or_default())?,
                    dns_names: body.dns_names,
                    key: body.key.map_or(KeyKind::P256, |key| key.0),
                },
            };
            let validity =
                seconds(body.validity_seconds).unwrap_or(crate::defaults::CERTIFICATE_VALIDITY);
            let issued = origin.issue_certificate(
                &id,
                NewCertificate {
                    subject,
                    validity,
                    shard: body.shard,
                },
                now,
            )?;
            let certificate = issued
                .certificate
                .to_pem(LineEnding::LF)
                .map_err(ca::CertificateError::from)?;
            let private_key = issued
                .key
                .map(|key| key.to_pem())
                .transpose()?
                .map(|pem| pem.to_string());
            Ok::<_, OriginError>(CertificateView {
                serial: HexSerial(issued.serial),
                certificate,
                private_key,
            })
        })
        .await?;
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

/// A revocation to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RevocationBody {
    /// May be absent if `certificate` is there.
    serial: Option<HexSerial>,
    /// The certificate, in PEM. What it states of its expiry and its CRL outranks what is below.
    certificate: Option<String>,
    /// `unspecified` if absent; `certificateHold` can be released.
    reason: Option<ReasonName>,
    /// Now if absent.
    revoked_at: Option<Time>,
    invalidity_date: Option<Time>,
    /// When the certificate expires; known already if it was issued here.
    not_after: Option<Time>,
    /// The shard that its distribution point names; known already if it was issued here. An issuer
    /// with shards needs this, `no_shard` or `certificate` for every other certificate.
    shard: Option<u32>,
    /// The certificate names the full CRL, although the issuer has shards.
    #[serde(default)]
    no_shard: bool,
}

/// Revokes a certificate, or puts it on hold. Asking again changes nothing.
#[utoipa::path(post, path = "/v1/issuers/{id}/revocations", params(("id" = IssuerId, Path)),
    request_body = RevocationBody, responses(
    (status = 201, description = "it is revoked now", body = RevocationView),
    (status = 200, description = "it was already revoked in this way", body = RevocationView),
    (status = 400, body = Problem, content_type = Problem::MEDIA_TYPE),
    (status = 404, body = Problem, content_type = Problem::MEDIA_TYPE),
    (status = 409, body = Problem, content_type = Problem::MEDIA_TYPE),
))]
pub(super) async fn revoke(
    State(service): State<Service>,
    Path(id): Path<IssuerId>,
    Body(body): Body<RevocationBody>,
) -> Result<Response, ApiError> {
    let body = body.checked().map_err(ApiError::invalid)?;
    let revoked = service
        .call(move |origin, now| origin.revoke(&id, &body.request(origin, &id)?, now))
        .await?;
    let status = if revoked.changed {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, revocation_response(revoked)).into_response())
}

/// A body that names a certificate, and its list in one way at most.
struct CheckedBody {
    certificate: NamedCertificate,
    list: NamedList,
    body: RevocationBody,
}

/// How a body names a certificate.
enum NamedCertificate {
    Serial(Serial),
    Pem { pem: String, serial: Option<Serial> },
}

impl RevocationBody {
    fn checked(mut self) -> Result<CheckedBody, &'static str> {
        let serial = self.serial.take().map(|serial| serial.0);
        let certificate = match (self.certificate.take(), serial) {
            (Some(pem), serial) => NamedCertificate::Pem { pem, serial },
            (None, Some(serial)) => NamedCertificate::Serial(serial),
            (None, None) => return Err("give serial or certificate"),
        };
        let list = match (self.shard, self.no_shard) {
            (Some(_), true) => return Err("give shard or no_shard, not both"),
            (Some(number), false) => NamedList::Shard(number),
            (None, true) => NamedList::Full,
            (None, false) => NamedList::Unknown,
        };
        Ok(CheckedBody {
            certificate,
            list,
            body: self,
        })
    }
}

impl CheckedBody {
    fn request(self, origin: &Origin, issuer: &IssuerId) -> Result<RevocationRequest, OriginError> {
        let (serial, facts) = match self.certificate {
            NamedCertificate::Serial(serial) => (serial, None),
            NamedCertificate::Pem { pem, serial } => {
                let certificate = ca::certificate_from_pem_or_der(pem.as_bytes())?;
                let (stated, facts) = origin.certificate_facts(issuer, &certificate)?;
                if let Some(serial) = serial.filter(|serial| *serial != stated) {
                    return Err(OriginError::OtherSerial(serial, stated));
                }
                (stated, Some(facts))
            }
        };
        let body = self.body;
        Ok(RevocationRequest {
            serial,
            reason: body
                .reason
                .map_or(crl::Reason::Unspecified, |reason| reason.0),
            revoked_at: body.revoked_at.map(|time| time.0),
            invalidity_date: body.invalidity_date.map(|time| time.0),
            not_after: body.not_after.map(|time| time.0),
            list: self.list,
            certificate: facts,
        })
    }
}

/// How many revocations one call may make.
const BATCH_LIMIT: usize = 10_000;

/// Many revocations.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BatchBody {
    /// At most 10,000.
    revocations: Vec<RevocationBody>,
}

/// What came of many revocations.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BatchView {
    /// How many certificates were revoked, or had their revocation changed.
    revoked: u64,
    /// How many were already revoked in this way.
    already_revoked: u64,
    /// The revocations that were refused.
    refused: Vec<RefusedView>,
}

/// A revocation of a batch that was refused.
#[derive(Debug, Serialize, ToSchema)]
struct RefusedView {
    /// Its place in the batch, from 0.
    index: usize,
    /// Why.
    detail: String,
}

/// Revokes many certificates in one transaction: those that can be. Asking again changes nothing.
#[utoipa::path(post, path = "/v1/issuers/{id}/revocations/batch", params(("id" = IssuerId, Path)),
    request_body = BatchBody, responses(
    (status = 200, body = BatchView),
    (status = 400, body = Problem, content_type = Problem::MEDIA_TYPE),
    (status = 404, body = Problem, content_type = Problem::MEDIA_TYPE),
    (status = 409, body = Problem, content_type = Problem::MEDIA_TYPE),
))]
pub(super) async fn revoke_batch(
    State(service): State<Service>,
    Path(id): Path<IssuerId>,
    Body(body): Body<BatchBody>,
) -> Result<Json<BatchView>, ApiError> {
    if body.revocations.len() > BATCH_LIMIT {
        return Err(ApiError::invalid("a batch has at most 10000 revocations"));
    }
    let bodies: Vec<CheckedBody> = body
        .revocations
        .into_iter()
        .map(RevocationBody::checked)
        .collect::<Result<_, _>>()
        .map_err(ApiError::invalid)?;
    let view = service
        .call(move |origin, now| {
            let (mut requests, mut indexes, mut refused) = (Vec::new(), Vec::new(), Vec::new());
            for (index, body) in bodies.into_iter().enumerate() {
                match body.request(origin, &id) {
                    Ok(request) => {
                        requests.push(request);
                        indexes.push(index);
                    }
                    Err(error) if error.fault() == Fault::Request => {
                        refused.push(RefusedView::new(index, &error));
                    }
                    Err(error) => return Err(error),
                }
            }
            let result = origin.revoke_all(&id, &requests, now)?;
            let faults = result.refused.iter();
            refused.extend(faults.filter_map(|(at, fault)| {
                let index = indexes.get(*at)?;
                Some(RefusedView::new(*index, fault))
            }));
            refused.sort_by_key(|refused| refused.index);
            Ok(BatchView {
                revoked: result.changed,
                already_revoked: result.unchanged,
                refused,
            })
        })
        .await?;
    Ok(Json(view))
}

impl RefusedView {
    fn new(index: usize, why: &dyn std::fmt::Display) -> Self {
        Self {
            index,
            detail: why.to_string(),
        }
    }
}

/// Ends a hold. Asking again changes nothing.
#[utoipa::path(post, path = "/v1/issuers/{id}/revocations/{serial}/release",
    params(("id" = IssuerId, Path), ("serial" = HexSerial, Path)), responses(
    (status = 200, body = RevocationView),
    (status = 404, body = Problem, content_type = Problem::MEDIA_TYPE),
    (status = 409, body = Problem, content_type = Problem::MEDIA_TYPE),
))]
pub(super) async fn release(
    State(service): State<Service>,
    Path((id, HexSerial(serial))): Path<(IssuerId, HexSerial)>,
) -> Result<Response, ApiError> {
    let released = service
        .call(move |origin, _| origin.release(&id, &serial))
        .await?;
    Ok(revocation_response(released))
}

/// How one certificate stands.
#[utoipa::path(get, path = "/v1/issuers/{id}/revocations/{serial}",
    params(("id" = IssuerId, Path), ("serial" = HexSerial, Path)), responses(
    (status = 200, body = RevocationView),
    (status = 404, body = Problem, content_type = Problem::MEDIA_TYPE),
))]
pub(super) async fn show_revocation(
    State(service): State<Service>,
    Path((id, HexSerial(serial))): Path<(IssuerId, HexSerial)>,
) -> Result<Json<RevocationView>, ApiError> {
    let certificate = service
        .call(move |origin, _| origin.revocation(&id, &serial))
        .await?;
    Ok(Json(certificate.into()))
}

/// One page of an issuer's revocations.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RevocationsPage {
    /// In the order of the CRL.
    revocations: Vec<RevocationView>,
    /// Asks for the page that follows; absent on the last one.
    next_cursor: Option<String>,
}

/// Which revocations to list; all if absent.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RevocationFilter {
    /// `listed`, `released` or `expired`.
    state: Option<String>,
    /// A reason, by its name in RFC 5280.
    reason: Option<String>,
    /// A shard.
    shard: Option<u32>,
}

impl RevocationFilter {
    fn parse(self) -> Result<Filter, ApiError> {
        let state = self.state.map(|name| {
            revocation::State::from_name(&name)
                .ok_or_else(|| ApiError::invalid("state is listed, released or expired"))
        });
        let reason = self.reason.map(|name| {
            name.parse::<ReasonName>()
                .map(|reason| reason.0)
                .map_err(|error| ApiError::invalid(error.to_string()))
        });
        Ok(Filter {
            state: state.transpose()?,
            reason: reason.transpose()?,
            shard: self.shard,
        })
    }
}

/// One page of the certificates that an issuer issued.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CertificatesPage {
    /// In order of serial number.
    certificates: Vec<IssuedCertificateView>,
    /// Asks for the next page; absent on the last one.
    next_cursor: Option<String>,
}

/// The certificates that an issuer issued here, in order of serial number.
#[utoipa::path(get, path = "/v1/issuers/{id}/certificates", params(("id" = IssuerId, Path), Page), responses(
    (status = 200, body = CertificatesPage),
    (status = 404, body = Problem, content_type = Problem::MEDIA_TYPE),
))]
pub(super) async fn list_certificates(
    State(service): State<Service>,
    Path(id): Path<IssuerId>,
    Query(page): Query<Page>,
) -> Result<Json<CertificatesPage>, ApiError> {
    let (cursor, limit) = (page.cursor::<Serial>()?, page.limit()?);
    let (certificates, next) = service
        .call(move |origin, _| origin.certificates(&id, cursor.as_ref(), limit))
        .await?;
    Ok(Json(CertificatesPage {
        certificates: certificates.into_iter().map(Into::into).collect(),
        next_cursor: next.map(|serial| serial.to_string()),
    }))
}

/// A certificate that an issuer issued here.
#[utoipa::path(get, path = "/v1/issuers/{id}/certificates/{serial}",
    params(("id" = IssuerId, Path), ("serial" = HexSerial, Path)), responses(
    (status = 200, body = IssuedCertificateView),
    (status = 404, body = Problem, content_type = Problem::MEDIA_TYPE),
))]
pub(super) async fn show_certificate(
    State(service): State<Service>,
    Path((id, HexSerial(serial))): Path<(IssuerId, HexSerial)>,
) -> Result<Json<IssuedCertificateView>, ApiError> {
    let certificate = service
        .call(move |origin, _| origin.certificate(&id, &serial))
        .await?;
    Ok(Json(certificate.into()))
}

/// An issuer's revocations, in the order of its CRL.
#[utoipa::path(get, path = "/v1/issuers/{id}/revocations", params(("id" = IssuerId, Path), Page, RevocationFilter), responses(
    (status = 200, body = RevocationsPage),
    (status = 404, body = Problem, content_type = Problem::MEDIA_TYPE),
))]
pub(super) async fn list_revocations(
    State(service): State<Service>,
    Path(id): Path<IssuerId>,
    Query(page): Query<Page>,
    Query(filter): Query<RevocationFilter>,
) -> Result<Json<RevocationsPage>, ApiError> {
    let (cursor, limit) = (page.cursor()?, page.limit()?);
    let filter = filter.parse()?;
    let (revocations, next) = service
        .call(move |origin, _| origin.revocations(&id, filter, cursor, limit))
        .await?;
    Ok(Json(RevocationsPage {
        revocations: revocations.into_iter().map(RevocationView::from).collect(),
        next_cursor: next.map(|position| position.to_string()),
    }))
}

fn revocation_response(revoked: Revoked) -> Response {
    let watermark = [(
        HeaderName::from_static(WATERMARK_HEADER),
        revoked.watermark.to_string(),
    )];
    (watermark, Json(RevocationView::from(revoked.certificate))).into_response()
}

fn seconds(seconds: Option<u64>) -> Option<Duration> {
    seconds.map(Duration::from_secs)
}
