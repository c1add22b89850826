//! The JSON forms of values, in the API and in the command line's `--json`.

use std::time::Duration;

use crl::{Reason, UnixTime};
use origin_api::{CrlName, Der, IssuerId};
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{Object, Type};
use utoipa::openapi::{KnownFormat, RefOr, Schema, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

use crate::ca::{KeyKind, KeyKindError, Serial, SerialError};
use crate::origin::Setup;
use crate::profile::Profile;
use crate::revocation::RevokedCertificate;
use crate::store::certificates::CertificateRow;

/// A certificate that is or was revoked.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Revocation)]
pub struct RevocationView {
    /// The certificate's serial number.
    pub serial: HexSerial,
    /// `listed`, `released` (was on hold, and is valid again) or `expired` (has left the CRL).
    pub state: &'static str,
    /// The reason code, by its name in RFC 5280.
    pub reason: ReasonName,
    /// The revocation date.
    pub revoked_at: Time,
    /// When the certificate became, or may have become, invalid.
    pub invalidity_date: Option<Time>,
    /// When the certificate expires, if known.
    pub not_after: Option<Time>,
    /// The shard on whose CRL it is listed, besides the full one.
    pub shard: Option<u32>,
}

impl From<RevokedCertificate> for RevocationView {
    fn from(certificate: RevokedCertificate) -> Self {
        Self {
            serial: HexSerial(certificate.serial),
            state: certificate.state.as_str(),
            reason: ReasonName(certificate.reason),
            revoked_at: Time(certificate.revoked_at),
            invalidity_date: certificate.invalidity_date.map(Time),
            not_after: certificate.not_after.map(Time),
            shard: certificate.shard,
        }
    }
}

/// A certificate that the origin issued.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = IssuedCertificate)]
pub struct IssuedCertificateView {
    /// Its serial number.
    pub serial: HexSerial,
    /// Its subject, in the form of RFC 4514.
    pub subject: String,
    /// When it expires.
    pub not_after: Time,
    /// The shard that its distribution point names; the full CRL if absent.
    pub shard: Option<u32>,
    /// Its DER.
    pub certificate: Der,
}

impl From<CertificateRow> for IssuedCertificateView {
    fn from(row: CertificateRow) -> Self {
        Self {
            serial: HexSerial(row.serial),
            subject: row.subject,
            not_after: Time(row.not_after),
            shard: row.shard,
            certificate: Der(row.der),
        }
    }
}

/// An issuer and its configuration.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct IssuerSetup {
    /// The stable short name.
    pub id: IssuerId,
    /// The certificate whose key verifies the CRLs.
    pub certificate: Der,
    /// Where its CRLs come from: `local`, `openssl`, `openbao`, `url` or `external`.
    pub connector: &'static str,
    /// The rules that the issuer is held to.
    pub profile: ProfileName,
    /// From when on it keeps the entries of expired certificates on its CRLs; absent if it does
    /// not.
    pub keeps_expired_since: Option<Time>,
    /// The CRLs that it publishes.
    pub crls: Vec<CrlSetup>,
}

/// A CRL and its configuration.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CrlSetup {
    /// Its name.
    pub name: CrlName,
    /// The http URL from which relying parties fetch it.
    pub distribution_point: Option<String>,
    /// From thisUpdate to nextUpdate; absent if another CA decides.
    pub validity_seconds: Option<u64>,
    /// How long before nextUpdate the next one is due; absent if another CA decides.
    pub overlap_seconds: Option<u64>,
}

impl From<Setup> for IssuerSetup {
    fn from(setup: Setup) -> Self {
        let seconds = |time: Duration| setup.signs_here.then_some(time.as_secs());
        let crls = setup.lists.into_iter().map(|list| CrlSetup {
            name: list.name,
            distribution_point: list.distribution_point,
            validity_seconds: seconds(list.validity),
            overlap_seconds: seconds(list.overlap),
        });
        Self {
            keeps_expired_since: setup.keeps_expired_since.map(Time),
            crls: crls.collect(),
            connector: setup.connector.kind(),
            id: setup.id,
            certificate: Der(setup.certificate),
            profile: ProfileName(setup.profile),
        }
    }
}

