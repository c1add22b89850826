//! The push reader: takes a CRL's bytes in pieces of any size and gives a visitor what they say. It
//! judges the encoding alone, and keeps no list.

use alloc::vec::Vec;
use core::mem;
use core::ops::{ControlFlow, Range};

use der::asn1::ObjectIdentifier;

use crate::algorithm::AlgorithmIdentifier;
use crate::contents::{Crl, Header, Version};
use crate::entry::{Entry, EntryError};
use crate::extensions::{Extensions, ExtensionsError};
use crate::finding::Observations;
use crate::name::DistinguishedName;
use crate::read_error::ReadError;
use crate::time::UnixTime;
use crate::tlv::{
    self, BIT_STRING, Fault, GENERALIZED_TIME, Head, INTEGER, SEQUENCE, UTC_TIME, constructed,
};
use crate::visitor::Visitor;

/// How large a CRL and its parts may be, in octets. The last three together bound the reader's
/// memory.
///
/// Beside these, what is decoded is counted: an entry has at most [`Entry::MAX_EXTENSIONS`]
/// extensions, a CRL 32, and an extension and the issuer's name 128 names each. So a hostile CRL
/// costs little more than an honest one of the same size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The whole CRL.
    pub max_bytes: u64,
    /// What precedes the list; also each of the two fields that follow tbsCertList.
    pub max_header_bytes: usize,
    /// One entry.
    pub max_entry_bytes: usize,
    /// The CRL's own extensions.
    pub max_extensions_bytes: usize,
}

/// 128 MiB in all; 64 KiB for each part, of which a few hundred octets are usual.
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

/// Reads a CRL from one slice. See [`Reader`].
///
/// # Errors
/// [`ReadError`]: the bytes cannot be read as a CRL, or the visitor stopped.
pub fn read(der: &[u8], limits: Limits, visitor: &mut impl Visitor) -> Result<Crl, ReadError> {
    let mut reader = Reader::new(limits);
    reader.push(der, visitor)?;
    reader.finish()
}

/// Reads a CRL from pieces of any size, as they come.
///
/// ```
/// use std::ops::ControlFlow;
///
/// use crl::{Entry, Limits, Reader, Visitor};
///
/// struct Count(u64);
/// impl Visitor for Count {
///     fn entry(&mut self, _: &Entry<'_>) -> ControlFlow<()> {
///         self.0 += 1;
///         ControlFlow::Continue(())
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
    /// The element that is being read, if it began in an earlier piece.
    held: Vec<u8>,
    /// tbsCertList up to here, until the header is complete.
    head: Vec<u8>,
    /// How far the visitor has received the signed bytes.
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
    observations: Observations,
    outer_algorithm: Option<AlgorithmIdentifier>,
    signature: Vec<u8>,
}

/// Bytes are processed in runs of this size, so that they are still in the processor's cache when
/// they are parsed after a visitor has hashed them.
const RUN: usize = 64 << 10;

const TOO_LONG: Fault = "an element is longer than what contains it";

/// An entry in the list, and what follows it.
struct Next<'a> {
    der: &'a [u8],
    contents: &'a [u8],
    behind: &'a [u8],
}

