//! Revoked certificates, and which change of a revocation may follow which. Pure rules: no database
//! and no clock.
//!
//! A certificate on hold may be released, or revoked permanently. A permanent revocation stays;
//! only its reason may be raised to keyCompromise. A request for the present state changes nothing.

use crl::{Reason, UnixTime, WriteError};

use crate::ca::Serial;

/// A certificate that is or was revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedCertificate {
    /// Its serial number.
    pub serial: Serial,
    /// The revocation date.
    pub revoked_at: UnixTime,
    /// The reason code.
    pub reason: Reason,
    /// When the certificate became, or may have become, invalid.
    pub invalidity_date: Option<UnixTime>,
    /// When the certificate expires, if known.
    pub not_after: Option<UnixTime>,
    /// The shard that the certificate's distribution point names, if any.
    pub shard: Option<u32>,
    /// Whether it is on the CRL.
    pub state: State,
}

/// Whether a certificate that was revoked is on the CRL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is on the CRL.
    Listed,
    /// It was on hold and has been released: it is valid again.
    Released,
    /// It expired and has left the CRL.
    Expired,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Listed, Self::Released, Self::Expired];

    /// The name in the database and in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::Released => "released",
            Self::Expired => "expired",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

impl RevokedCertificate {
    /// The entry on a CRL (RFC 5280, section 5.1.2.6), in DER; `None` unless it is listed.
    ///
    /// # Errors
    /// [`WriteError`]: a time that a CRL cannot express.
    pub fn entry(&self) -> Result<Option<Vec<u8>>, WriteError> {
        if self.state != State::Listed {
            return Ok(None);
        }
        self.encode(self.reason, self.invalidity_date).map(Some)
    }

    /// The entry on a delta CRL that removes the certificate from the base, removeFromCRL
    /// (RFC 5280, section 5.3.1), in DER.
    ///
    /// # Errors
    /// [`WriteError`]: a time that a CRL cannot express.
    pub fn removal(&self) -> Result<Vec<u8>, WriteError> {
        self.encode(Reason::RemoveFromCrl, None)
    }

    fn encode(
        &self,
        reason: Reason,
        invalidity_date: Option<UnixTime>,
    ) -> Result<Vec<u8>, WriteError> {
        let mut entry = Vec::new();
        crl::Revocation {
            serial: self.serial.in_crl(),
            date: self.revoked_at,
            reason,
            invalidity_date,
        }
        .encode(&mut entry)?;
        Ok(entry)
    }

    fn has_expired(&self, now: UnixTime) -> bool {
        self.not_after.is_some_and(|end| end < now)
    }
}

/// A request to revoke a certificate, or to put it on hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationRequest {
    /// The certificate's serial number.
    pub serial: Serial,
    /// The reason code; certificateHold for a hold.
    pub reason: Reason,
    /// The revocation date; now if absent.
    pub revoked_at: Option<UnixTime>,
    /// When the certificate became, or may have become, invalid.
    pub invalidity_date: Option<UnixTime>,
    /// When the certificate expires, if the caller knows.
    pub not_after: Option<UnixTime>,
    /// The list that the certificate names, as the caller says.
    pub list: NamedList,
    /// What the certificate states, if the caller has it.
    pub certificate: Option<CertificateFacts>,
}

/// The list that a certificate's distribution point names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NamedList {
    /// Not known.
    #[default]
    Unknown,
    /// The full CRL.
    Full,
    /// The CRL of this shard.
    Shard(u32),
}

impl NamedList {
    /// The shard, if it is one.
    #[must_use]
    pub fn shard(self) -> Option<u32> {
        match self {
            Self::Shard(number) => Some(number),
            Self::Unknown | Self::Full => None,
        }
    }
}

/// What a certificate states of itself. It outranks a caller's statements: relying parties look for
/// the certificate where it says, and until it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// When it expires.
    pub not_after: UnixTime,
    /// The list that its distribution point names; unknown if that is none of the issuer's.
    pub list: NamedList,
}

/// Why a revocation or a release is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RevocationError {
    /// removeFromCRL is not a reason to revoke.
    #[error("removeFromCRL is not a reason to revoke; to end a hold, release the certificate")]
    NotAReason,
    /// The revocation date is in the future.
    #[error("a revocation date must not be in the future, and {0} is")]
    InFuture(UnixTime),
    /// The certificate is revoked for a reason that this request must not replace.
    #[error("already revoked because of {0}: only keyCompromise may replace that reason")]
    AlreadyRevoked(Reason),
    /// Only a hold can be released.
    #[error("revoked permanently because of {0}: only a certificateHold can be released")]
    NotOnHold(Reason),
    /// The certificate has expired.
    #[error("the certificate has expired")]
    Expired,
    /// The certificate is on the CRL of another shard.
    #[error(
        "the certificate is on the CRL of shard {listed}, not of shard {requested}; if that is wrong, revoke it by --certificate"
    )]
    OtherShard {
        /// The shard on whose CRL it is.
        listed: u32,
        /// The shard in the request.
        requested: u32,
    },
}

