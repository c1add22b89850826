//! What RFC 5280 and X.509 say of one CRL by itself: form, issuer, scope, validity, signature.
//! [`supersedes`](crate::supersedes) says what may replace what.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use ed25519_dalek::StreamVerifier;

use crate::algorithm::Algorithm;
use crate::contents::{Crl, Version};
use crate::examination::Examined;
use crate::finding::{Finding, FindingKind};
use crate::issuer::Issuer;
use crate::number::CrlNumber;
use crate::refusal::{Refusal, Unsigned, WrongIssuer, WrongPoint, WrongScope};
use crate::scope::{Certificates, CrlKind};
use crate::signature::Hashed;
use crate::supersede::Edition;
use crate::time::UnixTime;

/// What a CRL must be.
#[derive(Clone, Copy, Debug)]
pub struct Requirements<'a> {
    /// Who must have signed it.
    pub issuer: &'a Issuer,
    /// Which of the issuer's CRLs it must be.
    pub kind: CrlKind,
    /// The URL at which clients look for it, if that is known.
    pub distribution_point: Option<&'a str>,
    /// The current time.
    pub now: UnixTime,
    /// How far the issuer's clock may be ahead of ours: thisUpdate may be later than now by this
    /// much. nextUpdate has no such tolerance: an expired CRL must not replace a valid one.
    pub clock_skew: Duration,
    /// Whether findings are refused, too: only what RFC 5280 asks for is then accepted.
    pub strict: bool,
}

impl<'a> Requirements<'a> {
    /// Five minutes of clock skew, any distribution point, not strict.
    #[must_use]
    pub fn new(issuer: &'a Issuer, kind: CrlKind, now: UnixTime) -> Self {
        Self {
            issuer,
            kind,
            distribution_point: None,
            now,
            clock_skew: Duration::from_secs(300),
            strict: false,
        }
    }
}

/// How far [`verify`] came without refusing the CRL.
#[derive(Debug)]
pub enum Verification {
    /// It keeps every rule.
    Verified(Verified),
    /// It keeps every rule except the signature, which needs the bytes again (Ed25519).
    NeedsSecondPass(SecondPass),
}

/// A CRL that keeps every rule. Only [`verify`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    crl: Crl,
    number: CrlNumber,
    next_update: UnixTime,
    findings: Vec<Finding>,
}

/// Checks one CRL by itself. The rules are checked in the order of their cost, and the first that
/// is broken is the error.
///
/// # Errors
/// [`Refusal`], one for each rule.
pub fn verify<H: Hashed>(
    examined: &Examined<H>,
    requirements: &Requirements<'_>,
) -> Result<Verification, Refusal> {
    let crl = examined.crl();
    let issuer = requirements.issuer;
    let algorithm = check_form(crl)?;
    check_issuer(crl, issuer, algorithm)?;
    check_scope(crl, requirements)?;
    let next_update = check_validity(crl, requirements)?;
    let number = crl.extensions.number.ok_or(Refusal::NumberMissing)?;
    check_delta(crl, number)?;
    let findings = findings(crl, issuer);
    if requirements.strict
        && let Some(finding) = findings.first()
    {
        return Err(Refusal::Strict(finding.clone()));
    }
    let verified = Verified {
        crl: crl.clone(),
        number,
        next_update,
        findings,
    };
    let key = issuer.key();
    if let (Some(signed), Some(key)) = (examined.signed(), key.for_hash()) {
        signed
            .verify(key, algorithm, &crl.signature)
            .map_err(|unverified| Refusal::BadSignature(unverified.into()))?;
        return Ok(Verification::Verified(verified));
    }
    let signature_check = key
        .verify_stream(&crl.signature)
        .ok_or(Refusal::BadSignature(Unsigned::Invalid))?;
    Ok(Verification::NeedsSecondPass(SecondPass {
        verifier: Box::new(signature_check),
        offset: 0,
        verified,
    }))
}

