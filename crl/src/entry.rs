//! One entry of the list: read from its DER and written to it (RFC 5280 §5.1.2.6 and §5.3).

use alloc::vec::Vec;
use core::fmt;

use der::asn1::ObjectIdentifier;

use crate::number::Serial;
use crate::oid::{CERTIFICATE_ISSUER, INVALIDITY_DATE, REASON_CODE};
use crate::time::{OutOfRange, UnixTime};
use crate::tlv::{
    self, BOOLEAN, ENUMERATED, Fault, GENERALIZED_TIME, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING,
    SEQUENCE,
};
use crate::writer::WriteError;

/// A reason, but for its code, the last octet: an extension that is not critical.
const REASON_EXTENSION: &[u8; 11] = b"\x30\x0a\x06\x03\x55\x1d\x15\x04\x03\x0a\x01";
/// The same, as the only one of an entry's extensions.
const REASON_ALONE: &[u8; 13] = b"\x30\x0c\x30\x0a\x06\x03\x55\x1d\x15\x04\x03\x0a\x01";
/// An invalidity date, but for the date: an extension that is not critical.
const INVALIDITY_DATE_EXTENSION: &[u8; 9] = b"\x30\x18\x06\x03\x55\x1d\x18\x04\x11";

const REASON_FAULT: Fault = "a reason is not one that RFC 5280 §5.3.1 lists";

/// One revoked certificate: what an entry says, borrowed from its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The revoked certificate's serial number.
    pub serial: Serial<'a>,
    /// When the CA processed the revocation.
    pub revocation_date: UnixTime,
    /// Why (RFC 5280 §5.3.1); absent means [`Reason::Unspecified`].
    pub reason: Option<Reason>,
    /// Since when the key is known or suspected to have been compromised, or the certificate to be otherwise invalid (§5.3.2).
    pub invalidity_date: Option<UnixTime>,
    /// Who issued the certificate, in an indirect CRL: the DER of GeneralNames. It holds for the entries that follow, too (§5.3.3).
    pub certificate_issuer: Option<&'a [u8]>,
    /// The first extension that is critical and not one of these.
    pub unknown_critical_extension: Option<ObjectIdentifier>,
}

/// Why a certificate was revoked (RFC 5280 §5.3.1). The numbers are the standard's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Reason {
    /// Nothing is said; written by leaving the extension out.
    Unspecified = 0,
    /// The subject's key is, or may be, in other hands.
    KeyCompromise = 1,
    /// The CA's key is, or may be, in other hands.
    CaCompromise = 2,
    /// The subject's name or other information has changed.
    AffiliationChanged = 3,
    /// Another certificate took its place.
    Superseded = 4,
    /// It is no longer needed.
    CessationOfOperation = 5,
    /// On hold: may come back.
    CertificateHold = 6,
    /// In a delta CRL: back from hold, or expired.
    RemoveFromCrl = 8,
    /// A privilege that it states was withdrawn.
    PrivilegeWithdrawn = 9,
    /// The attribute authority's key is, or may be, in other hands.
    AaCompromise = 10,
}

impl Reason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::CaCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::CertificateHold,
        Self::RemoveFromCrl,
        Self::PrivilegeWithdrawn,
        Self::AaCompromise,
    ];

    /// The reason of that number; 7 is not used.
    #[inline]
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Unspecified,
            1 => Self::KeyCompromise,
            2 => Self::CaCompromise,
            3 => Self::AffiliationChanged,
            4 => Self::Superseded,
            5 => Self::CessationOfOperation,
            6 => Self::CertificateHold,
            8 => Self::RemoveFromCrl,
            9 => Self::PrivilegeWithdrawn,
            10 => Self::AaCompromise,
            _ => return None,
        })
    }

    /// Its number.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Its name in RFC 5280's ASN.1: `keyCompromise`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "keyCompromise",
            Self::CaCompromise => "cACompromise",
            Self::AffiliationChanged => "affiliationChanged",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessationOfOperation",
            Self::CertificateHold => "certificateHold",
            Self::RemoveFromCrl => "removeFromCRL",
            Self::PrivilegeWithdrawn => "privilegeWithdrawn",
            Self::AaCompromise => "aACompromise",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One certificate to be revoked: what the writer makes an entry of.
///
/// An entry's bytes depend on nothing else, so they can be made once and kept; a CRL is such bytes, one after the other.
///
/// ```
/// use crl::{Reason, Revocation, Serial, UnixTime};
///
/// let mut entries = Vec::new();
/// Revocation {
///     serial: Serial::from_be_bytes(&[0x12, 0x34]),
///     date: UnixTime(1_795_435_200),
///     reason: Reason::KeyCompromise,
///     invalidity_date: None,
/// }
/// .encode(&mut entries)?;
/// assert_eq!(entries.len(), 35);
/// # Ok::<(), crl::WriteError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation<'a> {
    /// The certificate's serial number.
    pub serial: Serial<'a>,
    /// When the revocation was processed.
    pub date: UnixTime,
    /// Why; [`Reason::Unspecified`] is left out, as RFC 5280 §5.3.1 asks.
    pub reason: Reason,
    /// Since when the certificate is known or suspected to be invalid.
    pub invalidity_date: Option<UnixTime>,
}

