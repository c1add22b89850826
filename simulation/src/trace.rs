//! What happened, line by line. The same seed gives the same lines.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use crate::clock::Timeline;

/// How many of the last lines are kept.
const KEPT: usize = 4_000;

/// The trace of a run.
#[derive(Clone)]
pub(crate) struct Trace(Arc<Mutex<Lines>>, Timeline);

#[derive(Default)]
struct Lines {
    kept: VecDeque<String>,
    count: u64,
    hash: Sha256,
}

impl Trace {
    pub(crate) fn new(timeline: &Timeline) -> Self {
        Self(Arc::default(), timeline.clone())
    }

    pub(crate) fn line(&self, text: impl AsRef<str>) {
        let line = format!("{} {}", self.1.now(), text.as_ref());
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.hash.update(line.as_bytes());
        lines.hash.update(b"\n");
        lines.count += 1;
        if lines.kept.len() == KEPT {
            lines.kept.pop_front();
        }
        lines.kept.push_back(line);
    }

    /// How many lines there were, and the SHA-256 of all.
    pub(crate) fn fingerprint(&self) -> (u64, String) {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        for byte in lines.hash.clone().finalize() {
            let _ = write!(text, "{byte:02x}");
        }
        (lines.count, text)
    }

    /// The last lines.
    pub(crate) fn last(&self) -> Vec<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.kept.iter().cloned().collect()
    }
}
