//! What happened, line by line. The same seed gives the same lines.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use crate::clock::Timeline;

/// The trace of a run. The last lines are kept.
#[derive(Clone)]
pub(crate) struct Trace {
    lines: Arc<Mutex<Lines>>,
    timeline: Timeline,
    kept: usize,
}

#[derive(Default)]
struct Lines {
    kept: VecDeque<String>,
    count: u64,
    hash: Sha256,
}

impl Trace {
    /// A trace that keeps this many lines.
    pub(crate) fn new(timeline: &Timeline, kept: usize) -> Self {
        Self {
            lines: Arc::default(),
            timeline: timeline.clone(),
            kept,
        }
    }

    pub(crate) fn line(&self, text: impl AsRef<str>) {
        let line = format!("{} {}", self.timeline.now(), text.as_ref());
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.hash.update(line.as_bytes());
        lines.hash.update(b"\n");
        lines.count += 1;
        if lines.kept.len() >= self.kept {
            lines.kept.pop_front();
        }
        lines.kept.push_back(line);
    }

    /// How many lines there were, and the SHA-256 of all.
    pub(crate) fn fingerprint(&self) -> (u64, String) {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        for byte in lines.hash.clone().finalize() {
            let _ = write!(text, "{byte:02x}");
        }
        (lines.count, text)
    }

    /// The last lines.
    pub(crate) fn last(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.kept.iter().cloned().collect()
    }
}
