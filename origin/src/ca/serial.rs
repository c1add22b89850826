//! A certificate's serial number.

use std::fmt;
use std::str::FromStr;

use crate::hex;

/// A serial number: a positive integer of at most 20 octets (RFC 5280, section 4.1.2.2).
///
/// Kept as its shortest big-endian bytes, without a sign octet, so that equal numbers are equal bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(Vec<u8>);

/// Why a text or bytes are not a serial number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SerialError {
    /// Something else than hexadecimal digits.
    #[error("a serial number is written in hexadecimal digits: 0A1B2C or 0a:1b:2c")]
    NotHex,
    /// Zero, or nothing.
    #[error("a serial number is greater than zero")]
    Zero,
    /// Longer than 20 octets.
    #[error("a serial number has at most 20 octets (RFC 5280, section 4.1.2.2)")]
    TooLong,
}

impl Serial {
    /// Takes the big-endian bytes of an integer; leading zeros do not matter.
    ///
    /// # Errors
    /// [`SerialError::Zero`], [`SerialError::TooLong`].
    pub fn from_be_bytes(bytes: &[u8]) -> Result<Self, SerialError> {
        let start = bytes
            .iter()
            .position(|&byte| byte != 0)
            .ok_or(SerialError::Zero)?;
        let digits = bytes.get(start..).unwrap_or_default();
        // A leading one bit costs a sign octet in DER; the limit counts the octets of the value, as public lists do.
        if digits.len() > 20 {
            Err(SerialError::TooLong)
        } else {
            Ok(Self(digits.to_vec()))
        }
    }

    /// Makes a new one: 16 octets with 126 random bits, where 64 are asked for (CA/Browser Forum BR, section 7.1).
    ///
    /// # Errors
    /// If the system gives no randomness.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0_u8; 16];
        getrandom::fill(&mut bytes)?;
        let [first, rest @ ..] = bytes;
        // The sign bit stays clear and the next one is set, so that the length is always the same.
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
        let (one, two) = (Serial::random().unwrap(), Serial::random().unwrap());
        assert_eq!(one.as_bytes().len(), 16);
        assert_ne!(one, two);
    }
}
