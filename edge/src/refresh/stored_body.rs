//! Bodies in the object's storage: as bytes that the CRL library reads, and as lines of text, for
//! lists that may not fit into memory.

use super::error::StoreError;
use super::ports::{PIECE_BYTES, Store};
use super::state::BodyId;

/// A body in the object's storage. Keeps the piece that was read last: reads are in order, and
/// shorter than a piece.
pub(super) struct StoredBody<'a, S> {
    store: &'a S,
    body: BodyId,
    pieces: u32,
    last: Option<(u32, Vec<u8>)>,
}

impl<'a, S: Store> StoredBody<'a, S> {
    pub(super) fn new(store: &'a S, body: BodyId, pieces: u32) -> Self {
        Self {
            store,
            body,
            pieces,
            last: None,
        }
    }

    fn piece(&mut self, index: u32) -> Result<&[u8], StoreError> {
        let piece = match self.last.take() {
            Some((last, piece)) if last == index => piece,
            _ => self.store.piece(self.body, index)?,
        };
        Ok(&self.last.insert((index, piece)).1)
    }
}

impl<S: Store> crl::Source for StoredBody<'_, S> {
    type Error = StoreError;

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, StoreError> {
        // Every piece but the last has `PIECE_BYTES`.
        let index = u32::try_from(offset.checked_div(PIECE_BYTES as u64).unwrap_or(u64::MAX))
            .unwrap_or(u32::MAX);
        if index >= self.pieces {
            return Ok(0);
        }
        let start = usize::try_from(offset.checked_rem(PIECE_BYTES as u64).unwrap_or_default())
            .unwrap_or_default();
        let rest = self.piece(index)?.get(start..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }
}

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
            .map_or_else(|| Ok(String::new()), |body| read_lines(store, body, index))
    }
}

/// The lines of a piece of a body.
pub(super) fn read_lines(
    store: &impl Store,
    body: BodyId,
    index: u32,
) -> Result<String, StoreError> {
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
