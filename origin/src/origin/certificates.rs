//! Certificates issued by local issuers.

use std::time::Duration;

use crl::UnixTime;
use der::Encode;
use origin_api::{CrlName, IssuerId};
use rusqlite::Connection;
use x509_cert::Certificate;
use x509_cert::name::Name;

use super::revocations::find_local;
use super::{Origin, OriginError};
use crate::ca::{self, CertificateError, KeyKind, Leaf, PrivateKey, Request, Serial};
use crate::clock::Moment;
use crate::store::certificates::{self as rows, CertificateRow};
use crate::store::issuers::IssuerRow;
use crate::store::lists;

/// A certificate to be issued.
#[derive(Debug)]
pub struct NewCertificate {
    /// Who it is for.
    pub subject: Subject,
    /// How long it is valid.
    pub validity: Duration,
    /// Which shard will tell of its revocation; the full CRL where there is none.
    pub shard: Option<u32>,
}

/// Who a certificate is for, and whose key it holds.
#[derive(Debug)]
pub enum Subject {
    /// Someone who has a key and asked with it.
    Request(Request),
    /// Someone whose key is made here and handed out once.
    New {
        /// The name.
        name: Name,
        /// The DNS names.
        dns_names: Vec<String>,
        /// The kind of key to make.
        key: KeyKind,
    },
}

/// A certificate that was issued.
#[derive(Debug)]
pub struct IssuedCertificate {
    /// Its serial number.
    pub serial: Serial,
    /// The certificate.
    pub certificate: Certificate,
    /// Its key, if it was made here: not kept.
    pub key: Option<PrivateKey>,
}

impl Origin {
    /// Issues a certificate whose CRL distribution point is the issuer's.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::NoKey`], [`OriginError::ShardNotFound`],
    /// [`OriginError::Certificate`], [`OriginError::Store`].
    pub fn issue_certificate(
        &self,
        issuer: &IssuerId,
        new: NewCertificate,
        now: Moment,
    ) -> Result<IssuedCertificate, OriginError> {
        let (row, parent, parent_key, distribution_points) = self.store.read(|c| {
            let row = find_local(c, issuer)?;
            let points = distribution_points(c, &row, new.shard)?;
            let (parent, key) = (row.parse_certificate()?, self.key(c, &row)?);
            Ok::<_, OriginError>((row, parent, key, points))
        })?;
        let (request, key) = match new.subject {
            Subject::Request(request) => (request, None),
            Subject::New {
                name,
                dns_names,
                key,
            } => {
                let key = PrivateKey::generate(key)?;
                (
                    Request {
                        subject: name,
                        public_key: key.public_key()?,
                        dns_names,
                    },
                    Some(key),
                )
            }
        };
        let leaf = Leaf {
            subject: request.subject,
            public_key: request.public_key,
            dns_names: request.dns_names,
            distribution_points,
            not_before: now.time(),
            validity: new.validity,
        };
        let certificate =
            ca::issue(&parent, &parent_key, &leaf).inspect_err(|_| self.forget_key(row.number))?;
        let kept = CertificateRow::new(&certificate, new.shard)?;
        self.store.write(|t| rows::insert(t, row.number, &kept))?;
        Ok(IssuedCertificate {
            serial: kept.serial,
            certificate,
            key,
        })
    }
}

impl CertificateRow {
    /// What is kept of a certificate.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub(super) fn new(
        certificate: &Certificate,
        shard: Option<u32>,
    ) -> Result<Self, CertificateError> {
        let tbs = certificate.tbs_certificate();
        let not_after = tbs.validity().not_after.to_unix_duration().as_secs();
        Ok(Self {
            serial: Serial::from_be_bytes(tbs.serial_number().as_bytes())?,
            subject: tbs.subject().to_string(),
            not_after: UnixTime(not_after.cast_signed()),
            shard,
            der: certificate.to_der()?,
        })
    }
}

/// The URLs that a certificate of this issuer, in this shard, names.
pub(super) fn distribution_points(
    c: &Connection,
    issuer: &IssuerRow,
    shard: Option<u32>,
) -> Result<Vec<String>, OriginError> {
    let name = shard.map_or(CrlName::Full, CrlName::Shard);
    let list = lists::all(c, issuer.number)?
        .into_iter()
        .find(|list| list.name == name);
    match (list, shard) {
        (None, Some(shard)) => Err(OriginError::ShardNotFound(issuer.id.clone(), shard)),
        (list, _) => Ok(list
            .and_then(|list| list.distribution_point)
            .into_iter()
            .collect()),
    }
}