/// What a request changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Store this.
    Write(RevokedCertificate),
    /// The request asks for the present state.
    Unchanged,
}

/// Decides a request to revoke, given what is stored of the certificate.
///
/// # Errors
/// [`RevocationError`].
pub fn revoke(
    known: Option<&RevokedCertificate>,
    request: &RevocationRequest,
    now: UnixTime,
) -> Result<Decision, RevocationError> {
    if request.reason == Reason::RemoveFromCrl {
        return Err(RevocationError::NotAReason);
    }
    let revoked_at = request.revoked_at.unwrap_or(now);
    if revoked_at > now {
        return Err(RevocationError::InFuture(revoked_at));
    }
    let (not_after, shard) = facts(known, request)?;
    let requested = RevokedCertificate {
        serial: request.serial.clone(),
        revoked_at,
        reason: request.reason,
        invalidity_date: request.invalidity_date,
        not_after,
        shard,
        state: State::Listed,
    };
    let Some(known) = known else {
        return Ok(Decision::Write(requested));
    };
    let may_replace = match known.state {
        State::Released => true,
        State::Expired if requested.has_expired(now) => return Ok(Decision::Unchanged),
        // It left too early: the clock was ahead, or a wrong expiry had been given.
        State::Expired | State::Listed => {
            let raised = request.reason == Reason::KeyCompromise;
            known.reason == request.reason || known.reason == Reason::CertificateHold || raised
        }
    };
    if !may_replace {
        return Err(RevocationError::AlreadyRevoked(known.reason));
    }
    let next = if known.state == State::Released {
        requested
    } else {
        // The certificate has been on the CRL since it was first revoked: that date stays.
        RevokedCertificate {
            revoked_at: known.revoked_at,
            invalidity_date: request.invalidity_date.or(known.invalidity_date),
            ..requested
        }
    };
    Ok(if next == *known {
        Decision::Unchanged
    } else {
        Decision::Write(next)
    })
}

/// The expiry and the shard: what the certificate states; else what was stated first of the shard,
/// and the later one of two expiries, as an entry must not leave too early.
fn facts(
    known: Option<&RevokedCertificate>,
    request: &RevocationRequest,
) -> Result<(Option<UnixTime>, Option<u32>), RevocationError> {
    let not_after = match request.certificate {
        Some(certificate) => Some(certificate.not_after),
        None => known
            .and_then(|known| known.not_after)
            .max(request.not_after),
    };
    match request.certificate.map(|certificate| certificate.list) {
        Some(NamedList::Full) => return Ok((not_after, None)),
        Some(NamedList::Shard(number)) => return Ok((not_after, Some(number))),
        Some(NamedList::Unknown) | None => {}
    }
    let listed = known.and_then(|known| known.shard);
    let requested = request.list.shard();
    if let (Some(listed), Some(requested)) = (listed, requested)
        && listed != requested
    {
        return Err(RevocationError::OtherShard { listed, requested });
    }
    Ok((not_after, listed.or(requested)))
}

