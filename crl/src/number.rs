//! The number of a CRL (RFC 5280 §5.2.3), and the serial number of a certificate (§4.1.2.2).

use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;
use core::str::FromStr;

use crate::tlv::{self, INTEGER};

/// A CRLNumber: from 0, at most 20 octets long. Compared as a number, written in decimal.
///
/// ```
/// use crl::CrlNumber;
///
/// let number: CrlNumber = "340282366920938463463374607431768211455".parse()?;
/// assert_eq!(number.next().map(|next| next.to_string()).as_deref(), Some("340282366920938463463374607431768211456"));
/// assert!(CrlNumber::from(7) < number);
/// # Ok::<(), crl::NumberError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CrlNumber([u8; CrlNumber::MAX_OCTETS]);

/// Why something is not a [`CrlNumber`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// Over 20 octets (RFC 5280 §5.2.3).
    #[error("a CRLNumber is longer than 20 octets (RFC 5280 §5.2.3)")]
    TooLong,
    /// Not decimal digits.
    #[error("a CRLNumber is written in decimal digits")]
    NotDecimal,
}

impl CrlNumber {
    /// The most octets that a CRLNumber may have (RFC 5280 §5.2.3).
    pub const MAX_OCTETS: usize = 20;

    /// A number from its octets, most significant first; leading zeros do not count.
    ///
    /// # Errors
    /// [`NumberError::TooLong`].
    pub fn from_be_bytes(bytes: &[u8]) -> Result<Self, NumberError> {
        let bytes = without_leading_zeros(bytes);
        let mut octets = [0; Self::MAX_OCTETS];
        let start = octets
            .len()
            .checked_sub(bytes.len())
            .ok_or(NumberError::TooLong)?;
        for (octet, byte) in octets.iter_mut().skip(start).zip(bytes) {
            *octet = *byte;
        }
        Ok(Self(octets))
    }

    /// Its octets, most significant first, without leading zeros: 0 has none.
    #[must_use]
    pub fn as_be_bytes(&self) -> &[u8] {
        without_leading_zeros(&self.0)
    }

    /// The next number; `None` after the last one of 20 octets.
    #[must_use]
    pub fn next(&self) -> Option<Self> {
        self.times_plus(1, 1)
    }

    /// The number as an integer, which most fit.
    fn as_u64(&self) -> Option<u64> {
        let octets = self.as_be_bytes();
        let number = octets
            .iter()
            .fold(0, |number, octet| (number << 8) | u64::from(*octet));
        (octets.len() <= 8).then_some(number)
    }

    fn times_plus(mut self, factor: u32, summand: u32) -> Option<Self> {
        let mut carry = summand;
        for octet in self.0.iter_mut().rev() {
            let sum = u32::from(*octet).checked_mul(factor)?.checked_add(carry)?;
            [.., *octet] = sum.to_be_bytes();
            carry = sum >> 8;
        }
        (carry == 0).then_some(self)
    }
}

impl From<u64> for CrlNumber {
    fn from(number: u64) -> Self {
        let mut octets = [0; Self::MAX_OCTETS];
        for (octet, byte) in octets.iter_mut().rev().zip(number.to_le_bytes()) {
            *octet = byte;
        }
        Self(octets)
    }
}

impl FromStr for CrlNumber {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Self, NumberError> {
        if text.is_empty() {
            return Err(NumberError::NotDecimal);
        }
        text.chars().try_fold(Self::default(), |number, digit| {
            let digit = digit.to_digit(10).ok_or(NumberError::NotDecimal)?;
            number.times_plus(10, digit).ok_or(NumberError::TooLong)
        })
    }
}

impl fmt::Display for CrlNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(number) = self.as_u64() {
            return number.fmt(f);
        }
        // 2^160 has 49 decimal digits.
        let mut digits = [b'0'; 49];
        let mut octets = self.0;
        for digit in digits.iter_mut().rev() {
            let mut remainder = 0u32;
            for octet in &mut octets {
                let dividend = (remainder << 8) | u32::from(*octet);
                [.., *octet] = (dividend / 10).to_be_bytes();
                remainder = dividend % 10;
            }
            *digit = b'0' | (remainder & 0x0f) as u8;
        }
        let text = core::str::from_utf8(&digits).unwrap_or_default();
        let text = text.trim_start_matches('0');
        f.pad_integral(true, "", text)
    }
}

/// A certificate's serial number: the octets of its INTEGER, in shortest form.
///
/// RFC 5280 §4.1.2.2 wants it positive and at most 20 octets long, but tells those who read to handle others gracefully: so
/// negative ones, zero and longer ones are read as they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Serial<'a> {
    /// Whether a zero octet stands before `octets`, to tell them from a negative number.
    padded: bool,
    octets: &'a [u8],
}

impl<'a> Serial<'a> {
    /// A positive serial number from its octets, most significant first; leading zeros do not count.
    #[must_use]
    pub fn from_be_bytes(bytes: &'a [u8]) -> Self {
        let octets = match without_leading_zeros(bytes) {
            [] => &[0],
            octets => octets,
        };
        Self {
            padded: matches!(octets, [0x80..=0xff, ..]),
            octets,
        }
    }

