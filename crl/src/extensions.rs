//! A CRL's own extensions (RFC 5280 §5.2), decoded by x509-cert.

use alloc::vec::Vec;

use der::Decode;
use der::asn1::{ObjectIdentifier, Uint};
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

/// A default that is written out, which DER leaves out (X.690 §11.5), is taken, as webpki and OpenSSL do: CAs do write it.
fn decode<'a, T: Decode<'a>>(der: &'a [u8], fault: Fault) -> Result<T, Fault> {
    T::from_der(der).map_err(|_| fault)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::tlv;

    /// `Extensions` of object identifiers 2.5.29.n.
    fn extensions(list: &[(u8, Option<u8>, &[u8])]) -> Vec<u8> {
        let mut all = Vec::new();
        for (id, critical, value) in list {
            let mut one = vec![0x06, 3, 0x55, 0x1d, *id];
            if let Some(critical) = critical {
                one.extend_from_slice(&[0x01, 1, *critical]);
            }
            tlv::put_head(&mut one, tlv::OCTET_STRING, value.len() as u32);
            one.extend_from_slice(value);
            tlv::put_head(&mut all, tlv::SEQUENCE, one.len() as u32);
            all.extend_from_slice(&one);
        }
        let mut der = Vec::new();
        tlv::put_head(&mut der, tlv::SEQUENCE, all.len() as u32);
        der.extend_from_slice(&all);
        der
    }

    #[test]
    fn numbers_are_from_zero_and_of_twenty_octets_at_most() {
        let read = |value: &[u8]| {
            Extensions::from_der(&extensions(&[(20, None, value)])).map(|read| read.number.unwrap())
        };
        assert_eq!(read(&[2, 1, 0]), Ok(CrlNumber::from(0)));
        assert_eq!(read(&[2, 2, 0, 0x80]), Ok(CrlNumber::from(128)));
        assert!(matches!(
            read(&[2, 1, 0x80]),
            Err(ExtensionsError::Malformed(_))
        ));
        assert!(matches!(
            read(&[2, 2, 0, 1]),
            Err(ExtensionsError::Malformed(_))
        ));
        assert!(matches!(
            read(&[2, 1, 0, 0]),
            Err(ExtensionsError::Malformed(_))
        ));
        let mut long = vec![2, 20];
        long.extend_from_slice(&[0x7f; 20]);
        assert_eq!(
            read(&long),
            CrlNumber::from_be_bytes(&[0x7f; 20]).map_err(|_| unreachable!())
        );
        long.push(0x7f);
        long[1] = 21;
        assert_eq!(read(&long), Err(ExtensionsError::NumberTooLong(21)));
    }

    #[test]
    fn unknown_ones_keep_their_criticality() {
        let der = extensions(&[(99, Some(0xff), b""), (98, None, b""), (97, Some(0), b"")]);
        let critical: Vec<bool> = Extensions::from_der(&der)
            .unwrap()
            .unknown
            .iter()
            .map(|extension| extension.critical)
            .collect();
        assert_eq!(critical, [true, false, false]);
    }

    #[test]
    fn what_is_no_list_of_extensions_is_refused() {
        for der in [
            extensions(&[]),
            extensions(&[(99, Some(1), b"")]),
            extensions(&[(99, None, b""), (99, None, b"")]),
            extensions(&[(28, Some(0xff), b"\x30\x00\x00")]),
            extensions(&[(35, None, b"\x04\x00")]),
            extensions(&[(46, None, b"")]),
            b"\x04\x00".to_vec(),
        ] {
            let error = Extensions::from_der(&der).unwrap_err();
            assert!(matches!(error, ExtensionsError::Malformed(_)), "{der:02x?}");
        }
    }
}
