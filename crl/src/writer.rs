//! Writes a CRL around entries that are already encoded.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use der::asn1::ObjectIdentifier;

use crate::algorithm::AlgorithmIdentifier;
use crate::extension::Extension;
use crate::extensions::IssuingDistributionPoint;
use crate::name::DistinguishedName;
use crate::number::CrlNumber;
use crate::oid;
use crate::revocation::Revocation;
use crate::scope::Certificates;
use crate::time::UnixTime;
use crate::tlv::{
    self, BIT_STRING, BOOLEAN, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, constructed,
    primitive,
};
use crate::write_error::WriteError;

/// What a CRL of version 2 says, without its entries and signature (RFC 5280, section 5.1).
///
/// [`Template::sign`] makes a small CRL at once. The entries of a large one stay where they are:
/// [`Template::tbs`] gives what comes before and after them, to be hashed and signed in order, and
/// [`Tbs::seal`] what goes around the whole.
///
/// ```
/// use crl::{Algorithm, Digest, CrlNumber, DistinguishedName, Template, UnixTime};
///
/// let root = b"\x30\x0f1\x0d0\x0b\x06\x03\x55\x04\x03\x13\x04Root";
/// let template = Template {
///     authority_key_id: Some(vec![1; 20]),
///     ..Template::new(
///         DistinguishedName::from_der(root)?,
///         Algorithm::Ecdsa(Digest::Sha256).identifier()?,
///         CrlNumber::from(7),
///         UnixTime(1_795_435_200)..UnixTime(1_796_040_000),
///     )
/// };
/// let entries = b""; // one after the other, as `Revocation::encode` appends them
/// let tbs = template.tbs(entries.len() as u64)?;
/// let to_be_signed = [tbs.before(), entries, tbs.after()].concat();
/// let signature = vec![0; 70]; // over `to_be_signed`
/// let seal = tbs.seal(&signature)?;
/// let crl = [&seal.prefix[..], &to_be_signed, &seal.suffix].concat();
/// assert_eq!(crl.len() as u64, seal.size);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Who signs: the subject of the certificate that verifies, byte for byte.
    pub issuer: DistinguishedName,
    /// The inner and the outer signature algorithm.
    pub algorithm: AlgorithmIdentifier,
    /// When the CRL was made.
    pub this_update: UnixTime,
    /// By when the next one will be available.
    pub next_update: UnixTime,
    /// Greater than the number of the CRL before, in the same scope.
    pub number: CrlNumber,
    /// The subject key identifier of the certificate that verifies (RFC 5280, section 5.2.1).
    pub authority_key_id: Option<Vec<u8>>,
    /// What the CRL is limited to; written as critical (RFC 5280, section 5.2.5).
    pub issuing_distribution_point: Option<IssuingDistributionPoint>,
    /// In a delta CRL: the number of the complete one that it starts from; written as critical
    /// (RFC 5280, section 5.2.4).
    pub base_number: Option<CrlNumber>,
    /// In a complete CRL: the URLs of its delta (RFC 5280, section 5.2.6).
    pub freshest_crl: Vec<String>,
    /// When the next CRL will be published, before nextUpdate: Microsoft's Next CRL Publish.
    pub next_publish: Option<UnixTime>,
    /// Further extensions, written after the others.
    pub extra_extensions: Vec<Extension>,
}

/// Why [`Template::sign`] failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError<E> {
    /// The CRL cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The signer's own error.
    #[error("signing failed: {0}")]
    Sign(E),
}

/// A tbsCertList around entries of a known length, without the entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tbs {
    before: Vec<u8>,
    after: Vec<u8>,
    entries_size: u64,
    algorithm: AlgorithmIdentifier,
}

/// What completes a signed tbsCertList to a CRL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// What comes before the tbsCertList.
    pub prefix: Vec<u8>,
    /// What comes after it.
    pub suffix: Vec<u8>,
    /// Octets of the whole CRL.
    pub size: u64,
}

impl Template {
    /// A complete CRL of an issuer, without optional extensions. `validity` is from thisUpdate to
    /// nextUpdate.
    #[must_use]
    pub fn new(
        issuer: DistinguishedName,
        algorithm: AlgorithmIdentifier,
        number: CrlNumber,
        validity: Range<UnixTime>,
    ) -> Self {
        Self {
            issuer,
            algorithm,
            this_update: validity.start,
            next_update: validity.end,
            number,
            authority_key_id: None,
            issuing_distribution_point: None,
            base_number: None,
            freshest_crl: Vec::new(),
            next_publish: None,
            extra_extensions: Vec::new(),
        }
    }

