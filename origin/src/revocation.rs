//! What may follow on what in the life of a revocation. No storage.
//!
//! A certificate on hold may be released, or revoked for good; one revoked for good stays so, and only its reason may be
//! raised to keyCompromise. Asking again for what is so already changes nothing.

use crl::{Reason, Revocation, UnixTime, WriteError};

use crate::ca::Serial;
use crate::store::revocations::{RevocationRow, State};

/// A revocation as asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The certificate's serial number.
    pub serial: Serial,
    /// Why.
    pub reason: Reason,
    /// When; absent for now.
    pub revoked_at: Option<UnixTime>,
    /// Since when it is, or may be, invalid.
    pub invalidity_date: Option<UnixTime>,
    /// When the certificate expires, if that is known.
    pub not_after: Option<UnixTime>,
    /// The shard that its distribution point names, if any.
    pub shard: Option<u32>,
}

/// Why a revocation cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RevocationError {
    /// removeFromCRL is not a reason to revoke.
    #[error("removeFromCRL is not a reason to revoke; to end a hold, release the certificate")]
    NotAReason,
    /// The date lies in the future.
    #[error("a revocation is dated in the past or now; {0} is in the future")]
    InFuture(UnixTime),
    /// It is revoked already, in a way that this cannot change.
    #[error("already revoked because of {0}: only keyCompromise may take its place")]
    AlreadyRevoked(Reason),
    /// Only what is on hold can be released.
    #[error("revoked because of {0}, for good: only a certificateHold can be released")]
    NotOnHold(Reason),
    /// The certificate has expired.
    #[error("the certificate has expired")]
    Expired,
}

/// What to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The certificate is to stand so.
    Write(RevocationRow),
    /// It stands so already.
    Unchanged,
}

/// Decides on a revocation, given what is known of the certificate.
///
/// # Errors
/// [`RevocationError`].
pub fn revoke(
    known: Option<&RevocationRow>,
    ask: &Ask,
    now: UnixTime,
) -> Result<Decision, RevocationError> {
    if ask.reason == Reason::RemoveFromCrl {
        return Err(RevocationError::NotAReason);
    }
    let revoked_at = ask.revoked_at.unwrap_or(now);
    if revoked_at > now {
        return Err(RevocationError::InFuture(revoked_at));
    }
    let asked = RevocationRow {
        serial: ask.serial.clone(),
        revoked_at,
        reason: ask.reason,
        invalidity_date: ask.invalidity_date,
        not_after: ask.not_after.or(known.and_then(|known| known.not_after)),
        shard: ask.shard.or(known.and_then(|known| known.shard)),
        state: State::Listed,
    };
    let Some(known) = known else {
        return Ok(Decision::Write(asked));
    };
    let may_replace = match known.state {
        State::Released => true,
        State::Expired if has_expired(&asked, now) => return Ok(Decision::Unchanged),
        // It was taken off before its time: the clock was ahead, or its end was not known rightly.
        State::Expired | State::Listed => {
            let raised = ask.reason == Reason::KeyCompromise;
            known.reason == ask.reason || known.reason == Reason::CertificateHold || raised
        }
    };
    if !may_replace {
        return Err(RevocationError::AlreadyRevoked(known.reason));
    }
    let next = if known.state == State::Released {
        asked
    } else {
        // The certificate has been on the list since it was first revoked: that date stays.
        RevocationRow {
            revoked_at: known.revoked_at,
            invalidity_date: ask.invalidity_date.or(known.invalidity_date),
            ..asked
        }
    };
    Ok(if next == *known {
        Decision::Unchanged
    } else {
        Decision::Write(next)
    })
}

/// Whether the certificate has expired, as far as is known.
fn has_expired(row: &RevocationRow, now: UnixTime) -> bool {
    row.not_after.is_some_and(|end| end < now)
}

/// Decides on the end of a hold.
///
/// # Errors
/// [`RevocationError::NotOnHold`], [`RevocationError::Expired`].
pub fn release(known: &RevocationRow) -> Result<Decision, RevocationError> {
    match (known.state, known.reason) {
        (State::Released, _) => Ok(Decision::Unchanged),
        (State::Expired, _) => Err(RevocationError::Expired),
        (State::Listed, Reason::CertificateHold) => Ok(Decision::Write(RevocationRow {
            state: State::Released,
            ..known.clone()
        })),
        (State::Listed, reason) => Err(RevocationError::NotOnHold(reason)),
    }
}

