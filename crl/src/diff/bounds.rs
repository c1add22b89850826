//! How much memory a comparison uses.

/// The bounds are small in tests, so that few entries reach all of them.
const SMALL: bool = cfg!(any(test, fuzzing));

/// Entries that are looked at ahead, of each list, to find where two lists agree again.
pub(super) const LOOK_AHEAD: usize = if SMALL { 8 } else { 4096 };
/// Runs of each list that are remembered, 16 octets each; the last one then covers the rest.
pub(super) const MAX_RUNS: usize = if SMALL { 4 } else { 32 << 10 };
/// Octets of entries in the table, and how many entries: 5 MiB together, with what the table needs.
pub(super) const TABLE_OCTETS: usize = if SMALL { 400 } else { 3 << 20 };
pub(super) const TABLE_ENTRIES: usize = if SMALL { 16 } else { 50_000 };

/// Two to the power of this are the bits of the sieve at most: 4 MiB.
pub(super) const MAX_SIEVE: u32 = if SMALL { 7 } else { 25 };
/// Hashes of each kind that the sieve keeps: 1 MiB.
pub(super) const MAX_SUSPECTS: usize = if SMALL { 24 } else { 128 << 10 };
