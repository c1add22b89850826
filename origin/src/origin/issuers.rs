//! Issuers: made, imported, listed.

use std::time::Duration;

use crl::CrlNumber;
use der::Encode;
use origin_api::{Crl, Der, Issuer, IssuerId, IssuersPage, Watermark};
use rusqlite::Connection;
use x509_cert::Certificate;
use x509_cert::name::Name;

use super::settings::Lists;
use super::{Origin, OriginError, find_issuer};
use crate::ca::{self, KeyKind, PrivateKey};
use crate::clock::Moment;
use crate::connector_config::ConnectorConfig;
use crate::profile::Profile;
use crate::sequence;
use crate::store::StoreError;
use crate::store::certificates::{self, CertificateRow};
use crate::store::issuers::{self as rows, IssuerNumber, IssuerRow, KeptKey};
use crate::store::lists as list_rows;

/// An issuer to be made here.
#[derive(Debug)]
pub struct NewIssuer {
    /// Its stable short name.
    pub id: IssuerId,
    /// Its name in certificates and CRLs.
    pub subject: Name,
    /// Its key.
    pub key: NewKey,
    /// How long its certificate is valid.
    pub validity: Duration,
    /// Who signs its certificate.
    pub signed_by: SignedBy,
    /// Where its revocations come from.
    pub connector: ConnectorConfig,
    /// The rules that it is held to.
    pub profile: Profile,
    /// The CRLs that it publishes.
    pub lists: Lists,
}

/// Where a new issuer's key comes from.
#[derive(Debug)]
pub enum NewKey {
    /// It is made.
    Generate(KeyKind),
    /// It was made elsewhere.
    Import(Box<PrivateKey>),
    /// It is in a PKCS#11 token, where this URI says (RFC 7512).
    Token(String),
}

/// An issuer whose CA runs elsewhere.
#[derive(Debug)]
pub struct ConnectedIssuer {
    /// Its stable short name.
    pub id: IssuerId,
    /// The certificate that verifies its CRLs.
    pub certificate: Certificate,
    /// How its CRLs are obtained.
    pub connector: ConnectorConfig,
    /// The CRLs to be passed on.
    pub lists: Lists,
}

/// Who signs a new issuer's certificate.
#[derive(Debug)]
pub enum SignedBy {
    /// It signs its own.
    Itself,
    /// Another issuer here does.
    Issuer(IssuerId),
    /// Someone did already: the certificate, and the number of the last CRL that was made for it elsewhere.
    Already(Box<Certificate>, Option<CrlNumber>),
}

impl Origin {
    /// Makes an issuer with a key of its own.
    ///
    /// # Errors
    /// [`OriginError::IssuerExists`], [`OriginError::Certificate`], [`OriginError::Key`], [`OriginError::Store`].
    pub fn create_issuer(&self, new: NewIssuer, now: Moment) -> Result<Issuer, OriginError> {
        // Looked up before a key is made, which may take seconds.
        self.refuse_taken(&new.id)?;
        let (key, kept) = match new.key {
            NewKey::Generate(kind) => self.keep(PrivateKey::generate(kind)?)?,
            NewKey::Import(key) => self.keep(*key)?,
            NewKey::Token(uri) => (PrivateKey::in_token(&uri)?, KeptKey::InToken(uri)),
        };
        let (mut parent, mut last_number) = (None, None);
        let certificate = match new.signed_by {
            SignedBy::Itself => ca::self_sign(&key, &new.subject, now.time(), new.validity)?,
            SignedBy::Issuer(id) => {
                let (number, certificate) =
                    self.sign_issuer(&id, &new.subject, &key, new.validity, now)?;
                parent = Some((number, CertificateRow::new(&certificate, None)?));
                certificate
            }
            SignedBy::Already(certificate, number) => {
                if *certificate.tbs_certificate().subject_public_key_info() != key.public_key()? {
                    return Err(OriginError::KeyDoesNotFit);
                }
                last_number = number;
                *certificate
            }
        };
        new.profile.check_key(key.kind()?)?;
        for list in new.lists.rows() {
            new.profile.check_validity(list.name, list.validity)?;
        }
        let der = certificate.to_der().map_err(ca::CertificateError::from)?;
        self.store.write(|t| {
            let number = insert(
                t,
                &new.id,
                &der,
                (&new.connector, new.profile),
                &new.lists,
                now,
            )?;
            if let Some(used) = last_number {
                list_rows::raise_numbers(t, number, used)?;
            }
            rows::insert_key(t, number, key.kind()?.as_str(), &kept)?;
            // The parent is to know when it ends, if it is ever revoked.
            if let Some((parent, certificate)) = &parent {
                certificates::insert(t, *parent, certificate)?;
            }
            Ok::<_, OriginError>(())
        })?;
        self.issuer(&new.id)
    }

    /// Makes an issuer known whose CA runs elsewhere.
    ///
    /// # Errors
    /// [`OriginError::IssuerExists`], [`OriginError::Store`].
    pub fn connect_issuer(
        &self,
        new: &ConnectedIssuer,
        now: Moment,
    ) -> Result<Issuer, OriginError> {
        let der = new
            .certificate
            .to_der()
            .map_err(ca::CertificateError::from)?;
        self.store.write(|t| {
            insert(
                t,
                &new.id,
                &der,
                (&new.connector, Profile::default()),
                &new.lists,
                now,
            )
            .map(drop)
        })?;
        self.issuer(&new.id)
    }

