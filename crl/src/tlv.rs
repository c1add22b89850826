//! DER's tag, length and value: the few lines that the big list needs. No meaning lives here.

use alloc::vec::Vec;

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const ENUMERATED: u8 = 0x0a;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
/// `[0]`, constructed: the CRL's extensions.
pub(crate) const CONTEXT_0: u8 = 0xa0;

/// What is wrong with some bytes, in words. The reader adds where.
pub(crate) type Fault = &'static str;

/// The longest identifier and length octets that are read: a tag, `0x84` and four length octets.
pub(crate) const MAX_HEAD: usize = 6;

/// The identifier and length octets of one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) tag: u8,
    /// How many octets the identifier and length take, at most [`MAX_HEAD`].
    pub(crate) size: usize,
    /// How many octets of contents follow.
    pub(crate) length: u32,
}

impl Head {
    /// Reads the head of the element that `bytes` begins with; `None` if more bytes are needed to tell.
    #[inline]
    pub(crate) fn read(bytes: &[u8]) -> Result<Option<Self>, Fault> {
        match *bytes {
            [tag, length @ 0..=0x7f, ..] => Ok(Some(Self {
                tag,
                size: 2,
                length: u32::from(length),
            })),
            [tag, first, ref rest @ ..] => Self::read_long(tag, first, rest),
            _ => Ok(None),
        }
    }

    /// The long form of the length (X.690 §8.1.3.5), which DER allows only where the short one does not do (§10.1).
    fn read_long(tag: u8, first: u8, rest: &[u8]) -> Result<Option<Self>, Fault> {
        let octets = match first {
            0x80 => return Err("a length is indefinite"),
            0x81..=0x84 => usize::from(first & 0x7f),
            _ => return Err("a length is over 4 GiB"),
        };
        let Some(octets) = rest.get(..octets) else {
            return Ok(None);
        };
        let length = octets
            .iter()
            .fold(0u32, |length, octet| (length << 8) | u32::from(*octet));
        if octets.first() == Some(&0) || length < 0x80 {
            return Err("a length is not in its shortest form");
        }
        Ok(Some(Self {
            tag,
            size: octets.len().saturating_add(2),
            length,
        }))
    }

    /// How many octets the whole element takes.
    #[inline]
    pub(crate) fn total(self) -> u64 {
        u64::from(self.length).wrapping_add(self.size as u64) // two small numbers: cannot wrap
    }
}

/// The element that `input` begins with, if it is there as a whole and its length is in the short form: its tag, its contents,
/// and what stands behind it. Nearly all elements of a list are such, so that this is worth a way of its own.
#[inline]
pub(crate) fn split_short(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, length @ 0..=0x7f, rest @ ..] = input else {
        return None;
    };
    let (contents, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((*tag, contents, rest))
}

/// Takes the element that `input` begins with, whatever its tag: the tag, and the contents.
#[inline]
pub(crate) fn take_any<'a>(input: &mut &'a [u8]) -> Result<(u8, &'a [u8]), Fault> {
    let (tag, contents, rest) = match split_short(input) {
        Some(split) => split,
        None => split_long(input)?,
    };
    *input = rest;
    Ok((tag, contents))
}

/// As [`split_short`], for any length. By value: what is lent to a call that is not inlined has to lie in memory.
#[inline(never)]
fn split_long(input: &[u8]) -> Result<(u8, &[u8], &[u8]), Fault> {
    const SHORT: Fault = "an element is longer than what holds it";
    let head = Head::read(input)?.ok_or(SHORT)?;
    let rest = input.get(head.size..).ok_or(SHORT)?;
    let (contents, rest) = rest.split_at_checked(head.length as usize).ok_or(SHORT)?;
    Ok((head.tag, contents, rest))
}

/// Takes the element that `input` begins with, which must have the tag; otherwise fails with `fault`.
#[inline]
pub(crate) fn take<'a>(input: &mut &'a [u8], tag: u8, fault: Fault) -> Result<&'a [u8], Fault> {
    match take_any(input)? {
        (found, contents) if found == tag => Ok(contents),
        _ => Err(fault),
    }
}

/// Whether an INTEGER's contents are in their shortest form (X.690 §8.3.2).
#[inline]
pub(crate) fn is_canonical_integer(contents: &[u8]) -> bool {
    !matches!(
        *contents,
        [] | [0x00, 0x00..=0x7f, ..] | [0xff, 0x80..=0xff, ..]
    )
}

/// Appends a tag and a length.
pub(crate) fn put_head(out: &mut Vec<u8>, tag: u8, length: u32) {
    out.push(tag);
    let octets = length.to_be_bytes();
    match octets {
        [0, 0, 0, short @ 0..=0x7f] => out.push(short),
        [0, 0, 0, a] => out.extend_from_slice(&[0x81, a]),
        [0, 0, a, b] => out.extend_from_slice(&[0x82, a, b]),
        [0, a, b, c] => out.extend_from_slice(&[0x83, a, b, c]),
        [a, b, c, d] => out.extend_from_slice(&[0x84, a, b, c, d]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_as_they_are_written() {
        for length in [
            0,
            1,
            0x7f,
            0x80,
            0xff,
            0x100,
            0xffff,
            0x1_0000,
            0xff_ffff,
            0x100_0000,
            u32::MAX,
        ] {
            let mut bytes = Vec::new();
            put_head(&mut bytes, SEQUENCE, length);
            for short in 0..bytes.len() {
                assert_eq!(Head::read(&bytes[..short]), Ok(None));
            }
            let head = Head::read(&bytes).unwrap().unwrap();
            assert_eq!((head.tag, head.length), (SEQUENCE, length));
            assert_eq!(head.size, bytes.len());
        }
    }

    #[test]
    fn lengths_that_der_forbids_are_refused() {
        let indefinite = [0x30, 0x80, 0x00, 0x00];
        let padded = [0x30, 0x82, 0x00, 0x80];
        let long_for_short = [0x30, 0x81, 0x7f];
        let five_octets = [0x30, 0x85, 1, 0, 0, 0, 0];
        for bytes in [&indefinite[..], &padded, &long_for_short, &five_octets] {
            assert!(Head::read(bytes).is_err(), "{bytes:02x?}");
        }
    }

    #[test]
    fn integers_have_one_form() {
        for good in [
            &[0x00][..],
            &[0x7f],
            &[0x00, 0x80],
            &[0x80],
            &[0xff, 0x7f],
            &[0xff],
        ] {
            assert!(is_canonical_integer(good), "{good:02x?}");
        }
        for bad in [
            &[][..],
            &[0x00, 0x00],
            &[0x00, 0x7f],
            &[0xff, 0x80],
            &[0xff, 0xff],
        ] {
            assert!(!is_canonical_integer(bad), "{bad:02x?}");
        }
    }
}
