//! A part of a whole, as settings and weights in headers give it.

use std::str::FromStr;
use std::time::Duration;

/// A part of a whole, in thousandths, from 0 to 1. Text is decimal, as `0.67`; digits after the
/// third count for nothing. It is not read as a floating-point number: that takes tables of 10 KB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fraction {
    thousandths: u32,
}

/// The text is no decimal number from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a part is a decimal number from 0 to 1")]
pub struct FractionError;

impl Fraction {
    /// Nothing of it.
    pub const NOTHING: Self = Self::from_thousandths(0);
    /// All of it.
    pub const WHOLE: Self = Self::from_thousandths(1000);

    /// So many thousandths; more than the whole is the whole.
    #[must_use]
    pub const fn from_thousandths(thousandths: u32) -> Self {
        Self {
            thousandths: if thousandths > 1000 {
                1000
            } else {
                thousandths
            },
        }
    }

    /// Whether `count` is more than this part of `whole`.
    #[must_use]
    pub(crate) fn is_exceeded_by(self, count: u64, whole: u64) -> bool {
        let part = u128::from(whole).saturating_mul(self.thousandths.into());
        u128::from(count).saturating_mul(1000) > part
    }

    /// This part of `whole`.
    #[must_use]
    pub fn of(self, whole: Duration) -> Duration {
        let thousands = whole.saturating_mul(self.thousandths);
        thousands.checked_div(1000).unwrap_or_default()
    }
}

impl FromStr for Fraction {
    type Err = FractionError;

    fn from_str(text: &str) -> Result<Self, FractionError> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let mut digits = whole.bytes().chain(decimals.bytes()).peekable();
        if digits.peek().is_none() || !digits.all(|byte| byte.is_ascii_digit()) {
            return Err(FractionError);
        }
        let whole: u32 = match whole {
            "" => 0,
            digits => digits.parse().map_err(|_| FractionError)?,
        };
        let thousandths = decimals
            .bytes()
            .chain(std::iter::repeat(b'0'))
            .take(3)
            .fold(whole, |number, digit| {
                number
                    .saturating_mul(10)
                    .saturating_add(u32::from(digit.saturating_sub(b'0')))
            });
        if thousandths > 1000 {
            return Err(FractionError);
        }
        Ok(Self { thousandths })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_numbers_from_0_to_1_are_read_to_thousandths() {
        for (text, thousandths) in [
            ("0", 0),
            ("1", 1000),
            ("1.000", 1000),
            ("0.67", 670),
            ("0.6667", 666),
            (".5", 500),
            ("0.", 0),
            ("00.05", 50),
        ] {
            let expected = Fraction::from_thousandths(thousandths);
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "",
            ".",
            "-0.5",
            "+1",
            "1.001",
            "2",
            "0,5",
            "1e-1",
            "half",
            "0.5 ",
            "99999999999",
        ] {
            assert_eq!(text.parse::<Fraction>(), Err(FractionError), "{text:?}");
        }
    }

    #[test]
    fn a_part_of_a_span_is_a_span() {
        let part: Fraction = "0.67".parse().unwrap();
        assert_eq!(part.of(Duration::from_secs(1000)), Duration::from_secs(670));
    }
}
