//! One entry of the list, read from its DER (RFC 5280, sections 5.1.2.6 and 5.3).

use der::asn1::ObjectIdentifier;

use crate::extension::{ExtensionRef, SeenError, SeenTypes};
use crate::oid::{CERTIFICATE_ISSUER, INVALIDITY_DATE, REASON_CODE};
use crate::reason::Reason;
use crate::serial::Serial;
use crate::time::UnixTime;
use crate::tlv::{self, ENUMERATED, Fault, GENERALIZED_TIME, INTEGER, SEQUENCE};

/// The extensions of an entry whose only extension is a reason, without the last octet: its code.
const REASON_ALONE: &[u8; 13] = b"\x30\x0c\x30\x0a\x06\x03\x55\x1d\x15\x04\x03\x0a\x01";

const MAX_EXTENSIONS: usize = 8;

const REASON_FAULT: Fault = "a reason code is not one that RFC 5280, section 5.3.1, lists";

/// One revoked certificate: what an entry says, borrowed from its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry<'a> {
    /// The revoked certificate's serial number.
    pub serial: Serial<'a>,
    /// When the CA processed the revocation.
    pub revocation_date: UnixTime,
    /// Why (RFC 5280, section 5.3.1); absent means [`Reason::Unspecified`].
    pub reason: Option<Reason>,
    /// Since when the key is known or suspected to be compromised, or the certificate to be
    /// otherwise invalid (RFC 5280, section 5.3.2).
    pub invalidity_date: Option<UnixTime>,
    /// In an indirect CRL, who issued the certificate: the DER of GeneralNames. It also holds for
    /// the entries that follow (RFC 5280, section 5.3.3).
    pub certificate_issuer: Option<&'a [u8]>,
    /// The first critical extension of a type that is not one of these.
    pub unknown_critical_extension: Option<ObjectIdentifier>,
    /// Whether the date is a GeneralizedTime although RFC 5280, section 5.1.2.6, asks for a
    /// UTCTime. Some makers write it, and relying parties accept it.
    pub is_generalized_before_2050: bool,
    /// The entry's own DER, its tag and length included.
    pub der: &'a [u8],
    /// Where the entry begins: octets from the first of the CRL.
    pub offset: u64,
    extensions: &'a [u8],
}

/// Why an entry cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryError {
    Malformed(Fault),
    TooManyExtensions,
}

impl From<Fault> for EntryError {
    fn from(fault: Fault) -> Self {
        Self::Malformed(fault)
    }
}

impl<'a> Entry<'a> {
    /// The most extensions that an entry may have: RFC 5280 defines three, and the bound keeps the
    /// cost of reading a list linear in its size.
    pub const MAX_EXTENSIONS: usize = MAX_EXTENSIONS;

    /// Reads one entry from its DER: what stands at [`Entry::offset`] of a CRL, say. `None` if it
    /// is not an entry.
    #[must_use]
    pub fn from_der(der: &'a [u8]) -> Option<Self> {
        let contents = tlv::only(der, SEQUENCE, "").ok()?;
        Self::read(der, contents, 0).ok()
    }

    /// The same entry, at another offset.
    pub(crate) fn at(self, offset: u64) -> Self {
        Self { offset, ..self }
    }

    /// All extensions, known or not.
    pub fn extensions(&self) -> impl Iterator<Item = ExtensionRef<'a>> + use<'a> {
        let mut rest = tlv::only(self.extensions, SEQUENCE, "").unwrap_or_default();
        core::iter::from_fn(move || ExtensionRef::take(&mut rest).ok())
    }

    /// Reads an entry that begins at `offset` from its `der`, and from that without its head.
    #[expect(
        clippy::inline_always,
        reason = "the hot loop of reading: the compiler drops the parts that a visitor ignores"
    )]
    #[inline(always)]
    pub(crate) fn read(
        der: &'a [u8],
        mut contents: &'a [u8],
        offset: u64,
    ) -> Result<Self, EntryError> {
        let serial = tlv::take(&mut contents, INTEGER, "a serial number is not an INTEGER")?;
        let serial =
            Serial::from_integer(serial).ok_or("a serial number is not in its shortest form")?;
        let (revocation_date, is_generalized_before_2050) = UnixTime::take(&mut contents)?;
        // Most entries have a reason and no other extension.
        let extensions = match contents.strip_prefix(REASON_ALONE) {
            Some(&[code]) => EntryExtensions {
                reason: Some(Reason::from_code(code).ok_or(REASON_FAULT)?),
                ..EntryExtensions::NONE
            },
            _ if contents.is_empty() => EntryExtensions::NONE,
            _ => EntryExtensions::from_der(contents)?,
        };
        Ok(Self {
            serial,
            revocation_date,
            reason: extensions.reason,
            invalidity_date: extensions.invalidity_date,
            certificate_issuer: extensions.certificate_issuer,
            unknown_critical_extension: extensions.unknown_critical,
            is_generalized_before_2050,
            der,
            offset,
            extensions: contents,
        })
    }
}

