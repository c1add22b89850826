//! Writes a CRL: all but its entries, which come encoded. No key and no I/O live here.

use alloc::string::String;
use alloc::vec::Vec;

use der::Encode;
use der::asn1::{BitStringRef, Ia5String, OctetString, Uint};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::AuthorityKeyIdentifier;
use x509_cert::ext::pkix::crl::IssuingDistributionPoint;
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};

use crate::algorithm::AlgorithmIdentifier;
use crate::entry::Revocation;
use crate::name::DistinguishedName;
use crate::number::CrlNumber;
use crate::oid;
use crate::time::{OutOfRange, UnixTime};
use crate::tlv::{self, CONTEXT_0, SEQUENCE};

/// What a CRL of version 2 says apart from its entries and signature (RFC 5280 §5.1).
///
/// Small CRLs are made in one go by [`Template::sign`]. Of large ones, the entries stay where they are: [`Template::tbs`] gives
/// what stands before and after them, to be hashed and signed in order, and [`Tbs::seal`] what goes around the whole.
///
/// ```
/// use crl::{Algorithm, Digest, CrlNumber, DistinguishedName, Template, UnixTime};
///
/// let template = Template {
///     issuer: DistinguishedName::from_der(b"\x30\x0f1\x0d0\x0b\x06\x03\x55\x04\x03\x13\x04Root")?,
///     algorithm: Algorithm::Ecdsa(Digest::Sha256).identifier()?,
///     this_update: UnixTime(1_795_435_200),
///     next_update: UnixTime(1_796_040_000),
///     number: CrlNumber::from(7),
///     authority_key_id: Some(vec![1; 20]),
///     issuing_distribution_point: None,
///     base_number: None,
///     freshest_crl: None,
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
    /// Who signs: the subject of the certificate that verifies, in the same bytes.
    pub issuer: DistinguishedName,
    /// How: the inner and the outer signature algorithm.
    pub algorithm: AlgorithmIdentifier,
    /// When the CRL was made.
    pub this_update: UnixTime,
    /// By when the next one will be there.
    pub next_update: UnixTime,
    /// Greater than that of the CRL before, in the same scope.
    pub number: CrlNumber,
    /// The subject key identifier of the certificate that verifies (RFC 5280 §5.2.1).
    pub authority_key_id: Option<Vec<u8>>,
    /// What the CRL is limited to; written as critical (§5.2.5).
    pub issuing_distribution_point: Option<IssuingDistributionPoint>,
    /// In a delta CRL: the number of the complete one that it starts from; written as critical (§5.2.4).
    pub base_number: Option<CrlNumber>,
    /// In a complete CRL: the URL of its delta (§5.2.6).
    pub freshest_crl: Option<String>,
}

/// Why a CRL cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// A time that no CRL can state.
    #[error(transparent)]
    Time(#[from] OutOfRange),
    /// nextUpdate is not after thisUpdate.
    #[error("nextUpdate {next_update} is not after thisUpdate {this_update}")]
    Validity {
        /// As given.
        this_update: UnixTime,
        /// As given.
        next_update: UnixTime,
    },
    /// A delta CRL must not point to a delta CRL (RFC 5280 §5.2.6).
    #[error("a delta CRL must not have a freshest CRL (RFC 5280 §5.2.6)")]
    FreshestInDelta,
    /// DER lengths, as we write them, end at 4 GiB.
    #[error("the CRL is over 4 GiB")]
    TooLarge,
    /// What `der` could not encode: a URL that is not ASCII, say.
    #[error("cannot be encoded: {0}")]
    Encoding(der::Error),
}

impl From<der::Error> for WriteError {
    fn from(error: der::Error) -> Self {
        Self::Encoding(error)
    }
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

/// A tbsCertList around entries of a known length, which are not here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tbs {
    before: Vec<u8>,
    after: Vec<u8>,
    entries_size: u64,
    algorithm: AlgorithmIdentifier,
}

/// What goes around a signed tbsCertList to make a CRL of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// What stands before the tbsCertList.
    pub prefix: Vec<u8>,
    /// What stands after it.
    pub suffix: Vec<u8>,
    /// Octets of the whole CRL.
    pub size: u64,
}

/// An issuing distribution point with one URL and no other limit, as shards have it (RFC 5280 §5.2.5).
///
/// # Errors
/// [`WriteError::Encoding`] if the URL is not ASCII.
pub fn issuing_distribution_point(url: &str) -> Result<IssuingDistributionPoint, WriteError> {
    Ok(IssuingDistributionPoint {
        distribution_point: Some(full_name(url)?),
        only_contains_user_certs: false,
        only_contains_ca_certs: false,
        only_some_reasons: None,
        indirect_crl: false,
        only_contains_attribute_certs: false,
    })
}