/// A time, in RFC 3339 and UTC, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Time(pub UnixTime);

impl TryFrom<String> for Time {
    type Error = crl::TimeError;

    fn try_from(text: String) -> Result<Self, crl::TimeError> {
        text.parse().map(Self)
    }
}

impl From<Time> for String {
    fn from(time: Time) -> Self {
        time.0.to_string()
    }
}

/// A serial number, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct HexSerial(pub Serial);

impl TryFrom<String> for HexSerial {
    type Error = SerialError;

    fn try_from(text: String) -> Result<Self, SerialError> {
        text.parse().map(Self)
    }
}

impl From<HexSerial> for String {
    fn from(serial: HexSerial) -> Self {
        serial.0.to_string()
    }
}

/// A revocation reason, by its name in RFC 5280.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReasonName(pub Reason);

/// The text is not the name of a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a reason is one of unspecified, keyCompromise, cACompromise, affiliationChanged, superseded, cessationOfOperation, \
     certificateHold, privilegeWithdrawn, aACompromise"
)]
pub struct ReasonError;

impl std::str::FromStr for ReasonName {
    type Err = ReasonError;

    /// Ignores case.
    fn from_str(text: &str) -> Result<Self, ReasonError> {
        let found = Reason::ALL
            .into_iter()
            .find(|reason| reason.name().eq_ignore_ascii_case(text));
        found.map(Self).ok_or(ReasonError)
    }
}

impl TryFrom<String> for ReasonName {
    type Error = ReasonError;

    fn try_from(text: String) -> Result<Self, ReasonError> {
        text.parse()
    }
}

impl From<ReasonName> for String {
    fn from(reason: ReasonName) -> Self {
        reason.0.name().to_owned()
    }
}

/// A kind of key, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyName(pub KeyKind);

impl TryFrom<String> for KeyName {
    type Error = KeyKindError;

    fn try_from(text: String) -> Result<Self, KeyKindError> {
        text.parse().map(Self)
    }
}

impl From<KeyName> for String {
    fn from(key: KeyName) -> Self {
        key.0.to_string()
    }
}

/// A profile, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProfileName(pub Profile);

/// The text is not the name of a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a profile is rfc5280 or cabf")]
pub struct ProfileNameError;

impl TryFrom<String> for ProfileName {
    type Error = ProfileNameError;

    fn try_from(text: String) -> Result<Self, ProfileNameError> {
        Profile::from_name(&text).map(Self).ok_or(ProfileNameError)
    }
}

impl From<ProfileName> for String {
    fn from(profile: ProfileName) -> Self {
        profile.0.to_string()
    }
}

impl ToSchema for ProfileName {}
impl PartialSchema for ProfileName {
    fn schema() -> RefOr<Schema> {
        let names = Profile::ALL.map(Profile::as_str);
        Object::builder()
            .schema_type(Type::String)
            .enum_values(Some(names))
            .into()
    }
}

impl ToSchema for Time {}
impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
        Object::builder()
            .schema_type(Type::String)
            .format(Some(format))
            .into()
    }
}

impl ToSchema for HexSerial {}
impl PartialSchema for HexSerial {
    fn schema() -> RefOr<Schema> {
        Object::builder()
            .schema_type(Type::String)
            .pattern(Some("^[0-9A-Fa-f:]+$"))
            .into()
    }
}

impl ToSchema for ReasonName {}
impl PartialSchema for ReasonName {
    fn schema() -> RefOr<Schema> {
        Object::builder()
            .schema_type(Type::String)
            .enum_values(Some(Reason::ALL.map(Reason::name)))
            .into()
    }
}

impl ToSchema for KeyName {}
impl PartialSchema for KeyName {
    fn schema() -> RefOr<Schema> {
        Object::builder()
            .schema_type(Type::String)
            .enum_values(Some(KeyKind::ALL.map(KeyKind::as_str)))
            .into()
    }
}
