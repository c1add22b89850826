//! HTTP in plain data: methods, dates, and what the edge is about to answer, as a status, headers
//! and a plan for the body. No platform types, and no clock.

use std::borrow::Cow;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use crl::UnixTime;

/// A method (RFC 9110, section 9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Reads the same headers without the body.
    Head,
    /// Asks which methods and headers are allowed.
    Options,
    /// Acts, or submits a form.
    Post,
    /// Removes.
    Delete,
}

impl Method {
    /// Methods are case-sensitive (RFC 9110, section 9.1).
    pub(crate) fn parse(method: &str) -> Option<Self> {
        match method {
            "GET" => Some(Self::Get),
            "HEAD" => Some(Self::Head),
            "OPTIONS" => Some(Self::Options),
            "POST" => Some(Self::Post),
            "DELETE" => Some(Self::Delete),
            _ => None,
        }
    }
}

/// Header names and values, in the order in which they are sent.
pub type Headers = Vec<(&'static str, Cow<'static, str>)>;

/// An answer that is yet to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers; `Date` is the platform's.
    pub headers: Headers,
    /// What follows them.
    pub body: Body,
}

/// What an answer's body is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    None,
    /// This text.
    Text(String),
    /// All of the CRL, in the encoding asked for.
    Whole,
    /// These bytes of the CRL, in the encoding asked for.
    Part(ByteRange),
}

impl Body {
    /// The range that this body needs of the encoded CRL, which has `length` bytes; `None` if it
    /// needs none.
    #[must_use]
    pub const fn range(&self, length: u64) -> Option<ByteRange> {
        match self {
            Self::None | Self::Text(_) => None,
            Self::Whole => Some(ByteRange { first: 0, length }),
            Self::Part(range) => Some(*range),
        }
    }
}

/// Some bytes of a sequence: never none, and never past its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// The position of the first byte.
    pub first: u64,
    /// How many bytes: at least one.
    pub length: u64,
}

impl ByteRange {
    /// The position of the last byte, which belongs to the range.
    #[must_use]
    pub const fn last(self) -> u64 {
        self.end().saturating_sub(1)
    }

    /// The position after the last byte.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.first.saturating_add(self.length)
    }
}

impl Answer {
    /// The answer to a HEAD request: the same without its body (RFC 9110, section 9.3.2).
    #[must_use]
    pub fn without_body(self) -> Self {
        Self {
            body: Body::None,
            ..self
        }
    }

    /// The value of the header `name`, whatever the case of its letters.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_ref())
    }
}

/// Cuts a range out of a stream, chunk by chunk, without copying: how many bytes to skip, and how
/// many to pass on after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    skip: u64,
    take: u64,
}

impl Slice {
    /// Cuts `range` out of what comes.
    #[must_use]
    pub(crate) const fn of(range: ByteRange) -> Self {
        Self {
            skip: range.first,
            take: range.length,
        }
    }

    /// Which part of the next chunk, which has `length` bytes, is to be passed on; it may be empty.
    pub(crate) fn next(&mut self, length: usize) -> Range<usize> {
        let start = at_most(self.skip, length);
        let taken = at_most(self.take, length.saturating_sub(start));
        self.skip = self.skip.saturating_sub(start as u64);
        self.take = self.take.saturating_sub(taken as u64);
        start..start.saturating_add(taken)
    }

    /// Whether everything was passed on, so that the rest of the stream need not be read.
    #[must_use]
    pub(crate) const fn is_done(&self) -> bool {
        self.take == 0
    }
}

fn at_most(wanted: u64, limit: usize) -> usize {
    usize::try_from(wanted).map_or(limit, |wanted| wanted.min(limit))
}

/// A date in a header (RFC 9110, section 5.6.7). An IMF-fixdate: `Sun, 06 Nov 1994 08:49:37 GMT`.
/// Moments outside of 1970 to 9999, where a CRL's own dates end too, become the nearest within.
pub(crate) fn format_date(time: UnixTime) -> String {
    let seconds = u64::try_from(time.min(UnixTime::MAX).0).unwrap_or(0);
    SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_secs(seconds))
        .map(httpdate::fmt_http_date)
        .unwrap_or_default()
}

/// Reads any of the three forms of a date that recipients must take; `None` if it is no date.
pub(crate) fn parse_date(text: &str) -> Option<UnixTime> {
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

    proptest! {
        #[test]
        fn any_chunks_give_the_range(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..10),
            first in 0..120_usize,
            length in 1..120_usize,
        ) {
            let mut slice = Slice::of(ByteRange { first: first as u64, length: length as u64 });
            let cut: Vec<u8> = chunks.iter().flat_map(|chunk| &chunk[slice.next(chunk.len())]).copied().collect();
            let whole = chunks.concat();
            let expected: Vec<u8> = whole.iter().skip(first).take(length).copied().collect();
            prop_assert_eq!(&cut, &expected);
            prop_assert_eq!(slice.is_done(), expected.len() == length);
        }
    }

    #[test]
    fn the_three_forms_of_one_moment_are_read_and_the_first_is_written() {
        let moment = UnixTime(784_111_777);
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(parse_date(text), Some(moment), "{text}");
        }
        assert_eq!(format_date(moment), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn moments_that_the_format_cannot_name_become_the_nearest() {
        assert_eq!(
            format_date(UnixTime(i64::MIN)),
            "Thu, 01 Jan 1970 00:00:00 GMT"
        );
        assert_eq!(
            format_date(UnixTime(i64::MAX)),
            "Fri, 31 Dec 9999 23:59:59 GMT"
        );
    }

    proptest! {
        #[test]
        fn every_second_comes_back(seconds in 0..=UnixTime::MAX.0) {
            prop_assert_eq!(parse_date(&format_date(UnixTime(seconds))), Some(UnixTime(seconds)));
        }

        #[test]
        fn no_text_panics(text in "[ -~]{0,40}|(Sun|Monday), [0-9]{2}[- ](Feb|Nov)[- ][0-9]{2,4} [0-9:]{8} GMT") {
            let _ = parse_date(&text);
        }
    }
}
