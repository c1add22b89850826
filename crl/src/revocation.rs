//! One entry of the list, to be written (RFC 5280, sections 5.1.2.6 and 5.3).

use alloc::vec::Vec;

use crate::reason::Reason;
use crate::serial::Serial;
use crate::time::{OutOfRange, UnixTime};
use crate::tlv::{self, SEQUENCE};
use crate::write_error::WriteError;

/// A reason, without the last octet, its code: an extension that is not critical.
const REASON_EXTENSION: &[u8; 11] = b"\x30\x0a\x06\x03\x55\x1d\x15\x04\x03\x0a\x01";
/// An invalidity date, without the date: an extension that is not critical.
const INVALIDITY_DATE_EXTENSION: &[u8; 9] = b"\x30\x18\x06\x03\x55\x1d\x18\x04\x11";

/// One certificate to be revoked: what the writer makes an entry of.
///
/// An entry's bytes depend on nothing else, so they can be made once and kept; the list of a CRL
/// is such bytes, one after the other.
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
    /// Why; [`Reason::Unspecified`] is left out, as RFC 5280, section 5.3.1, asks.
    pub reason: Reason,
    /// Since when the certificate is known or suspected to be invalid.
    pub invalidity_date: Option<UnixTime>,
}

impl Revocation<'_> {
    /// Appends the entry's DER.
    ///
    /// # Errors
    /// [`WriteError`] if a time is outside the years 0 to 9999 or the serial number over 4 GiB.
    /// `out` may then end in a part of the entry.
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

/// Writes the length of the SEQUENCE that begins at `start` with two octets of head, now that its
/// contents are complete.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Entry;

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
                let entry = Entry::from_der(&der).unwrap();
                assert_eq!(entry.serial, revocation.serial);
                assert_eq!(entry.revocation_date, revocation.date);
                assert_eq!(entry.reason.unwrap_or(Reason::Unspecified), reason);
                assert_eq!(entry.reason.is_none(), reason == Reason::Unspecified);
                assert_eq!(entry.invalidity_date, invalidity_date);
            }
        }
    }
}
