//! Moments, and the two forms in which a CRL writes them (RFC 5280, section 4.1.2.5).
#![expect(
    clippy::inline_always,
    reason = "dates are half of the work of reading a list; the compiler drops what a visitor ignores"
)]

use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use crate::tlv::{self, Fault, GENERALIZED_TIME, UTC_TIME};

/// A moment: whole seconds since 1970-01-01T00:00:00Z, without leap seconds.
///
/// Its text form is RFC 3339's: `2026-11-23T12:00:00Z`.
///
/// ```
/// use crl::UnixTime;
///
/// let moment: UnixTime = "2026-11-23T12:00:00Z".parse()?;
/// assert_eq!(moment, UnixTime(1_795_435_200));
/// assert_eq!(moment.to_string(), "2026-11-23T12:00:00Z");
/// # Ok::<(), crl::TimeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(pub i64);

/// The text is not a moment as RFC 3339 writes it, in UTC with whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a time such as 2026-11-23T12:00:00Z")]
pub struct TimeError;

impl UnixTime {
    /// The first moment that a CRL can state: year 0.
    pub const MIN: Self = Self(-62_167_219_200);
    /// The last moment that a CRL can state, 9999-12-31T23:59:59Z, which RFC 5280,
    /// section 4.1.2.5, also uses for "never".
    pub const MAX: Self = Self(253_402_300_799);

    /// This moment plus `duration`; `None` if that is beyond `i64`.
    #[must_use]
    pub fn checked_add(self, duration: Duration) -> Option<Self> {
        let seconds = i64::try_from(duration.as_secs()).ok()?;
        self.0.checked_add(seconds).map(Self)
    }

    /// This moment minus `duration`; `None` if that is beyond `i64`.
    #[must_use]
    pub fn checked_sub(self, duration: Duration) -> Option<Self> {
        let seconds = i64::try_from(duration.as_secs()).ok()?;
        self.0.checked_sub(seconds).map(Self)
    }

    /// This moment plus `duration`, or the last moment of `i64`.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        self.checked_add(duration).unwrap_or(Self(i64::MAX))
    }

    /// This moment minus `duration`, or the first moment of `i64`.
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        self.checked_sub(duration).unwrap_or(Self(i64::MIN))
    }

    /// The time from `earlier` to this moment; `None` if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Option<Duration> {
        let seconds = self.0.checked_sub(earlier.0)?;
        u64::try_from(seconds).ok().map(Duration::from_secs)
    }

    /// Appends a `Time`: UTCTime for 1950 through 2049, GeneralizedTime otherwise (RFC 5280,
    /// section 4.1.2.5).
    pub(crate) fn encode(self, out: &mut Vec<u8>) -> Result<(), OutOfRange> {
        let civil = Civil::from_unix(self)?;
        if !(1950..2050).contains(&civil.year) {
            return self.encode_generalized(out);
        }
        tlv::put_head(out, UTC_TIME, 13);
        put_two(out, civil.year % 100);
        civil.put_rest(out);
        Ok(())
    }

    /// Appends a GeneralizedTime, whatever the year, as in invalidityDate (RFC 5280,
    /// section 5.3.2).
    pub(crate) fn encode_generalized(self, out: &mut Vec<u8>) -> Result<(), OutOfRange> {
        let civil = Civil::from_unix(self)?;
        tlv::put_head(out, GENERALIZED_TIME, 15);
        put_two(out, civil.year / 100);
        put_two(out, civil.year % 100);
        civil.put_rest(out);
        Ok(())
    }

    /// Takes a `Time` from the front of `input`. Also gives whether it is a GeneralizedTime
    /// although its year is one that RFC 5280, section 4.1.2.5, wants in a UTCTime.
    #[inline(always)]
    pub(crate) fn take(input: &mut &[u8]) -> Result<(Self, bool), Fault> {
        match tlv::take_any(input)? {
            (UTC_TIME, contents) => Ok((Self::from_utc(contents)?, false)),
            (GENERALIZED_TIME, contents) => Self::from_either_form(contents),
            _ => Err("a time is neither UTCTime nor GeneralizedTime"),
        }
    }

    #[inline(always)]
    fn from_either_form(contents: &[u8]) -> Result<(Self, bool), Fault> {
        let civil = Civil::from_generalized(contents)?;
        let is_early = (1950..2050).contains(&civil.year);
        Ok((civil.to_unix(), is_early))
    }

    /// The contents of a GeneralizedTime.
    pub(crate) fn from_generalized(contents: &[u8]) -> Result<Self, Fault> {
        Civil::from_generalized(contents).map(Civil::to_unix)
    }

    #[inline(always)]
    fn from_utc(contents: &[u8]) -> Result<Self, Fault> {
        const FAULT: Fault = "a UTCTime is not YYMMDDHHMMSSZ";
        let (Some([year, month, day, hour]), Some([_, _, minute, second]), [.., b'Z'], 13) = (
            pairs(contents, 0),
            pairs(contents, 4),
            contents,
            contents.len(),
        ) else {
            return Err(FAULT);
        };
        // RFC 5280, section 4.1.2.5.1: 50 to 99 mean 1950 to 1999.
        let century = if year >= 50 { 1900 } else { 2000 };
        Civil {
            year: year.wrapping_add(century),
            month,
            day,
            hour,
            minute,
            second,
        }
        .checked()
        .map(Civil::to_unix)
        .ok_or(FAULT)
    }
}

