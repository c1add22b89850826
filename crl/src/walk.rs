//! Walks the entries of a CRL in a source, in order, from any entry on.

use alloc::vec::Vec;
use core::ops::Range;

use crate::serial::Serial;
use crate::source::{Source, head_at, read_up_to, tbs_range};
use crate::tlv::{self, GENERALIZED_TIME, Head, INTEGER, SEQUENCE, UTC_TIME};

/// The largest entry, as [`Limits`](crate::Limits) has it by default.
pub(crate) const MAX_ENTRY: usize = 64 << 10;
/// The smallest entry: a serial number of one octet and a UTCTime.
pub(crate) const MIN_ENTRY: usize = 20;
/// Octets in memory: at least one entry.
const BUFFER: usize = 128 << 10;

/// Why a CRL in a source cannot be walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WalkError<E> {
    /// The source's own error.
    #[error("the CRL's bytes cannot be read: {0}")]
    Source(E),
    /// What begins at this octet is not what a CRL has there. A CRL that a
    /// [`Reader`](crate::Reader) accepts does not cause this.
    #[error("malformed at octet {offset}")]
    Malformed {
        /// The octet.
        offset: u64,
    },
    /// The visitor stopped.
    #[error("the visitor stopped")]
    Stopped,
}

/// The entries of a list, from some entry on.
pub(crate) struct Walk {
    /// Where the contents of the list are.
    list: Range<u64>,
    /// Where the next entry begins.
    offset: u64,
    /// Octets of the source, from `start` on.
    buffer: Vec<u8>,
    start: u64,
}

impl Walk {
    /// At the first entry.
    pub(crate) fn new<S: Source>(source: &mut S) -> Result<Self, WalkError<S::Error>> {
        let list = list_range(source)?;
        Ok(Self {
            offset: list.start,
            start: list.start,
            list,
            buffer: Vec::new(),
        })
    }

    pub(crate) fn list(&self) -> Range<u64> {
        self.list.clone()
    }

    /// Where the next entry begins.
    #[inline]
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Continues with the entry at `offset`.
    pub(crate) fn seek(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// Continues after `octets` more, which are whole entries.
    #[inline]
    pub(crate) fn skip(&mut self, octets: usize) {
        self.offset = self.offset.saturating_add(octets as u64);
    }

    /// The octets from the next entry on, the whole of it and as many more as are in memory; empty
    /// at the end of the list.
    #[inline]
    pub(crate) fn window<S: Source>(
        &mut self,
        source: &mut S,
    ) -> Result<&[u8], WalkError<S::Error>> {
        if first_entry(self.in_memory()).is_none() {
            self.fill(source)?;
        }
        Ok(self.in_memory())
    }

    /// The next entry, and goes on to the one after it; `None` at the end of the list.
    #[inline]
    pub(crate) fn next<S: Source>(
        &mut self,
        source: &mut S,
    ) -> Result<Option<&[u8]>, WalkError<S::Error>> {
        let size = if let Some(size) = first_entry(self.in_memory()) {
            size
        } else {
            self.fill(source)?;
            match first_entry(self.in_memory()) {
                Some(size) => size,
                None => return Ok(None),
            }
        };
        let at = usize::try_from(self.offset.wrapping_sub(self.start)).unwrap_or(usize::MAX);
        self.offset = self.offset.wrapping_add(size as u64);
        Ok(self.buffer.get(at..at.wrapping_add(size)))
    }

    /// The octets in memory that belong to the list, from the next entry on.
    #[inline]
    fn in_memory(&self) -> &[u8] {
        let at = self.offset.checked_sub(self.start);
        let at = at.and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.buffer.get(at..)).unwrap_or_default()
    }