/// The revocation's entry in a CRL (RFC 5280, section 5.1.2.6); `None` if it is on none.
///
/// # Errors
/// A time that no CRL can state.
pub fn entry(row: &RevocationRow) -> Result<Option<Vec<u8>>, WriteError> {
    if row.state != State::Listed {
        return Ok(None);
    }
    encode(row, row.reason, row.invalidity_date).map(Some)
}

/// The entry in a delta CRL that takes the certificate off the list (RFC 5280, section 5.3.1).
///
/// # Errors
/// A time that no CRL can state.
pub fn removal(row: &RevocationRow) -> Result<Vec<u8>, WriteError> {
    encode(row, Reason::RemoveFromCrl, None)
}

fn encode(
    row: &RevocationRow,
    reason: Reason,
    invalidity_date: Option<UnixTime>,
) -> Result<Vec<u8>, WriteError> {
    let serial = crl::Serial::from_be_bytes(row.serial.as_bytes());
    let mut entry = Vec::new();
    Revocation {
        serial,
        date: row.revoked_at,
        reason,
        invalidity_date,
    }
    .encode(&mut entry)?;
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime(1_795_435_200);

    fn ask(reason: Reason) -> Ask {
        let serial = "0a".parse().unwrap();
        Ask {
            serial,
            reason,
            revoked_at: None,
            invalidity_date: None,
            not_after: None,
            shard: None,
        }
    }

    fn revoked(reason: Reason) -> RevocationRow {
        let Decision::Write(row) = revoke(None, &ask(reason), UnixTime(NOW.0 - 100)).unwrap()
        else {
            panic!("a new one")
        };
        row
    }

    #[test]
    fn asking_twice_changes_nothing() {
        let known = revoked(Reason::Superseded);
        assert_eq!(
            revoke(Some(&known), &ask(Reason::Superseded), NOW),
            Ok(Decision::Unchanged)
        );
    }

    #[test]
    fn a_reason_can_be_raised_to_key_compromise_and_keeps_its_date() {
        let known = revoked(Reason::Superseded);
        let Ok(Decision::Write(row)) = revoke(Some(&known), &ask(Reason::KeyCompromise), NOW)
        else {
            panic!("raised")
        };
        assert_eq!(
            (row.reason, row.revoked_at),
            (Reason::KeyCompromise, known.revoked_at)
        );
        let error = revoke(Some(&row), &ask(Reason::Superseded), NOW);
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
        assert_eq!(entry(&released), Ok(None));
        assert_eq!(release(&released), Ok(Decision::Unchanged));
        let Ok(Decision::Write(again)) =
            revoke(Some(&released), &ask(Reason::CertificateHold), NOW)
        else {
            panic!("held again")
        };
        assert_eq!(again.revoked_at, NOW);
        let Ok(Decision::Write(gone)) =
            revoke(Some(&held), &ask(Reason::CessationOfOperation), NOW)
        else {
            panic!("revoked")
        };
        assert_eq!(
            release(&gone),
            Err(RevocationError::NotOnHold(Reason::CessationOfOperation))
        );
        let error = revoke(Some(&gone), &ask(Reason::CertificateHold), NOW);
        assert_eq!(
            error,
            Err(RevocationError::AlreadyRevoked(
                Reason::CessationOfOperation
            ))
        );
    }

    #[test]
    fn what_was_taken_off_the_list_before_its_time_comes_back() {
        let known = RevocationRow {
            not_after: Some(UnixTime(NOW.0 + 1)),
            state: State::Expired,
            ..revoked(Reason::Superseded)
        };
        let Ok(Decision::Write(row)) = revoke(Some(&known), &ask(Reason::Superseded), NOW) else {
            panic!("listed again")
        };
        assert_eq!(
            (row.state, row.revoked_at),
            (State::Listed, known.revoked_at)
        );
        let later = UnixTime(NOW.0 + 2);
        assert_eq!(
            revoke(Some(&known), &ask(Reason::Superseded), later),
            Ok(Decision::Unchanged)
        );
    }

    #[test]
    fn what_no_list_could_say_is_refused() {
        assert_eq!(
            revoke(None, &ask(Reason::RemoveFromCrl), NOW),
            Err(RevocationError::NotAReason)
        );
        let tomorrow = UnixTime(NOW.0 + 86_400);
        let early = Ask {
            revoked_at: Some(tomorrow),
            ..ask(Reason::Superseded)
        };
        assert_eq!(
            revoke(None, &early, NOW),
            Err(RevocationError::InFuture(tomorrow))
        );
    }
}