/// The moment is outside the years 0 to 9999, the range of GeneralizedTime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a time is outside the years 0 to 9999")]
pub struct OutOfRange;

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Civil::from_unix(*self) {
            Ok(Civil {
                year,
                month,
                day,
                hour,
                minute,
                second,
            }) => write!(
                f,
                "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
            ),
            Err(OutOfRange) => write!(f, "{} s since 1970", self.0),
        }
    }
}

impl FromStr for UnixTime {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let &[
            y3,
            y2,
            y1,
            y0,
            b'-',
            m1,
            m0,
            b'-',
            d1,
            d0,
            b'T',
            h1,
            h0,
            b':',
            n1,
            n0,
            b':',
            s1,
            s0,
            b'Z',
        ] = text.as_bytes()
        else {
            return Err(TimeError);
        };
        Civil::from_generalized(&[y3, y2, y1, y0, m1, m0, d1, d0, h1, h0, n1, n0, s1, s0, b'Z'])
            .map(Civil::to_unix)
            .map_err(|_| TimeError)
    }
}

/// A valid moment of the Gregorian calendar in UTC: years 0 to 9999, months and days from 1.
#[derive(Clone, Copy)]
struct Civil {
    year: u32,
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
}

impl Civil {
    fn from_generalized(contents: &[u8]) -> Result<Self, Fault> {
        const FAULT: Fault = "a GeneralizedTime is not YYYYMMDDHHMMSSZ";
        let (Some([century, year, month, day]), Some([_, hour, minute, second]), [.., b'Z'], 15) = (
            pairs(contents, 0),
            pairs(contents, 6),
            contents,
            contents.len(),
        ) else {
            return Err(FAULT);
        };
        Self {
            year: century.wrapping_mul(100).wrapping_add(year),
            month,
            day,
            hour,
            minute,
            second,
        }
        .checked()
        .ok_or(FAULT)
    }

