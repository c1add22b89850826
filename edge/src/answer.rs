//! What the edge is about to answer, in plain data: status, headers, and a plan for the body. No
//! platform types.

use std::borrow::Cow;

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