    /// The tbsCertList around `entries_size` octets of entries.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn tbs(&self, entries_size: u64) -> Result<Tbs, WriteError> {
        let too_large = |_| WriteError::TooLarge;
        let after = self.extensions()?;
        let list_size = u32::try_from(entries_size).map_err(too_large)?;
        let mut before = self.fields()?;
        // An empty list is left out (RFC 5280, section 5.1.2.6).
        if list_size != 0 {
            tlv::put_head(&mut before, SEQUENCE, list_size);
        }
        let size = sum([before.len() as u64, entries_size, after.len() as u64])?;
        let mut head = Vec::with_capacity(before.len().saturating_add(tlv::MAX_HEAD));
        tlv::put_head(&mut head, SEQUENCE, u32::try_from(size).map_err(too_large)?);
        head.append(&mut before);
        Ok(Tbs {
            before: head,
            after,
            entries_size,
            algorithm: self.algorithm.clone(),
        })
    }

    /// A whole CRL in memory. `sign` receives the tbsCertList and returns the signature: the
    /// contents of the BIT STRING, for ECDSA in DER (RFC 5758, section 3.2).
    ///
    /// # Errors
    /// [`SignError`].
    pub fn sign<'r, E>(
        &self,
        revocations: impl IntoIterator<Item = Revocation<'r>>,
        sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
    ) -> Result<Vec<u8>, SignError<E>> {
        let mut entries = Vec::new();
        for revocation in revocations {
            revocation.encode(&mut entries)?;
        }
        let tbs = self.tbs(entries.len() as u64)?;
        let mut crl = tbs.before;
        crl.append(&mut entries);
        crl.extend_from_slice(&tbs.after);
        let signature = sign(&crl).map_err(SignError::Sign)?;
        let seal = Seal::new(&self.algorithm, crl.len() as u64, &signature)?;
        crl.splice(..0, seal.prefix);
        crl.extend_from_slice(&seal.suffix);
        Ok(crl)
    }

    /// Version to nextUpdate.
    fn fields(&self) -> Result<Vec<u8>, WriteError> {
        const VERSION_2: [u8; 3] = [tlv::INTEGER, 1, 1];
        if self.next_update <= self.this_update {
            return Err(WriteError::Validity {
                this_update: self.this_update,
                next_update: self.next_update,
            });
        }
        let mut fields = VERSION_2.to_vec();
        fields.extend_from_slice(self.algorithm.as_der());
        fields.extend_from_slice(self.issuer.as_der());
        self.this_update.encode(&mut fields)?;
        self.next_update.encode(&mut fields)?;
        Ok(fields)
    }

    /// `[0] EXPLICIT Extensions`.
    fn extensions(&self) -> Result<Vec<u8>, WriteError> {
        let mut list = ExtensionList::default();
        if let Some(key_id) = &self.authority_key_id {
            let value = element(SEQUENCE, &element(primitive(0), key_id)?)?;
            list.put(oid::AUTHORITY_KEY_IDENTIFIER, false, &value)?;
        }
        list.put(oid::CRL_NUMBER, false, &integer(&self.number)?)?;
        if let Some(base) = &self.base_number {
            if *base > self.number {
                return Err(WriteError::BaseAboveNumber);
            }
            list.put(oid::DELTA_CRL_INDICATOR, true, &integer(base)?)?;
        }
        if let Some(point) = &self.issuing_distribution_point {
            list.put(oid::ISSUING_DISTRIBUTION_POINT, true, &point_value(point)?)?;
        }
        if !self.freshest_crl.is_empty() {
            if self.base_number.is_some() {
                return Err(WriteError::FreshestInDelta);
            }
            let point = element(SEQUENCE, &point_name(&self.freshest_crl)?)?;
            list.put(oid::FRESHEST_CRL, false, &element(SEQUENCE, &point)?)?;
        }
        if let Some(time) = self.next_publish {
            let mut value = Vec::new();
            time.encode(&mut value)?;
            list.put(oid::NEXT_CRL_PUBLISH, false, &value)?;
        }
        for extension in &self.extra_extensions {
            list.put(extension.oid, extension.critical, &extension.value)?;
        }
        element(constructed(0), &element(SEQUENCE, &list.der)?)
    }
}

/// Extensions, encoded one after the other.
#[derive(Default)]
struct ExtensionList {
    der: Vec<u8>,
    types: Vec<ObjectIdentifier>,
}