/// What an entry's extensions say (RFC 5280, section 5.3).
struct EntryExtensions<'a> {
    reason: Option<Reason>,
    invalidity_date: Option<UnixTime>,
    certificate_issuer: Option<&'a [u8]>,
    unknown_critical: Option<ObjectIdentifier>,
}

impl<'a> EntryExtensions<'a> {
    const NONE: Self = Self {
        reason: None,
        invalidity_date: None,
        certificate_issuer: None,
        unknown_critical: None,
    };

    /// Returns by value, and is not inlined, so that the hot loop keeps its state in registers.
    #[inline(never)]
    fn from_der(mut input: &'a [u8]) -> Result<Self, EntryError> {
        let mut read = Self::NONE;
        let mut rest = tlv::take(
            &mut input,
            SEQUENCE,
            "an entry's extensions are not a SEQUENCE",
        )?;
        if !input.is_empty() {
            return Err("an entry continues after its extensions".into());
        }
        // CAs do write an empty SEQUENCE; webpki accepts it as no extensions.
        let mut seen = None;
        while !rest.is_empty() {
            let extension = ExtensionRef::take(&mut rest)?;
            // One alone does not come twice.
            if seen.is_some() || !rest.is_empty() {
                let seen = seen.get_or_insert_with(SeenTypes::<MAX_EXTENSIONS>::new);
                seen.add(extension.oid).map_err(|error| match error {
                    SeenError::Twice => EntryError::Malformed(
                        "an entry has the same extension twice (RFC 5280, section 4.2)",
                    ),
                    SeenError::TooMany => EntryError::TooManyExtensions,
                })?;
            }
            read.read(&extension)?;
        }
        Ok(read)
    }

