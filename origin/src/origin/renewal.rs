//! Renews an issuer's certificate. The key and the name stay, and so every CRL and certificate
//! stays verifiable.

use std::time::Duration;

use der::Encode;
use origin_api::{IssuerId, Timestamp};
use x509_cert::Certificate;

use super::lookup::{find_signing, stored_key};
use super::{Origin, OriginError};
use crate::ca::{self, CertificateError};
use crate::sequence;
use crate::store::issuers as rows;

impl Origin {
    /// Signs a new certificate of a self-signed issuer, valid from now.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::ManagedElsewhere`],
    /// [`OriginError::NotSelfSigned`], [`OriginError::Certificate`], [`OriginError::Store`].
    pub fn renew_self_signed(
        &self,
        issuer: &IssuerId,
        validity: Duration,
        now: Timestamp,
    ) -> Result<(), OriginError> {
        let (row, stored) = self.store.read(|conn| {
            let row = find_signing(conn, issuer)?;
            let stored = stored_key(conn, &row)?;
            Ok::<_, OriginError>((row, stored))
        })?;
        let key = self.open_key(row.number, &stored)?;
        let old = row.parse_certificate()?;
        let tbs = old.tbs_certificate();
        if tbs.issuer() != tbs.subject() {
            return Err(OriginError::NotSelfSigned(row.id));
        }
        let (subject, start) = (tbs.subject(), now.as_unix_time());
        let renewed = ca::self_sign(&key, subject, start, validity, &*self.random)
            .inspect_err(|_| self.forget_key(row.number))?;
        self.replace_certificate(issuer, &renewed)
    }

    /// Replaces an issuer's certificate by one with the same name and key, which its CA has signed.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::ManagedElsewhere`],
    /// [`OriginError::KeyDoesNotFit`], [`OriginError::Certificate`], [`OriginError::Store`].
    pub fn replace_certificate(
        &self,
        issuer: &IssuerId,
        certificate: &Certificate,
    ) -> Result<(), OriginError> {
        let der = certificate.to_der().map_err(CertificateError::from)?;
        ca::check_verifier(&der)?;
        self.store.write(|tx| {
            let row = find_signing(tx, issuer)?;
            let old = row.parse_certificate()?;
            let (old, new) = (old.tbs_certificate(), certificate.tbs_certificate());
            let key = |tbs: &x509_cert::TbsCertificate| tbs.subject_public_key_info().clone();
            if old.subject() != new.subject() || key(old) != key(new) {
                return Err(OriginError::KeyDoesNotFit);
            }
            rows::set_certificate(tx, row.number, &der)?;
            // CRLs take the authority key identifier from it, and the edge must see it.
            let watermark = sequence::next_watermark(row.watermark);
            rows::configure(tx, row.number, &row.connector, row.profile, watermark)?;
            Ok(())
        })
    }
}
