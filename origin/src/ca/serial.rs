//! A certificate's serial number.

use std::fmt;
use std::str::FromStr;

use crate::hex;
use crate::random::{NoRandomness, RandomSource};

/// A certificate's serial number.
///
/// Those issued here are positive and at most 20 octets long (RFC 5280, section 4.1.2.2). Other
/// software has issued zero, negative and longer ones, which can be revoked as well.
///
/// Stored as the shortest big-endian bytes without a sign octet, so that equal numbers are equal
/// bytes. Zero and negative numbers are an octet 0, which begins no other number, and the contents
/// of their INTEGER.
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
    /// It is longer than any CRL would hold.
    #[error(
        "the serial number is longer than {} octets",
        Serial::MAX_FOREIGN_OCTETS
    )]
    FarTooLong,
}

impl Serial {
    /// The longest that is accepted from other software.
    const MAX_FOREIGN_OCTETS: usize = 255;

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

    /// A random one: 16 octets with 126 random bits, where CA/Browser Forum BR, section 7.1,
    /// requires 64.
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

    /// A serial number that other software issued, whatever its sign or length.
    ///
    /// # Errors
    /// [`SerialError::FarTooLong`].
    pub fn foreign(serial: crl::Serial<'_>) -> Result<Self, SerialError> {
        let octets = serial.as_be_bytes();
        if octets.len() > Self::MAX_FOREIGN_OCTETS {
            return Err(SerialError::FarTooLong);
        }
        let is_positive = !serial.is_negative() && octets != [0];
        Ok(Self(if is_positive {
            octets.to_vec()
        } else {
            [&[0], octets].concat()
        }))
    }

    /// Parses a serial number as OpenSSL writes it: hexadecimal digits, after a `-` if it is
    /// negative.
    ///
    /// # Errors
    /// [`SerialError::NotHex`], [`SerialError::FarTooLong`].
    pub fn from_openssl(text: &str) -> Result<Self, SerialError> {
        let (is_negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let magnitude = hex_bytes(digits)?;
        if digits.is_empty() {
            return Err(SerialError::NotHex);
        }
        if is_negative {
            Self::foreign(
                crl::Serial::from_integer(&negated(0, &magnitude)).ok_or(SerialError::Zero)?,
            )
        } else {
            Self::foreign(crl::Serial::from_be_bytes(&magnitude))
        }
    }

    /// From [`as_bytes`](Self::as_bytes).
    #[must_use]
    pub fn from_stored(bytes: &[u8]) -> Option<Self> {
        let is_valid = match bytes {
            [] => false,
            [0, contents @ ..] => crl::Serial::from_integer(contents).is_some(),
            _ => true,
        };
        is_valid.then(|| Self(bytes.to_vec()))
    }

    /// The stored form; for a positive number, its shortest big-endian bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The number, as a CRL has it.
    #[must_use]
    pub fn in_crl(&self) -> crl::Serial<'_> {
        let zero_or_negative = match self.0.as_slice() {
            [0, contents @ ..] => crl::Serial::from_integer(contents),
            _ => None,
        };
        zero_or_negative.unwrap_or_else(|| crl::Serial::from_be_bytes(&self.0))
    }
}

/// The shortest two's complement of minus a number, given its octets and the one that extends it:
/// 0 if it is positive, 0xff if it is negative.
fn negated(extension: u8, octets: &[u8]) -> Vec<u8> {
    let mut bytes = [&[extension], octets].concat();
    let mut carry = true;
    for byte in bytes.iter_mut().rev() {
        (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
    }
    let sign = |byte: u8| byte & 0x80;
    let superfluous = bytes.windows(2).take_while(|pair| match pair {
        [first @ (0 | 0xff), second] => sign(*first) == sign(*second),
        _ => false,
    });
    let count = superfluous.count();
    bytes.split_off(count)
}

fn hex_bytes(digits: &str) -> Result<Vec<u8>, SerialError> {
    let digits: Option<Vec<u8>> = digits
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits.ok_or(SerialError::NotHex)?;
    let (odd, pairs) = digits.as_rchunks::<2>();
    let pairs = pairs.iter().map(|[high, low]| high << 4 | low);
    Ok(odd.iter().copied().chain(pairs).collect())
}

impl FromStr for Serial {
    type Err = SerialError;

    fn from_str(text: &str) -> Result<Self, SerialError> {
        let text = text.strip_prefix("0x").unwrap_or(text);
        Self::from_be_bytes(&hex_bytes(&text.replace(':', ""))?)
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [0, contents @ ..] if contents != [0] => {
                let magnitude = negated(0xff, contents);
                let digits = match magnitude.as_slice() {
                    // The sign octet.
                    [0, digits @ ..] if !digits.is_empty() => digits,
                    digits => digits,
                };
                f.pad(&format!("-{}", hex::encode(digits)))
            }
            [0, ..] => f.pad("00"),
            digits => f.pad(&hex::encode(digits)),
        }
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
    fn zero_negative_and_long_serials_of_other_software_are_kept() {
        let long = "ff".repeat(25);
        for (text, contents) in [
            ("00", &[0][..]),
            ("-00", &[0]),
            ("-01", &[0xff]),
            ("-02", &[0xfe]),
            ("-80", &[0x80]),
            ("-81", &[0xff, 0x7f]),
            ("-ff", &[0xff, 0x01]),
            ("-0100", &[0xff, 0x00]),
            ("80", &[0, 0x80]),
            (&long, &[&[0][..], &[0xff; 25]].concat()),
        ] {
            let serial = Serial::from_openssl(text).unwrap();
            assert_eq!(
                Some(serial.in_crl()),
                crl::Serial::from_integer(contents),
                "{text}"
            );
            assert_eq!(serial.to_string(), text.replace("-00", "00"));
            assert_eq!(Serial::from_stored(serial.as_bytes()), Some(serial.clone()));
            assert_eq!(Serial::foreign(serial.in_crl()), Ok(serial));
        }
        let positive: Serial = "02".parse().unwrap();
        assert_ne!(Serial::from_openssl("-02"), Ok(positive.clone()));
        assert_eq!(Serial::from_openssl("0002"), Ok(positive));
        for text in ["", "-", "0x02", "--02", "-0g"] {
            assert_eq!(
                Serial::from_openssl(text),
                Err(SerialError::NotHex),
                "{text}"
            );
        }
        assert_eq!(
            Serial::from_openssl(&"ff".repeat(256)),
            Err(SerialError::FarTooLong)
        );
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
