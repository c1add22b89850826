//! DER to PEM (RFC 7468, sections 3 and 6) as it streams by, all of it or some: what is held back
//! is less than one line.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::http::{ByteRange, Slice};

const BEGIN: &str = "-----BEGIN X509 CRL-----\n";
const END: &str = "-----END X509 CRL-----\n";
/// A full line's characters: RFC 7468 has generators wrap at exactly 64.
const LINE_CHARACTERS: usize = 64;
/// The DER that a full line holds.
const LINE_BYTES: usize = LINE_CHARACTERS / 4 * 3;
/// A full line's DER, and its text with the line's end, as lengths in a whole CRL are counted.
const LINE_DER: u64 = LINE_BYTES as u64;
const LINE_TEXT: u64 = LINE_CHARACTERS as u64 + 1;

/// How many bytes the PEM of `der_length` bytes has.
#[must_use]
pub(super) const fn length(der_length: u64) -> u64 {
    let characters = der_length.div_ceil(3).saturating_mul(4);
    let line_ends = der_length.div_ceil(LINE_DER);
    characters
        .saturating_add(line_ends)
        .saturating_add(BEGIN.len() as u64)
        .saturating_add(END.len() as u64)
}

/// How some of a PEM's bytes are made from no more of the DER than they need.
#[derive(Clone, Debug)]
pub(super) struct Excerpt {
    /// Which bytes of the DER to read, and to push into the encoder.
    pub(super) der: ByteRange,
    /// Makes whole lines from them.
    pub(super) encoder: Encoder,
    /// Cuts the range out of the encoder's text, its end included.
    pub(super) slice: Slice,
}

impl Excerpt {
    /// What it takes to send `range` of the PEM of `der_length` bytes.
    #[must_use]
    pub(super) fn of(range: ByteRange, der_length: u64) -> Self {
        let last_line = der_length.saturating_sub(1) / LINE_DER;
        let line_at = |position: u64| {
            let line = position.saturating_sub(BEGIN.len() as u64) / LINE_TEXT;
            line.min(last_line)
        };
        let (first, last) = (line_at(range.first), line_at(range.last()));
        let der_first = first.saturating_mul(LINE_DER);
        let der_end = last
            .saturating_add(1)
            .saturating_mul(LINE_DER)
            .min(der_length);
        // The first line brings the one before it, which has no DER of its own.
        let text_first = match first {
            0 => 0,
            line => line
                .saturating_mul(LINE_TEXT)
                .saturating_add(BEGIN.len() as u64),
        };
        Self {
            der: ByteRange {
                first: der_first,
                length: der_end.saturating_sub(der_first),
            },
            encoder: Encoder {
                has_begun: first > 0,
                ..Encoder::default()
            },
            slice: Slice::of(ByteRange {
                first: range.first.saturating_sub(text_first),
                length: range.length,
            }),
        }
    }
}

/// Makes PEM from DER that comes in chunks of any size.
#[derive(Clone, Debug)]
pub(super) struct Encoder {
    /// The bytes of a line that is not full yet.
    held: Vec<u8>,
    has_begun: bool,
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            held: Vec::with_capacity(LINE_BYTES),
            has_begun: false,
        }
    }
}

impl Encoder {
    /// The text that the next bytes complete; it may be empty.
    #[must_use = "what is not sent is lost"]
    pub(super) fn push(&mut self, der: &[u8]) -> Vec<u8> {
        let mut text = self.begin(der.len());
        let missing = match self.held.len() {
            0 => 0,
            held => LINE_BYTES.saturating_sub(held),
        };
        let (first, der) = der.split_at_checked(missing).unwrap_or((der, &[]));
        self.held.extend_from_slice(first);
        if self.held.len() == LINE_BYTES {
            write_line(&self.held, &mut text);
            self.held.clear();
        }
        let mut lines = der.chunks_exact(LINE_BYTES);
        for line in &mut lines {
            write_line(line, &mut text);
        }
        self.held.extend_from_slice(lines.remainder());
        text.into_bytes()
    }

    /// The text after the last bytes.
    #[must_use = "without its end, PEM is broken"]
    pub(super) fn finish(mut self) -> Vec<u8> {
        let mut text = self.begin(END.len());
        if !self.held.is_empty() {
            write_line(&self.held, &mut text);
        }
        text.push_str(END);
        text.into_bytes()
    }

    /// An empty text, or the first line, with room for what `more` bytes become.
    fn begin(&mut self, more: usize) -> String {
        let characters = usize::try_from(length(more as u64)).unwrap_or(more);
        let mut text = String::with_capacity(characters.saturating_add(LINE_CHARACTERS));
        if !std::mem::replace(&mut self.has_begun, true) {
            text.push_str(BEGIN);
        }
        text
    }
}

fn write_line(der: &[u8], text: &mut String) {
    STANDARD.encode_string(der, text);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use pem_rfc7468::LineEnding;
    use proptest::prelude::*;

    use super::*;

    fn encode<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut encoder = Encoder::default();
        let mut pem: Vec<u8> = chunks
            .into_iter()
            .flat_map(|chunk| encoder.push(chunk))
            .collect();
        pem.extend(encoder.finish());
        pem
    }

    #[test]
    fn the_length_is_known_before_the_text() {
        for size in 0..500_u32 {
            let der = vec![7; size as usize];
            assert_eq!(encode([der.as_slice()]).len() as u64, length(size.into()));
        }
    }

    proptest! {
        #[test]
        fn any_chunks_give_what_an_independent_encoder_gives(
            // A CRL is never empty; for nothing at all the other encoder writes an empty line.
            first in proptest::collection::vec(any::<u8>(), 1..200),
            rest in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..8),
        ) {
            let chunks = [vec![first], rest].concat();
            let expected = pem_rfc7468::encode_string("X509 CRL", LineEnding::LF, &chunks.concat()).unwrap();
            let pem = String::from_utf8(encode(chunks.iter().map(Vec::as_slice))).unwrap();
            prop_assert_eq!(pem, expected);
        }

        #[test]
        fn an_excerpt_gives_the_range_from_the_lines_that_it_lies_in(
            lines in 0..8_usize,
            more in prop_oneof![Just(LINE_BYTES), 1..LINE_BYTES],
            first in any::<proptest::sample::Index>(),
            length in 1..600_u64,
        ) {
            let size = lines * LINE_BYTES + more;
            let der: Vec<u8> = (0..=u8::MAX).cycle().take(size).collect();
            let pem = encode([der.as_slice()]);
            let first = first.index(pem.len());
            let range = ByteRange { first: first as u64, length: length.min((pem.len() - first) as u64) };
            let Excerpt { der: part, mut encoder, mut slice } = Excerpt::of(range, size as u64);
            let bounds = |range: ByteRange| usize::try_from(range.first).unwrap()..usize::try_from(range.end()).unwrap();
            let mut sent = Vec::new();
            for chunk in der[bounds(part)].chunks(31) {
                let text = encoder.push(chunk);
                sent.extend_from_slice(&text[slice.next(text.len())]);
            }
            let text = encoder.finish();
            sent.extend_from_slice(&text[slice.next(text.len())]);
            prop_assert_eq!(&sent, &pem[bounds(range)]);
            prop_assert!(slice.is_done());
            prop_assert!(part.length > 0 && part.length <= (length / LINE_TEXT + 2) * LINE_DER);
        }
    }
}