impl ExtensionList {
    fn put(
        &mut self,
        oid: ObjectIdentifier,
        critical: bool,
        value: &[u8],
    ) -> Result<(), WriteError> {
        if self.types.contains(&oid) {
            return Err(WriteError::ExtensionTwice(oid));
        }
        self.types.push(oid);
        let mut fields = element(OBJECT_IDENTIFIER, oid.as_bytes())?;
        if critical {
            fields.append(&mut element(BOOLEAN, &[0xff])?);
        }
        fields.append(&mut element(OCTET_STRING, value)?);
        self.der.append(&mut element(SEQUENCE, &fields)?);
        Ok(())
    }
}

/// The DER of an IssuingDistributionPoint (RFC 5280, section 5.2.5).
fn point_value(point: &IssuingDistributionPoint) -> Result<Vec<u8>, WriteError> {
    if point.is_empty() {
        return Err(WriteError::DistributionPoint("limits nothing"));
    }
    if point.coverage().certificates == Certificates::Contradictory {
        return Err(WriteError::DistributionPoint(
            "sets over one of the only… flags",
        ));
    }
    let mut fields = Vec::new();
    if let Some(urls) = &point.distribution_point {
        fields.append(&mut point_name(urls)?);
    }
    put_flag(&mut fields, 1, point.only_user_certificates);
    put_flag(&mut fields, 2, point.only_ca_certificates);
    if let Some(reasons) = point.only_some_reasons {
        fields.append(&mut element(primitive(3), &reasons.to_bit_string())?);
    }
    put_flag(&mut fields, 4, point.is_indirect);
    put_flag(&mut fields, 5, point.only_attribute_certificates);
    element(SEQUENCE, &fields)
}

/// `[number] BOOLEAN DEFAULT FALSE`.
fn put_flag(fields: &mut Vec<u8>, number: u8, is_set: bool) {
    if is_set {
        fields.extend_from_slice(&[primitive(number), 1, 0xff]);
    }
}

/// `[0]` with a DistributionPointName: the full name, made of URLs.
fn point_name(urls: &[String]) -> Result<Vec<u8>, WriteError> {
    if urls.is_empty() {
        return Err(WriteError::DistributionPoint("has no URL"));
    }
    let mut names = Vec::new();
    for url in urls {
        if url.is_empty() || !url.is_ascii() {
            return Err(WriteError::Url);
        }
        names.append(&mut element(primitive(6), url.as_bytes())?);
    }
    element(constructed(0), &element(constructed(0), &names)?)
}

/// A whole element.
fn element(tag: u8, contents: &[u8]) -> Result<Vec<u8>, WriteError> {
    let mut der = Vec::with_capacity(contents.len().saturating_add(tlv::MAX_HEAD));
    tlv::put(&mut der, tag, contents).ok_or(WriteError::TooLarge)?;
    Ok(der)
}

fn integer(number: &CrlNumber) -> Result<Vec<u8>, WriteError> {
    let mut contents = Vec::new();
    let octets = number.as_be_bytes();
    if matches!(octets, [] | [0x80..=0xff, ..]) {
        contents.push(0);
    }
    contents.extend_from_slice(octets);
    element(INTEGER, &contents)
}

impl Tbs {
    /// What comes before the entries.
    #[must_use]
    pub fn before(&self) -> &[u8] {
        &self.before
    }

    /// What comes after them.
    #[must_use]
    pub fn after(&self) -> &[u8] {
        &self.after
    }

    /// Octets of the whole tbsCertList.
    #[must_use]
    pub fn size(&self) -> u64 {
        let around = self.before.len().saturating_add(self.after.len());
        self.entries_size.saturating_add(around as u64)
    }

    /// What goes around the tbsCertList, once it is signed. `signature` is as for
    /// [`Template::sign`].
    ///
    /// # Errors
    /// [`WriteError::TooLarge`].
    pub fn seal(&self, signature: &[u8]) -> Result<Seal, WriteError> {
        Seal::new(&self.algorithm, self.size(), signature)
    }
}

impl Seal {
    fn new(
        algorithm: &AlgorithmIdentifier,
        tbs_size: u64,
        signature: &[u8],
    ) -> Result<Self, WriteError> {
        let mut suffix = algorithm.as_der().to_vec();
        let bits = [&[0], signature].concat();
        tlv::put(&mut suffix, BIT_STRING, &bits).ok_or(WriteError::TooLarge)?;
        let contents = sum([tbs_size, suffix.len() as u64])?;
        let mut prefix = Vec::new();
        tlv::put_head(
            &mut prefix,
            SEQUENCE,
            u32::try_from(contents).map_err(|_| WriteError::TooLarge)?,
        );
        Ok(Self {
            size: sum([prefix.len() as u64, contents])?,
            prefix,
            suffix,
        })
    }
}

