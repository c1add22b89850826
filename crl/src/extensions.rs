//! A CRL's own extensions (RFC 5280, section 5.2).
//!
//! They are decoded here and not by x509-cert, whose types refuse serial numbers and strings that
//! CAs do write, and whose cost for hostile input is not linear.

use alloc::string::String;
use alloc::vec::Vec;

use der::asn1::ObjectIdentifier;

use crate::extension::{Extension, ExtensionRef, SeenError, SeenTypes};
use crate::number::CrlNumber;
use crate::oid;
use crate::reason::Reasons;
use crate::scope::{Certificates, Coverage};
use crate::time::UnixTime;
use crate::tlv::{self, Fault, INTEGER, SEQUENCE, constructed, primitive};

/// The most extensions that a CRL may have, and the most names and points in one of them: the
/// bounds keep the cost of reading a CRL linear in its size.
const MAX_EXTENSIONS: usize = 32;
const MAX_NAMES: usize = 128;

/// The tag of a uniformResourceIdentifier in a GeneralName.
const URL: u8 = primitive(6);

/// What a CRL's extensions say (RFC 5280, section 5.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Extensions {
    /// CRLNumber (RFC 5280, section 5.2.3).
    pub number: Option<CrlNumber>,
    /// Which of the issuer's keys signed (RFC 5280, section 5.2.1).
    pub authority_key_id: Option<AuthorityKeyId>,
    /// What the CRL is limited to (RFC 5280, section 5.2.5).
    pub issuing_distribution_point: Option<IssuingDistributionPoint>,
    /// Whether the issuing distribution point is marked critical, as RFC 5280, section 5.2.5,
    /// requires.
    pub is_distribution_point_critical: bool,
    /// The delta CRL indicator: the number of the complete CRL whose changes this one lists
    /// (RFC 5280, section 5.2.4).
    pub base_number: Option<CrlNumber>,
    /// The URLs of the delta to this CRL (RFC 5280, section 5.2.6). `None` without the extension.
    pub freshest_crl: Option<Vec<String>>,
    /// When the next CRL will be published, before nextUpdate: Microsoft's Next CRL Publish.
    pub next_publish: Option<UnixTime>,
    /// All others, in order.
    pub unknown: Vec<Extension>,
}

/// authorityKeyIdentifier (RFC 5280, section 4.2.1.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuthorityKeyId {
    /// The key's identifier.
    pub key_id: Option<Vec<u8>>,
    /// The issuer of the certificate with that key: the contents of GeneralNames.
    pub issuer: Option<Vec<u8>>,
    /// The serial number of the certificate with that key: the contents of an INTEGER, of any
    /// length.
    pub serial: Option<Vec<u8>>,
}

/// issuingDistributionPoint (RFC 5280, section 5.2.5), as it is written. A [`Scope`](crate::Scope)
/// says what it means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "RFC 5280 has four flags")]
pub struct IssuingDistributionPoint {
    /// The URLs of the distribution point, in order. Reading gives an empty list if it is named
    /// otherwise; `None` if the CRL is not limited to a distribution point.
    pub distribution_point: Option<Vec<String>>,
    /// onlyContainsUserCerts
    pub only_user_certificates: bool,
    /// onlyContainsCACerts
    pub only_ca_certificates: bool,
    /// onlyContainsAttributeCerts
    pub only_attribute_certificates: bool,
    /// onlySomeReasons
    pub only_some_reasons: Option<Reasons>,
    /// indirectCRL
    pub is_indirect: bool,
}

impl IssuingDistributionPoint {
    /// A distribution point with one URL and no other limit, as shards have it.
    #[must_use]
    pub fn from_url(url: impl Into<String>) -> Self {
        Self {
            distribution_point: Some([url.into()].to_vec()),
            ..Self::default()
        }
    }

