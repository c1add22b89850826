//! Hexadecimal text.

use std::fmt::Write as _;

/// Bytes in lower-case hexadecimal.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    bytes.iter().fold(
        String::with_capacity(bytes.len().saturating_mul(2)),
        |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        },
    )
}

/// Exactly `N` bytes from hexadecimal.
#[must_use]
pub fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    bytes(text)?.try_into().ok()
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect()
}

/// A CRL number from hexadecimal digits; OpenSSL may write an odd count of them.
#[must_use]
pub fn number(text: &str) -> Option<crl::CrlNumber> {
    let even = if text.len().is_multiple_of(2) {
        text.to_owned()
    } else {
        format!("0{text}")
    };
    crl::CrlNumber::from_be_bytes(&bytes(&even)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_from_their_digits() {
        assert_eq!(decode(&encode(&[0, 0x0f, 0xf0])), Some([0, 0x0f, 0xf0]));
        assert_eq!(decode::<2>("0f"), None);
        assert_eq!(decode::<1>("0g"), None);
        assert_eq!(decode::<1>("é"), None);
    }

    #[test]
    fn a_number_may_have_an_odd_count_of_digits() {
        assert_eq!(number("100"), Some(crl::CrlNumber::from(256)));
        assert_eq!(number("x"), None);
    }
}
