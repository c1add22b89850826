//! Creates, connects and lists issuers.

use std::time::Duration;

use crl::CrlNumber;
use der::Encode;
use origin_api::{Crl, Der, Issuer, IssuerId, IssuersPage, Timestamp, Watermark};
use rusqlite::Connection;
use x509_cert::Certificate;
use x509_cert::name::Name;

use super::lookup::{find_issuer, refuse_shards_of_index, refuse_shared_urls, stored_key};
use super::{Origin, OriginError};
use crate::ca::{self, Certified, KeyKind, PrivateKey};
use crate::connector_config::{ConnectorConfig, OpenSslConfig};
use crate::list_config::Lists;
use crate::profile::Profile;
use crate::sequence;
use crate::store::certificates::{self, CertificateRow};
use crate::store::issuers::{self as rows, IssuerNumber, IssuerRow, StoredKey};
use crate::store::lists as list_rows;

/// A new issuer with a local key.
#[derive(Debug)]
pub struct NewIssuer {
    /// Its stable short name.
    pub id: IssuerId,
    /// Its name in certificates and CRLs.
    pub subject: Name,
    /// The source of its key.
    pub key: NewKey,
    /// The validity of its certificate, from now.
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
    /// Generate it.
    Generate(KeyKind),
    /// It was generated elsewhere.
    Import(Box<PrivateKey>),
    /// It is in a PKCS#11 token, at this URI (RFC 7512).
    Token(String),
}

/// A new issuer with another CA that makes its CRLs.
#[derive(Debug)]
pub struct ConnectedIssuer {
    /// Its stable short name.
    pub id: IssuerId,
    /// The certificate that verifies its CRLs.
    pub certificate: Certificate,
    /// How to reach the CA.
    pub connector: ConnectorConfig,
    /// The CRLs to pass on.
    pub lists: Lists,
}

/// Who signs a new issuer's certificate.
#[derive(Debug)]
pub enum SignedBy {
    /// It signs its own.
    Itself,
    /// Another issuer of this origin signs it.
    Issuer(IssuerId),
    /// It exists: the certificate, and the number of the issuer's last CRL elsewhere.
    Already(Box<Certificate>, Option<CrlNumber>),
}

