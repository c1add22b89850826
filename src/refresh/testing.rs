//! Twins of the seams, for tests.

use crl::{CrlNumber, UnixTime};

use super::{Head, Sha256};
use crate::time::Timestamp;

/// The head of a CRL with this number.
pub(crate) fn head(number: u64) -> Head {
    Head {
        number: CrlNumber::from(number),
        sha256: Sha256([0x5a; 32]),
        size: 1_000,
        this_update: UnixTime(1_700_000_000),
        next_update: UnixTime(1_700_604_800),
        refresh_after: Timestamp::from_millis(1_700_405_216_000),
        generated_at: Timestamp::from_millis(1_700_000_001_000),
        entry_count: 3,
    }
}