    /// Whether it limits nothing: an empty SEQUENCE, which RFC 5280, section 5.2.5, forbids.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Which certificates and reasons are covered.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        let flags = (
            self.only_user_certificates,
            self.only_ca_certificates,
            self.only_attribute_certificates,
        );
        Coverage {
            certificates: match flags {
                (false, false, false) => Certificates::All,
                (true, false, false) => Certificates::User,
                (false, true, false) => Certificates::Ca,
                (false, false, true) => Certificates::Attribute,
                _ => Certificates::Contradictory,
            },
            reasons: self.only_some_reasons.unwrap_or(Reasons::ALL),
        }
    }

    fn from_der(der: &[u8]) -> Result<Self, ExtensionsError> {
        const FAULT: Fault = "the issuing distribution point is malformed";
        let mut fields = tlv::only(der, SEQUENCE, FAULT)?;
        let mut point = Self::default();
        if let Some(name) = tlv::take_optional(&mut fields, constructed(0))? {
            point.distribution_point = Some(point_urls(name, FAULT)?);
        }
        point.only_user_certificates = flag(&mut fields, 1, FAULT)?;
        point.only_ca_certificates = flag(&mut fields, 2, FAULT)?;
        if let Some(bits) = tlv::take_optional(&mut fields, primitive(3))? {
            point.only_some_reasons = Some(Reasons::from_bit_string(bits).ok_or(FAULT)?);
        }
        point.is_indirect = flag(&mut fields, 4, FAULT)?;
        point.only_attribute_certificates = flag(&mut fields, 5, FAULT)?;
        if fields.is_empty() {
            Ok(point)
        } else {
            Err(FAULT.into())
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExtensionsError {
    Malformed(Fault),
    NumberTooLong(usize),
    TooMany { what: &'static str, limit: usize },
}

impl From<Fault> for ExtensionsError {
    fn from(fault: Fault) -> Self {
        Self::Malformed(fault)
    }
}

impl Extensions {
    /// Reads `Extensions`.
    pub(crate) fn from_der(der: &[u8]) -> Result<Self, ExtensionsError> {
        let mut rest = tlv::only(der, SEQUENCE, "crlExtensions are not a SEQUENCE")?;
        if rest.is_empty() {
            return Err("crlExtensions are an empty SEQUENCE".into());
        }
        let mut extensions = Self::default();
        let mut seen = SeenTypes::<MAX_EXTENSIONS>::new();
        while !rest.is_empty() {
            let extension = ExtensionRef::take(&mut rest)?;
            seen.add(extension.oid).map_err(|error| match error {
                SeenError::Twice => ExtensionsError::Malformed(
                    "crlExtensions have the same extension twice (RFC 5280, section 4.2)",
                ),
                SeenError::TooMany => ExtensionsError::TooMany {
                    what: "the CRL's extensions",
                    limit: MAX_EXTENSIONS,
                },
            })?;
            extensions.read(&extension)?;
        }
        Ok(extensions)
    }

    fn read(&mut self, extension: &ExtensionRef<'_>) -> Result<(), ExtensionsError> {
        let value = extension.value;
        let oid = extension
            .object_identifier()
            .ok_or("an extension has no valid object identifier")?;
        match oid {
            oid::CRL_NUMBER => self.number = Some(number(value)?),
            oid::DELTA_CRL_INDICATOR => self.base_number = Some(number(value)?),
            oid::AUTHORITY_KEY_IDENTIFIER => {
                self.authority_key_id = Some(AuthorityKeyId::from_der(value)?);
            }
            oid::ISSUING_DISTRIBUTION_POINT => {
                self.issuing_distribution_point = Some(IssuingDistributionPoint::from_der(value)?);
                self.is_distribution_point_critical = extension.critical;
            }
            oid::FRESHEST_CRL => self.freshest_crl = Some(freshest_urls(value)?),
            oid::NEXT_CRL_PUBLISH => match only_time(value) {
                // A maker's own extension: one that cannot be read is one that is unknown.
                None => self.put_unknown(oid, extension),
                time => self.next_publish = time,
            },
            oid => self.put_unknown(oid, extension),
        }
        Ok(())
    }

    fn put_unknown(&mut self, oid: ObjectIdentifier, extension: &ExtensionRef<'_>) {
        self.unknown.push(Extension {
            oid,
            critical: extension.critical,
            value: extension.value.into(),
        });
    }

    /// The URLs that the issuing distribution point names.
    pub fn distribution_point_urls(&self) -> impl Iterator<Item = &str> {
        let point = self.issuing_distribution_point.as_ref();
        let urls = point.and_then(|point| point.distribution_point.as_deref());
        urls.unwrap_or_default().iter().map(String::as_str)
    }

    /// The URLs of the delta to this CRL.
    pub fn freshest_crl_urls(&self) -> impl Iterator<Item = &str> {
        let urls = self.freshest_crl.as_deref().unwrap_or_default();
        urls.iter().map(String::as_str)
    }
}

impl AuthorityKeyId {
    fn from_der(der: &[u8]) -> Result<Self, Fault> {
        const FAULT: Fault = "the authority key identifier is malformed";
        let mut fields = tlv::only(der, SEQUENCE, FAULT)?;
        let owned = |contents: Option<&[u8]>| contents.map(<[u8]>::to_vec);
        let id = Self {
            key_id: owned(tlv::take_optional(&mut fields, primitive(0))?),
            issuer: owned(tlv::take_optional(&mut fields, constructed(1))?),
            serial: owned(tlv::take_optional(&mut fields, primitive(2))?),
        };
        if fields.is_empty() {
            Ok(id)
        } else {
            Err(FAULT)
        }
    }
}

/// The URLs of a DistributionPointName, from the contents of the `[0]` around it.
fn point_urls(mut name: &[u8], fault: Fault) -> Result<Vec<String>, ExtensionsError> {
    if let Some(names) = tlv::take_optional(&mut name, constructed(0))? {
        if name.is_empty() && !names.is_empty() {
            return urls(names, fault);
        }
    } else if tlv::take_optional(&mut name, constructed(1))?.is_some() && name.is_empty() {
        return Ok(Vec::new());
    }
    Err(fault.into())
}

/// The URLs among the GeneralNames with these contents.
fn urls(mut names: &[u8], fault: Fault) -> Result<Vec<String>, ExtensionsError> {
    let mut urls = Vec::new();
    let mut count = 0usize;
    while !names.is_empty() {
        bound(&mut count, "the names in an extension")?;
        if let (URL, url) = tlv::take_any(&mut names)? {
            let url = core::str::from_utf8(url).ok().filter(|url| url.is_ascii());
            urls.push(url.ok_or(fault)?.into());
        }
    }
    Ok(urls)
}

/// The URLs of CRLDistributionPoints.
fn freshest_urls(der: &[u8]) -> Result<Vec<String>, ExtensionsError> {
    const FAULT: Fault = "the freshest CRL is malformed";
    let mut points = tlv::only(der, SEQUENCE, FAULT)?;
    if points.is_empty() {
        return Err(FAULT.into());
    }
    let mut all = Vec::new();
    let mut count = 0usize;
    while !points.is_empty() {
        bound(&mut count, "the distribution points in an extension")?;
        let mut fields = tlv::take(&mut points, SEQUENCE, FAULT)?;
        if let Some(name) = tlv::take_optional(&mut fields, constructed(0))? {
            all.append(&mut point_urls(name, FAULT)?);
        }
        if all.len() > MAX_NAMES {
            count = MAX_NAMES;
            bound(&mut count, "the names in an extension")?;
        }
        tlv::take_optional(&mut fields, primitive(1))?;
        tlv::take_optional(&mut fields, constructed(2))?;
        if !fields.is_empty() {
            return Err(FAULT.into());
        }
    }
    Ok(all)
}

fn bound(count: &mut usize, what: &'static str) -> Result<(), ExtensionsError> {
    *count = count.saturating_add(1);
    if *count > MAX_NAMES {
        return Err(ExtensionsError::TooMany {
            what,
            limit: MAX_NAMES,
        });
    }
    Ok(())
}

/// `[number] BOOLEAN DEFAULT FALSE`. CAs do write the default out, which DER forbids (X.690,
/// section 11.5); webpki and OpenSSL accept it.
fn flag(fields: &mut &[u8], number: u8, fault: Fault) -> Result<bool, Fault> {
    match tlv::take_optional(fields, primitive(number))? {
        None | Some([0x00]) => Ok(false),
        Some([0xff]) => Ok(true),
        Some(_) => Err(fault),
    }
}

fn only_time(mut value: &[u8]) -> Option<UnixTime> {
    let (time, _) = UnixTime::take(&mut value).ok()?;
    value.is_empty().then_some(time)
}

fn number(value: &[u8]) -> Result<CrlNumber, ExtensionsError> {
    const FAULT: Fault = "a CRL number is not an INTEGER that is zero or positive";
    let contents = tlv::only(value, INTEGER, FAULT)?;
    if !tlv::is_canonical_integer(contents) || matches!(contents, [0x80..=0xff, ..]) {
        return Err(FAULT.into());
    }
    let octets = contents.strip_prefix(&[0]).unwrap_or(contents);
    CrlNumber::from_be_bytes(octets).map_err(|_| ExtensionsError::NumberTooLong(octets.len()))
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::reason::Reason;

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
    fn numbers_are_not_negative_and_at_most_twenty_octets_long() {
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
    fn what_is_not_a_list_of_extensions_is_refused() {
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

    fn read(id: u8, value: &[u8]) -> Result<Extensions, ExtensionsError> {
        Extensions::from_der(&extensions(&[(id, None, value)]))
    }

    #[test]
    fn an_issuing_distribution_point_is_read_as_it_is() {
        let point =
            |value: &[u8]| read(28, value).map(|read| read.issuing_distribution_point.unwrap());
        assert!(point(b"\x30\x00").unwrap().is_empty());
        let url = point(b"\x30\x0b\xa0\x09\xa0\x07\x86\x05http:").unwrap();
        assert_eq!(url, IssuingDistributionPoint::from_url("http:"));
        // A directory name, and a name relative to the issuer.
        let named = point(b"\x30\x08\xa0\x06\xa0\x04\xa4\x02\x30\x00").unwrap();
        assert_eq!(named.distribution_point, Some(vec![]));
        let relative = point(b"\x30\x04\xa0\x02\xa1\x00").unwrap();
        assert_eq!(relative.distribution_point, Some(vec![]));
        let out_of_order = point(b"\x30\x06\x82\x01\xff\x81\x01\xff").unwrap_err();
        assert!(matches!(out_of_order, ExtensionsError::Malformed(_)));
        let flags = point(b"\x30\x0d\x81\x01\xff\x82\x01\xff\x83\x02\x05\x60\x84\x01\xff").unwrap();
        assert!(flags.is_indirect);
        let coverage = flags.coverage();
        assert_eq!(coverage.certificates, Certificates::Contradictory);
        let reasons = Reasons::of(&[Reason::KeyCompromise, Reason::CaCompromise]);
        assert_eq!(coverage.reasons, reasons);
    }

    #[test]
    fn an_authority_key_identifier_may_have_a_long_serial_number() {
        let mut value = vec![0x30, 34, 0x80, 1, 7, 0x82, 29];
        value.extend_from_slice(&[0x55; 29]);
        let id = read(35, &value).unwrap().authority_key_id.unwrap();
        assert_eq!(id.key_id.as_deref(), Some(&[7][..]));
        assert_eq!(id.serial.map(|serial| serial.len()), Some(29));
    }

    #[test]
    fn extensions_and_the_names_in_them_are_bounded() {
        let many: Vec<_> = (0..33).map(|id| (id + 60, None, &b""[..])).collect();
        assert!(Extensions::from_der(&extensions(&many[..32])).is_ok());
        let error = Extensions::from_der(&extensions(&many)).unwrap_err();
        assert!(matches!(error, ExtensionsError::TooMany { limit: 32, .. }));
        let nested = |tags: &[u8], contents: Vec<u8>| {
            tags.iter().fold(contents, |contents, tag| {
                let mut der = Vec::new();
                tlv::put(&mut der, *tag, &contents).unwrap();
                der
            })
        };
        let names = |count: usize| nested(&[0xa0, 0xa0, 0x30], b"\x86\x01x".repeat(count));
        assert!(read(28, &names(128)).is_ok());
        let error = read(28, &names(129)).unwrap_err();
        assert!(matches!(error, ExtensionsError::TooMany { limit: 128, .. }));
        let points = |count: usize| nested(&[0x30], b"\x30\x00".repeat(count));
        assert!(read(46, &points(128)).is_ok());
        let error = read(46, &points(129)).unwrap_err();
        assert!(matches!(error, ExtensionsError::TooMany { limit: 128, .. }));
    }
}
