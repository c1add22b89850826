//! A CRL as HTTP sees it: media type, length and validators (RFC 9110, section 8.8), known from the head alone.

use std::fmt::Write;

use crl::UnixTime;

use super::pem;
use crate::refresh::head::Head;
use crate::time::Timestamp;

/// How a CRL's bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As they were signed.
    Der,
    /// As text (RFC 7468, section 6).
    Pem,
}

impl Encoding {
    /// The media type: RFC 2585, section 4.2, for DER.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Der => origin_api::CRL_MEDIA_TYPE,
            Self::Pem => "application/x-pem-file",
        }
    }
}

/// One encoding of one CRL at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Representation {
    /// In bytes.
    pub(super) length: u64,
    /// A strong entity tag, with its quotes.
    pub(super) etag: String,
    pub(super) last_modified: LastModified,
}

/// When the CRL was issued, and whether that tells it from every other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LastModified {
    pub(super) time: UnixTime,
    /// Whether the time may be compared strongly: not while it lies ahead (RFC 9110, section 8.8.2.2).
    pub(super) is_strong: bool,
}

impl Representation {
    pub(super) fn of(head: &Head, encoding: Encoding, now: Timestamp) -> Self {
        let (length, ending) = match encoding {
            Encoding::Der => (head.size, ""),
            Encoding::Pem => (pem::length(head.size), "-pem"),
        };
        let mut etag = String::with_capacity(70);
        // Writing to a string cannot fail.
        let _ = write!(etag, "\"{}{ending}\"", head.sha256);
        Self {
            length,
            etag,
            last_modified: LastModified::of(head, now),
        }
    }
}

impl LastModified {
    /// The thisUpdate. One that a CA's fast clock has put ahead is replaced by `now` (RFC 9110, section 8.8.2.1).
    fn of(head: &Head, now: Timestamp) -> Self {
        let now = now.as_unix_time();
        Self {
            time: head.this_update.min(now),
            is_strong: head.this_update < now,
        }
    }
}
