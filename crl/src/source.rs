//! Random access to a CRL's bytes, wherever they are kept.

use alloc::vec;
use core::ops::Range;

use crate::tlv::{Fault, Head, MAX_HEAD, SEQUENCE};

/// A CRL's bytes, kept somewhere: in a file, or in the rows of a database.
///
/// The bytes must not change while they are read.
pub trait Source {
    /// Why bytes cannot be read.
    type Error;

    /// Reads bytes from `offset` on into `buffer`: as many as there are, at least one unless
    /// `offset` is at or after the end. Returns how many.
    ///
    /// # Errors
    /// Those of whatever keeps the bytes.
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, Self::Error>;
}

/// Bytes in memory.
impl Source for &[u8] {
    type Error = core::convert::Infallible;

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.get(start..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }
}

/// Whether two CRLs have the same tbsCertList, byte for byte: then they say the same, and only
/// their signatures may differ. False if one of them is not a CRL.
///
/// # Errors
/// The error of a source.
pub fn same_contents<S: Source, T: Source<Error = S::Error>>(
    one: &mut S,
    other: &mut T,
) -> Result<bool, S::Error> {
    const BUFFER: usize = 64 << 10;
    let (Some(one_tbs), Some(other_tbs)) = (tbs_range(one)?, tbs_range(other)?) else {
        return Ok(false);
    };
    let mut left = one_tbs.end.saturating_sub(one_tbs.start);
    if left != other_tbs.end.saturating_sub(other_tbs.start) {
        return Ok(false);
    }
    let (mut one_buffer, mut other_buffer) = (vec![0; BUFFER], vec![0; BUFFER]);
    let (mut one_at, mut other_at) = (one_tbs.start, other_tbs.start);
    while left != 0 {
        let count = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
        let one_bytes = one_buffer.get_mut(..count).unwrap_or_default();
        let other_bytes = other_buffer.get_mut(..count).unwrap_or_default();
        if !fill(one, one_at, one_bytes)? || !fill(other, other_at, other_bytes)? {
            return Ok(false);
        }
        if one_bytes != other_bytes {
            return Ok(false);
        }
        let count = count as u64;
        left = left.saturating_sub(count);
        one_at = one_at.saturating_add(count);
        other_at = other_at.saturating_add(count);
    }
    Ok(true)
}

/// Where tbsCertList is, with its tag and length; `None` if the first bytes are not those of a CRL.
pub(crate) fn tbs_range<S: Source>(source: &mut S) -> Result<Option<Range<u64>>, S::Error> {
    let Some(crl) = head_at(source, 0)? else {
        return Ok(None);
    };
    let start = crl.size as u64;
    let tbs = head_at(source, start)?;
    let is_crl = |tbs: &Head| crl.tag == SEQUENCE && tbs.tag == SEQUENCE;
    Ok(tbs
        .filter(is_crl)
        .map(|tbs| start..start.saturating_add(tbs.total())))
}

/// The head of the element at `offset`; `None` if there is none.
pub(crate) fn head_at<S: Source>(source: &mut S, offset: u64) -> Result<Option<Head>, S::Error> {
    let mut bytes = [0; MAX_HEAD];
    let count = read_up_to(source, offset, &mut bytes)?;
    let head: Result<Option<Head>, Fault> = Head::read(bytes.get(..count).unwrap_or_default());
    Ok(head.unwrap_or_default())
}

/// Fills the buffer; false if the source ends before that.
pub(crate) fn fill<S: Source>(
    source: &mut S,
    offset: u64,
    buffer: &mut [u8],
) -> Result<bool, S::Error> {
    Ok(read_up_to(source, offset, buffer)? == buffer.len())
}

/// Fills the buffer, or as much of it as the source has bytes for; returns how many.
pub(crate) fn read_up_to<S: Source>(
    source: &mut S,
    offset: u64,
    buffer: &mut [u8],
) -> Result<usize, S::Error> {
    let mut filled = 0usize;
    while let Some(rest @ [_, ..]) = buffer.get_mut(filled..) {
        match source.read_at(offset.saturating_add(filled as u64), rest)? {
            0 => break,
            count => filled = filled.saturating_add(count),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    const P256: &[u8] = include_bytes!("../tests/data/openssl-p256.crl");

    #[test]
    fn a_new_signature_over_the_same_contents_is_recognised() {
        let mut resigned = P256.to_vec();
        *resigned.last_mut().unwrap() ^= 1;
        let same = |one: &[u8], other: &[u8]| same_contents(&mut { one }, &mut { other }).unwrap();
        assert!(same(P256, &resigned));
        // A signature of another length, as ECDSA's are.
        let mut longer = resigned.clone();
        longer.push(0);
        longer[3] += 1;
        assert!(same(P256, &longer));
        let mut other_contents = P256.to_vec();
        other_contents[200] ^= 1;
        assert!(!same(P256, &other_contents));
        assert!(!same(P256, &P256[..300]));
        assert!(!same(P256, b"<html>") && !same(b"", b""));
    }
}