    /// An issuer, and where its CRLs come from.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::Store`].
    pub fn connection(&self, id: &IssuerId) -> Result<(Issuer, ConnectorConfig), OriginError> {
        self.store.read(|c| {
            let row = find_issuer(c, id)?;
            let connector = row.connector_config()?;
            Ok((view(c, row)?, connector))
        })
    }

    /// The registry's view of an issuer.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::Store`].
    pub fn issuer(&self, id: &IssuerId) -> Result<Issuer, OriginError> {
        self.store.read(|c| view(c, find_issuer(c, id)?))
    }

    /// Issuers in the order of their ids, from the first one after `cursor`.
    ///
    /// # Errors
    /// [`OriginError::Store`].
    pub fn issuers(
        &self,
        cursor: Option<&IssuerId>,
        limit: u32,
    ) -> Result<IssuersPage, OriginError> {
        self.store.read(|c| {
            // One more than asked for tells whether there is a page to follow.
            let mut found = rows::page(
                c,
                cursor.map_or("", IssuerId::as_str),
                limit.saturating_add(1),
            )?;
            let more = found.len() > limit as usize;
            found.truncate(limit as usize);
            let next_cursor = found
                .last()
                .filter(|_| more)
                .map(|last| last.id.to_string());
            let issuers = found
                .into_iter()
                .map(|row| view(c, row))
                .collect::<Result<_, _>>()?;
            Ok(IssuersPage {
                issuers,
                next_cursor,
            })
        })
    }

    /// The issuers of whose revocations the edge is still to be told, and how far they have come.
    ///
    /// # Errors
    /// [`OriginError::Store`].
    pub fn owed_pushes(&self) -> Result<Vec<(IssuerId, Watermark)>, OriginError> {
        self.store.read(|c| Ok(rows::owed_pushes(c)?))
    }

    /// Notes how far the edge was told.
    ///
    /// # Errors
    /// [`OriginError::Store`].
    pub fn pushed(&self, id: &IssuerId, watermark: Watermark) -> Result<(), OriginError> {
        self.store
            .write(|t| Ok(rows::set_pushed(t, id, watermark)?))
    }

    /// Every issuer, and where its CRLs come from.
    ///
    /// # Errors
    /// [`OriginError::Store`].
    pub fn connections(&self) -> Result<Vec<(IssuerId, ConnectorConfig)>, OriginError> {
        self.store.read(|c| {
            let all = rows::page(c, "", u32::MAX)?;
            all.into_iter()
                .map(|row| Ok((row.id.clone(), row.connector_config()?)))
                .collect()
        })
    }

    fn keep(&self, key: PrivateKey) -> Result<(PrivateKey, KeptKey), OriginError> {
        let sealed = self.vault.seal(&key)?;
        Ok((key, KeptKey::Here(sealed)))
    }

    fn refuse_taken(&self, id: &IssuerId) -> Result<(), OriginError> {
        match self.store.read(|c| rows::find(c, id))? {
            Some(_) => Err(OriginError::IssuerExists(id.clone())),
            None => Ok(()),
        }
    }

    fn sign_issuer(
        &self,
        parent: &IssuerId,
        subject: &Name,
        key: &PrivateKey,
        validity: Duration,
        now: Moment,
    ) -> Result<(IssuerNumber, Certificate), OriginError> {
        let (number, certificate, parent_key, points) = self.store.read(|c| {
            let parent = find_issuer(c, parent)?;
            let points = super::certificates::distribution_points(c, &parent, None)?;
            let certificate = parent.parse_certificate()?;
            Ok::<_, OriginError>((parent.number, certificate, self.key(c, &parent)?, points))
        })?;
        let public = key.public_key()?;
        let signed = ca::sign_authority(
            &certificate,
            &parent_key,
            subject,
            &public,
            &points,
            now.time(),
            validity,
        )?;
        Ok((number, signed))
    }
}

fn insert(
    c: &Connection,
    id: &IssuerId,
    certificate: &[u8],
    (connector, profile): (&ConnectorConfig, Profile),
    lists: &Lists,
    now: Moment,
) -> Result<IssuerNumber, OriginError> {
    if rows::find(c, id)?.is_some() {
        return Err(OriginError::IssuerExists(id.clone()));
    }
    if !lists.rows().is_empty() {
        ca::check_verifier(certificate)?;
    }
    let connector =
        serde_json::to_string(connector).map_err(|_| StoreError::Corrupt("connector"))?;
    let watermark = sequence::next_watermark(Watermark::default(), now);
    let number = rows::insert(
        c,
        id,
        certificate,
        &connector,
        profile,
        watermark,
        now.time(),
    )?;
    for list in lists.rows() {
        list_rows::configure(c, number, list)?;
    }
    Ok(number)
}

impl IssuerRow {
    /// The certificate, parsed.
    ///
    /// # Errors
    /// [`ca::CertificateError::Malformed`].
    pub fn parse_certificate(&self) -> Result<Certificate, ca::CertificateError> {
        ca::certificate_from_pem_or_der(&self.certificate)
    }

    /// How its CRLs are obtained.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], for a connector that only a later release knows.
    pub fn connector_config(&self) -> Result<ConnectorConfig, StoreError> {
        serde_json::from_str(&self.connector).map_err(|_| StoreError::Corrupt("connector"))
    }
}

fn view(c: &Connection, row: IssuerRow) -> Result<Issuer, OriginError> {
    let crls = list_rows::all(c, row.number)?
        .into_iter()
        .map(|list| Crl {
            name: list.name,
            distribution_point: list.distribution_point,
        })
        .collect();
    Ok(Issuer {
        id: row.id,
        certificate: Der(row.certificate),
        crls,
    })
}
