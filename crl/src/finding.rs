//! What is odd about a CRL that is still usable.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::entry::Entry;
use crate::reason::Reason;
use crate::serial::Serial;
use crate::time::UnixTime;

/// Something about a CRL that a rule forbids or advises against, and that relying parties accept:
/// how often, and one example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was found.
    pub kind: FindingKind,
    /// How often, at least once.
    pub count: u64,
    /// The first occurrence, for people: the serial number of an entry, say.
    pub example: Option<String>,
}

/// What was found. [`FindingKind::code`] gives the stable code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FindingKind {
    /// `generalized_time`: a GeneralizedTime through 2049 (RFC 5280, sections 5.1.2.4 to 5.1.2.6).
    GeneralizedTime,
    /// `duplicate_serial`: entries whose serial number an earlier entry has. Found by an
    /// [`Index`](crate::Index).
    DuplicateSerial,
    /// `revocation_in_future`: entries whose revocationDate is after thisUpdate.
    RevocationInFuture,
    /// `name_not_identical`: the issuer's name matches the certificate's subject (RFC 5280,
    /// section 7.1), but not byte for byte, which some relying parties require.
    NameNotIdentical,
    /// `idp_not_critical`: an issuing distribution point that is not critical (RFC 5280,
    /// section 5.2.5).
    IdpNotCritical,
    /// `key_id_missing`: no authority key identifier (RFC 5280, section 5.2.1).
    KeyIdMissing,
    /// `unspecified_reason`: entries with a reason code of unspecified, which should be left out
    /// (RFC 5280, section 5.3.1).
    UnspecifiedReason,
    /// `over_10_mb`: over 10,000,000 octets, Microsoft's limit for the CRLs of public CAs.
    Over10Mb,
}

impl FindingKind {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::GeneralizedTime => "generalized_time",
            Self::DuplicateSerial => "duplicate_serial",
            Self::RevocationInFuture => "revocation_in_future",
            Self::NameNotIdentical => "name_not_identical",
            Self::IdpNotCritical => "idp_not_critical",
            Self::KeyIdMissing => "key_id_missing",
            Self::UnspecifiedReason => "unspecified_reason",
            Self::Over10Mb => "over_10_mb",
        }
    }
}

/// In words, without count and example.
impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GeneralizedTime => {
                "a time through 2049 is a GeneralizedTime, not a UTCTime \
                 (RFC 5280, section 5.1.2.4)"
            }
            Self::DuplicateSerial => "a serial number is listed twice",
            Self::RevocationInFuture => "a revocationDate is after thisUpdate",
            Self::NameNotIdentical => {
                "the issuer's name is not byte for byte the subject of the certificate \
                 (RFC 5280, section 7.1)"
            }
            Self::IdpNotCritical => {
                "the issuing distribution point is not critical (RFC 5280, section 5.2.5)"
            }
            Self::KeyIdMissing => {
                "the CRL has no authority key identifier (RFC 5280, section 5.2.1)"
            }
            Self::UnspecifiedReason => {
                "a reason code of unspecified is written out (RFC 5280, section 5.3.1)"
            }
            Self::Over10Mb => "the CRL is over 10 MB",
        })
    }
}

impl Finding {
    /// Found once, about the CRL as a whole.
    pub(crate) fn once(kind: FindingKind, example: Option<String>) -> Self {
        Self {
            kind,
            count: 1,
            example,
        }
    }
}

/// How often something was found among entries, and the serial number of the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    count: u64,
    /// The hexadecimal serial number.
    first: Option<String>,
}

impl Tally {
    #[inline]
    pub(crate) fn add(&mut self, serial: Serial<'_>) {
        if self.count == 0 {
            self.keep_first(serial);
        }
        self.count = self.count.saturating_add(1);
    }

    #[cold]
    fn keep_first(&mut self, serial: Serial<'_>) {
        self.first = Some(serial.to_string());
    }

    pub(crate) fn finding(&self, kind: FindingKind) -> Option<Finding> {
        (self.count != 0).then(|| Finding {
            kind,
            count: self.count,
            example: self.first.clone(),
        })
    }
}

/// What reading found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Observations {
    /// Which of thisUpdate and nextUpdate are a GeneralizedTime before 2050.
    pub(crate) header_times: Vec<&'static str>,
    entry_times: Tally,
    future: Tally,
    unspecified: Tally,
}

impl Observations {
    /// Counts what is odd about an entry of a CRL with this thisUpdate.
    #[inline]
    pub(crate) fn observe(&mut self, entry: &Entry<'_>, this_update: UnixTime) {
        let is_odd = entry.is_generalized_before_2050
            || entry.revocation_date > this_update
            || entry.reason == Some(Reason::Unspecified);
        if is_odd {
            self.count(entry, this_update);
        }
    }

    #[inline]
    fn count(&mut self, entry: &Entry<'_>, this_update: UnixTime) {
        if entry.is_generalized_before_2050 {
            self.entry_times.add(entry.serial);
        }
        if entry.revocation_date > this_update {
            self.future.add(entry.serial);
        }
        if entry.reason == Some(Reason::Unspecified) {
            self.unspecified.add(entry.serial);
        }
    }

    pub(crate) fn findings(&self) -> impl Iterator<Item = Finding> {
        let times = self.header_times.len() as u64;
        let times = (times.saturating_add(self.entry_times.count) != 0).then(|| Finding {
            kind: FindingKind::GeneralizedTime,
            count: times.saturating_add(self.entry_times.count),
            example: match self.header_times.first() {
                Some(field) => Some((*field).into()),
                None => self.entry_times.first.clone(),
            },
        });
        let future = self.future.finding(FindingKind::RevocationInFuture);
        let unspecified = self.unspecified.finding(FindingKind::UnspecifiedReason);
        [times, future, unspecified].into_iter().flatten()
    }
}
