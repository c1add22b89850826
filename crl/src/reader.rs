//! The push reader: a CRL's bytes come in pieces of any size, and a visitor gets what was read. Nothing is judged here but the
//! encoding, and no list is kept.

use alloc::vec::Vec;
use core::mem;
use core::ops::Range;

use der::asn1::ObjectIdentifier;

use crate::algorithm::AlgorithmIdentifier;
use crate::contents::{Crl, Header, Version};
use crate::entry::Entry;
use crate::extensions::{Extensions, ExtensionsError};
use crate::name::DistinguishedName;
use crate::read_error::ReadError;
use crate::time::UnixTime;
use crate::tlv::{
    self, BIT_STRING, CONTEXT_0, Fault, GENERALIZED_TIME, Head, INTEGER, SEQUENCE, UTC_TIME,
};
use crate::visitor::Visitor;

/// How large a CRL and its parts may be, in octets. The reader's memory is bounded by the last three together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The whole CRL.
    pub max_bytes: u64,
    /// What stands before the list; and each of the two fields that stand behind tbsCertList.
    pub max_header_bytes: usize,
    /// One entry.
    pub max_entry_bytes: usize,
    /// The CRL's own extensions.
    pub max_extensions_bytes: usize,
}

/// 128 MiB in all; 64 KiB for each part, where a few hundred octets are usual.
impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 128 << 20,
            max_header_bytes: 64 << 10,
            max_entry_bytes: 64 << 10,
            max_extensions_bytes: 64 << 10,
        }
    }
}

/// Reads a CRL that lies in one slice. See [`Reader`].
///
/// # Errors
/// [`ReadError`].
pub fn read(der: &[u8], limits: Limits, visitor: &mut impl Visitor) -> Result<Crl, ReadError> {
    let mut reader = Reader::new(limits);
    reader.push(der, visitor)?;
    reader.finish()
}

/// Reads a CRL from pieces of any size, as they come.
///
/// ```
/// use crl::{Entry, Limits, Reader, Visitor};
///
/// struct Count(u64);
/// impl Visitor for Count {
///     fn entry(&mut self, _: &Entry<'_>) {
///         self.0 += 1;
///     }
/// }
///
/// # let der = include_bytes!("../tests/data/openssl-p256.crl");
/// let mut reader = Reader::new(Limits::default());
/// let mut count = Count(0);
/// for piece in der.chunks(7) {
///     reader.push(piece, &mut count)?;
/// }
/// let crl = reader.finish()?;
/// assert_eq!(crl.entry_count, count.0);
/// # Ok::<(), crl::ReadError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Reader {
    limits: Limits,
    state: State,
    /// How many octets were taken in, those in `held` included.
    offset: u64,
    /// The element under way, where it began in an earlier piece.
    held: Vec<u8>,
    /// tbsCertList up to here, until the header is complete.
    head: Vec<u8>,
    /// Up to where the visitor got the signed bytes.
    signed: u64,
    size: u64,
    tbs: Range<u64>,
    list_end: u64,
    parts: Parts,
    error: Option<ReadError>,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    CertificateList,
    TbsCertList,
    Version,
    Algorithm,
    Issuer,
    ThisUpdate,
    NextUpdate,
    List,
    Entries,
    Extensions,
    OuterAlgorithm,
    Signature,
    Done,
}

/// What was read so far.
#[derive(Clone, Debug, Default)]
struct Parts {
    version: Option<Version>,
    algorithm: Option<AlgorithmIdentifier>,
    issuer: Option<DistinguishedName>,
    this_update: Option<UnixTime>,
    next_update: Option<UnixTime>,
    header: Option<Header>,
    entry_count: u64,
    extensions: Extensions,
    unknown_critical_entry_extension: Option<ObjectIdentifier>,
    has_certificate_issuer: bool,
    outer_algorithm: Option<AlgorithmIdentifier>,
    signature: Vec<u8>,
}

/// Bytes are worked on in runs of this size, so that what a visitor has hashed is in the processor's cache when it is read.
const RUN: usize = 64 << 10;

/// Bytes in two, one after the other.
type Split<'a> = (&'a [u8], &'a [u8]);

const TOO_LONG: Fault = "an element is longer than what holds it";