    /// `self`, if there is such a moment. No branch depends on the month: the dates of a list are
    /// in no order, so the processor would mispredict it.
    #[inline(always)]
    fn checked(self) -> Option<Self> {
        const DAYS: [u32; 13] = [0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let days = *DAYS.get(self.month as usize)?;
        let valid = self.day.wrapping_sub(1) < days
            && self.hour < 24
            && self.minute < 60
            && self.second < 60;
        let leap_day = self.month == 2 && self.day == 29;
        (valid && (!leap_day || self.is_leap_year())).then_some(self)
    }

    fn is_leap_year(&self) -> bool {
        self.year.is_multiple_of(4)
            && (!self.year.is_multiple_of(100) || self.year.is_multiple_of(400))
    }

    /// Counts years from March, so that the leap day is the last of its year, in eras of 400
    /// years. All numbers are small: nothing wraps.
    #[inline(always)]
    fn to_unix(self) -> UnixTime {
        let before_march = u32::from(self.month < 3);
        // One era is added here and subtracted below, so that January of year 0 is not negative.
        let year = self.year.wrapping_add(400).wrapping_sub(before_march);
        let month = self
            .month
            .wrapping_add(before_march.wrapping_mul(12))
            .wrapping_sub(3);
        let day_of_year = month
            .wrapping_mul(153)
            .wrapping_add(2)
            .wrapping_div(5)
            .wrapping_add(self.day)
            .wrapping_sub(1);
        let days = year
            .wrapping_mul(365)
            .wrapping_add(year / 4)
            .wrapping_sub(year / 100)
            .wrapping_add(year / 400)
            .wrapping_add(day_of_year);
        let seconds = self
            .hour
            .wrapping_mul(3600)
            .wrapping_add(self.minute.wrapping_mul(60))
            .wrapping_add(self.second);
        UnixTime(
            i64::from(days)
                .wrapping_sub(719_468 + 146_097)
                .wrapping_mul(86_400)
                .wrapping_add(i64::from(seconds)),
        )
    }

    /// The inverse of [`Civil::to_unix`].
    fn from_unix(time: UnixTime) -> Result<Self, OutOfRange> {
        if !(UnixTime::MIN..=UnixTime::MAX).contains(&time) {
            return Err(OutOfRange);
        }
        // From here on all numbers are small, and none is negative.
        let narrow = |number: i64| u32::try_from(number).map_err(|_| OutOfRange);
        let second = narrow(time.0.rem_euclid(86_400))?;
        let days = narrow(time.0.div_euclid(86_400).wrapping_add(719_468 + 146_097))?;
        let era = days / 146_097;
        let day_of_era = days % 146_097;
        let year_of_era = day_of_era
            .wrapping_sub(day_of_era / 1460)
            .wrapping_add(day_of_era / 36_524)
            .wrapping_sub(day_of_era / 146_096)
            .wrapping_div(365);
        let day_of_year = day_of_era
            .wrapping_sub(year_of_era.wrapping_mul(365))
            .wrapping_sub(year_of_era / 4)
            .wrapping_add(year_of_era / 100);
        let month = day_of_year.wrapping_mul(5).wrapping_add(2) / 153; // from March
        let day = day_of_year
            .wrapping_sub(month.wrapping_mul(153).wrapping_add(2) / 5)
            .wrapping_add(1);
        let before_march = u32::from(month >= 10);
        Ok(Self {
            year: era
                .wrapping_mul(400)
                .wrapping_add(year_of_era)
                .wrapping_add(before_march)
                .wrapping_sub(400),
            month: month
                .wrapping_add(3)
                .wrapping_sub(before_march.wrapping_mul(12)),
            day,
            hour: second / 3600,
            minute: second / 60 % 60,
            second: second % 60,
        })
    }

    fn put_rest(self, out: &mut Vec<u8>) {
        for number in [self.month, self.day, self.hour, self.minute, self.second] {
            put_two(out, number);
        }
        out.push(b'Z');
    }
}

/// The eight decimal digits from `start` as four numbers under 100, all at once.
#[inline(always)]
fn pairs(text: &[u8], start: usize) -> Option<[u32; 4]> {
    let digits = text.get(start..)?.first_chunk()?;
    let nibbles = u64::from_le_bytes(*digits) ^ 0x3030_3030_3030_3030;
    // A digit over 9, plus six, reaches the upper half of its octet.
    let over = nibbles | nibbles.wrapping_add(0x0606_0606_0606_0606);
    if over & 0xf0f0_f0f0_f0f0_f0f0 != 0 {
        return None;
    }
    let [a, _, b, _, c, _, d, _] = nibbles
        .wrapping_mul(10)
        .wrapping_add(nibbles >> 8)
        .to_le_bytes();
    Some([u32::from(a), u32::from(b), u32::from(c), u32::from(d)])
}

/// Appends a number under 100 as two decimal digits.
fn put_two(out: &mut Vec<u8>, number: u32) {
    for digit in [number / 10 % 10, number % 10] {
        out.push(b'0' | (digit & 0x0f) as u8);
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn take(text: &[u8]) -> Result<UnixTime, Fault> {
        let tag = if text.len() == 15 {
            GENERALIZED_TIME
        } else {
            UTC_TIME
        };
        let mut der = Vec::new();
        tlv::put_head(&mut der, tag, u32::try_from(text.len()).unwrap());
        der.extend_from_slice(text);
        UnixTime::take(&mut &der[..]).map(|(time, _)| time)
    }

    #[test]
    fn every_day_of_ten_thousand_years_is_followed_by_the_next() {
        let mut days = UnixTime::MIN.0;
        let mut last = "0".to_string();
        while days <= UnixTime::MAX.0 {
            let text = UnixTime(days).to_string();
            assert!(text > last);
            assert_eq!(text.parse(), Ok(UnixTime(days)));
            last = text;
            days += 86_400;
        }
        assert_eq!(last, "9999-12-31T00:00:00Z");
    }

    #[test]
    fn well_known_moments() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59Z", -1),
            ("2000-02-29T12:34:56Z", 951_827_696),
            ("2038-01-19T03:14:08Z", 2_147_483_648),
            ("0000-01-01T00:00:00Z", UnixTime::MIN.0),
            ("9999-12-31T23:59:59Z", UnixTime::MAX.0),
        ] {
            assert_eq!(text.parse(), Ok(UnixTime(seconds)));
            assert_eq!(UnixTime(seconds).to_string(), text);
        }
    }