impl Revocation<'_> {
    /// Appends the entry's DER.
    ///
    /// # Errors
    /// [`WriteError`] if a time is outside the years 0 to 9999 or the serial number over 4 GiB. `out` may
    /// then hold a part of the entry.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), WriteError> {
        let start = out.len();
        out.extend_from_slice(&[SEQUENCE, 0]);
        self.serial.encode(out).ok_or(WriteError::TooLarge)?;
        self.date.encode(out)?;
        self.encode_extensions(out)?;
        finish_sequence(out, start)
    }

    /// Neither extension is critical, and both have a fixed length.
    fn encode_extensions(&self, out: &mut Vec<u8>) -> Result<(), OutOfRange> {
        let reason = (self.reason != Reason::Unspecified).then_some(self.reason);
        let length = match (reason, self.invalidity_date) {
            (None, None) => return Ok(()),
            (Some(_), None) => 12,
            (None, Some(_)) => 26,
            (Some(_), Some(_)) => 38,
        };
        out.extend_from_slice(&[SEQUENCE, length]);
        if let Some(reason) = reason {
            out.extend_from_slice(REASON_EXTENSION);
            out.push(reason.code());
        }
        if let Some(date) = self.invalidity_date {
            out.extend_from_slice(INVALIDITY_DATE_EXTENSION);
            date.encode_generalized(out)?;
        }
        Ok(())
    }
}

/// Writes the length of the SEQUENCE that begins at `start` with two octets of head, now that its contents are there.
fn finish_sequence(out: &mut Vec<u8>, start: usize) -> Result<(), WriteError> {
    let contents = out.len().saturating_sub(start).saturating_sub(2);
    let length = u32::try_from(contents).map_err(|_| WriteError::TooLarge)?;
    if let (Ok(short @ ..0x80), Some(octet)) =
        (u8::try_from(length), out.get_mut(start.saturating_add(1)))
    {
        *octet = short;
    } else {
        // Only for a serial number far beyond the 20 octets of RFC 5280.
        let mut head = Vec::new();
        tlv::put_head(&mut head, SEQUENCE, length);
        out.splice(start..start.saturating_add(2), head);
    }
    Ok(())
}

impl<'a> Entry<'a> {
    /// Reads the contents of an entry's SEQUENCE.
    #[expect(
        clippy::inline_always,
        reason = "the hot loop of reading: what its visitor does not use need not be made"
    )]
    #[inline(always)]
    pub(crate) fn from_contents(mut contents: &'a [u8]) -> Result<Self, Fault> {
        let serial = tlv::take(&mut contents, INTEGER, "a serial number is not an INTEGER")?;
        let serial =
            Serial::from_contents(serial).ok_or("a serial number is not in its shortest form")?;
        let revocation_date = UnixTime::take(&mut contents)?;
        // Most entries have a reason, and nothing else.
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
        })
    }
}

/// What an entry's extensions say (RFC 5280 §5.3).
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

    /// By value, and not inlined, to keep what the hot loop has in registers.
    #[inline(never)]
    fn from_der(mut input: &'a [u8]) -> Result<Self, Fault> {
        let mut read = Self::NONE;
        let mut extensions = tlv::take(
            &mut input,
            SEQUENCE,
            "an entry's extensions are not a SEQUENCE",
        )?;
        if !input.is_empty() {
            return Err("an entry goes on after its extensions");
        }
        // An empty SEQUENCE is taken for none, as webpki does: CAs do write it.
        let all = extensions;
        while !extensions.is_empty() {
            let before = all.len().wrapping_sub(extensions.len());
            let extension = Extension::take(&mut extensions)?;
            if extension.comes_in(all.get(..before).unwrap_or_default()) {
                return Err("an entry has the same extension twice (RFC 5280 §4.2)");
            }
            read.read(&extension)?;
        }
        Ok(read)
    }

    fn read(&mut self, extension: &Extension<'a>) -> Result<(), Fault> {
        const DATE: Fault = "an invalidity date is not a GeneralizedTime";
        const ISSUER: Fault = "a certificate issuer is not GeneralNames";
        let mut value = extension.value;
        match extension.oid {
            REASON_CODE => {
                let &[code] = tlv::take(&mut value, ENUMERATED, REASON_FAULT)? else {
                    return Err(REASON_FAULT);
                };
                self.reason = Some(Reason::from_code(code).ok_or(REASON_FAULT)?);
            }
            INVALIDITY_DATE => {
                let date = tlv::take(&mut value, GENERALIZED_TIME, DATE)?;
                self.invalidity_date = Some(UnixTime::from_generalized(date)?);
            }
            CERTIFICATE_ISSUER => {
                self.certificate_issuer = Some(value);
                if tlv::take(&mut value, SEQUENCE, ISSUER)?.is_empty() {
                    return Err(ISSUER);
                }
            }
            unknown => {
                if extension.critical && self.unknown_critical.is_none() {
                    let oid = ObjectIdentifier::from_bytes(unknown)
                        .map_err(|_| "an entry's extension has no valid object identifier")?;
                    self.unknown_critical = Some(oid);
                }
                return Ok(());
            }
        }
        if value.is_empty() {
            Ok(())
        } else {
            Err("an entry's extension goes on after its value")
        }
    }
}

