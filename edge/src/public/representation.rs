//! A CRL as HTTP sees it: media type, length and validators (RFC 9110, section 8.8), known from the
//! head alone.

use crl::UnixTime;
use origin_api::{CrlName, IssuerId};

use super::pem;
use crate::http::Method;
use crate::refresh::head::{Head, Sha256};
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

    /// The length, in this encoding, of a CRL whose DER has `size` bytes.
    #[must_use]
    pub const fn length(self, size: u64) -> u64 {
        match self {
            Self::Der => size,
            Self::Pem => pem::length(size),
        }
    }
}

/// A CRL that is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// GET or HEAD.
    pub method: Method,
    /// The issuer that signed it.
    pub issuer: IssuerId,
    /// Which of the issuer's CRLs.
    pub name: CrlName,
    /// As DER or PEM.
    pub encoding: Encoding,
}

/// One encoding of one CRL at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Representation {
    /// Of the DER.
    sha256: Sha256,
    pub(super) encoding: Encoding,
    /// In bytes.
    pub(super) length: u64,
    pub(super) last_modified: LastModified,
}

/// `Last-Modified`: the second of the commit at the edge, and not thisUpdate, which a CA may
/// backdate or repeat. The commits of two CRLs lie at least a second apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LastModified {
    committed: UnixTime,
    now: UnixTime,
}

impl Representation {
    pub(super) fn of(head: &Head, encoding: Encoding, now: Timestamp) -> Self {
        Self {
            sha256: head.sha256,
            encoding,
            length: encoding.length(head.size),
            last_modified: LastModified::of(head, now),
        }
    }

    /// A strong entity tag, with its quotes.
    pub(super) fn etag(&self) -> String {
        let ending = match self.encoding {
            Encoding::Der => "",
            Encoding::Pem => "-pem",
        };
        format!("\"{}{ending}\"", self.sha256)
    }
}

impl LastModified {
    fn of(head: &Head, now: Timestamp) -> Self {
        Self {
            committed: head.committed_at.as_unix_time(),
            now: now.as_unix_time(),
        }
    }

    /// What clients see: no later than the answer's own `Date` (RFC 9110, section 8.8.2.1).
    pub(super) fn shown(self) -> UnixTime {
        self.committed.min(self.now)
    }

    /// Whether a client that has this date has this CRL. Only the very date says so: one from a
    /// client's own clock, or of an older copy in a cache, would hide the newer CRL.
    pub(super) fn is(self, date: UnixTime) -> bool {
        date == self.committed
    }

    /// Whether the CRL was committed after `date`.
    pub(super) fn is_after(self, date: UnixTime) -> bool {
        self.shown() > date
    }

    /// As [`is`](Self::is), for joining parts: not within the commit's own second (RFC 9110,
    /// section 8.8.2.2).
    pub(super) fn is_strongly(self, date: UnixTime) -> bool {
        self.is(date) && self.committed < self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::ByteRange;
    use crate::kv_layout::{PART_BYTES, parts_of};

    #[test]
    fn a_range_of_pem_reads_only_the_parts_that_it_is_made_from() {
        let size = 3 * PART_BYTES;
        let parts = |first, length| -> Vec<_> {
            let excerpt = pem::Excerpt::of(ByteRange { first, length }, size);
            parts_of(excerpt.der).map(|(part, _)| part).collect()
        };
        let end = Encoding::Pem.length(size);
        assert_eq!(parts(0, 1), [0]);
        assert_eq!(parts(end / 2, 1), [1]);
        assert_eq!(parts(end - 1, 1), [2]);
        assert_eq!(parts(0, end), [0, 1, 2]);
        // A line of PEM is made from 48 bytes, which two parts may share.
        let border = 25 + PART_BYTES / 48 * 65;
        assert_eq!(parts(border - 1, 1), [0]);
        assert_eq!(parts(border, 1), [0, 1]);
        assert_eq!(parts(border + 65, 1), [1]);
    }
}
