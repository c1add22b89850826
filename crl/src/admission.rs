//! The gate: every rule that a CRL must pass before anyone is served it. Pure: what was held before and the time are arguments.

use alloc::boxed::Box;
use alloc::string::ToString;
use core::fmt;
use core::time::Duration;

use ed25519_dalek::StreamVerifier;

use crate::algorithm::Algorithm;
use crate::contents::{Crl, Version};
use crate::examination::Examined;
use crate::issuer::Issuer;
use crate::number::CrlNumber;
use crate::refusal::{Refusal, Unsigned, WrongIssuer, WrongPoint, WrongScope};
use crate::signature::Hashed;
use crate::time::UnixTime;

/// Which kind of CRL is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// A complete one.
    Full,
    /// Changes since a complete one (RFC 5280 §5.2.4).
    Delta,
    /// A complete one for the certificates that name its distribution point (§5.2.5).
    Shard,
}

/// What is due, and what came with the CRL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected<'a> {
    /// Which kind of CRL is due.
    pub scope: Scope,
    /// The URL at which its clients look for it, if that is known.
    pub distribution_point: Option<&'a str>,
    /// SHA-256 of the CRL's bytes.
    pub sha256: [u8; 32],
    /// The origin's count of changes to its revocations, if it gave one.
    pub watermark: Option<u64>,
}

/// What is held already: the CRL before, which passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its number.
    pub number: CrlNumber,
    /// When it was made.
    pub this_update: UnixTime,
    /// The origin's count that came with it.
    pub watermark: Option<u64>,
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
}

/// What the rules leave open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// By how much the issuer's clock and ours may differ: a CRL is refused as not yet valid only if it is so by more than this.
    /// Nothing is added to nextUpdate: what has expired cannot be served, and must not take the place of what can.
    pub clock_skew: Duration,
}

/// Five minutes.
impl Default for Policy {
    fn default() -> Self {
        Self {
            clock_skew: Duration::from_mins(5),
        }
    }
}

/// What became of a CRL that was not refused.
#[derive(Debug)]
pub enum Admission {
    /// It passed.
    Admitted(Admitted),
    /// It passed all but the signature, which takes its bytes again (Ed25519).
    NeedsSecondPass(SecondPass),
    /// It is what is held already, byte for byte, and still valid.
    Unchanged,
}

/// A CRL that passed every rule. There is no other way to make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    crl: Crl,
    number: CrlNumber,
    next_update: UnixTime,
}

/// Judges a CRL. The rules stand in the order of their cost; the first that is broken is told.
///
/// # Errors
/// [`Refusal`], one for each rule.
pub fn admit<H: Hashed>(
    examined: &Examined<H>,
    issuer: &Issuer,
    expected: &Expected<'_>,
    held: Option<&Held>,
    policy: &Policy,
    now: UnixTime,
) -> Result<Admission, Refusal> {
    let crl = examined.crl();
    let algorithm = check_form(crl)?;
    check_issuer(crl, issuer, algorithm)?;
    check_scope(crl, expected)?;
    let next_update = check_validity(crl, policy, now)?;
    let number = crl.extensions.number.ok_or(Refusal::NumberMissing)?;
    if let Some(held) = held {
        if held.sha256 == expected.sha256 {
            return Ok(Admission::Unchanged);
        }
        check_order(crl, number, expected, held)?;
    }
    let admitted = || Admitted {
        crl: crl.clone(),
        number,
        next_update,
    };
    let key = issuer.key();
    if let (Some(signed), Some(spki)) = (examined.signed(), key.spki()) {
        signed
            .verify(spki, algorithm, &crl.signature)
            .map_err(|unverified| Refusal::BadSignature(unverified.into()))?;
        return Ok(Admission::Admitted(admitted()));
    }
    let verifier = key
        .verify_stream(&crl.signature)
        .ok_or(Refusal::BadSignature(Unsigned::Invalid))?;
    Ok(Admission::NeedsSecondPass(SecondPass {
        verifier: Box::new(verifier),
        offset: 0,
        admitted: admitted(),
    }))
}