/// Decides a request to end a hold.
///
/// # Errors
/// [`RevocationError::NotOnHold`], [`RevocationError::Expired`].
pub fn release(known: &RevokedCertificate) -> Result<Decision, RevocationError> {
    match (known.state, known.reason) {
        (State::Released, _) => Ok(Decision::Unchanged),
        (State::Expired, _) => Err(RevocationError::Expired),
        (State::Listed, Reason::CertificateHold) => Ok(Decision::Write(RevokedCertificate {
            state: State::Released,
            ..known.clone()
        })),
        (State::Listed, reason) => Err(RevocationError::NotOnHold(reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime(1_795_435_200);

    fn request(reason: Reason) -> RevocationRequest {
        RevocationRequest {
            serial: "0a".parse().unwrap(),
            reason,
            revoked_at: None,
            invalidity_date: None,
            not_after: None,
            list: NamedList::Unknown,
            certificate: None,
        }
    }

    fn revoked(reason: Reason) -> RevokedCertificate {
        let decision = revoke(None, &request(reason), UnixTime(NOW.0 - 100));
        let Ok(Decision::Write(certificate)) = decision else {
            panic!("{decision:?}")
        };
        certificate
    }

    #[test]
    fn repeating_a_request_changes_nothing() {
        let known = revoked(Reason::Superseded);
        assert_eq!(
            revoke(Some(&known), &request(Reason::Superseded), NOW),
            Ok(Decision::Unchanged)
        );
    }

    #[test]
    fn a_reason_can_be_raised_to_key_compromise_and_keeps_its_date() {
        let known = revoked(Reason::Superseded);
        let Ok(Decision::Write(raised)) =
            revoke(Some(&known), &request(Reason::KeyCompromise), NOW)
        else {
            panic!("raised")
        };
        assert_eq!(
            (raised.reason, raised.revoked_at),
            (Reason::KeyCompromise, known.revoked_at)
        );
        let error = revoke(Some(&raised), &request(Reason::Superseded), NOW);
        assert_eq!(
            error,
            Err(RevocationError::AlreadyRevoked(Reason::KeyCompromise))
        );
    }

    #[test]
    fn a_hold_ends_in_release_or_in_revocation() {
        let held = revoked(Reason::CertificateHold);
        let Ok(Decision::Write(released)) = release(&held) else {
            panic!("released")
        };
        assert_eq!(released.entry(), Ok(None));
        assert_eq!(release(&released), Ok(Decision::Unchanged));
        let Ok(Decision::Write(again)) =
            revoke(Some(&released), &request(Reason::CertificateHold), NOW)
        else {
            panic!("held again")
        };
        assert_eq!(again.revoked_at, NOW);
        let Ok(Decision::Write(permanent)) =
            revoke(Some(&held), &request(Reason::CessationOfOperation), NOW)
        else {
            panic!("revoked")
        };
        assert_eq!(
            release(&permanent),
            Err(RevocationError::NotOnHold(Reason::CessationOfOperation))
        );
        let error = revoke(Some(&permanent), &request(Reason::CertificateHold), NOW);
        assert_eq!(
            error,
            Err(RevocationError::AlreadyRevoked(
                Reason::CessationOfOperation
            ))
        );
    }

    #[test]
    fn an_entry_that_left_too_early_can_be_listed_again() {
        let known = RevokedCertificate {
            not_after: Some(UnixTime(NOW.0 + 1)),
            state: State::Expired,
            ..revoked(Reason::Superseded)
        };
        let Ok(Decision::Write(again)) = revoke(Some(&known), &request(Reason::Superseded), NOW)
        else {
            panic!("listed again")
        };
        assert_eq!(
            (again.state, again.revoked_at),
            (State::Listed, known.revoked_at)
        );
        let later = UnixTime(NOW.0 + 2);
        assert_eq!(
            revoke(Some(&known), &request(Reason::Superseded), later),
            Ok(Decision::Unchanged)
        );
    }

    #[test]
    fn a_certificate_outranks_what_callers_state() {
        let stated = |shard| RevocationRequest {
            list: NamedList::Shard(shard),
            not_after: Some(NOW),
            ..request(Reason::Superseded)
        };
        let Ok(Decision::Write(known)) = revoke(None, &stated(1), NOW) else {
            panic!("new")
        };
        assert_eq!(
            revoke(Some(&known), &stated(0), NOW),
            Err(RevocationError::OtherShard {
                listed: 1,
                requested: 0
            })
        );
        let certificate = CertificateFacts {
            not_after: UnixTime(NOW.0 + 5),
            list: NamedList::Shard(0),
        };
        let by_certificate = RevocationRequest {
            certificate: Some(certificate),
            ..stated(1)
        };
        let Ok(Decision::Write(moved)) = revoke(Some(&known), &by_certificate, NOW) else {
            panic!("moved")
        };
        assert_eq!(
            (moved.shard, moved.not_after),
            (Some(0), Some(certificate.not_after))
        );
    }

    #[test]
    fn of_two_stated_expiries_the_later_one_counts() {
        let until = |end| RevocationRequest {
            not_after: Some(UnixTime(end)),
            ..request(Reason::Superseded)
        };
        let Ok(Decision::Write(known)) = revoke(None, &until(NOW.0 + 9), NOW) else {
            panic!("new")
        };
        assert_eq!(
            revoke(Some(&known), &until(NOW.0 + 3), NOW),
            Ok(Decision::Unchanged)
        );
    }

    #[test]
    fn a_request_that_no_crl_can_express_is_refused() {
        assert_eq!(
            revoke(None, &request(Reason::RemoveFromCrl), NOW),
            Err(RevocationError::NotAReason)
        );
        let tomorrow = UnixTime(NOW.0 + 86_400);
        let early = RevocationRequest {
            revoked_at: Some(tomorrow),
            ..request(Reason::Superseded)
        };
        assert_eq!(
            revoke(None, &early, NOW),
            Err(RevocationError::InFuture(tomorrow))
        );
    }
}
