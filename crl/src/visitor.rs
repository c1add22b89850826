//! Who gets what a reader reads.

use crate::contents::Header;
use crate::entry::Entry;

/// Gets what a [`Reader`](crate::Reader) reads, as it reads it. Every method does nothing unless it is given.
pub trait Visitor {
    /// All that stands before the list of entries. Comes first, and once.
    #[inline]
    fn header(&mut self, header: &Header) {
        let _ = header;
    }

    /// More bytes of tbsCertList, which is what is signed, in order; together all of them, also those from before
    /// [`Visitor::header`].
    #[inline]
    fn signed(&mut self, bytes: &[u8]) {
        let _ = bytes;
    }

    /// The next entry of the list.
    #[inline]
    fn entry(&mut self, entry: &Entry<'_>) {
        let _ = entry;
    }
}

/// Visits nothing.
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
    fn entry(&mut self, entry: &Entry<'_>) {
        V::entry(self, entry);
    }
}

/// Both get everything.
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
    fn entry(&mut self, entry: &Entry<'_>) {
        self.0.entry(entry);
        self.1.entry(entry);
    }
}
