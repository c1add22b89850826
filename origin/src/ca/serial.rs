//! A certificate's serial number.

use std::fmt;
use std::str::FromStr;

use crate::hex;
use crate::random::{NoRandomness, RandomSource};

/// A serial number: a positive integer of at most 20 octets (RFC 5280, section 4.1.2.2).
///
/// Stored as the shortest big-endian bytes without a sign octet, so that equal numbers are equal
/// bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(Vec<u8>);

/// Why a text or bytes are not a serial number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SerialError {
    /// It holds something other than hexadecimal digits.
    #[error("a serial number is written in hexadecimal digits: 0A1B2C or 0a:1b:2c")]
    NotHex,
    /// It is zero or empty.
    #[error("a serial number is greater than zero")]
    Zero,
    /// It is longer than 20 octets.
    #[error("a serial number has at most 20 octets (RFC 5280, section 4.1.2.2)")]
    TooLong,
}

impl Serial {
    /// From the big-endian bytes of an unsigned integer; leading zeros are ignored.
    ///
    /// # Errors
    /// [`SerialError::Zero`], [`SerialError::TooLong`].
    pub fn from_be_bytes(bytes: &[u8]) -> Result<Self, SerialError> {
        let start = bytes
            .iter()
            .position(|&byte| byte != 0)
            .ok_or(SerialError::Zero)?;
        let digits = bytes.get(start..).unwrap_or_default();
        // DER adds a sign octet if the first bit is one. The limit applies to the value without it,
        // as public CRLs apply it.
        if digits.len() > 20 {
            Err(SerialError::TooLong)
        } else {
            Ok(Self(digits.to_vec()))
        }
    }

    /// A random one: 16 octets with 126 random bits, where CA/Browser Forum BR, section 7.1, requires
    /// 64.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn random(random: &dyn RandomSource) -> Result<Self, NoRandomness> {
        let mut bytes = [0_u8; 16];
        random.fill(&mut bytes)?;
        let [first, rest @ ..] = bytes;
        // Clear the sign bit and set the next one, so that every serial has the same length.
        let mut serial = vec![(first & 0x3f) | 0x40];
        serial.extend_from_slice(&rest);
        Ok(Self(serial))
    }

    /// The shortest big-endian bytes, without a sign octet.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for Serial {
    type Err = SerialError;

    fn from_str(text: &str) -> Result<Self, SerialError> {
        let text = text.strip_prefix("0x").unwrap_or(text);
        let digits: Option<Vec<u8>> = text
            .chars()
            .filter(|&c| c != ':')
            .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect();
        let digits = digits.ok_or(SerialError::NotHex)?;
        let (odd, pairs) = digits.as_rchunks::<2>();
        let bytes: Vec<u8> = odd
            .iter()
            .copied()
            .chain(pairs.iter().map(|[high, low]| high << 4 | low))
            .collect();
        Self::from_be_bytes(&bytes)
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(&self.0))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Serial({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    #[test]
    fn the_same_number_is_the_same_serial_however_it_is_written() {
        for text in ["0a1b2c", "A1B2C", "0x0A1B2C", "0a:1b:2c", "00000a1b2c"] {
            assert_eq!(
                text.parse::<Serial>().unwrap().to_string(),
                "0a1b2c",
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_serial_is_refused() {
        assert_eq!("".parse::<Serial>(), Err(SerialError::Zero));
        assert_eq!("00".parse::<Serial>(), Err(SerialError::Zero));
        assert_eq!("12g4".parse::<Serial>(), Err(SerialError::NotHex));
        assert_eq!("-1".parse::<Serial>(), Err(SerialError::NotHex));
        assert_eq!("ff".repeat(21).parse::<Serial>(), Err(SerialError::TooLong));
        assert!("ff".repeat(20).parse::<Serial>().is_ok());
    }

    #[test]
    fn new_ones_are_sixteen_octets_and_differ() {
        let (one, two) = (
            Serial::random(&SystemRandom).unwrap(),
            Serial::random(&SystemRandom).unwrap(),
        );
        assert_eq!(one.as_bytes().len(), 16);
        assert_ne!(one, two);
    }
}