/// Version, algorithms and extensions.
fn check_form(crl: &Crl) -> Result<Algorithm, Refusal> {
    // RFC 5280 §5.1.2.1
    if crl.header.version != Version::V2 {
        return Err(Refusal::UnsupportedVersion);
    }
    // §5.1.1.2
    if crl.header.algorithm != crl.algorithm {
        return Err(Refusal::AlgorithmMismatch {
            inner: crl.header.algorithm.to_string(),
            outer: crl.algorithm.to_string(),
        });
    }
    let algorithm = crl
        .algorithm
        .algorithm()
        .ok_or_else(|| Refusal::UnsupportedAlgorithm(crl.algorithm.to_string()))?;
    // §5.2, §5.3
    let mut unknown = crl.extensions.unknown.iter();
    if let Some(extension) = unknown.find(|extension| extension.critical) {
        return Err(Refusal::UnknownCriticalExtension {
            oid: extension.oid,
            of_entry: false,
        });
    }
    if let Some(oid) = crl.unknown_critical_entry_extension {
        return Err(Refusal::UnknownCriticalExtension {
            oid,
            of_entry: true,
        });
    }
    Ok(algorithm)
}

/// The issuer's name, key identifier, key usage and kind of key.
fn check_issuer(crl: &Crl, issuer: &Issuer, algorithm: Algorithm) -> Result<(), Refusal> {
    // RFC 5280 §5.1.2.3, §6.3.3 (f)
    if !crl.header.issuer.matches(issuer.subject()) {
        return Err(Refusal::WrongIssuer(WrongIssuer::Name {
            found: crl.header.issuer.clone(),
            expected: issuer.subject().clone(),
        }));
    }
    // §5.2.1; authorityCertIssuer and authorityCertSerialNumber do not count, as they change when a certificate is renewed.
    let authority = crl.extensions.authority_key_id.as_ref();
    let key_id = authority.and_then(|authority| authority.key_identifier.as_ref());
    if let (Some(found), Some(expected)) = (key_id, issuer.subject_key_id())
        && found.as_bytes() != expected
    {
        return Err(Refusal::WrongIssuer(WrongIssuer::KeyId {
            found: found.as_bytes().to_vec(),
            expected: expected.to_vec(),
        }));
    }
    // §4.2.1.3, §6.3.3 (f)
    if !issuer.may_sign_crls() {
        return Err(Refusal::WrongIssuer(WrongIssuer::KeyUsage));
    }
    if !issuer.key().fits(algorithm) {
        return Err(Refusal::BadSignature(Unsigned::OtherKey {
            algorithm,
            key: issuer.key_kind(),
        }));
    }
    Ok(())
}

/// Which certificates the CRL is about.
fn check_scope(crl: &Crl, expected: &Expected<'_>) -> Result<(), Refusal> {
    // RFC 5280 §5.2.4
    match (expected.scope, crl.extensions.base_number) {
        (Scope::Delta, None) => return Err(Refusal::WrongScope(WrongScope::NotDelta)),
        (Scope::Full | Scope::Shard, Some(base)) => {
            return Err(Refusal::WrongScope(WrongScope::Delta { base }));
        }
        _ => {}
    }
    // §5.3.3
    if crl.has_certificate_issuer {
        return Err(Refusal::WrongScope(WrongScope::Indirect));
    }
    // §5.2.5
    let wrong_point = |found| Refusal::WrongDistributionPoint {
        expected: expected.distribution_point.unwrap_or_default().into(),
        found,
    };
    let Some(point) = &crl.extensions.issuing_distribution_point else {
        return match expected.scope {
            Scope::Shard => Err(wrong_point(WrongPoint::None)),
            Scope::Full | Scope::Delta => Ok(()),
        };
    };
    if point.indirect_crl {
        return Err(Refusal::WrongScope(WrongScope::Indirect));
    }
    if point.only_contains_attribute_certs {
        return Err(Refusal::WrongScope(WrongScope::AttributeCertificates));
    }
    let mut urls = crl.extensions.distribution_point_urls();
    match (&point.distribution_point, expected.distribution_point) {
        // Not limited to a distribution point.
        (None, _) if expected.scope != Scope::Shard => Ok(()),
        (None, _) => Err(wrong_point(WrongPoint::None)),
        (Some(_), None) => Ok(()),
        (Some(_), Some(expected)) if urls.any(|url| url == expected) => Ok(()),
        (Some(_), Some(_)) => Err(wrong_point(
            crl.extensions
                .distribution_point_urls()
                .next()
                .map_or(WrongPoint::NoUrl, |url| WrongPoint::Url(url.into())),
        )),
    }
}

