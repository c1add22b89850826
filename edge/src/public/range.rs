//! Range requests: RFC 9110, section 14, for single ranges of bytes.

use super::conditions;
use super::representation::Representation;
use crate::http::ByteRange;

/// What a request asks to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Selection {
    /// Everything: no range, or one that is to be ignored.
    Whole,
    /// These bytes: 206.
    Part(ByteRange),
    /// Bytes that don't exist: 416.
    Unsatisfiable,
}

/// Reads `Range` and `If-Range` of a GET: for other methods they mean nothing (section 14.2).
pub(super) fn select(
    header: &impl Fn(&str) -> Option<String>,
    current: &Representation,
) -> Selection {
    let spec = header("Range").and_then(|value| RangeSpec::parse(&value));
    match spec {
        Some(spec)
            if header("If-Range")
                .is_none_or(|value| conditions::if_range_holds(&value, current)) =>
        {
            spec.select(current.length)
        }
        _ => Selection::Whole,
    }
}

/// One range of bytes (section 14.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RangeSpec {
    /// From one position to another, or to the end.
    From { first: u64, last: Option<u64> },
    /// The last so many bytes.
    Suffix { length: u64 },
}

impl RangeSpec {
    /// Reads the value of `Range`. Malformed values, other units and several ranges give none, as a
    /// server may ignore each of these (section 14.2): nobody reads CRLs by multipart, and many
    /// ranges are an attack (section 17.15).
    fn parse(value: &str) -> Option<Self> {
        let (unit, ranges) = value.split_once('=')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        let mut ranges = ranges
            .split(',')
            .map(|range| range.trim_matches([' ', '\t']))
            .filter(|range| !range.is_empty());
        let (Some(range), None) = (ranges.next(), ranges.next()) else {
            return None;
        };
        match range.split_once('-')? {
            ("", length) => Some(Self::Suffix {
                length: number(length)?,
            }),
            (first, "") => Some(Self::From {
                first: number(first)?,
                last: None,
            }),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::From {
                    first,
                    last: Some(last),
                })
            }
        }
    }

    fn select(self, length: u64) -> Selection {
        let (first, end) = match self {
            Self::From { first, last } => (
                first,
                last.map_or(length, |last| last.saturating_add(1).min(length)),
            ),
            Self::Suffix { length: suffix } => (length.saturating_sub(suffix), length),
        };
        match end.checked_sub(first) {
            Some(length @ 1..) => Selection::Part(ByteRange { first, length }),
            _ => Selection::Unsatisfiable,
        }
    }
}

/// Decimal digits and nothing else. A number that is too large for its type is still larger than
/// any CRL.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_range_selects_the_bytes_that_its_definition_names(length in 1..50_u64, first in 0..60_u64, last in 0..60_u64) {
            // A range's bytes are its positions, so that what is selected can be computed by
            // filtering.
            let positions = |belongs: &dyn Fn(u64) -> bool| (0..length).filter(|&at| belongs(at)).collect::<Vec<_>>();
            let selected = |value: &str| match RangeSpec::parse(value).map(|spec| spec.select(length)) {
                Some(Selection::Part(part)) => (part.first..part.end()).collect(),
                Some(Selection::Unsatisfiable) => Vec::new(),
                Some(Selection::Whole) | None => panic!("{value} is well formed"),
            };
            prop_assert_eq!(selected(&format!("bytes={first}-")), positions(&|at| at >= first));
            prop_assert_eq!(selected(&format!("bytes=-{last}")), positions(&|at| at + last >= length));
            if first <= last {
                prop_assert_eq!(selected(&format!("bytes={first}-{last}")), positions(&|at| (first..=last).contains(&at)));
            }
        }

        #[test]
        fn no_text_panics_and_no_part_leaves_the_bytes(value in "(bytes)?[=0-9, -]{0,50}", length in 0..u64::MAX) {
            if let Some(Selection::Part(part)) = RangeSpec::parse(&value).map(|spec| spec.select(length)) {
                prop_assert!(part.length > 0 && part.end() <= length);
            }
        }
    }
}
