//! Why bytes cannot be read as a CRL.

/// Why bytes cannot be read as a CRL. [`ReadError::code`] gives the stable code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Not DER, or not a CRL.
    #[error("malformed at octet {offset}: {fault}")]
    Malformed {
        /// Where the faulty element begins.
        offset: u64,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// The bytes end before the CRL does.
    #[error("the CRL ends after {received} octets, before it is complete")]
    Truncated {
        /// How many octets there were.
        received: u64,
        /// How many the CRL has, if its first octets were there.
        size: Option<u64>,
    },
    /// There are more bytes after the CRL's end.
    #[error("there is more data after the CRL's {size} octets")]
    TrailingData {
        /// Octets of the CRL.
        size: u64,
    },
    /// A part, or the whole, is over a limit.
    #[error("{what} has {size} octets, over the limit of {limit}")]
    TooLarge {
        /// Which part.
        what: &'static str,
        /// Its size.
        size: u64,
        /// From [`Limits`](crate::Limits).
        limit: u64,
    },
    /// There are more elements of a kind than any CA needs.
    #[error("{what} are more than {limit}")]
    TooMany {
        /// Which elements.
        what: &'static str,
        /// How many are accepted.
        limit: usize,
    },
    /// The version field is present, and is not v2 (RFC 5280, section 5.1.2.1).
    #[error("the version is neither absent nor 1, which means v2 (RFC 5280, section 5.1.2.1)")]
    UnsupportedVersion,
    /// The CRLNumber is over 20 octets (RFC 5280, section 5.2.3).
    #[error("the CRLNumber has {octets} octets, over the 20 that RFC 5280, section 5.2.3, allows")]
    NumberTooLong {
        /// How many it has.
        octets: usize,
    },
    /// The visitor stopped the reader.
    #[error("the visitor stopped the reader")]
    Stopped,
}

impl ReadError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } | Self::Truncated { .. } => "malformed",
            Self::TrailingData { .. } => "trailing_data",
            Self::TooLarge { .. } | Self::TooMany { .. } => "too_large",
            Self::UnsupportedVersion => "unsupported_version",
            Self::NumberTooLong { .. } => "number_too_long",
            Self::Stopped => "stopped",
        }
    }
}