impl<'a> Next<'a> {
    /// `behind` is the end of `list`, after the entry.
    #[inline]
    fn new(list: &'a [u8], contents: &'a [u8], behind: &'a [u8]) -> Self {
        let size = list.len().wrapping_sub(behind.len()); // cannot wrap: `behind` is a part
        Self {
            der: list.get(..size).unwrap_or_default(),
            contents,
            behind,
        }
    }
}

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
    /// [`ReadError`], as soon as it shows. Every later call gives the same error.
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
    /// The error that [`Reader::push`] gave, or [`ReadError::Truncated`].
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
                observations: parts.observations,
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

    /// What precedes the list, once it has been read.
    #[must_use]
    pub fn header(&self) -> Option<&Header> {
        self.parts.header.as_ref()
    }

    fn push_run(&mut self, run: &[u8], visitor: &mut impl Visitor) -> Result<(), ReadError> {
        let start = self.offset;
        // Hash first: hashing reads ahead in order, so it waits less for memory than parsing does.
        self.give_signed(start, run, visitor);
        let mut rest = run;
        while self.step(&mut rest, visitor)? {}
        // The header may have ended only now.
        self.give_signed(start, run, visitor);
        Ok(())
    }

    /// Gives the visitor the signed bytes of a run that began at `start`, without those that it has
    /// received.
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

    /// Reads what comes next; false if `rest` is too short for that.
    #[inline]
    fn step(&mut self, rest: &mut &[u8], visitor: &mut impl Visitor) -> Result<bool, ReadError> {
        match self.state {
            State::Entries => self.entries(rest, visitor),
            _ => self.field(rest, visitor),
        }
    }

    /// Everything except entries: gathered in `held`, then read.
    fn field(&mut self, rest: &mut &[u8], visitor: &mut impl Visitor) -> Result<bool, ReadError> {
        if self.state == State::Done {
            return match rest {
                [] => Ok(false),
                _ => Err(ReadError::TrailingData { size: self.size }),
            };
        }
        // The fields at the end of tbsCertList are optional.
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
                    // Kept until the header is complete.
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

    /// Reads one whole field; gives what comes next.
    fn read_field(&mut self, head: Head, field: &[u8]) -> Result<State, ReadError> {
        let offset = self.offset.saturating_sub(field.len() as u64);
        let malformed = |fault| ReadError::Malformed { offset, fault };
        Ok(match self.state {
            State::Version => {
                // v2 is 1; the field is absent in v1 (RFC 5280, section 5.1.2.1).
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
                    .map_err(|_| malformed("the issuer is not a Name of at most 128 attributes"))?;
                self.parts.issuer = Some(issuer);
                State::ThisUpdate
            }
            State::ThisUpdate => {
                self.parts.this_update = Some(self.time(field, "thisUpdate").map_err(malformed)?);
                State::NextUpdate
            }
            State::NextUpdate => {
                self.parts.next_update = Some(self.time(field, "nextUpdate").map_err(malformed)?);
                State::List
            }
            State::Extensions => {
                if head.tag != constructed(0) {
                    return Err(malformed("crlExtensions are not [0]"));
                }
                let contents = field.get(head.size..).unwrap_or_default();
                self.parts.extensions =
                    Extensions::from_der(contents).map_err(|error| match error {
                        ExtensionsError::Malformed(fault) => malformed(fault),
                        ExtensionsError::NumberTooLong(octets) => {
                            ReadError::NumberTooLong { octets }
                        }
                        ExtensionsError::TooMany { what, limit } => {
                            ReadError::TooMany { what, limit }
                        }
                    })?;
                if self.offset != self.tbs.end {
                    return Err(malformed("tbsCertList continues after its extensions"));
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
                // Whole octets: no bit of the last one is unused.
                let (BIT_STRING, Some([0, signature @ ..])) = (head.tag, field.get(head.size..))
                else {
                    return Err(malformed(
                        "the signature is not a BIT STRING of whole octets",
                    ));
                };
                self.parts.signature = signature.to_vec();
                if self.offset != self.size {
                    return Err(malformed("the CRL continues after its signature"));
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

    /// Reads thisUpdate or nextUpdate.
    fn time(&mut self, mut field: &[u8], name: &'static str) -> Result<UnixTime, Fault> {
        let (time, is_generalized_before_2050) = UnixTime::take(&mut field)?;
        if is_generalized_before_2050 {
            self.parts.observations.header_times.push(name);
        }
        Ok(time)
    }

    /// Gives the visitor what precedes the list, and drops what was kept for that.
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

    /// Completes the entry that began in an earlier piece, if there is one and `list` is long
    /// enough.
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
        if !self.complete(list, head) {
            return Ok(());
        }
        let offset = self.start();
        let mut element = mem::take(&mut self.held);
        let contents = element.get(head.size..).unwrap_or_default();
        let entry =
            Entry::read(&element, contents, offset).map_err(|error| entry_error(error, offset))?;
        self.show(&entry, visitor)?;
        self.parts.entry_count = self.parts.entry_count.saturating_add(1);
        element.clear();
        self.held = element;
        Ok(())
    }

    /// The hot loop: entries that are whole in `list`, read without a copy. Gives what is left,
    /// less than one entry.
    #[inline]
    fn whole_entries<'a>(
        &mut self,
        list: &'a [u8],
        visitor: &mut impl Visitor,
    ) -> Result<&'a [u8], ReadError> {
        let max_size = self.limits.max_entry_bytes;
        let start = self.offset;
        let mut rest = list;
        let mut count = 0u64;
        let offset = |rest: &[u8]| {
            let read = list.len().wrapping_sub(rest.len()); // `rest` is a part of `list`
            start.wrapping_add(read as u64)
        };
        let ended = loop {
            let next = match Self::next_entry(rest, max_size) {
                Ok(Some(next)) => next,
                Ok(None) => break Ok(()),
                Err(fault) => break Err(fault.into()),
            };
            match Entry::read(next.der, next.contents, offset(rest)) {
                Ok(entry) => self.show(&entry, visitor)?,
                Err(error) => break Err(error),
            }
            count = count.wrapping_add(1);
            rest = next.behind;
        };
        let parts = &mut self.parts;
        parts.entry_count = parts.entry_count.saturating_add(count);
        self.offset = offset(rest);
        ended.map_err(|error| entry_error(error, self.start()))?;
        // Refuse what is left now if it cannot be an entry.
        if let Some(head) = Head::read(rest).map_err(|fault| self.malformed(fault))? {
            self.check_entry(head)?;
        }
        Ok(rest)
    }

    /// The entry that `list` begins with; `None` if it is incomplete, or cannot be an entry.
    #[inline]
    fn next_entry(list: &[u8], max_size: usize) -> Result<Option<Next<'_>>, Fault> {
        if let Some((SEQUENCE, contents, behind)) = tlv::split_short(list)
            && contents.len().wrapping_add(2) <= max_size
        {
            return Ok(Some(Next::new(list, contents, behind)));
        }
        let Some(head) = Head::read(list)? else {
            return Ok(None);
        };
        if head.tag != SEQUENCE || head.total() > max_size as u64 {
            return Ok(None);
        }
        let contents = list.get(head.size..).unwrap_or_default();
        let split = contents.split_at_checked(head.length as usize);
        Ok(split.map(|(contents, behind)| Next::new(list, contents, behind)))
    }

    #[inline]
    fn show(&mut self, entry: &Entry<'_>, visitor: &mut impl Visitor) -> Result<(), ReadError> {
        if let unknown @ Some(_) = entry.unknown_critical_extension {
            let first = &mut self.parts.unknown_critical_entry_extension;
            *first = first.or(unknown);
        }
        self.parts.has_certificate_issuer |= entry.certificate_issuer.is_some();
        let this_update = self.parts.this_update.unwrap_or(UnixTime::MAX);
        self.parts.observations.observe(entry, this_update);
        match visitor.entry(entry) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(ReadError::Stopped),
        }
    }

    /// Whether an element with this head can be an entry.
    #[inline]
    fn check_entry(&self, head: Head) -> Result<(), ReadError> {
        self.expect(head, SEQUENCE, "an entry is not a SEQUENCE")?;
        let size = head.total();
        if self.start().saturating_add(size) > self.list_end {
            return Err(self.malformed(TOO_LONG));
        }
        check("an entry", size, self.limits.max_entry_bytes as u64)
    }

    /// Moves bytes to `held` until it has a whole head; `None` if `rest` is too short.
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

    /// Moves bytes to `held` until it has the whole field; false if `rest` is too short.
    fn gather(&mut self, rest: &mut &[u8], head: Head) -> Result<bool, ReadError> {
        let total = head.total();
        let (what, limit, end) = match self.state {
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
        Ok(self.complete(rest, head))
    }

    /// Moves bytes to `held` until it has the whole element; false if `rest` is too short.
    fn complete(&mut self, rest: &mut &[u8], head: Head) -> bool {
        let missing = head.total().saturating_sub(self.held.len() as u64);
        self.take(rest, missing)
    }

    /// Moves `count` bytes to `held`, or as many as there are; false if there are too few.
    fn take(&mut self, rest: &mut &[u8], count: u64) -> bool {
        let (taken, left) = rest
            .split_at_checked(within(count, rest))
            .unwrap_or((rest, &[]));
        self.held.extend_from_slice(taken);
        self.offset = self.offset.saturating_add(taken.len() as u64);
        *rest = left;
        taken.len() as u64 == count
    }

    /// Keeps the field for the visitor, which receives it after the header.
    fn end_field(&mut self) {
        self.head.append(&mut self.held);
    }

    /// Where the element that is being read begins.
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

#[cold]
fn entry_error(error: EntryError, offset: u64) -> ReadError {
    match error {
        EntryError::Malformed(fault) => ReadError::Malformed { offset, fault },
        EntryError::TooManyExtensions => ReadError::TooMany {
            what: "the extensions of an entry",
            limit: Entry::MAX_EXTENSIONS,
        },
    }
}

#[inline]
fn check(what: &'static str, size: u64, limit: u64) -> Result<(), ReadError> {
    if size > limit {
        return Err(ReadError::TooLarge { what, size, limit });
    }
    Ok(())
}

/// `distance`, or the number of bytes if that is less.
#[inline]
fn within(distance: u64, bytes: &[u8]) -> usize {
    usize::try_from(distance).map_or(bytes.len(), |distance| distance.min(bytes.len()))
}

#[cfg(test)]
mod tests;