fn sum<const N: usize>(sizes: [u64; N]) -> Result<u64, WriteError> {
    sizes
        .into_iter()
        .try_fold(0u64, u64::checked_add)
        .ok_or(WriteError::TooLarge)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use der::{Decode, Encode};
    use x509_cert::crl::CertificateList;

    use super::*;
    use crate::algorithm::{Algorithm, Digest};
    use crate::reason::Reason;
    use crate::serial::Serial;

    fn template() -> Template {
        Template {
            issuer: DistinguishedName::from_der(
                b"\x30\x0f1\x0d0\x0b\x06\x03\x55\x04\x03\x13\x04Root",
            )
            .unwrap(),
            algorithm: Algorithm::Ecdsa(Digest::Sha256).identifier().unwrap(),
            this_update: "2049-12-31T23:59:59Z".parse().unwrap(),
            next_update: "2050-01-07T00:00:00Z".parse().unwrap(),
            number: CrlNumber::from(200),
            authority_key_id: Some(vec![7; 20]),
            issuing_distribution_point: None,
            base_number: None,
            freshest_crl: Vec::new(),
            next_publish: None,
            extra_extensions: Vec::new(),
        }
    }

    fn sign(template: &Template, revocations: &[Revocation<'_>]) -> Vec<u8> {
        template
            .sign(revocations.iter().copied(), |tbs| {
                Ok::<_, ()>(vec![0x5a; tbs.len() % 7 + 64])
            })
            .unwrap()
    }

    #[test]
    fn an_empty_list_is_left_out() {
        let crl =
            CertificateList::<x509_cert::certificate::Rfc5280>::from_der(&sign(&template(), &[]))
                .unwrap();
        assert_eq!(crl.tbs_cert_list.revoked_certificates, None);
        assert_eq!(crl.tbs_cert_list.crl_extensions.unwrap().len(), 2);
    }

    #[test]
    fn x509_cert_reads_what_is_written() {
        let date = UnixTime(1_000_000_000);
        let revocations = Reason::ALL.map(|reason| Revocation {
            serial: Serial::from_be_bytes(&[0x80, 1, 2]),
            date,
            reason,
            invalidity_date: Some(date),
        });
        let crl = sign(&template(), &revocations);
        let list = CertificateList::<x509_cert::certificate::Rfc5280>::from_der(&crl).unwrap();
        assert_eq!(list.to_der().unwrap(), crl);
        let entries = list.tbs_cert_list.revoked_certificates.unwrap();
        assert_eq!(entries.len(), revocations.len());
        let extensions = |n: usize| entries[n].crl_entry_extensions.as_ref().unwrap().len();
        assert_eq!((extensions(0), extensions(1)), (1, 2));
    }

    #[test]
    fn scope_is_written_as_critical() {
        let url = "http://example.com/shard-0.crl";
        let shard = Template {
            issuing_distribution_point: Some(IssuingDistributionPoint::from_url(url)),
            freshest_crl: vec![url.into()],
            ..template()
        };
        let list = CertificateList::<x509_cert::certificate::Rfc5280>::from_der(&sign(&shard, &[]))
            .unwrap();
        let critical: Vec<bool> = list
            .tbs_cert_list
            .crl_extensions
            .unwrap()
            .iter()
            .map(|extension| extension.critical)
            .collect();
        assert_eq!(critical, [false, false, true, false]);
    }

    #[test]
    fn pieces_make_the_same_crl_as_the_whole() {
        let revocation = Revocation {
            serial: Serial::from_be_bytes(&[1]),
            date: UnixTime(0),
            reason: Reason::Unspecified,
            invalidity_date: None,
        };
        let mut entries = Vec::new();
        for _ in 0..5000 {
            revocation.encode(&mut entries).unwrap();
        }
        let tbs = template().tbs(entries.len() as u64).unwrap();
        let signed = [tbs.before(), &entries, tbs.after()].concat();
        assert_eq!(signed.len() as u64, tbs.size());
        let seal = tbs.seal(&vec![0x5a; signed.len() % 7 + 64]).unwrap();
        let crl = [&seal.prefix[..], &signed, &seal.suffix].concat();
        assert_eq!(crl.len() as u64, seal.size);
        assert_eq!(crl, sign(&template(), &vec![revocation; 5000]));
    }

    #[test]
    fn a_template_that_no_crl_may_be_made_of_is_refused() {
        let mut backwards = template();
        backwards.next_update = backwards.this_update;
        assert!(matches!(backwards.tbs(0), Err(WriteError::Validity { .. })));
        let delta = Template {
            base_number: Some(CrlNumber::from(1)),
            freshest_crl: vec!["http://example.com/delta.crl".into()],
            ..template()
        };
        assert_eq!(delta.tbs(0), Err(WriteError::FreshestInDelta));
        assert_eq!(template().tbs(1 << 32), Err(WriteError::TooLarge));
        assert_eq!(template().tbs(u32::MAX.into()), Err(WriteError::TooLarge));
        let limited_to = |point| {
            let template = Template {
                issuing_distribution_point: Some(point),
                ..template()
            };
            template.tbs(0).unwrap_err()
        };
        let url = IssuingDistributionPoint::from_url("http://é");
        assert_eq!(limited_to(url), WriteError::Url);
        let nothing = IssuingDistributionPoint::default();
        assert_eq!(
            limited_to(nothing),
            WriteError::DistributionPoint("limits nothing")
        );
        let both = IssuingDistributionPoint {
            only_user_certificates: true,
            only_ca_certificates: true,
            ..IssuingDistributionPoint::default()
        };
        assert!(matches!(limited_to(both), WriteError::DistributionPoint(_)));
        let above = Template {
            base_number: Some(CrlNumber::from(201)),
            ..template()
        };
        assert_eq!(above.tbs(0), Err(WriteError::BaseAboveNumber));
        let twice = Template {
            extra_extensions: vec![Extension {
                oid: oid::CRL_NUMBER,
                critical: false,
                value: vec![2, 1, 1],
            }],
            ..template()
        };
        assert_eq!(
            twice.tbs(0),
            Err(WriteError::ExtensionTwice(oid::CRL_NUMBER))
        );
    }

    #[test]
    fn a_serial_of_any_length_is_written() {
        for octets in [1, 20, 100, 127, 128, 300, 70_000] {
            let serial = vec![0x42; octets];
            let revocation = Revocation {
                serial: Serial::from_be_bytes(&serial),
                date: UnixTime(0),
                reason: Reason::Unspecified,
                invalidity_date: None,
            };
            let mut entry = b"before".to_vec();
            revocation.encode(&mut entry).unwrap();
            let entry = entry.strip_prefix(b"before").unwrap();
            let read = crate::entry::Entry::from_der(entry).unwrap();
            assert_eq!(read.serial.as_be_bytes(), serial);
        }
    }

    /// What is written comes back from x509-cert and from our own reader.
    #[test]
    fn every_extension_is_written() {
        let expired_certs_on_crl = Extension {
            oid: ObjectIdentifier::new_unwrap("2.5.29.60"),
            critical: false,
            value: b"\x18\x0f20200101000000Z".to_vec(),
        };
        let urls: Vec<String> = ["http://a.example/", "http://b.example/"]
            .map(Into::into)
            .into();
        let point = IssuingDistributionPoint {
            distribution_point: Some(urls.clone()),
            only_ca_certificates: true,
            only_some_reasons: Some(crate::Reasons::of(&[Reason::CaCompromise])),
            is_indirect: true,
            ..IssuingDistributionPoint::default()
        };
        let template = Template {
            issuing_distribution_point: Some(point.clone()),
            freshest_crl: urls.clone(),
            next_publish: Some("2049-12-31T00:00:00Z".parse().unwrap()),
            extra_extensions: vec![expired_certs_on_crl.clone()],
            ..template()
        };
        let der = sign(&template, &[]);
        let list = CertificateList::<x509_cert::certificate::Rfc5280>::from_der(&der).unwrap();
        assert_eq!(list.to_der().unwrap(), der);
        let extensions = list.tbs_cert_list.crl_extensions.unwrap();
        assert_eq!(extensions.len(), 6);
        let idp: x509_cert::ext::pkix::crl::IssuingDistributionPoint = extensions
            .iter()
            .find(|extension| extension.extn_id == oid::ISSUING_DISTRIBUTION_POINT)
            .map(|extension| Decode::from_der(extension.extn_value.as_bytes()).unwrap())
            .unwrap();
        assert!(idp.only_contains_ca_certs && idp.indirect_crl);
        let crl = crate::read(&der, crate::Limits::default(), &mut ()).unwrap();
        assert_eq!(crl.extensions.issuing_distribution_point, Some(point));
        assert_eq!(crl.extensions.freshest_crl, Some(urls));
        assert_eq!(crl.extensions.next_publish, template.next_publish);
        assert_eq!(crl.extensions.unknown, [expired_certs_on_crl]);
    }
}