    #[test]
    fn the_form_follows_the_year() {
        for (time, form) in [
            ("1949-12-31T23:59:59Z", &b"\x18\x0f19491231235959Z"[..]),
            ("1950-01-01T00:00:00Z", b"\x17\x0d500101000000Z"),
            ("1999-12-31T23:59:59Z", b"\x17\x0d991231235959Z"),
            ("2000-01-01T00:00:00Z", b"\x17\x0d000101000000Z"),
            ("2049-12-31T23:59:59Z", b"\x17\x0d491231235959Z"),
            ("2050-01-01T00:00:00Z", b"\x18\x0f20500101000000Z"),
        ] {
            let time: UnixTime = time.parse().unwrap();
            let mut der = Vec::new();
            time.encode(&mut der).unwrap();
            assert_eq!(der, form);
            assert_eq!(UnixTime::take(&mut &der[..]), Ok((time, false)));
        }
    }

    #[test]
    fn times_that_rfc_5280_forbids_are_refused() {
        for text in [
            &b"2401010000Z"[..], // no seconds
            b"240101000000+",    // not UTC
            b"24010100000 Z",
            b"240001000000Z",
            b"241301000000Z",
            b"240100000000Z",
            b"230229000000Z", // not a leap year
            b"240101240000Z",
            b"240101006000Z",
            b"240101000060Z", // a leap second
            b"20500101000000z",
            b"2050010100000:Z",
        ] {
            assert!(take(text).is_err(), "{}", text.escape_ascii());
        }
        assert!(take(b"240229235959Z").is_ok());
        assert!(take(b"20520229000000Z").is_ok());
    }

    #[test]
    fn arithmetic_stops_at_the_ends_of_i64() {
        let hour = Duration::from_hours(1);
        assert_eq!(UnixTime(0).checked_add(hour), Some(UnixTime(3600)));
        assert_eq!(UnixTime(i64::MAX).checked_add(hour), None);
        assert_eq!(UnixTime(i64::MIN).saturating_sub(hour), UnixTime(i64::MIN));
        assert_eq!(
            UnixTime(0).saturating_add(Duration::MAX),
            UnixTime(i64::MAX)
        );
        assert_eq!(
            UnixTime(10).since(UnixTime(4)),
            Some(Duration::from_secs(6))
        );
        assert_eq!(UnixTime(4).since(UnixTime(10)), None);
        assert_eq!(
            UnixTime(i64::MAX).to_string(),
            "9223372036854775807 s since 1970"
        );
    }
}
