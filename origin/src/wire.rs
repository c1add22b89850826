//! How values are written in JSON, by the API and by the command line's `--json`.

use std::time::Duration;

use crl::{Reason, UnixTime};
use origin_api::{CrlName, Der, IssuerId};
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{Object, Type};
use utoipa::openapi::{KnownFormat, RefOr, Schema, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

use crate::ca::{KeyKind, Serial, SerialError};
use crate::origin::Setup;
use crate::profile::Profile;
use crate::store::revocations::RevocationRow;

/// A revocation.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Revocation {
    /// The certificate's serial number.
    pub serial: HexSerial,
    /// `listed`, `released` (was on hold, and is valid again) or `expired` (taken off the list).
    pub state: &'static str,
    /// Why.
    pub reason: ReasonName,
    /// When.
    pub revoked_at: Time,
    /// Since when the certificate is, or may be, invalid.
    pub invalidity_date: Option<Time>,
    /// When the certificate expires, if that is known.
    pub not_after: Option<Time>,
    /// The shard whose CRL tells of it, beside the full one.
    pub shard: Option<u32>,
}

impl From<RevocationRow> for Revocation {
    fn from(row: RevocationRow) -> Self {
        Self {
            serial: HexSerial(row.serial),
            state: row.state.as_str(),
            reason: ReasonName(row.reason),
            revoked_at: Time(row.revoked_at),
            invalidity_date: row.invalidity_date.map(Time),
            not_after: row.not_after.map(Time),
            shard: row.shard,
        }
    }
}

/// An issuer, and how it is set up.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct IssuerSetup {
    /// The stable short name.
    pub id: IssuerId,
    /// The certificate whose key verifies the CRLs.
    pub certificate: Der,
    /// Where its CRLs come from: `local`, `openssl`, `openbao`, `url` or `external`.
    pub connector: &'static str,
    /// The rules that it is held to.
    pub profile: ProfileName,
    /// The CRLs that it publishes.
    pub crls: Vec<CrlSetup>,
}

/// A CRL, and how it is set up.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CrlSetup {
    /// Which one.
    pub name: CrlName,
    /// The http URL at which relying parties find it.
    pub distribution_point: Option<String>,
    /// From thisUpdate to nextUpdate; absent where its CA elsewhere decides.
    pub validity_seconds: Option<u64>,
    /// How long before nextUpdate the next one is due; absent where its CA elsewhere decides.
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
            crls: crls.collect(),
            connector: setup.connector.kind(),
            id: setup.issuer.id,
            certificate: Der(setup.issuer.certificate),
            profile: ProfileName(setup.issuer.profile),
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

/// A revocation's reason, by its name in RFC 5280.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReasonName(pub Reason);

/// The text names no reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a reason is one of unspecified, keyCompromise, cACompromise, affiliationChanged, superseded, cessationOfOperation, \
     certificateHold, privilegeWithdrawn, aACompromise"
)]
pub struct ReasonError;

impl std::str::FromStr for ReasonName {
    type Err = ReasonError;

    /// Takes a name in any case.
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
    type Error = crate::ca::KeyError;

    fn try_from(text: String) -> Result<Self, crate::ca::KeyError> {
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

/// The text names no profile.
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
        let names = [Profile::Rfc5280, Profile::CabForum].map(Profile::as_str);
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
