//! Issues certificates of local issuers.

use std::time::Duration;

use crl::UnixTime;
use der::Encode;
use origin_api::{CrlName, IssuerId, Timestamp};
use rusqlite::Connection;
use x509_cert::Certificate;
use x509_cert::name::Name;

use super::lookup::{find_issuer, find_local, stored_key};
use super::{Origin, OriginError};
use crate::ca::{self, CertificateError, Certified, KeyKind, PrivateKey, Request, Serial};
use crate::revocation::{CertificateFacts, NamedList};
use crate::store::certificates::{self as rows, CertificateRow};
use crate::store::issuers::IssuerRow;
use crate::store::lists;

/// A certificate to issue.
#[derive(Debug)]
pub struct NewCertificate {
    /// Its subject and key.
    pub subject: Subject,
    /// Its validity, from now.
    pub validity: Duration,
    /// The shard whose CRL it names; the full CRL if absent.
    pub shard: Option<u32>,
}

/// The subject of a certificate, and the origin of its key.
#[derive(Debug)]
pub enum Subject {
    /// The subject and key of a certificate signing request.
    Request(Request),
    /// A key to generate, which the origin returns and does not store.
    New {
        /// The distinguished name.
        name: Name,
        /// The DNS names.
        dns_names: Vec<String>,
        /// The kind of key to generate.
        key: KeyKind,
    },
}

/// An issued certificate.
#[derive(Debug)]
pub struct IssuedCertificate {
    /// Its serial number.
    pub serial: Serial,
    /// The certificate.
    pub certificate: Certificate,
    /// Its private key, if the origin generated it.
    pub key: Option<PrivateKey>,
}

impl Origin {
    /// Issues a certificate whose CRL distribution point is the issuer's.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::ManagedElsewhere`],
    /// [`OriginError::ShardNotFound`], [`OriginError::Certificate`], [`OriginError::Store`].
    pub fn issue_certificate(
        &self,
        issuer: &IssuerId,
        new: NewCertificate,
        now: Timestamp,
    ) -> Result<IssuedCertificate, OriginError> {
        let (row, parent, stored, distribution_points) = self.store.read(|conn| {
            let row = find_local(conn, issuer)?;
            let points = distribution_points(conn, &row, new.shard)?;
            let (parent, key) = (row.parse_certificate()?, stored_key(conn, &row)?);
            Ok::<_, OriginError>((row, parent, key, points))
        })?;
        let parent_key = self.open_key(row.number, &stored)?;
        let (request, key) = match new.subject {
            Subject::Request(request) => (request, None),
            Subject::New {
                name,
                dns_names,
                key,
            } => {
                let key = PrivateKey::generate(key, &*self.random)?;
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
        let leaf = Certified {
            subject: request.subject,
            public_key: request.public_key,
            dns_names: request.dns_names,
            distribution_points,
            not_before: now.as_unix_time(),
            validity: new.validity,
        };
        let certificate = ca::issue(&parent, &parent_key, &leaf, &*self.random)
            .inspect_err(|_| self.forget_key(row.number))?;
        let stored = CertificateRow::new(&certificate, new.shard)?;
        self.store
            .write(|tx| rows::insert(tx, row.number, &stored))?;
        Ok(IssuedCertificate {
            serial: stored.serial,
            certificate,
            key,
        })
    }
}

impl Origin {
    /// Up to `limit` certificates that the issuer issued here, in order of serial number, after
    /// `cursor`; and the cursor of the next page.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::Store`].
    pub fn certificates(
        &self,
        issuer: &IssuerId,
        cursor: Option<&Serial>,
        limit: u32,
    ) -> Result<(Vec<CertificateRow>, Option<Serial>), OriginError> {
        self.store.read(|conn| {
            let issuer = find_issuer(conn, issuer)?;
            let mut found = rows::page(conn, issuer.number, cursor, limit.saturating_add(1))?;
            let more = found.len() > limit as usize;
            found.truncate(limit as usize);
            let next = found.last().filter(|_| more);
            let next = next.map(|certificate| certificate.serial.clone());
            Ok((found, next))
        })
    }

    /// A certificate that the issuer issued here.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::CertificateNotFound`],
    /// [`OriginError::Store`].
    pub fn certificate(
        &self,
        issuer: &IssuerId,
        serial: &Serial,
    ) -> Result<CertificateRow, OriginError> {
        self.store.read(|conn| {
            let issuer = find_issuer(conn, issuer)?;
            rows::find(conn, issuer.number, serial)?
                .ok_or_else(|| OriginError::CertificateNotFound(issuer.id, serial.clone()))
        })
    }

    /// The serial number of a certificate and what it states, after checking that the issuer has
    /// issued it. A certificate without a distribution point names the full CRL.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::NotIssuedBy`],
    /// [`OriginError::Certificate`], [`OriginError::Store`].
    pub fn certificate_facts(
        &self,
        issuer: &IssuerId,
        certificate: &Certificate,
    ) -> Result<(Serial, CertificateFacts), OriginError> {
        let (row, lists) = self.store.read(|conn| {
            let row = find_issuer(conn, issuer)?;
            let lists = lists::all(conn, row.number)?;
            Ok::<_, OriginError>((row, lists))
        })?;
        if !ca::is_issued_by(certificate, &row.parse_certificate()?) {
            return Err(OriginError::NotIssuedBy(row.id));
        }
        let points = ca::distribution_points(certificate);
        let named: Vec<CrlName> = lists
            .iter()
            .filter(|list| {
                let url = list.config.distribution_point.as_ref();
                url.is_some_and(|url| points.contains(url))
            })
            .map(|list| list.config.name)
            .collect();
        let shard = named.iter().find_map(|name| match name {
            CrlName::Shard(number) => Some(*number),
            CrlName::Full | CrlName::Delta => None,
        });
        let list = match shard {
            Some(number) => NamedList::Shard(number),
            None if points.is_empty() || !named.is_empty() => NamedList::Full,
            None => NamedList::Unknown,
        };
        let serial = certificate.tbs_certificate().serial_number();
        let serial = Serial::from_be_bytes(serial.as_bytes()).map_err(CertificateError::from)?;
        let facts = CertificateFacts {
            not_after: ca::not_after(certificate),
            list,
        };
        Ok((serial, facts))
    }
}

impl CertificateRow {
    /// What is stored of a certificate.
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

/// The CRL distribution points of a certificate of this issuer and shard.
pub(super) fn distribution_points(
    conn: &Connection,
    issuer: &IssuerRow,
    shard: Option<u32>,
) -> Result<Vec<String>, OriginError> {
    let name = shard.map_or(CrlName::Full, CrlName::Shard);
    let lists = lists::all(conn, issuer.number)?;
    let list = lists.iter().find(|list| list.config.name == name);
    match (list, shard) {
        (None, Some(shard)) => Err(OriginError::ShardNotFound(issuer.id.clone(), shard)),
        (None, None) if !lists.is_empty() => Err(OriginError::NoList(issuer.id.clone())),
        (list, _) => Ok(list
            .and_then(|list| list.config.distribution_point.clone())
            .into_iter()
            .collect()),
    }
}
