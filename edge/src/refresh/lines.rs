//! Lines of text in a body of the object's storage, for lists that may not fit into memory.

use super::error::StoreError;
use super::ports::Store;
use super::state::BodyId;

/// Lines that are in storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lines {
    /// `None` if there are no lines.
    pub(super) body: Option<BodyId>,
    /// How many pieces the body has.
    pub(super) pieces: u32,
    /// How many lines there are.
    pub(super) count: u64,
    /// Their bytes, with the line feeds.
    pub(super) size: u64,
}

impl Lines {
    /// The lines of a piece.
    pub(super) fn piece(&self, store: &impl Store, index: u32) -> Result<String, StoreError> {
        self.body
            .map_or_else(|| Ok(String::new()), |body| read(store, body, index))
    }
}

/// The lines of a piece of a body.
pub(super) fn read(store: &impl Store, body: BodyId, index: u32) -> Result<String, StoreError> {
    String::from_utf8(store.piece(body, index)?)
        .map_err(|error| StoreError::Unreadable(error.to_string()))
}

/// Writes lines into a body. No line is in two pieces.
pub(super) struct LineWriter<'a, S> {
    store: &'a S,
    piece_size: usize,
    lines: Lines,
    unwritten: String,
}

impl<'a, S: Store> LineWriter<'a, S> {
    /// A piece has at most `piece_size` bytes.
    pub(super) fn new(store: &'a S, piece_size: usize) -> Self {
        Self {
            store,
            piece_size,
            lines: Lines::default(),
            unwritten: String::new(),
        }
    }

    /// The bytes of the lines so far.
    pub(super) const fn size(&self) -> u64 {
        self.lines.size
    }

    /// Adds a line, which has no line feed.
    pub(super) fn push(&mut self, line: &str) -> Result<(), StoreError> {
        if self.unwritten.len().saturating_add(line.len()) >= self.piece_size {
            self.write()?;
        }
        self.unwritten.push_str(line);
        self.unwritten.push('\n');
        let size = (line.len() as u64).saturating_add(1);
        self.lines.size = self.lines.size.saturating_add(size);
        self.lines.count = self.lines.count.saturating_add(1);
        Ok(())
    }

    fn write(&mut self) -> Result<(), StoreError> {
        let body = match self.lines.body {
            Some(body) => body,
            None => *self.lines.body.insert(self.store.new_body()?),
        };
        let piece = self.unwritten.as_bytes();
        self.store.append(body, self.lines.pieces, piece)?;
        self.lines.pieces = self.lines.pieces.saturating_add(1);
        self.unwritten.clear();
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Lines, StoreError> {
        if !self.unwritten.is_empty() {
            self.write()?;
        }
        Ok(self.lines)
    }
}
