//! A CRL's own extensions (RFC 5280 §5.2), decoded by x509-cert.

use alloc::vec::Vec;

use der::asn1::{ObjectIdentifier, Uint};
use der::{Decode, Encode};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::AuthorityKeyIdentifier;
use x509_cert::ext::pkix::crl::IssuingDistributionPoint;
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};

use crate::number::CrlNumber;
use crate::oid;
use crate::tlv::Fault;

/// What a CRL's extensions say (RFC 5280 §5.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// CRLNumber (§5.2.3).
    pub number: Option<CrlNumber>,
    /// Which of the issuer's keys signed (§5.2.1).
    pub authority_key_id: Option<AuthorityKeyIdentifier>,
    /// What the CRL is limited to (§5.2.5).
    pub issuing_distribution_point: Option<IssuingDistributionPoint>,
    /// The delta CRL indicator: the number of the complete CRL that this one starts from (§5.2.4).
    pub base_number: Option<CrlNumber>,
    /// Where the delta to this CRL is (§5.2.6).
    pub freshest_crl: Vec<DistributionPoint>,
    /// All others, in order.
    pub unknown: Vec<UnknownExtension>,
}

/// An extension that is none of those above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownExtension {
    /// Which it is.
    pub oid: ObjectIdentifier,
    /// Whether those who do not know it must refuse the CRL.
    pub critical: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExtensionsError {
    Malformed(Fault),
    NumberTooLong(usize),
}

impl From<Fault> for ExtensionsError {
    fn from(fault: Fault) -> Self {
        Self::Malformed(fault)
    }
}

impl Extensions {
    /// Reads `Extensions`.
    pub(crate) fn from_der(der: &[u8]) -> Result<Self, ExtensionsError> {
        let list: Vec<Extension> = decode(der, "crlExtensions are not Extensions")?;
        if list.is_empty() {
            return Err("crlExtensions are an empty SEQUENCE".into());
        }
        let mut extensions = Self::default();
        for (n, extension) in list.iter().enumerate() {
            let mut earlier = list.iter().take(n);
            if earlier.any(|earlier| earlier.extn_id == extension.extn_id) {
                return Err("crlExtensions have the same extension twice (RFC 5280 §4.2)".into());
            }
            extensions.read(extension)?;
        }
        Ok(extensions)
    }

    fn read(&mut self, extension: &Extension) -> Result<(), ExtensionsError> {
        let value = extension.extn_value.as_bytes();
        match extension.extn_id {
            oid::CRL_NUMBER => self.number = Some(number(value)?),
            oid::DELTA_CRL_INDICATOR => self.base_number = Some(number(value)?),
            oid::AUTHORITY_KEY_IDENTIFIER => {
                self.authority_key_id =
                    Some(decode(value, "the authority key identifier is malformed")?);
            }
            oid::ISSUING_DISTRIBUTION_POINT => {
                self.issuing_distribution_point = Some(decode(
                    value,
                    "the issuing distribution point is malformed",
                )?);
            }
            oid::FRESHEST_CRL => {
                self.freshest_crl = decode(value, "the freshest CRL is malformed")?;
            }
            oid => self.unknown.push(UnknownExtension {
                oid,
                critical: extension.critical,
            }),
        }
        Ok(())
    }

    /// The URLs that the issuing distribution point names.
    pub fn distribution_point_urls(&self) -> impl Iterator<Item = &str> {
        self.issuing_distribution_point
            .iter()
            .filter_map(|point| point.distribution_point.as_ref())
            .flat_map(urls)
    }

    /// The URLs at which the delta to this CRL is.
    pub fn freshest_crl_urls(&self) -> impl Iterator<Item = &str> {
        self.freshest_crl
            .iter()
            .filter_map(|point| point.distribution_point.as_ref())
            .flat_map(urls)
    }
}

fn urls(name: &DistributionPointName) -> impl Iterator<Item = &str> {
    let names = match name {
        DistributionPointName::FullName(names) => &names[..],
        DistributionPointName::NameRelativeToCRLIssuer(_) => &[],
    };
    names.iter().filter_map(|name| match name {
        GeneralName::UniformResourceIdentifier(url) => Some(url.as_str()),
        _ => None,
    })
}

fn number(value: &[u8]) -> Result<CrlNumber, ExtensionsError> {
    let number: Uint = decode(value, "a CRL number is not an INTEGER from 0")?;
    let octets = number.as_bytes();
    CrlNumber::from_be_bytes(octets).map_err(|_| ExtensionsError::NumberTooLong(octets.len()))
}

/// Decodes a value and sees that it is DER: `der` takes a default that is written out, which DER leaves out (X.690 §11.5).
fn decode<'a, T: Decode<'a> + Encode>(der: &'a [u8], fault: Fault) -> Result<T, Fault> {
    let value = T::from_der(der).map_err(|_| fault)?;
    match value.to_der() {
        Ok(again) if again == der => Ok(value),
        _ => Err(fault),
    }
}
