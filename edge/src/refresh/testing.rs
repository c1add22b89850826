//! Twins of the ports, for tests: they keep in memory what the platform would, and fail on demand.

mod ca;
mod faults;
mod gate;
mod host;
mod log;
mod origin;
mod replica;
mod store;

use std::time::Duration;

use crl::{CrlNumber, UnixTime};

use super::{Head, Sha256};
use crate::config::Settings;
use crate::time::Timestamp;
pub(crate) use ca::Ca;
pub(crate) use faults::{Failure, Faults};
pub(crate) use gate::Gate;
pub(crate) use host::{Client, Machine, TwinHost};
pub(crate) use log::TwinLog;
pub(crate) use origin::{Reply, TwinOrigin};
pub(crate) use replica::TwinReplica;
pub(crate) use store::{Disk, TwinStore};

/// When these tests begin.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
/// A minute.
pub(crate) const MINUTE: Duration = Duration::from_mins(1);
/// An hour.
pub(crate) const HOUR: Duration = Duration::from_hours(1);

/// The defaults, less what `set` sets.
pub(crate) fn settings(set: &[(&str, &str)]) -> Settings {
    crate::config::tests::parse(set).unwrap()
}

/// The head of a CRL with this number.
pub(crate) fn head(number: u64) -> Head {
    Head {
        number: CrlNumber::from(number),
        sha256: Sha256([0x5a; 32]),
        size: 1_000,
        this_update: UnixTime(1_700_000_000),
        next_update: UnixTime(1_700_604_800),
        refresh_after: Timestamp::from_millis(1_700_405_216_000),
        committed_at: Timestamp::from_millis(1_700_000_001_000),
        entry_count: 3,
    }
}