impl Template {
    /// The tbsCertList around `entries_size` octets of entries.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn tbs(&self, entries_size: u64) -> Result<Tbs, WriteError> {
        let too_large = |_| WriteError::TooLarge;
        let after = self.extensions()?;
        let list_size = u32::try_from(entries_size).map_err(too_large)?;
        let mut before = self.fields()?;
        // An empty list is left out (RFC 5280 §5.1.2.6).
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

    /// A whole CRL in memory. `sign` gets the tbsCertList and gives the signature, the contents of the BIT STRING: for ECDSA
    /// in DER (RFC 5758 §3.2).
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
        let mut extensions = Vec::new();
        let mut put = |extn_id, critical, value: der::Result<Vec<u8>>| -> Result<(), WriteError> {
            extensions.push(Extension {
                extn_id,
                critical,
                extn_value: OctetString::new(value?)?,
            });
            Ok(())
        };
        if let Some(key_id) = &self.authority_key_id {
            let authority = AuthorityKeyIdentifier {
                key_identifier: Some(OctetString::new(&key_id[..])?),
                ..AuthorityKeyIdentifier::default()
            };
            put(oid::AUTHORITY_KEY_IDENTIFIER, false, authority.to_der())?;
        }
        put(oid::CRL_NUMBER, false, integer(&self.number)?.to_der())?;
        if let Some(base) = &self.base_number {
            put(oid::DELTA_CRL_INDICATOR, true, integer(base)?.to_der())?;
        }
        if let Some(point) = &self.issuing_distribution_point {
            put(oid::ISSUING_DISTRIBUTION_POINT, true, point.to_der())?;
        }
        match (&self.freshest_crl, &self.base_number) {
            (Some(_), Some(_)) => return Err(WriteError::FreshestInDelta),
            (Some(url), None) => {
                let point = DistributionPoint {
                    distribution_point: Some(full_name(url)?),
                    reasons: None,
                    crl_issuer: None,
                };
                put(oid::FRESHEST_CRL, false, [point].to_vec().to_der())?;
            }
            (None, _) => {}
        }
        let list = extensions.to_der()?;
        let mut tagged = Vec::with_capacity(list.len().saturating_add(tlv::MAX_HEAD));
        let length = u32::try_from(list.len()).map_err(|_| WriteError::TooLarge)?;
        tlv::put_head(&mut tagged, CONTEXT_0, length);
        tagged.extend_from_slice(&list);
        Ok(tagged)
    }
}

impl Tbs {
    /// What stands before the entries.
    #[must_use]
    pub fn before(&self) -> &[u8] {
        &self.before
    }

    /// What stands after them.
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

    /// What goes around the tbsCertList, once it is signed. `signature` is the contents of the BIT STRING, as for
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
        BitStringRef::from_bytes(signature)?.encode_to_vec(&mut suffix)?;
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

fn full_name(url: &str) -> Result<DistributionPointName, WriteError> {
    let url = GeneralName::UniformResourceIdentifier(Ia5String::new(url)?);
    Ok(DistributionPointName::FullName([url].to_vec()))
}

fn integer(number: &CrlNumber) -> Result<Uint, WriteError> {
    let octets = match number.as_be_bytes() {
        [] => &[0],
        octets => octets,
    };
    Ok(Uint::new(octets)?)
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

    use der::Decode;
    use x509_cert::crl::CertificateList;

    use super::*;
    use crate::algorithm::{Algorithm, Digest};
    use crate::entry::Reason;
    use crate::number::Serial;

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
            freshest_crl: None,
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
    fn x509_cert_reads_what_was_written() {
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
            issuing_distribution_point: Some(issuing_distribution_point(url).unwrap()),
            freshest_crl: Some(url.into()),
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
    fn what_cannot_be_is_refused() {
        let mut backwards = template();
        backwards.next_update = backwards.this_update;
        assert!(matches!(backwards.tbs(0), Err(WriteError::Validity { .. })));
        let delta = Template {
            base_number: Some(CrlNumber::from(1)),
            freshest_crl: Some("http://example.com/delta.crl".into()),
            ..template()
        };
        assert_eq!(delta.tbs(0), Err(WriteError::FreshestInDelta));
        assert_eq!(template().tbs(1 << 32), Err(WriteError::TooLarge));
        assert_eq!(template().tbs(u32::MAX.into()), Err(WriteError::TooLarge));
        assert!(matches!(
            issuing_distribution_point("http://é"),
            Err(WriteError::Encoding(_))
        ));
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
            let mut entry = entry.strip_prefix(b"before").unwrap();
            let contents = tlv::take(&mut entry, SEQUENCE, "").unwrap();
            assert!(entry.is_empty());
            let read = crate::entry::Entry::from_contents(contents).unwrap();
            assert_eq!(read.serial.as_be_bytes(), serial);
        }
    }
}
