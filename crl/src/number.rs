//! The number of a CRL (RFC 5280, section 5.2.3).

use core::fmt;
use core::str::FromStr;

/// A CRLNumber: not negative, at most 20 octets long. Compares as a number, and is written in
/// decimal.
///
/// ```
/// use crl::CrlNumber;
///
/// let number: CrlNumber = "340282366920938463463374607431768211455".parse()?;
/// let next = number.next().map(|next| next.to_string());
/// assert_eq!(next.as_deref(), Some("340282366920938463463374607431768211456"));
/// assert!(CrlNumber::from(7) < number);
/// # Ok::<(), crl::NumberError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CrlNumber([u8; CrlNumber::MAX_OCTETS]);

/// Why octets or a text are not a [`CrlNumber`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// Over 20 octets (RFC 5280, section 5.2.3).
    #[error("a CRLNumber is longer than 20 octets (RFC 5280, section 5.2.3)")]
    TooLong,
    /// Not decimal digits.
    #[error("a CRLNumber is written in decimal digits")]
    NotDecimal,
}

impl CrlNumber {
    /// The most octets that a CRLNumber may have (RFC 5280, section 5.2.3).
    pub const MAX_OCTETS: usize = 20;

    /// Zero, the least number.
    pub const ZERO: Self = Self([0; Self::MAX_OCTETS]);

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

    /// Its octets, most significant first, without leading zeros; 0 has no octets.
    #[must_use]
    pub fn as_be_bytes(&self) -> &[u8] {
        without_leading_zeros(&self.0)
    }

    /// The next number; `None` after the greatest of 20 octets.
    #[must_use]
    pub fn next(&self) -> Option<Self> {
        self.times_plus(1, 1)
    }

    /// As an integer, if it fits.
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

pub(crate) fn without_leading_zeros(bytes: &[u8]) -> &[u8] {
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
}