    /// The contents of an INTEGER, which must be in shortest form.
    #[inline]
    pub(crate) fn from_contents(contents: &'a [u8]) -> Option<Self> {
        tlv::is_canonical_integer(contents).then_some(match contents {
            [0, octets @ ..] if !octets.is_empty() => Self {
                padded: true,
                octets,
            },
            octets => Self {
                padded: false,
                octets,
            },
        })
    }

    /// Its octets, most significant first, without leading zeros: what OpenSSL prints in hexadecimal. Zero is one octet.
    #[must_use]
    pub fn as_be_bytes(&self) -> &'a [u8] {
        self.octets
    }

    /// Whether it is below zero, which RFC 5280 does not allow to be issued.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        !self.padded && matches!(self.octets, [0x80..=0xff, ..])
    }

    /// Appends the INTEGER.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Option<()> {
        let length = self.octets.len().checked_add(self.padded.into())?;
        tlv::put_head(out, INTEGER, u32::try_from(length).ok()?);
        if self.padded {
            out.push(0);
        }
        out.extend_from_slice(self.octets);
        Some(())
    }
}

/// In hexadecimal, as OpenSSL has it.
impl fmt::Display for Serial<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_negative() {
            f.write_str("(negative) ")?;
        }
        self.octets
            .iter()
            .try_for_each(|octet| write!(f, "{octet:02X}"))
    }
}

/// By value. Positive ones sort as their octets do, shorter ones first.
impl Ord for Serial<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.is_negative(), other.is_negative()) {
            (false, false) => {
                (self.octets.len(), self.octets).cmp(&(other.octets.len(), other.octets))
            }
            // The longer one is further below zero.
            (true, true) => {
                (other.octets.len(), self.octets).cmp(&(self.octets.len(), other.octets))
            }
            (negative, _) => {
                if negative {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
        }
    }
}

impl PartialOrd for Serial<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn without_leading_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    const LARGEST: &str = "1461501637330902918203684832716283019655932542975";

    #[test]
    fn numbers_are_read_as_they_are_written() {
        for text in ["0", "1", "255", "256", "18446744073709551616", LARGEST] {
            let number: CrlNumber = text.parse().unwrap();
            assert_eq!(number.to_string(), text);
            assert_eq!(CrlNumber::from_be_bytes(number.as_be_bytes()), Ok(number));
        }
        assert_eq!(CrlNumber::from(u64::MAX).to_string(), u64::MAX.to_string());
        assert_eq!("007".parse(), Ok(CrlNumber::from(7)));
    }

    #[test]
    fn twenty_octets_are_the_end() {
        let largest: CrlNumber = LARGEST.parse().unwrap();
        assert_eq!(largest.as_be_bytes(), [0xff; 20]);
        assert_eq!(largest.next(), None);
        assert_eq!(
            "1461501637330902918203684832716283019655932542976".parse::<CrlNumber>(),
            Err(NumberError::TooLong)
        );
        assert_eq!(
            CrlNumber::from_be_bytes(&[1; 21]),
            Err(NumberError::TooLong)
        );
        assert!(CrlNumber::from_be_bytes(&[0; 21]).is_ok());
    }

    #[test]
    fn numbers_compare_by_value() {
        assert!(CrlNumber::from(0xff) < CrlNumber::from(0x100));
        assert_eq!(CrlNumber::from(0xff).next(), Some(CrlNumber::from(0x100)));
        assert_eq!(CrlNumber::from(0).as_be_bytes(), b"");
        for text in ["", "-1", "0x10", "1 ", "+1"] {
            assert_eq!(text.parse::<CrlNumber>(), Err(NumberError::NotDecimal));
        }
    }

    #[test]
    fn serials_keep_their_octets_and_sign() {
        for (bytes, der) in [
            (&[][..], &[0x02, 1, 0][..]),
            (&[0, 0, 0x7f], &[0x02, 1, 0x7f]),
            (&[0x80], &[0x02, 2, 0, 0x80]),
            (&[0x12, 0x34], &[0x02, 2, 0x12, 0x34]),
        ] {
            let serial = Serial::from_be_bytes(bytes);
            let mut out = Vec::new();
            serial.encode(&mut out).unwrap();
            assert_eq!(out, der);
            assert_eq!(Serial::from_contents(&der[2..]), Some(serial));
        }
        assert!(Serial::from_contents(&[0x80]).unwrap().is_negative());
        assert_eq!(Serial::from_contents(&[0x00, 0x01]), None);
        assert_eq!(Serial::from_be_bytes(&[0, 0x0a, 0xbc]).to_string(), "0ABC");
    }

    #[test]
    fn serials_sort_by_value() {
        let ascending: [&[u8]; 8] = [
            &[0x80, 0x00],
            &[0x80],
            &[0xff],
            &[0x00],
            &[0x01],
            &[0x7f],
            &[0x00, 0x80],
            &[0x01, 0x00],
        ];
        let serials = ascending.map(|contents| Serial::from_contents(contents).unwrap());
        assert!(serials.is_sorted());
        assert!(serials.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