/// thisUpdate, with the clock skew, and nextUpdate, without; gives nextUpdate.
fn check_validity(crl: &Crl, policy: &Policy, now: UnixTime) -> Result<UnixTime, Refusal> {
    // RFC 5280 §5.1.2.5
    let next_update = crl.header.next_update.ok_or(Refusal::NextUpdateMissing)?;
    // §5.1.2.4
    let this_update = crl.header.this_update;
    if this_update > now.saturating_add(policy.clock_skew) {
        return Err(Refusal::NotYetValid { this_update, now });
    }
    // §6.3.3 (a)
    if next_update <= now {
        return Err(Refusal::Expired { next_update, now });
    }
    Ok(next_update)
}

/// Never less than what is held.
fn check_order(
    crl: &Crl,
    number: CrlNumber,
    expected: &Expected<'_>,
    held: &Held,
) -> Result<(), Refusal> {
    // RFC 5280 §5.2.3
    if number == held.number {
        return Err(Refusal::NumberReused { number });
    }
    if number < held.number {
        return Err(Refusal::NumberRegressed {
            number,
            held: held.number,
        });
    }
    // §5.1.2.4 with §5.2.3: numbers follow the order in which CRLs are made.
    if crl.header.this_update < held.this_update {
        return Err(Refusal::ThisUpdateRegressed {
            this_update: crl.header.this_update,
            held: held.this_update,
        });
    }
    match (expected.watermark, held.watermark) {
        (Some(watermark), Some(held)) if watermark < held => {
            Err(Refusal::WatermarkRegressed { watermark, held })
        }
        _ => Ok(()),
    }
}

impl Admitted {
    /// All that the CRL says, apart from its entries.
    #[must_use]
    pub fn crl(&self) -> &Crl {
        &self.crl
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> CrlNumber {
        self.number
    }

    /// When it was made.
    #[must_use]
    pub fn this_update(&self) -> UnixTime {
        self.crl.header.this_update
    }

    /// By when the next one will be there.
    #[must_use]
    pub fn next_update(&self) -> UnixTime {
        self.next_update
    }
}

/// The check of a signature that takes the CRL's bytes again: Ed25519 hashes a part of the signature first (RFC 8032 §5.1.7).
///
/// Only the very bytes that were examined can pass, as the signature comes from the first pass.
pub struct SecondPass {
    verifier: Box<StreamVerifier>,
    offset: u64,
    admitted: Admitted,
}

impl SecondPass {
    /// Takes the next bytes of the whole CRL, from its first to its last.
    pub fn push(&mut self, bytes: &[u8]) {
        let tbs = &self.admitted.crl.tbs;
        let within = |end: u64| {
            let end = end.saturating_sub(self.offset);
            usize::try_from(end).map_or(bytes.len(), |end| end.min(bytes.len()))
        };
        if let Some(signed) = bytes.get(within(tbs.start)..within(tbs.end)) {
            self.verifier.update(signed);
        }
        self.offset = self.offset.saturating_add(bytes.len() as u64);
    }

    /// After the last byte.
    ///
    /// # Errors
    /// [`Refusal::BadSignature`].
    pub fn finish(self) -> Result<Admitted, Refusal> {
        if self.offset != self.admitted.crl.size {
            return Err(Refusal::BadSignature(Unsigned::OtherBytes {
                seen: self.offset,
                size: self.admitted.crl.size,
            }));
        }
        self.verifier
            .finalize_and_verify()
            .map_err(|_| Refusal::BadSignature(Unsigned::Invalid))?;
        Ok(self.admitted)
    }
}

impl fmt::Debug for SecondPass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecondPass")
            .field("offset", &self.offset)
            .field("admitted", &self.admitted)
            .finish_non_exhaustive()
    }
}
