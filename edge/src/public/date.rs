//! Dates in HTTP headers (RFC 9110, section 5.6.7), to and from [`UnixTime`]. The system's clock is
//! never asked.

use std::time::{Duration, SystemTime};

use crl::UnixTime;

/// An IMF-fixdate: `Sun, 06 Nov 1994 08:49:37 GMT`. Moments outside of 1970 to 9999, where a CRL's
/// own dates end too, become the nearest within.
pub(super) fn format(time: UnixTime) -> String {
    let seconds = u64::try_from(time.min(UnixTime::MAX).0).unwrap_or(0);
    SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_secs(seconds))
        .map(httpdate::fmt_http_date)
        .unwrap_or_default()
}

/// Reads any of the three forms that recipients must take; none where it is not a date.
pub(super) fn parse(text: &str) -> Option<UnixTime> {
    let since_epoch = httpdate::parse_http_date(text)
        .ok()?
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()?;
    i64::try_from(since_epoch.as_secs()).ok().map(UnixTime)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_three_forms_of_one_moment_are_read_and_the_first_is_written() {
        let moment = UnixTime(784_111_777);
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(parse(text), Some(moment), "{text}");
        }
        assert_eq!(format(moment), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn moments_that_the_format_cannot_name_become_the_nearest() {
        assert_eq!(format(UnixTime(i64::MIN)), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(format(UnixTime(i64::MAX)), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    proptest! {
        #[test]
        fn every_second_comes_back(seconds in 0..=UnixTime::MAX.0) {
            prop_assert_eq!(parse(&format(UnixTime(seconds))), Some(UnixTime(seconds)));
        }

        #[test]
        fn no_text_panics(text in "[ -~]{0,40}|(Sun|Monday), [0-9]{2}[- ](Feb|Nov)[- ][0-9]{2,4} [0-9:]{8} GMT") {
            let _ = parse(&text);
        }
    }
}