    /// Reads from the next entry on; fails unless that gives a whole entry, or the list ends here.
    #[cold]
    fn fill<S: Source>(&mut self, source: &mut S) -> Result<(), WalkError<S::Error>> {
        let offset = self.offset;
        let left = self.list.end.saturating_sub(offset);
        let size = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
        self.buffer.resize(size, 0);
        let read = read_up_to(source, offset, &mut self.buffer).map_err(WalkError::Source)?;
        self.start = offset;
        if read != size || (size != 0 && first_entry(&self.buffer).is_none()) {
            return Err(WalkError::Malformed { offset });
        }
        Ok(())
    }
}

/// Octets of the entry that `octets` begin with; `None` if it is incomplete, or not an entry.
#[inline]
pub(crate) fn first_entry(octets: &[u8]) -> Option<usize> {
    let size = match *octets {
        [SEQUENCE, length @ 0..=0x7f, ..] => usize::from(length).wrapping_add(2),
        [SEQUENCE, _, ..] => {
            let head = Head::read(octets).ok()??;
            usize::try_from(head.total()).ok()?
        }
        _ => return None,
    };
    (size <= octets.len() && size <= MAX_ENTRY).then_some(size)
}

/// The serial number of an entry: the contents of its INTEGER.
#[inline]
pub(crate) fn serial_contents(der: &[u8]) -> Option<&[u8]> {
    if let [SEQUENCE, 0..=0x7f, INTEGER, length @ 1..=0x7f, rest @ ..] = der {
        let serial = rest.get(..usize::from(*length))?;
        return tlv::is_canonical_integer(serial).then_some(serial);
    }
    let mut rest = der;
    let (SEQUENCE, mut contents) = tlv::take_any(&mut rest).ok()? else {
        return None;
    };
    let (INTEGER, serial) = tlv::take_any(&mut contents).ok()? else {
        return None;
    };
    Serial::from_integer(serial).map(|_| serial)
}