    fn read(&mut self, extension: &ExtensionRef<'a>) -> Result<(), Fault> {
        const DATE: Fault = "an invalidity date is not a GeneralizedTime";
        const ISSUER: Fault = "a certificate issuer is not GeneralNames";
        let value = extension.value;
        match extension.oid {
            REASON_CODE => {
                let &[code] = tlv::only(value, ENUMERATED, REASON_FAULT)? else {
                    return Err(REASON_FAULT);
                };
                self.reason = Some(Reason::from_code(code).ok_or(REASON_FAULT)?);
            }
            INVALIDITY_DATE => {
                let date = tlv::only(value, GENERALIZED_TIME, DATE)?;
                self.invalidity_date = Some(UnixTime::from_generalized(date)?);
            }
            CERTIFICATE_ISSUER => {
                if tlv::only(value, SEQUENCE, ISSUER)?.is_empty() {
                    return Err(ISSUER);
                }
                self.certificate_issuer = Some(value);
            }
            _ if extension.critical && self.unknown_critical.is_none() => {
                self.unknown_critical = Some(
                    extension
                        .object_identifier()
                        .ok_or("an entry's extension has no valid object identifier")?,
                );
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::tlv::OCTET_STRING;

    fn read(contents: &[u8]) -> Result<Entry<'_>, EntryError> {
        Entry::read(contents, contents, 0)
    }

    /// An entry's contents: serial number 1, a date, and what follows.
    fn entry(rest: &[u8]) -> Vec<u8> {
        [b"\x02\x01\x01\x17\x0d240102030405Z", rest].concat()
    }

    fn sequence(contents: &[u8]) -> Vec<u8> {
        let mut der = Vec::new();
        tlv::put_head(&mut der, SEQUENCE, contents.len() as u32);
        der.extend_from_slice(contents);
        der
    }

    fn extension(id: u8, critical: &[u8], value: &[u8]) -> Vec<u8> {
        let value = [&[OCTET_STRING, value.len() as u8][..], value].concat();
        sequence(&[&[0x06, 3, 0x55, 0x1d, id][..], critical, &value].concat())
    }

    fn with(extensions: &[Vec<u8>]) -> Vec<u8> {
        entry(&sequence(&extensions.concat()))
    }

    #[test]
    fn what_cas_write_is_accepted() {
        assert!(read(&entry(b"\x30\x00")).is_ok());
        let reason = with(&[extension(21, b"\x01\x01\x00", b"\x0a\x01\x01")]);
        assert_eq!(read(&reason).unwrap().reason, Some(Reason::KeyCompromise));
    }

    #[test]
    fn unknown_extensions_count_if_critical() {
        let unknown = |critical: &[u8]| {
            let contents = with(&[
                extension(21, b"", b"\x0a\x01\x05"),
                extension(23, critical, b"x"),
            ]);
            let entry = read(&contents).unwrap();
            assert_eq!(entry.reason, Some(Reason::CessationOfOperation));
            entry.unknown_critical_extension
        };
        assert_eq!(unknown(b""), None);
        assert_eq!(
            unknown(b"\x01\x01\xff"),
            Some(ObjectIdentifier::new_unwrap("2.5.29.23"))
        );
    }

    #[test]
    fn a_certificate_issuer_is_given_as_it_is() {
        let names = b"\x30\x06\x82\x04abcd";
        let contents = with(&[extension(29, b"\x01\x01\xff", names)]);
        let entry = read(&contents).unwrap();
        assert_eq!(entry.certificate_issuer, Some(&names[..]));
        assert_eq!(entry.unknown_critical_extension, None);
    }

    #[test]
    fn what_is_not_an_entry_is_refused() {
        let reason = |value: &[u8]| with(&[extension(21, b"", value)]);
        for contents in [
            b"".to_vec(),
            b"\x02\x01\x01".to_vec(),
            b"\x02\x00\x17\x0d240102030405Z".to_vec(),
            b"\x02\x02\x00\x01\x17\x0d240102030405Z".to_vec(),
            b"\x04\x01\x01\x17\x0d240102030405Z".to_vec(),
            b"\x02\x7f\x01\x17\x0d240102030405Z".to_vec(),
            entry(b"\x04\x00"),
            entry(b"\x30\x00\x00"),
            entry(&sequence(b"\x30\x00")),
            reason(b"\x0a\x01\x07"),
            reason(b"\x0a\x01\x0b"),
            reason(b"\x0a\x02\x00\x01"),
            reason(b"\x02\x01\x01"),
            reason(b"\x0a\x01\x01\x00"),
            with(&[extension(24, b"", b"\x17\x0d240102030405Z")]),
            with(&[extension(29, b"", b"\x30\x00")]),
            with(&[extension(21, b"\x01\x01\x01", b"\x0a\x01\x01")]),
            with(&[extension(21, b"\x01\x00", b"\x0a\x01\x01")]),
            with(&[extension(99, b"", b""), extension(99, b"", b"")]),
            with(&[
                extension(21, b"", b"\x0a\x01\x01"),
                extension(21, b"", b"\x0a\x01\x01"),
            ]),
        ] {
            assert!(read(&contents).is_err(), "{contents:02x?}");
        }
    }

    #[test]
    fn an_entry_has_a_bounded_number_of_extensions() {
        let entry = |count: u8| {
            let all: Vec<_> = (0..count).map(|id| extension(60 + id, b"", b"")).collect();
            with(&all)
        };
        let contents = entry(8);
        let read_back = read(&contents).unwrap();
        assert_eq!(read_back.extensions().count(), 8);
        let first = read_back.extensions().next().unwrap();
        assert_eq!(
            first.object_identifier(),
            Some(ObjectIdentifier::new_unwrap("2.5.29.60"))
        );
        assert_eq!(read(&entry(9)), Err(EntryError::TooManyExtensions));
    }

    #[test]
    fn a_generalized_time_before_2050_is_noted() {
        let early = b"\x02\x01\x01\x18\x0f20240102030405Z";
        let late = b"\x02\x01\x01\x18\x0f20500102030405Z";
        assert!(read(early).unwrap().is_generalized_before_2050);
        assert!(!read(late).unwrap().is_generalized_before_2050);
        assert!(!read(&entry(b"")).unwrap().is_generalized_before_2050);
        assert_eq!(
            read(early).unwrap().revocation_date,
            read(&entry(b"")).unwrap().revocation_date
        );
    }
}
