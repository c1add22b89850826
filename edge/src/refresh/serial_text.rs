//! Serial numbers as text, in lines.

use crl::Serial;

/// A serial number in hexadecimal, lower case. A negative one, which RFC 5280 does not allow, has a
/// minus sign before its two's complement.
pub(super) fn write(serial: &Serial<'_>) -> String {
    let sign = if serial.is_negative() { "-" } else { "" };
    let octets = serial.as_be_bytes().iter();
    octets.fold(sign.to_owned(), |mut text, octet| {
        for digit in [octet >> 4, octet & 0xf] {
            text.extend(char::from_digit(digit.into(), 16));
        }
        text
    })
}

/// Whether the origin can be asked about it: its API has no form for negative ones.
pub(super) fn is_negative(text: &str) -> bool {
    text.starts_with('-')
}

/// The octets of a serial number that was written.
pub(super) struct SerialText {
    octets: Vec<u8>,
    is_negative: bool,
}

impl SerialText {
    /// `None` if the text is no serial number.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (hex, is_negative) = match text.strip_prefix('-') {
            Some(hex) => (hex, true),
            None => (text, false),
        };
        let digits = hex.as_bytes().chunks_exact(2);
        if !digits.remainder().is_empty() {
            return None;
        }
        let octet = |digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
        Some(Self {
            octets: digits.map(octet).collect::<Option<_>>()?,
            is_negative,
        })
    }

    pub(super) fn serial(&self) -> Option<Serial<'_>> {
        if self.is_negative {
            Serial::from_integer(&self.octets)
        } else {
            Some(Serial::from_be_bytes(&self.octets))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        for contents in [&[0x7f][..], &[0x00, 0x80], &[0x80], &[0xff, 0x01], &[0]] {
            let serial = Serial::from_integer(contents).unwrap();
            let text = write(&serial);
            assert_eq!(is_negative(&text), serial.is_negative());
            assert_eq!(SerialText::parse(&text).unwrap().serial(), Some(serial));
        }
        for text in ["0", "zz", "+00"] {
            assert!(SerialText::parse(text).is_none(), "{text}");
        }
        let serial = Serial::from_be_bytes(&[0x0a, 0xb1]);
        assert_eq!(write(&serial), "0ab1");
    }
}
