//! DER's identifier, length and contents octets: what the list of entries needs, and no more.

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
pub(crate) const SET: u8 = 0x31;

/// `[number]`, constructed.
pub(crate) const fn constructed(number: u8) -> u8 {
    0xa0 | number
}

/// `[number]`, primitive.
pub(crate) const fn primitive(number: u8) -> u8 {
    0x80 | number
}

/// What is wrong with some bytes, in words. The reader adds the offset.
pub(crate) type Fault = &'static str;

/// The longest identifier and length octets that are read: a tag, `0x84` and four length octets.
pub(crate) const MAX_HEAD: usize = 6;

const TOO_LONG: Fault = "an element is longer than what contains it";

/// The identifier and length octets of one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) tag: u8,
    /// Octets of the identifier and the length, at most [`MAX_HEAD`].
    pub(crate) size: usize,
    /// Octets of the contents.
    pub(crate) length: u32,
}

impl Head {
    /// Reads the head of the element that `bytes` begins with; `None` if it is incomplete.
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

    /// The long form of the length (X.690, section 8.1.3.5), which DER allows only if the short
    /// form cannot express it (X.690, section 10.1).
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

    /// Octets of the whole element.
    #[inline]
    pub(crate) fn total(self) -> u64 {
        u64::from(self.length).wrapping_add(self.size as u64) // two small numbers: cannot wrap
    }
}

/// The element that `input` begins with, if all of it is there and its length is in the short form:
/// its tag, its contents, and what follows it. Nearly all elements of a list are like that, so the
/// short form has a path of its own.
#[inline]
pub(crate) fn split_short(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, length @ 0..=0x7f, rest @ ..] = input else {
        return None;
    };
    let (contents, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((*tag, contents, rest))
}

/// Takes the element that `input` begins with, whatever its tag: the tag and the contents.
#[inline]
pub(crate) fn take_any<'a>(input: &mut &'a [u8]) -> Result<(u8, &'a [u8]), Fault> {
    let (tag, contents, rest) = match split_short(input) {
        Some(split) => split,
        None => split_long(input)?,
    };
    *input = rest;
    Ok((tag, contents))
}

/// As [`split_short`], for any length. Takes its argument by value: an argument that is borrowed by
/// a call that is not inlined has to be in memory.
#[inline(never)]
fn split_long(input: &[u8]) -> Result<(u8, &[u8], &[u8]), Fault> {
    let head = Head::read(input)?.ok_or(TOO_LONG)?;
    let rest = input.get(head.size..).ok_or(TOO_LONG)?;
    let (contents, rest) = rest
        .split_at_checked(head.length as usize)
        .ok_or(TOO_LONG)?;
    Ok((head.tag, contents, rest))
}

/// Takes the element that `input` begins with, which must have `tag`; fails with `fault` otherwise.
#[inline]
pub(crate) fn take<'a>(input: &mut &'a [u8], tag: u8, fault: Fault) -> Result<&'a [u8], Fault> {
    match take_any(input)? {
        (found, contents) if found == tag => Ok(contents),
        _ => Err(fault),
    }
}

/// Takes the element that `input` begins with if it has `tag`.
pub(crate) fn take_optional<'a>(input: &mut &'a [u8], tag: u8) -> Result<Option<&'a [u8]>, Fault> {
    match input.first() {
        Some(found) if *found == tag => Ok(Some(take_any(input)?.1)),
        _ => Ok(None),
    }
}

/// The contents of `der`, which must be one element with `tag`; fails with `fault` otherwise.
pub(crate) fn only(mut der: &[u8], tag: u8, fault: Fault) -> Result<&[u8], Fault> {
    let contents = take(&mut der, tag, fault)?;
    if der.is_empty() {
        Ok(contents)
    } else {
        Err(fault)
    }
}

/// Whether the contents of an INTEGER are in their shortest form (X.690, section 8.3.2).
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

/// Appends a whole element; `None` if the contents are over 4 GiB.
pub(crate) fn put(out: &mut Vec<u8>, tag: u8, contents: &[u8]) -> Option<()> {
    put_head(out, tag, u32::try_from(contents.len()).ok()?);
    out.extend_from_slice(contents);
    Some(())
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
