//! The receiver of what a reader reads.

use core::ops::ControlFlow;

use crate::contents::Header;
use crate::entry::Entry;

/// Receives what a [`Reader`](crate::Reader) reads, as it reads it. The default methods do nothing.
pub trait Visitor {
    /// All that comes before the list of entries. Called once, and first.
    #[inline]
    fn header(&mut self, header: &Header) {
        let _ = header;
    }

    /// More bytes of tbsCertList, the part that is signed, in order. Together the calls give all
    /// of it, also what came before [`Visitor::header`].
    #[inline]
    fn signed(&mut self, bytes: &[u8]) {
        let _ = bytes;
    }

    /// The next entry of the list. [`ControlFlow::Break`] stops the reader, which then fails with
    /// [`ReadError::Stopped`](crate::ReadError::Stopped).
    #[inline]
    fn entry(&mut self, entry: &Entry<'_>) -> ControlFlow<()> {
        let _ = entry;
        ControlFlow::Continue(())
    }
}

/// Ignores everything.
impl Visitor for () {}

impl<V: Visitor> Visitor for &mut V {
    #[inline]
    fn header(&mut self, header: &Header) {
        V::header(self, header);
    }
    #[inline]
    fn signed(&mut self, bytes: &[u8]) {
        V::signed(self, bytes);
    }
    #[inline]
    fn entry(&mut self, entry: &Entry<'_>) -> ControlFlow<()> {
        V::entry(self, entry)
    }
}

/// Both receive everything, until one of them stops.
impl<A: Visitor, B: Visitor> Visitor for (A, B) {
    #[inline]
    fn header(&mut self, header: &Header) {
        self.0.header(header);
        self.1.header(header);
    }
    #[inline]
    fn signed(&mut self, bytes: &[u8]) {
        self.0.signed(bytes);
        self.1.signed(bytes);
    }
    #[inline]
    fn entry(&mut self, entry: &Entry<'_>) -> ControlFlow<()> {
        self.0.entry(entry)?;
        self.1.entry(entry)
    }
}
