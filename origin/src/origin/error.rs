//! Why the origin refused or failed a request, with a stable code for each kind.

use crl::{CrlNumber, WriteError};
use origin_api::{CrlName, IssuerId};

use super::token_error::TokenError;
use crate::ca::{CertificateError, KeyError, Serial};
use crate::delta_entries::DeltaError;
use crate::hex;
use crate::list_config::ListConfigError;
use crate::profile::ProfileError;
use crate::revocation::RevocationError;
use crate::store::StoreError;
use crate::store::records::UnknownCrl;
use crate::vault::VaultError;

/// Why the origin refused or failed a request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OriginError {
    /// No issuer of that id.
    #[error("no issuer is named {0}")]
    IssuerNotFound(IssuerId),
    /// The id is taken.
    #[error("issuer {0} already exists")]
    IssuerExists(IssuerId),
    /// The issuer publishes no CRL of that name.
    #[error("issuer {0} has no CRL named {1}")]
    CrlNotFound(IssuerId, CrlName),
    /// The certificate was never revoked.
    #[error("no certificate {1} of issuer {0} was revoked")]
    RevocationNotFound(IssuerId, Serial),
    /// Another CA decides this: the origin has no key for the issuer, or only follows the CA.
    #[error("another CA manages the revocations and CRLs of issuer {0}: do this there")]
    ManagedElsewhere(IssuerId),
    /// The certificate and the private key do not match.
    #[error("the certificate's public key does not match the private key")]
    KeyDoesNotFit,
    /// The certificate's shard does not exist.
    #[error("issuer {0} has no shard {1}")]
    ShardNotFound(IssuerId, u32),
    /// The database knows less than what an edge holds: it was restored from a backup, or the
    /// issuer was moved here. Until a recovery, a CRL would drop revocations.
    #[error(
        "issuer {0}: an edge holds CRL {2} of list {1}, which this database does not know, so it was restored from a \
         backup or moved here; `crl-origin recover {0} URL…` takes over what the edge serves"
    )]
    StateLost(IssuerId, CrlName, CrlNumber),
    /// The same of an issuer that follows an index, which does not list the certificate either.
    #[error(
        "issuer {0}: an edge misses certificate {2} on list {1}, so this database and the CA's index were restored from \
         backups; `crl-origin recover {0} URL…` takes over what the edge serves"
    )]
    EntryLost(IssuerId, CrlName, Serial),
    /// The CRL to dismiss is not one that keeps the issuer in `state_lost`.
    #[error("issuer {0}: no edge holds an unknown CRL of that SHA-256{known}", known = UnknownCrls(.1))]
    CrlNotUnknown(IssuerId, Vec<UnknownCrl>),
    /// Entries to recover may belong to any of the issuer's shards.
    #[error(
        "issuer {issuer}: the CRLs do not show which shard {}: give the certificates by --certificate, revoke them \
         with --shard first, or, if they name the full CRL, say so by --no-shard",
        CertificatesName(.serials)
    )]
    ShardUnknown {
        /// The issuer.
        issuer: IssuerId,
        /// The certificates, at least one.
        serials: Vec<Serial>,
    },
    /// The issuer has shards, and nothing says which list the certificate names.
    #[error(
        "issuer {0} has shards, and which list certificate {1} names is unknown: give the certificate or its shard, or \
         state that it names the full CRL (--certificate, --shard, --no-shard; over HTTP certificate, shard, no_shard)"
    )]
    ListUnknown(IssuerId, Serial),
    /// The revocation would be on no CRL.
    #[error(
        "issuer {0}: the certificate would be on none of the issuer's CRLs; name its shard, or publish a full CRL"
    )]
    NoList(IssuerId),
    /// The certificate was not issued by this issuer.
    #[error("the certificate was not issued by issuer {0}")]
    NotIssuedBy(IssuerId),
    /// The request names one certificate by its serial number and gives another one.
    #[error("the certificate given has serial number {1}, not {0}")]
    OtherSerial(Serial, Serial),
    /// No certificate with that serial number was issued here.
    #[error("issuer {0} has issued no certificate {1} here")]
    CertificateNotFound(IssuerId, Serial),
    /// Its certificate is signed by another CA.
    #[error(
        "the certificate of issuer {0} is signed by another CA: have it signed there, and give it by --certificate"
    )]
    NotSelfSigned(IssuerId),
    /// No such import.
    #[error("issuer {0} has no import {1}")]
    ImportNotFound(IssuerId, i64),
    /// The CRL numbers of 20 octets are used up (RFC 5280, section 5.2.3).
    #[error("issuer {0} has used up its CRL numbers")]
    NumbersUsedUp(IssuerId),
    /// A configuration that cannot work.
    #[error(transparent)]
    ListConfig(#[from] ListConfigError),
    /// The issuer's profile forbids it.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The certificate cannot be revoked or released in this way.
    #[error(transparent)]
    Revocation(#[from] RevocationError),
    /// A certificate cannot be read or made.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A key cannot be read, generated or used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A key cannot be stored or opened.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A token cannot be created or changed.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The CRL cannot be encoded.
    #[error("cannot write the CRL: {0}")]
    Write(#[from] WriteError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<DeltaError> for OriginError {
    fn from(error: DeltaError) -> Self {
        match error {
            DeltaError::Store(error) => error.into(),
            DeltaError::Write(error) => error.into(),
        }
    }
}

/// Whose fault an error is; it selects the HTTP status and the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request names something that does not exist.
    NotFound,
    /// The request conflicts with what exists.
    Conflict,
    /// The request itself is wrong.
    Request,
    /// The request must wait until an operator has acted.
    Unavailable,
    /// The same request may succeed in a moment.
    Busy,
    /// The origin failed.
    Origin,
}

impl OriginError {
    /// The stable code of the error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::IssuerNotFound(_) => "issuer_not_found",
            Self::IssuerExists(_) => "issuer_exists",
            Self::CrlNotFound(..) => "crl_not_found",
            Self::RevocationNotFound(..) => "revocation_not_found",
            Self::ManagedElsewhere(_) => "no_key",
            Self::KeyDoesNotFit => "key_does_not_fit",
            Self::ShardNotFound(..) => "shard_not_found",
            Self::StateLost(..) | Self::EntryLost(..) => "state_lost",
            Self::ShardUnknown { .. } | Self::ListUnknown(..) => "shard_unknown",
            Self::CrlNotUnknown(..) => "crl_not_unknown",
            Self::NoList(_) => "no_list",
            Self::NotIssuedBy(_) => "wrong_issuer",
            Self::OtherSerial(..) => "other_serial",
            Self::CertificateNotFound(..) => "certificate_not_found",
            Self::NotSelfSigned(_) => "not_self_signed",
            Self::ImportNotFound(..) => "import_not_found",
            Self::NumbersUsedUp(_) => "numbers_used_up",
            Self::ListConfig(_) => "invalid_settings",
            Self::Profile(_) => "not_in_profile",
            Self::Revocation(error) => match error {
                RevocationError::NotAReason => "not_a_reason",
                RevocationError::InFuture(_) => "date_in_future",
                RevocationError::AlreadyRevoked(_) => "already_revoked",
                RevocationError::NotOnHold(_) => "not_on_hold",
                RevocationError::Expired => "certificate_expired",
                RevocationError::OtherShard { .. } => "other_shard",
            },
            Self::Certificate(_) => "invalid_certificate",
            Self::Key(_) => "invalid_key",
            Self::Vault(_) => "key_unavailable",
            Self::Token(TokenError::Exists(_)) => "token_exists",
            Self::Token(TokenError::NotFound(_)) => "token_not_found",
            Self::Token(_) => "token_failed",
            Self::Write(_) => "crl_not_writable",
            Self::Store(StoreError::Busy) => "storage_busy",
            Self::Store(_) => "storage_failed",
        }
    }

    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::IssuerNotFound(_)
            | Self::CrlNotFound(..)
            | Self::RevocationNotFound(..)
            | Self::CrlNotUnknown(..)
            | Self::CertificateNotFound(..)
            | Self::ImportNotFound(..)
            | Self::Token(TokenError::NotFound(_)) => Fault::NotFound,
            Self::IssuerExists(_)
            | Self::ManagedElsewhere(_)
            | Self::Token(TokenError::Exists(_))
            | Self::Revocation(
                RevocationError::AlreadyRevoked(_)
                | RevocationError::NotOnHold(_)
                | RevocationError::Expired
                | RevocationError::OtherShard { .. },
            ) => Fault::Conflict,
            Self::StateLost(..) | Self::EntryLost(..) => Fault::Unavailable,
            Self::Store(StoreError::Busy) => Fault::Busy,
            Self::KeyDoesNotFit
            | Self::ShardNotFound(..)
            | Self::ShardUnknown { .. }
            | Self::ListUnknown(..)
            | Self::NoList(_)
            | Self::NotIssuedBy(_)
            | Self::OtherSerial(..)
            | Self::NotSelfSigned(_)
            | Self::ListConfig(_)
            | Self::Profile(_)
            | Self::Revocation(_)
            | Self::Certificate(_)
            | Self::Key(KeyError::UnknownKind(_) | KeyError::Unsupported) => Fault::Request,
            Self::NumbersUsedUp(_)
            | Self::Key(_)
            | Self::Vault(_)
            | Self::Token(_)
            | Self::Write(_)
            | Self::Store(_) => Fault::Origin,
        }
    }
}

/// Certificates as the subject of a sentence that goes on with a verb in the present tense.
struct CertificatesName<'a>(&'a [Serial]);

impl std::fmt::Display for CertificatesName<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const SHOWN: usize = 5;
        let shown: Vec<String> = self.0.iter().take(SHOWN).map(Serial::to_string).collect();
        let shown = shown.join(", ");
        match self.0.len() {
            1 => write!(f, "certificate {shown} names"),
            2..=SHOWN => write!(f, "the certificates {shown} name"),
            count => write!(f, "{count} certificates ({shown}, …) name"),
        }
    }
}

/// The end of a sentence that lists what could be dismissed.
struct UnknownCrls<'a>(&'a [UnknownCrl]);

impl std::fmt::Display for UnknownCrls<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for crl in self.0 {
            write!(
                f,
                "; {} {}: {}",
                crl.name,
                crl.number,
                hex::encode(&crl.sha256)
            )?;
        }
        Ok(())
    }
}
