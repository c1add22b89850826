//! Why bytes are not a CRL that we read.

/// Why bytes are not a CRL that we read. [`ReadError::code`] gives the stable code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Not DER, or not a CRL.
    #[error("malformed at octet {offset}: {fault}")]
    Malformed {
        /// Where the element begins that is wrong.
        offset: u64,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// The bytes ended before the CRL did.
    #[error("the CRL ends after {received} octets, before it is complete")]
    Truncated {
        /// How many there were.
        received: u64,
        /// How many there should have been, if its first octets were among them.
        size: Option<u64>,
    },
    /// There is more after the CRL's end.
    #[error("there is more data after the CRL's {size} octets")]
    TrailingData {
        /// Octets of the CRL.
        size: u64,
    },
    /// A part of it, or the whole, is over the limit.
    #[error("{what} has {size} octets, over the limit of {limit}")]
    TooLarge {
        /// Which part.
        what: &'static str,
        /// Its size.
        size: u64,
        /// From [`Limits`](crate::Limits).
        limit: u64,
    },
    /// The version field is there, and is not v2 (RFC 5280 §5.1.2.1).
    #[error("the version is neither absent nor 1, which means v2 (RFC 5280 §5.1.2.1)")]
    UnsupportedVersion,
    /// Over 20 octets.
    #[error("the CRLNumber has {octets} octets, over the 20 that RFC 5280 §5.2.3 allows")]
    NumberTooLong {
        /// How many it has.
        octets: usize,
    },
}

impl ReadError {
    /// The stable code, which users and the event table see.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } | Self::Truncated { .. } => "malformed",
            Self::TrailingData { .. } => "trailing_data",
            Self::TooLarge { .. } => "too_large",
            Self::UnsupportedVersion => "unsupported_version",
            Self::NumberTooLong { .. } => "number_too_long",
        }
    }
}