impl Origin {
    /// Creates an issuer with a local key.
    ///
    /// # Errors
    /// [`OriginError::IssuerExists`], [`OriginError::Certificate`], [`OriginError::Key`],
    /// [`OriginError::Store`].
    pub fn create_issuer(&self, new: NewIssuer, now: Timestamp) -> Result<Issuer, OriginError> {
        // Checked before generating a key, which may take seconds.
        self.refuse_taken(&new.id)?;
        let (key, stored) = match new.key {
            NewKey::Generate(kind) => self.seal(PrivateKey::generate(kind, &*self.random)?)?,
            NewKey::Import(key) => self.seal(*key)?,
            NewKey::Token(uri) => (PrivateKey::in_token(&uri)?, StoredKey::Pkcs11(uri)),
        };
        let (mut parent, mut last_number) = (None, None);
        let certificate = match new.signed_by {
            SignedBy::Itself => ca::self_sign(
                &key,
                &new.subject,
                now.as_unix_time(),
                new.validity,
                &*self.random,
            )?,
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
        for list in new.lists.configs() {
            new.profile.check_validity(list.name, list.validity)?;
        }
        let der = certificate.to_der().map_err(ca::CertificateError::from)?;
        self.store.write(|tx| {
            let number = insert(
                tx,
                &new.id,
                &der,
                (&new.connector, new.profile),
                &new.lists,
                now,
            )?;
            if let Some(used) = last_number {
                list_rows::raise_numbers(tx, number, used)?;
            }
            rows::insert_key(tx, number, key.kind()?, &stored)?;
            // The parent needs its expiry if it is ever revoked.
            if let Some((parent, certificate)) = &parent {
                certificates::insert(tx, *parent, certificate)?;
            }
            Ok::<_, OriginError>(())
        })?;
        self.issuer(&new.id)
    }

    /// Adds an issuer whose CRLs another CA makes.
    ///
    /// # Errors
    /// [`OriginError::IssuerExists`], [`OriginError::Store`].
    pub fn connect_issuer(
        &self,
        new: &ConnectedIssuer,
        now: Timestamp,
    ) -> Result<Issuer, OriginError> {
        let der = new
            .certificate
            .to_der()
            .map_err(ca::CertificateError::from)?;
        self.store.write(|tx| {
            insert(
                tx,
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

    /// The registry's view of an issuer, and where its CRLs come from.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::Store`].
    pub fn connection(&self, id: &IssuerId) -> Result<(Issuer, ConnectorConfig), OriginError> {
        self.store.read(|conn| {
            let row = find_issuer(conn, id)?;
            let connector = row.connector.clone();
            Ok((view(conn, row)?, connector))
        })
    }

    /// The registry's view of an issuer.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::Store`].
    pub fn issuer(&self, id: &IssuerId) -> Result<Issuer, OriginError> {
        self.store.read(|conn| view(conn, find_issuer(conn, id)?))
    }

    /// Up to `limit` issuers in order of id, after the id `cursor`.
    ///
    /// # Errors
    /// [`OriginError::Store`].
    pub fn issuers(
        &self,
        cursor: Option<&IssuerId>,
        limit: u32,
    ) -> Result<IssuersPage, OriginError> {
        self.store.read(|conn| {
            // One more than the limit shows whether another page follows.
            let mut found = rows::page(
                conn,
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
                .map(|row| view(conn, row))
                .collect::<Result<_, _>>()?;
            Ok(IssuersPage {
                issuers,
                next_cursor,
            })
        })
    }

    /// The issuers with changes that have not been pushed to the edge, and their watermarks.
    ///
    /// # Errors
    /// [`OriginError::Store`].
    pub fn owed_pushes(&self) -> Result<Vec<(IssuerId, Watermark)>, OriginError> {
        self.store.read(|conn| Ok(rows::owed_pushes(conn)?))
    }

    /// Records that the changes up to this watermark have been pushed to the edge.
    ///
    /// # Errors
    /// [`OriginError::Store`].
    pub fn pushed(&self, id: &IssuerId, watermark: Watermark) -> Result<(), OriginError> {
        self.store
            .write(|tx| Ok(rows::set_pushed(tx, id, watermark)?))
    }

    /// The issuers that follow a directory of `openssl ca`, and where it is.
    ///
    /// # Errors
    /// [`OriginError::Store`].
    pub fn openssl_directories(&self) -> Result<Vec<(IssuerId, OpenSslConfig)>, OriginError> {
        let rows = self.store.read(rows::of_openssl)?;
        let directories = rows.into_iter().filter_map(|row| match row.connector {
            ConnectorConfig::OpenSsl(config) => Some((row.id, config)),
            _ => None,
        });
        Ok(directories.collect())
    }

    fn seal(&self, key: PrivateKey) -> Result<(PrivateKey, StoredKey), OriginError> {
        let sealed = self.vault.seal(&key, &*self.random)?;
        Ok((key, StoredKey::Pkcs8(sealed)))
    }

    fn refuse_taken(&self, id: &IssuerId) -> Result<(), OriginError> {
        match self.store.read(|conn| rows::find(conn, id))? {
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
        now: Timestamp,
    ) -> Result<(IssuerNumber, Certificate), OriginError> {
        let (number, certificate, stored, distribution_points) = self.store.read(|conn| {
            let parent = find_issuer(conn, parent)?;
            let points = super::certificates::distribution_points(conn, &parent, None)?;
            let certificate = parent.parse_certificate()?;
            let key = stored_key(conn, &parent)?;
            Ok::<_, OriginError>((parent.number, certificate, key, points))
        })?;
        let parent_key = self.open_key(number, &stored)?;
        let authority = Certified {
            subject: subject.clone(),
            public_key: key.public_key()?,
            dns_names: Vec::new(),
            distribution_points,
            not_before: now.as_unix_time(),
            validity,
        };
        let signed = ca::sign_authority(&certificate, &parent_key, &authority, &*self.random)?;
        Ok((number, signed))
    }
}

fn insert(
    conn: &Connection,
    id: &IssuerId,
    certificate: &[u8],
    (connector, profile): (&ConnectorConfig, Profile),
    lists: &Lists,
    now: Timestamp,
) -> Result<IssuerNumber, OriginError> {
    if rows::find(conn, id)?.is_some() {
        return Err(OriginError::IssuerExists(id.clone()));
    }
    refuse_shards_of_index(connector, lists.configs().iter().map(|list| &list.name))?;
    if !lists.configs().is_empty() {
        ca::check_verifier(certificate)?;
    }
    let watermark = sequence::next_watermark(Watermark::default());
    let number = rows::insert(
        conn,
        id,
        certificate,
        connector,
        profile,
        watermark,
        now.as_unix_time(),
    )?;
    refuse_shared_urls(conn, number, certificate, lists.configs())?;
    for list in lists.configs() {
        list_rows::configure(conn, number, list)?;
    }
    Ok(number)
}

fn view(conn: &Connection, row: IssuerRow) -> Result<Issuer, OriginError> {
    let crls = list_rows::all(conn, row.number)?
        .into_iter()
        .map(|list| Crl {
            name: list.config.name,
            distribution_point: list.config.distribution_point,
        })
        .collect();
    Ok(Issuer {
        id: row.id,
        certificate: Der(row.certificate),
        crls,
    })
}
