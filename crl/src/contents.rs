//! What a CRL says, apart from its entries.

use alloc::vec::Vec;
use core::ops::Range;

use der::asn1::ObjectIdentifier;

use crate::algorithm::AlgorithmIdentifier;
use crate::extensions::Extensions;
use crate::name::DistinguishedName;
use crate::time::UnixTime;

/// All that a CRL says, apart from its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crl {
    /// What stands before the list.
    pub header: Header,
    /// How many certificates are listed.
    pub entry_count: u64,
    /// What stands behind the list.
    pub extensions: Extensions,
    /// The first extension of an entry that is critical and unknown to us.
    pub unknown_critical_entry_extension: Option<ObjectIdentifier>,
    /// Whether an entry names the issuer of its certificate, which is for indirect CRLs alone (RFC 5280 §5.3.3).
    pub has_certificate_issuer: bool,
    /// The outer signature algorithm, which is not signed.
    pub algorithm: AlgorithmIdentifier,
    /// The contents of the BIT STRING.
    pub signature: Vec<u8>,
    /// Where tbsCertList lies, its own tag and length included: octets from the CRL's first.
    pub tbs: Range<u64>,
    /// Octets of the whole CRL.
    pub size: u64,
}

/// What stands before the list of entries (RFC 5280 §5.1.2.1 to §5.1.2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Of the format.
    pub version: Version,
    /// The inner one, which is signed.
    pub algorithm: AlgorithmIdentifier,
    /// Who signed.
    pub issuer: DistinguishedName,
    /// When the CRL was made.
    pub this_update: UnixTime,
    /// By when the next one will be there; RFC 5280 §5.1.2.5 wants it in every CRL.
    pub next_update: Option<UnixTime>,
}

/// The version of a CRL (RFC 5280 §5.1.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Without a version field, and so without extensions.
    V1,
    /// The one that RFC 5280 profiles.
    V2,
}
