//! Chance: every random number of a run comes from its seed.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng as _, SeedableRng as _};
use crl_origin::random::{NoRandomness, RandomSource};
use sha2::{Digest as _, Sha256};

/// A stream of random numbers. Clones draw from the same stream.
#[derive(Clone)]
pub(crate) struct Random(Arc<Mutex<ChaCha8Rng>>);

impl Random {
    /// The stream with this name. Streams of one seed do not depend on each other: a change of what
    /// clients do leaves the network's delays as they were.
    pub(crate) fn new(seed: u64, stream: &str) -> Self {
        let hash = Sha256::new()
            .chain_update(seed.to_be_bytes())
            .chain_update(stream)
            .finalize();
        Self(Arc::new(Mutex::new(ChaCha8Rng::from_seed(hash.into()))))
    }

    pub(crate) fn next(&self) -> u64 {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next_u64()
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn between(&self, range: Range<u64>) -> u64 {
        range.start + self.below(range.end - range.start)
    }

    /// An index into something of this length, which is not 0.
    pub(crate) fn index(&self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    pub(crate) fn pick<'a, T>(&self, among: &'a [T]) -> &'a T {
        &among[self.index(among.len())]
    }

    /// True in so many of 1,000 cases.
    pub(crate) fn chance(&self, permille: u32) -> bool {
        self.below(1_000) < u64::from(permille)
    }

    pub(crate) fn millis(&self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.between(range))
    }

    pub(crate) fn seconds(&self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.between(range.start * 1_000..range.end * 1_000))
    }

    pub(crate) fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .fill_bytes(&mut bytes);
        bytes
    }
}

impl RandomSource for Random {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .fill_bytes(bytes);
        Ok(())
    }
}