/// One extension (RFC 5280 §4.2), undecoded.
struct Extension<'a> {
    oid: &'a [u8],
    critical: bool,
    value: &'a [u8],
}

impl<'a> Extension<'a> {
    fn take(input: &mut &'a [u8]) -> Result<Self, Fault> {
        let mut fields = tlv::take(input, SEQUENCE, "an entry's extension is not a SEQUENCE")?;
        let oid = tlv::take(
            &mut fields,
            OBJECT_IDENTIFIER,
            "an entry's extension has no object identifier",
        )?;
        let mut critical = false;
        if let [BOOLEAN, ..] = fields {
            // DER leaves the default out (X.690 §11.5), but CAs do write it, and webpki and OpenSSL take it.
            critical = match tlv::take(&mut fields, BOOLEAN, "")? {
                [0x00] => false,
                [0xff] => true,
                _ => return Err("an entry's extension does not state critical as DER does"),
            };
        }
        let value = tlv::take(
            &mut fields,
            OCTET_STRING,
            "an entry's extension has no OCTET STRING",
        )?;
        if !fields.is_empty() {
            return Err("an entry's extension goes on after its value");
        }
        Ok(Self {
            oid,
            critical,
            value,
        })
    }

    /// Whether `earlier`, whole extensions, have one of the same object identifier. There are few of them.
    fn comes_in(&self, mut earlier: &[u8]) -> bool {
        while !earlier.is_empty() {
            match Extension::take(&mut earlier) {
                Ok(extension) if extension.oid == self.oid => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn entries_are_read_as_they_are_written() {
        let dates = [None, Some(UnixTime(0)), Some(UnixTime::MAX)];
        for reason in Reason::ALL {
            for invalidity_date in dates {
                let revocation = Revocation {
                    serial: Serial::from_be_bytes(&[0xff; 20]),
                    date: UnixTime(1_700_000_000),
                    reason,
                    invalidity_date,
                };
                let mut der = Vec::new();
                revocation.encode(&mut der).unwrap();
                let mut rest = &der[..];
                let contents = tlv::take(&mut rest, SEQUENCE, "").unwrap();
                assert!(rest.is_empty());
                let entry = Entry::from_contents(contents).unwrap();
                assert_eq!(entry.serial, revocation.serial);
                assert_eq!(entry.revocation_date, revocation.date);
                assert_eq!(entry.reason.unwrap_or(Reason::Unspecified), reason);
                assert_eq!(entry.reason.is_none(), reason == Reason::Unspecified);
                assert_eq!(entry.invalidity_date, invalidity_date);
            }
        }
    }

    #[test]
    fn reasons_have_the_numbers_of_the_standard() {
        for code in 0..=u8::MAX {
            let reason = Reason::from_code(code);
            assert_eq!(reason.map_or(code, Reason::code), code);
            assert_eq!(reason.is_some(), code <= 10 && code != 7);
        }
        assert!(Reason::ALL.is_sorted());
    }

    #[test]
    fn what_cas_do_write_is_taken() {
        assert!(Entry::from_contents(&entry(b"\x30\x00")).is_ok());
        let reason = with(&[extension(21, b"\x01\x01\x00", b"\x0a\x01\x01")]);
        assert_eq!(
            Entry::from_contents(&reason).unwrap().reason,
            Some(Reason::KeyCompromise)
        );
    }

    #[test]
    fn unknown_extensions_count_if_critical() {
        let unknown = |critical: &[u8]| {
            let contents = with(&[
                extension(21, b"", b"\x0a\x01\x05"),
                extension(23, critical, b"x"),
            ]);
            let entry = Entry::from_contents(&contents).unwrap();
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
    fn a_certificate_issuer_is_shown_as_it_stands() {
        let names = b"\x30\x06\x82\x04abcd";
        let contents = with(&[extension(29, b"\x01\x01\xff", names)]);
        let entry = Entry::from_contents(&contents).unwrap();
        assert_eq!(entry.certificate_issuer, Some(&names[..]));
        assert_eq!(entry.unknown_critical_extension, None);
    }

    #[test]
    fn what_is_no_entry_is_refused() {
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
            assert!(Entry::from_contents(&contents).is_err(), "{contents:02x?}");
        }
    }
}
