//! What a CRL says, without its entries.

use alloc::vec::Vec;
use core::ops::Range;

use der::asn1::ObjectIdentifier;

use crate::algorithm::AlgorithmIdentifier;
use crate::extensions::{Extensions, IssuingDistributionPoint};
use crate::finding::{Finding, FindingKind, Observations};
use crate::name::DistinguishedName;
use crate::scope::{Coverage, Scope};
use crate::time::UnixTime;

/// All that a CRL says, without its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Crl {
    /// What comes before the list of entries.
    pub header: Header,
    /// How many certificates are listed.
    pub entry_count: u64,
    /// What comes after the list.
    pub extensions: Extensions,
    /// The first critical extension of an entry whose type is unknown here.
    pub unknown_critical_entry_extension: Option<ObjectIdentifier>,
    /// Whether an entry names the issuer of its certificate, which is for indirect CRLs alone
    /// (RFC 5280, section 5.3.3).
    pub has_certificate_issuer: bool,
    /// The outer signature algorithm, which is not signed.
    pub algorithm: AlgorithmIdentifier,
    /// The contents of the BIT STRING.
    pub signature: Vec<u8>,
    /// Where tbsCertList is, with its tag and length: octets from the first of the CRL.
    pub tbs: Range<u64>,
    /// Octets of the whole CRL.
    pub size: u64,
    pub(crate) observations: Observations,
}

/// What comes before the list of entries (RFC 5280, sections 5.1.2.1 to 5.1.2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// The version of the format.
    pub version: Version,
    /// The inner signature algorithm, which is signed.
    pub algorithm: AlgorithmIdentifier,
    /// Who signed.
    pub issuer: DistinguishedName,
    /// When the CRL was made.
    pub this_update: UnixTime,
    /// By when the next one will be available; RFC 5280, section 5.1.2.5, requires it.
    pub next_update: Option<UnixTime>,
}

/// The version of a CRL (RFC 5280, section 5.1.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Without a version field, and so without extensions.
    V1,
    /// The one that RFC 5280 profiles.
    V2,
}

impl Crl {
    /// Which certificates and reasons the CRL speaks for.
    #[must_use]
    pub fn scope(&self) -> Scope {
        let point = self.extensions.issuing_distribution_point.as_ref();
        Scope {
            base: self.extensions.base_number,
            distribution_point: point.and_then(|point| point.distribution_point.clone()),
            coverage: point.map_or(Coverage::ALL, IssuingDistributionPoint::coverage),
            is_indirect: self.has_certificate_issuer
                || point.is_some_and(|point| point.is_indirect),
        }
    }

    /// What is odd about the CRL by itself. [`verify`](crate::verify()) adds what its issuer's
    /// certificate shows.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        const TEN_MB: u64 = 10_000_000;
        let mut findings: Vec<Finding> = self.observations.findings().collect();
        let extensions = &self.extensions;
        if extensions.issuing_distribution_point.is_some()
            && !extensions.is_distribution_point_critical
        {
            findings.push(Finding::once(FindingKind::IdpNotCritical, None));
        }
        let key_id = extensions.authority_key_id.as_ref();
        if key_id.is_none_or(|id| id.key_id.is_none()) {
            findings.push(Finding::once(FindingKind::KeyIdMissing, None));
        }
        if self.size > TEN_MB {
            let size = alloc::format!("{} bytes", self.size);
            findings.push(Finding::once(FindingKind::Over10Mb, Some(size)));
        }
        findings
    }
}
