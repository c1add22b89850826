//! The serial number of a certificate (RFC 5280, section 4.1.2.2).

use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;

use crate::number::without_leading_zeros;
use crate::tlv::{self, INTEGER};

/// A certificate's serial number: an INTEGER, compared by value.
///
/// RFC 5280, section 4.1.2.2, asks for a positive one of at most 20 octets, but asks readers to
/// handle others gracefully: negative, zero and longer ones are read as they are.
///
/// ```
/// use crl::Serial;
///
/// let positive = Serial::from_be_bytes(&[0x80]);
/// assert_eq!(Serial::from_integer(&[0x00, 0x80]), Some(positive));
/// let negative = Serial::from_integer(&[0x80]).unwrap();
/// assert!(negative.is_negative() && negative < positive);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Serial<'a> {
    /// Whether a zero octet comes before `octets`, which makes the number positive.
    padded: bool,
    octets: &'a [u8],
}

impl<'a> Serial<'a> {
    /// A serial number that is not negative, from its octets, most significant first; leading
    /// zeros do not count.
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

    /// A serial number from the contents of its INTEGER, in two's complement, as certificates and
    /// CRLs have it; `None` if they are not in their shortest form, which DER requires.
    #[inline]
    #[must_use]
    pub fn from_integer(contents: &'a [u8]) -> Option<Self> {
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

    /// Its octets, most significant first, without leading zeros: what OpenSSL prints in
    /// hexadecimal. Zero is one octet. For a negative number, two's complement.
    #[inline]
    #[must_use]
    pub fn as_be_bytes(&self) -> &'a [u8] {
        self.octets
    }

    /// Whether it is below zero, which RFC 5280 does not allow a CA to issue.
    #[inline]
    #[must_use]
    pub fn is_negative(&self) -> bool {
        !self.padded && matches!(self.octets, [0x80..=0xff, ..])
    }

    /// The contents of its INTEGER.
    pub(crate) fn to_integer(self) -> Vec<u8> {
        let mut contents = Vec::with_capacity(self.octets.len().saturating_add(1));
        if self.padded {
            contents.push(0);
        }
        contents.extend_from_slice(self.octets);
        contents
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

/// In hexadecimal, as OpenSSL prints it.
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

/// By value. Positive numbers sort by length, then by their octets.
impl Ord for Serial<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.is_negative(), other.is_negative()) {
            (false, false) => {
                (self.octets.len(), self.octets).cmp(&(other.octets.len(), other.octets))
            }
            // The longer is further below zero.
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

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

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
            assert_eq!(Serial::from_integer(&der[2..]), Some(serial));
        }
        assert!(Serial::from_integer(&[0x80]).unwrap().is_negative());
        assert_eq!(Serial::from_integer(&[0x00, 0x01]), None);
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
        let serials = ascending.map(|contents| Serial::from_integer(contents).unwrap());
        assert!(serials.is_sorted());
        assert!(serials.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