/// Version, algorithms and extensions.
fn check_form(crl: &Crl) -> Result<Algorithm, Refusal> {
    // RFC 5280, section 5.1.2.1
    if crl.header.version != Version::V2 {
        return Err(Refusal::UnsupportedVersion);
    }
    // RFC 5280, section 5.1.1.2
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
    // RFC 5280, sections 5.2 and 5.3
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
    // RFC 5280, sections 5.1.2.3 and 6.3.3 (f)
    if !crl.header.issuer.matches(issuer.subject()) {
        return Err(Refusal::WrongIssuer(WrongIssuer::Name {
            found: crl.header.issuer.clone(),
            expected: issuer.subject().clone(),
        }));
    }
    // RFC 5280, section 5.2.1. authorityCertIssuer and authorityCertSerialNumber do not count: they
    // change when the certificate is renewed.
    let authority = crl.extensions.authority_key_id.as_ref();
    let key_id = authority.and_then(|authority| authority.key_id.as_ref());
    if let (Some(found), Some(expected)) = (key_id, issuer.subject_key_id())
        && found != expected
    {
        return Err(Refusal::WrongIssuer(WrongIssuer::KeyId {
            found: found.clone(),
            expected: expected.to_vec(),
        }));
    }
    // RFC 5280, sections 4.2.1.3 and 6.3.3 (f)
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

/// Which certificates and reasons the CRL covers.
fn check_scope(crl: &Crl, requirements: &Requirements<'_>) -> Result<(), Refusal> {
    let kind = requirements.kind;
    // RFC 5280, section 5.2.4
    match (kind, crl.extensions.base_number) {
        (CrlKind::Delta, None) => return Err(Refusal::WrongScope(WrongScope::NotDelta)),
        (CrlKind::Full | CrlKind::Shard, Some(base)) => {
            return Err(Refusal::WrongScope(WrongScope::Delta { base }));
        }
        _ => {}
    }
    // RFC 5280, sections 5.2.5 and 5.3.3
    let scope = crl.scope();
    if scope.is_indirect {
        return Err(Refusal::WrongScope(WrongScope::Indirect));
    }
    match scope.coverage.certificates {
        Certificates::Attribute => {
            return Err(Refusal::WrongScope(WrongScope::AttributeCertificates));
        }
        Certificates::Contradictory => return Err(Refusal::WrongScope(WrongScope::Contradictory)),
        Certificates::All | Certificates::User | Certificates::Ca => {}
    }
    let reasons = scope.coverage.reasons;
    if kind != CrlKind::Shard && !reasons.is_all() {
        return Err(Refusal::WrongScope(WrongScope::SomeReasons { reasons }));
    }
    if let Some(point) = &crl.extensions.issuing_distribution_point
        && point.is_empty()
    {
        return Err(Refusal::WrongScope(WrongScope::EmptyPoint));
    }
    check_distribution_point(requirements, scope.distribution_point.as_deref())
}

/// RFC 5280, section 5.2.5: clients that look at a URL need the CRL for that distribution point.
fn check_distribution_point(
    requirements: &Requirements<'_>,
    urls: Option<&[String]>,
) -> Result<(), Refusal> {
    let found = match (urls, requirements.distribution_point) {
        // A CRL that is not limited to a distribution point is for all of them.
        (None, _) if requirements.kind != CrlKind::Shard => return Ok(()),
        (None, _) => WrongPoint::None,
        (Some(_), None) => return Ok(()),
        (Some(urls), Some(expected)) if urls.iter().any(|url| url == expected) => return Ok(()),
        (Some(urls), Some(_)) => match urls.first() {
            Some(url) => WrongPoint::Url(url.clone()),
            None => WrongPoint::NoUrl,
        },
    };
    Err(Refusal::WrongDistributionPoint {
        expected: requirements.distribution_point.unwrap_or_default().into(),
        found,
    })
}

/// thisUpdate, with the clock skew, and nextUpdate, without; gives nextUpdate.
fn check_validity(crl: &Crl, requirements: &Requirements<'_>) -> Result<UnixTime, Refusal> {
    let now = requirements.now;
    // RFC 5280, section 5.1.2.5
    let next_update = crl.header.next_update.ok_or(Refusal::NextUpdateMissing)?;
    // RFC 5280, section 5.1.2.4
    let this_update = crl.header.this_update;
    if this_update > now.saturating_add(requirements.clock_skew) {
        return Err(Refusal::NotYetValid { this_update, now });
    }
    // RFC 5280, section 6.3.3 (a)
    if next_update <= now {
        return Err(Refusal::Expired { next_update, now });
    }
    Ok(next_update)
}

/// What a delta CRL must not say.
fn check_delta(crl: &Crl, number: CrlNumber) -> Result<(), Refusal> {
    let Some(base) = crl.extensions.base_number else {
        return Ok(());
    };
    // RFC 5280, section 5.2.6
    if crl.extensions.freshest_crl.is_some() {
        return Err(Refusal::WrongScope(WrongScope::FreshestInDelta));
    }
    // RFC 5280, section 5.2.4
    if base > number {
        return Err(Refusal::DeltaBase { base, number });
    }
    Ok(())
}

fn findings(crl: &Crl, issuer: &Issuer) -> Vec<Finding> {
    let mut findings = crl.findings();
    if crl.header.issuer != *issuer.subject() {
        let name = crl.header.issuer.to_string();
        findings.push(Finding::once(FindingKind::NameNotIdentical, Some(name)));
    }
    findings
}

impl Verified {
    /// All that the CRL says, without its entries.
    #[must_use]
    pub fn crl(&self) -> &Crl {
        &self.crl
    }

    /// Its CRLNumber.
    #[must_use]
    pub fn number(&self) -> CrlNumber {
        self.number
    }

    /// Its thisUpdate.
    #[must_use]
    pub fn this_update(&self) -> UnixTime {
        self.crl.header.this_update
    }

    /// Its nextUpdate.
    #[must_use]
    pub fn next_update(&self) -> UnixTime {
        self.next_update
    }

    /// What is odd about it.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What [`supersedes`](crate::supersedes) compares. `sha256` is that of the CRL's bytes.
    #[must_use]
    pub fn edition(&self, sha256: [u8; 32]) -> Edition {
        Edition {
            number: self.number,
            this_update: self.this_update(),
            coverage: Some(self.crl.scope().coverage),
            sha256,
        }
    }
}

/// The check of a signature that needs the CRL's bytes again: Ed25519 hashes a part of the
/// signature before the message (RFC 8032, section 5.1.7).
///
/// Only the very bytes that were examined can pass, because the signature is from the first pass.
pub struct SecondPass {
    verifier: Box<StreamVerifier>,
    offset: u64,
    verified: Verified,
}

impl SecondPass {
    /// Takes the next bytes of the whole CRL, from its first to its last.
    pub fn push(&mut self, bytes: &[u8]) {
        let tbs = &self.verified.crl.tbs;
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
    pub fn finish(self) -> Result<Verified, Refusal> {
        let size = self.verified.crl.size;
        if self.offset != size {
            return Err(Refusal::BadSignature(Unsigned::OtherBytes {
                seen: self.offset,
                size,
            }));
        }
        self.verifier
            .finalize_and_verify()
            .map_err(|_| Refusal::BadSignature(Unsigned::Invalid))?;
        Ok(self.verified)
    }
}

impl fmt::Debug for SecondPass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecondPass")
            .field("offset", &self.offset)
            .field("verified", &self.verified)
            .finish_non_exhaustive()
    }
}