/// Where the contents of the list of entries are; empty without a list.
fn list_range<S: Source>(source: &mut S) -> Result<Range<u64>, WalkError<S::Error>> {
    let tbs = tbs_range(source).map_err(WalkError::Source)?;
    let tbs = tbs.ok_or(WalkError::Malformed { offset: 0 })?;
    let head = head_at(source, tbs.start).map_err(WalkError::Source)?;
    let mut offset = tbs
        .start
        .saturating_add(head.map_or(0, |head| head.size as u64));
    // The fields that may come next, in order: version, signature, issuer, thisUpdate, nextUpdate,
    // and the list. Two of them are optional.
    let fields: [(&[u8], bool); 6] = [
        (&[INTEGER], true),
        (&[SEQUENCE], false),
        (&[SEQUENCE], false),
        (&[UTC_TIME, GENERALIZED_TIME], false),
        (&[UTC_TIME, GENERALIZED_TIME], true),
        (&[SEQUENCE], true),
    ];
    for (index, (tags, is_optional)) in fields.into_iter().enumerate() {
        let head = if offset < tbs.end {
            head_at(source, offset).map_err(WalkError::Source)?
        } else {
            None
        };
        let Some(head) = head.filter(|head| tags.contains(&head.tag)) else {
            if is_optional {
                continue;
            }
            return Err(WalkError::Malformed { offset });
        };
        let end = offset.saturating_add(head.total());
        if end > tbs.end {
            return Err(WalkError::Malformed { offset });
        }
        if index == 5 {
            return Ok(offset.saturating_add(head.size as u64)..end);
        }
        offset = end;
    }
    Ok(offset..offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    const P256: &[u8] = include_bytes!("../tests/data/openssl-p256.crl");

    #[test]
    fn a_walk_gives_every_entry_and_can_go_back() {
        let mut source = P256;
        let mut walk = Walk::new(&mut source).unwrap();
        let first = walk.offset();
        let mut entries = Vec::new();
        while let Some(entry) = walk.next(&mut source).unwrap() {
            entries.push(entry.to_vec());
        }
        assert_eq!(entries.len(), 8);
        assert_eq!(walk.offset(), walk.list().end);
        assert_eq!(serial_contents(&entries[0]).unwrap(), [0x79, 0xab]);
        walk.seek(first);
        assert_eq!(walk.next(&mut source).unwrap(), Some(&entries[0][..]));
        assert!(walk.window(&mut source).unwrap().starts_with(&entries[1]));
    }

    /// The offsets of the entries of a CRL with these fields in its tbsCertList.
    fn offsets(fields: &[&[u8]]) -> Result<Vec<u64>, WalkError<core::convert::Infallible>> {
        let element = |contents: &[u8]| {
            let mut der = Vec::new();
            tlv::put(&mut der, SEQUENCE, contents).unwrap();
            der
        };
        let tbs = element(&fields.concat());
        let der = element(&[&tbs[..], b"\x30\x00", b"\x03\x01\x00"].concat());
        let mut source = &der[..];
        let mut walk = Walk::new(&mut source)?;
        let mut offsets = Vec::new();
        loop {
            offsets.push(walk.offset());
            if walk.next(&mut source)?.is_none() {
                return Ok(offsets);
            }
        }
    }

    #[test]
    fn the_list_may_be_absent_or_come_last() {
        let fields: [&[u8]; 3] = [b"\x30\x00", b"\x30\x00", b"\x17\x0d240102030405Z"];
        let [algorithm, issuer, time] = fields;
        assert_eq!(offsets(&fields), Ok(Vec::from([23])));
        let list = b"\x30\x28\x30\x12\x02\x01\x01\x17\x0d240102030405Z\
            \x30\x12\x02\x01\x02\x17\x0d240102030405Z";
        let without_next_update = [algorithm, issuer, time, list];
        assert_eq!(offsets(&without_next_update), Ok(Vec::from([25, 45, 65])));
        let whole = [b"\x02\x01\x01", algorithm, issuer, time, time, list];
        assert_eq!(offsets(&whole), Ok(Vec::from([43, 63, 83])));
        // Without thisUpdate, and with a list that is longer than what contains it.
        let malformed = Err(WalkError::Malformed { offset: 8 });
        assert_eq!(offsets(&[algorithm, issuer, list]), malformed);
        let too_long = [algorithm, issuer, time, &list[..list.len() - 1]];
        let malformed = Err(WalkError::Malformed { offset: 23 });
        assert_eq!(offsets(&too_long), malformed);
        // What begins in the list is not an entry.
        let malformed = Err(WalkError::Malformed { offset: 25 });
        assert_eq!(
            offsets(&[algorithm, issuer, time, b"\x30\x03\x31\x01\x05"]),
            malformed
        );
    }

    #[test]
    fn an_entry_is_whole_and_has_at_most_64_kib() {
        assert_eq!(first_entry(b""), None);
        assert_eq!(first_entry(b"\x31\x01\x05"), None);
        for (contents, head) in [(0, 2), (127, 2), (128, 3), (MAX_ENTRY - 4, 4)] {
            let mut der = Vec::new();
            tlv::put(&mut der, SEQUENCE, &alloc::vec![5; contents]).unwrap();
            let size = head + contents;
            assert_eq!(der.len(), size);
            assert_eq!(first_entry(&der[..size - 1]), None);
            assert_eq!(first_entry(&der), Some(size));
            assert_eq!(first_entry(&[&der[..], b"\x30"].concat()), Some(size));
        }
        let mut der = Vec::new();
        tlv::put(&mut der, SEQUENCE, &alloc::vec![5; MAX_ENTRY - 3]).unwrap();
        assert_eq!(first_entry(&der), None);
    }

    #[test]
    fn what_is_not_a_crl_is_malformed() {
        for mut bytes in [&b""[..], b"<html>", b"\x30\x02\x30\x00", &P256[..300]] {
            let walked = Walk::new(&mut bytes).and_then(|mut walk| {
                while walk.next(&mut bytes)?.is_some() {}
                Ok(())
            });
            assert!(matches!(walked, Err(WalkError::Malformed { .. })));
        }
    }
}
