//! How far an issuer's revocations have come.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A count that grows with every change to an issuer's revocations and never decreases.
///
/// A CRL with a lower watermark than the last one was made from older data.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Watermark(pub u64);

/// The text is no decimal number of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a watermark is a decimal number from 0 to 18446744073709551615")]
pub struct WatermarkError;

impl FromStr for Watermark {
    type Err = WatermarkError;

    fn from_str(text: &str) -> Result<Self, WatermarkError> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits
            .then(|| text.parse().ok())
            .flatten()
            .map(Self)
            .ok_or(WatermarkError)
    }
}

impl fmt::Display for Watermark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_decimal_digits_and_nothing_else() {
        assert_eq!("18446744073709551615".parse(), Ok(Watermark(u64::MAX)));
        for text in ["", "-1", "+1", " 1", "1.0", "18446744073709551616"] {
            assert_eq!(text.parse::<Watermark>(), Err(WatermarkError), "{text:?}");
        }
    }
}