impl Reader {
    /// Before the first byte.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::CertificateList,
            offset: 0,
            held: Vec::new(),
            head: Vec::new(),
            signed: 0,
            size: 0,
            tbs: 0..0,
            list_end: 0,
            parts: Parts::default(),
            error: None,
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`ReadError`], as soon as the bytes tell. After an error, every call gives it again.
    pub fn push(&mut self, bytes: &[u8], visitor: &mut impl Visitor) -> Result<(), ReadError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let result = bytes
            .chunks(RUN)
            .try_for_each(|run| self.push_run(run, visitor));
        self.error = result.err();
        result
    }

    /// After the last byte.
    ///
    /// # Errors
    /// The one that [`Reader::push`] gave, or [`ReadError::Truncated`].
    pub fn finish(self) -> Result<Crl, ReadError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let parts = self.parts;
        match (self.state, parts.header, parts.outer_algorithm) {
            (State::Done, Some(header), Some(algorithm)) => Ok(Crl {
                header,
                entry_count: parts.entry_count,
                extensions: parts.extensions,
                unknown_critical_entry_extension: parts.unknown_critical_entry_extension,
                has_certificate_issuer: parts.has_certificate_issuer,
                algorithm,
                signature: parts.signature,
                tbs: self.tbs,
                size: self.size,
            }),
            _ => Err(ReadError::Truncated {
                received: self.offset,
                size: (self.size != 0).then_some(self.size),
            }),
        }
    }

    /// What stands before the list, once it was read.
    #[must_use]
    pub fn header(&self) -> Option<&Header> {
        self.parts.header.as_ref()
    }

    fn push_run(&mut self, run: &[u8], visitor: &mut impl Visitor) -> Result<(), ReadError> {
        let start = self.offset;
        // Hashing first: it waits less for memory, as it looks at bytes in order, and reading finds them in the cache.
        self.give_signed(start, run, visitor);
        let mut rest = run;
        while self.step(&mut rest, visitor)? {}
        // The header may have ended only now.
        self.give_signed(start, run, visitor);
        Ok(())
    }

    /// Gives the visitor what is signed of a run that began at `start`, and that it has not had.
    fn give_signed(&mut self, start: u64, run: &[u8], visitor: &mut impl Visitor) {
        if self.parts.header.is_none() {
            return;
        }
        let from = within(self.signed.saturating_sub(start), run);
        let to = within(self.tbs.end.saturating_sub(start), run);
        if let Some(signed @ [_, ..]) = run.get(from..to) {
            visitor.signed(signed);
            self.signed = self.signed.saturating_add(signed.len() as u64);
        }
    }

    /// Reads what comes next; says whether to go on, which is not so once `rest` does not suffice.
    #[inline]
    fn step(&mut self, rest: &mut &[u8], visitor: &mut impl Visitor) -> Result<bool, ReadError> {
        match self.state {
            State::Entries => self.entries(rest, visitor),
            _ => self.field(rest, visitor),
        }
    }

    /// Everything but entries: gathered in `held`, then read.
    fn field(&mut self, rest: &mut &[u8], visitor: &mut impl Visitor) -> Result<bool, ReadError> {
        if self.state == State::Done {
            return match rest {
                [] => Ok(false),
                _ => Err(ReadError::TrailingData { size: self.size }),
            };
        }
        // What is optional may be missing at the end of tbsCertList.
        if self.offset == self.tbs.end && self.held.is_empty() {
            match self.state {
                State::NextUpdate | State::List => {
                    self.end_header(visitor)?;
                    self.state = State::OuterAlgorithm;
                }
                State::Extensions => self.state = State::OuterAlgorithm,
                _ => {}
            }
        }
        let Some(head) = self.gather_head(rest)? else {
            return Ok(false);
        };
        let next = match self.state {
            State::CertificateList => {
                self.expect(head, SEQUENCE, "a CRL begins with a SEQUENCE")?;
                self.size = head.total();
                check("the CRL", self.size, self.limits.max_bytes)?;
                self.held.clear();
                State::TbsCertList
            }
            State::TbsCertList => {
                self.expect(head, SEQUENCE, "tbsCertList is not a SEQUENCE")?;
                let start = self.start();
                self.tbs = start..start.saturating_add(head.total());
                if self.tbs.end > self.size {
                    return Err(self.malformed(TOO_LONG));
                }
                self.end_field();
                State::Version
            }
            State::Version if head.tag != INTEGER => State::Algorithm,
            State::NextUpdate if !matches!(head.tag, UTC_TIME | GENERALIZED_TIME) => State::List,
            State::List if head.tag == SEQUENCE => {
                self.list_end = self.offset.saturating_add(u64::from(head.length));
                if self.list_end > self.tbs.end {
                    return Err(self.malformed(TOO_LONG));
                }
                self.end_field();
                self.end_header(visitor)?;
                State::Entries
            }
            State::List => {
                self.end_header(visitor)?;
                State::Extensions
            }
            _ => {
                if !self.gather(rest, head)? {
                    return Ok(false);
                }
                let field = mem::take(&mut self.held);
                let next = self.read_field(head, &field);
                self.held = field;
                let next = next?;
                match next {
                    // All up to here is kept until the header is complete.
                    State::Algorithm
                    | State::Issuer
                    | State::ThisUpdate
                    | State::NextUpdate
                    | State::List => self.end_field(),
                    _ => self.held.clear(),
                }
                next
            }
        };
        self.state = next;
        Ok(true)
    }

    /// Reads one field that was gathered whole; gives what comes next.
    fn read_field(&mut self, head: Head, field: &[u8]) -> Result<State, ReadError> {
        let malformed = |fault| ReadError::Malformed {
            offset: self.offset.saturating_sub(field.len() as u64),
            fault,
        };
        let mut contents = field;
        Ok(match self.state {
            State::Version => {
                // v2 is 1; the field is absent in v1 (RFC 5280 §5.1.2.1).
                if field != [INTEGER, 1, 1] {
                    return Err(ReadError::UnsupportedVersion);
                }
                self.parts.version = Some(Version::V2);
                State::Algorithm
            }
            State::Algorithm => {
                let algorithm = AlgorithmIdentifier::from_der(field)
                    .map_err(|_| malformed("the inner signature is not an AlgorithmIdentifier"))?;
                self.parts.algorithm = Some(algorithm);
                State::Issuer
            }
            State::Issuer => {
                let issuer = DistinguishedName::from_der(field)
                    .map_err(|_| malformed("the issuer is not a Name"))?;
                self.parts.issuer = Some(issuer);
                State::ThisUpdate
            }
            State::ThisUpdate => {
                self.parts.this_update = Some(UnixTime::take(&mut contents).map_err(malformed)?);
                State::NextUpdate
            }
            State::NextUpdate => {
                self.parts.next_update = Some(UnixTime::take(&mut contents).map_err(malformed)?);
                State::List
            }
            State::Extensions => {
                if head.tag != CONTEXT_0 {
                    return Err(malformed("crlExtensions are not [0]"));
                }
                let contents = field.get(head.size..).unwrap_or_default();
                self.parts.extensions =
                    Extensions::from_der(contents).map_err(|error| match error {
                        ExtensionsError::Malformed(fault) => malformed(fault),
                        ExtensionsError::NumberTooLong(octets) => {
                            ReadError::NumberTooLong { octets }
                        }
                    })?;
                if self.offset != self.tbs.end {
                    return Err(malformed("tbsCertList goes on after its extensions"));
                }
                State::OuterAlgorithm
            }
            State::OuterAlgorithm => {
                let algorithm = AlgorithmIdentifier::from_der(field)
                    .map_err(|_| malformed("signatureAlgorithm is not an AlgorithmIdentifier"))?;
                self.parts.outer_algorithm = Some(algorithm);
                State::Signature
            }
            State::Signature => {
                // A signature is whole octets: no bit of the last one is unused.
                let (BIT_STRING, Some([0, signature @ ..])) = (head.tag, field.get(head.size..))
                else {
                    return Err(malformed(
                        "the signature is not a BIT STRING of whole octets",
                    ));
                };
                self.parts.signature = signature.to_vec();
                if self.offset != self.size {
                    return Err(malformed("the CRL goes on after its signature"));
                }
                State::Done
            }
            // Their contents are not gathered.
            State::CertificateList
            | State::TbsCertList
            | State::List
            | State::Entries
            | State::Done => self.state,
        })
    }

    /// Tells the visitor what stands before the list. What was kept for that goes.
    fn end_header(&mut self, visitor: &mut impl Visitor) -> Result<(), ReadError> {
        let parts = &mut self.parts;
        let (Some(algorithm), Some(issuer), Some(this_update)) = (
            parts.algorithm.take(),
            parts.issuer.take(),
            parts.this_update,
        ) else {
            return Err(self.malformed("tbsCertList ends before its list"));
        };
        let header = parts.header.insert(Header {
            version: parts.version.unwrap_or(Version::V1),
            algorithm,
            issuer,
            this_update,
            next_update: parts.next_update,
        });
        visitor.header(header);
        let head = mem::take(&mut self.head);
        visitor.signed(&head);
        visitor.signed(&self.held);
        self.signed = self.offset;
        Ok(())
    }

    /// As many entries as `rest` holds.
    fn entries(&mut self, rest: &mut &[u8], visitor: &mut impl Visitor) -> Result<bool, ReadError> {
        let in_list = within(self.list_end.saturating_sub(self.offset), rest);
        let (mut list, behind) = rest.split_at_checked(in_list).unwrap_or((rest, &[]));
        *rest = behind;
        self.held_entry(&mut list, visitor)?;
        if self.held.is_empty() {
            let left = self.whole_entries(list, visitor)?;
            self.held.extend_from_slice(left);
            self.offset = self.offset.saturating_add(left.len() as u64);
        }
        if self.offset < self.list_end {
            return Ok(false);
        }
        if !self.held.is_empty() {
            return Err(self.malformed(TOO_LONG));
        }
        self.state = State::Extensions;
        Ok(true)
    }

    /// Ends the entry that began in an earlier piece, if there is one, and if `list` suffices.
    fn held_entry(
        &mut self,
        list: &mut &[u8],
        visitor: &mut impl Visitor,
    ) -> Result<(), ReadError> {
        if self.held.is_empty() {
            return Ok(());
        }
        let Some(head) = self.gather_head(list)? else {
            return Ok(());
        };
        self.check_entry(head)?;
        if !self.gather(list, head)? {
            return Ok(());
        }
        let offset = self.start();
        let mut element = mem::take(&mut self.held);
        let entry = Entry::from_contents(element.get(head.size..).unwrap_or_default())
            .map_err(|fault| ReadError::Malformed { offset, fault })?;
        self.show(&entry, visitor);
        self.parts.entry_count = self.parts.entry_count.saturating_add(1);
        element.clear();
        self.held = element;
        Ok(())
    }

    /// The hot loop: entries that lie whole in `list`, uncopied. Gives what is left: less than an entry.
    #[inline]
    fn whole_entries<'a>(
        &mut self,
        list: &'a [u8],
        visitor: &mut impl Visitor,
    ) -> Result<&'a [u8], ReadError> {
        let max_size = self.limits.max_entry_bytes;
        let mut rest = list;
        let mut count = 0u64;
        let ended = loop {
            let (contents, behind) = match Self::next_entry(rest, max_size) {
                Ok(Some(next)) => next,
                ended => break ended.map(|_| ()),
            };
            match Entry::from_contents(contents) {
                Ok(entry) => self.show(&entry, visitor),
                Err(fault) => break Err(fault),
            }
            count = count.wrapping_add(1);
            rest = behind;
        };
        let parts = &mut self.parts;
        parts.entry_count = parts.entry_count.saturating_add(count);
        let read = list.len().saturating_sub(rest.len());
        self.offset = self.offset.saturating_add(read as u64);
        ended.map_err(|fault| self.malformed(fault))?;
        // What is left is refused now if it cannot be an entry.
        if let Some(head) = Head::read(rest).map_err(|fault| self.malformed(fault))? {
            self.check_entry(head)?;
        }
        Ok(rest)
    }

    /// The contents of the entry that `list` begins with, and what stands behind it; `None` if it is not there as a whole, or
    /// cannot be an entry.
    #[inline]
    fn next_entry(list: &[u8], max_size: usize) -> Result<Option<Split<'_>>, Fault> {
        if let Some((SEQUENCE, contents, behind)) = tlv::split_short(list)
            && contents.len().wrapping_add(2) <= max_size
        {
            return Ok(Some((contents, behind)));
        }
        let Some(head) = Head::read(list)? else {
            return Ok(None);
        };
        if head.tag != SEQUENCE || head.total() > max_size as u64 {
            return Ok(None);
        }
        let contents = list.get(head.size..).unwrap_or_default();
        Ok(contents.split_at_checked(head.length as usize))
    }

    #[inline]
    fn show(&mut self, entry: &Entry<'_>, visitor: &mut impl Visitor) {
        if let unknown @ Some(_) = entry.unknown_critical_extension {
            let first = &mut self.parts.unknown_critical_entry_extension;
            *first = first.or(unknown);
        }
        self.parts.has_certificate_issuer |= entry.certificate_issuer.is_some();
        visitor.entry(entry);
    }

    /// Whether an entry with that head can be one.
    #[inline]
    fn check_entry(&self, head: Head) -> Result<(), ReadError> {
        self.expect(head, SEQUENCE, "an entry is not a SEQUENCE")?;
        let size = head.total();
        if self.start().saturating_add(size) > self.list_end {
            return Err(self.malformed(TOO_LONG));
        }
        check("an entry", size, self.limits.max_entry_bytes as u64)
    }

    /// Moves bytes to `held` until it has a whole head; `None` if `rest` does not suffice.
    fn gather_head(&mut self, rest: &mut &[u8]) -> Result<Option<Head>, ReadError> {
        loop {
            if let Some(head) = Head::read(&self.held).map_err(|fault| self.malformed(fault))? {
                return Ok(Some(head));
            }
            if !self.take(rest, 1) {
                return Ok(None);
            }
        }
    }

    /// Moves bytes to `held` until it has the whole element; says whether it has.
    fn gather(&mut self, rest: &mut &[u8], head: Head) -> Result<bool, ReadError> {
        let total = head.total();
        let (what, limit, end) = match self.state {
            State::Entries => ("an entry", self.limits.max_entry_bytes, self.list_end),
            State::Extensions => (
                "crlExtensions",
                self.limits.max_extensions_bytes,
                self.tbs.end,
            ),
            State::OuterAlgorithm | State::Signature => (
                "what follows tbsCertList",
                self.limits.max_header_bytes,
                self.size,
            ),
            _ => (
                "what precedes the list",
                self.limits.max_header_bytes.saturating_sub(self.head.len()),
                self.tbs.end,
            ),
        };
        if self.start().saturating_add(total) > end {
            return Err(self.malformed(TOO_LONG));
        }
        check(what, total, limit as u64)?;
        Ok(self.take(rest, total.saturating_sub(self.held.len() as u64)))
    }

    /// Moves `count` bytes to `held`, or as many as there are; says whether it was all of them.
    fn take(&mut self, rest: &mut &[u8], count: u64) -> bool {
        let (taken, left) = rest
            .split_at_checked(within(count, rest))
            .unwrap_or((rest, &[]));
        self.held.extend_from_slice(taken);
        self.offset = self.offset.saturating_add(taken.len() as u64);
        *rest = left;
        taken.len() as u64 == count
    }

    /// Keeps what is held for the visitor, which gets it after the header.
    fn end_field(&mut self) {
        self.head.append(&mut self.held);
    }

    /// Where the element under way begins.
    #[inline]
    fn start(&self) -> u64 {
        self.offset.saturating_sub(self.held.len() as u64)
    }

    #[inline]
    fn expect(&self, head: Head, tag: u8, fault: Fault) -> Result<(), ReadError> {
        if head.tag == tag {
            Ok(())
        } else {
            Err(self.malformed(fault))
        }
    }

    #[cold]
    fn malformed(&self, fault: Fault) -> ReadError {
        ReadError::Malformed {
            offset: self.start(),
            fault,
        }
    }
}

#[inline]
fn check(what: &'static str, size: u64, limit: u64) -> Result<(), ReadError> {
    if size > limit {
        return Err(ReadError::TooLarge { what, size, limit });
    }
    Ok(())
}

/// A distance, or the end of the bytes if that comes first.
#[inline]
fn within(distance: u64, bytes: &[u8]) -> usize {
    usize::try_from(distance).map_or(bytes.len(), |distance| distance.min(bytes.len()))
}

#[cfg(test)]
mod tests;
