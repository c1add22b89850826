//! What may replace what: one CRL against the one that is held in its place.

use core::cmp::Ordering;

use crate::number::CrlNumber;
use crate::scope::Coverage;
use crate::time::UnixTime;

/// What decides whether one CRL may replace another of the same issuer and kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edition {
    /// Its CRLNumber.
    pub number: CrlNumber,
    /// Its thisUpdate.
    pub this_update: UnixTime,
    /// Which certificates and reasons it covers; `None` if that is not known any more.
    pub coverage: Option<Coverage>,
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
}

/// How a CRL relates to the one that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Succession {
    /// It is later and may replace it.
    Later,
    /// It is the same, byte for byte.
    Same,
}

/// Why a CRL must not replace the one that is held. [`Conflict::code`] gives the stable code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Conflict {
    /// `number_regressed`
    #[error(
        "CRLNumber {number} is not greater than {held}, the one held (RFC 5280, section 5.2.3)"
    )]
    NumberRegressed {
        /// The new CRL's number.
        number: CrlNumber,
        /// The held CRL's number.
        held: CrlNumber,
    },
    /// `number_reused`. If [`same_contents`](crate::same_contents) is true of the two, only the
    /// signature was made anew, and the CRL is the one that is held.
    #[error(
        "CRLNumber {number} is already that of other bytes, which are held (RFC 5280, section 5.2.3)"
    )]
    NumberReused {
        /// The number of both.
        number: CrlNumber,
    },
    /// `this_update_regressed`
    #[error(
        "thisUpdate {this_update} is before {held}, that of the CRL held \
         (RFC 5280, section 5.1.2.4)"
    )]
    ThisUpdateRegressed {
        /// The new CRL's thisUpdate.
        this_update: UnixTime,
        /// The held CRL's thisUpdate.
        held: UnixTime,
    },
    /// `scope_changed`
    #[error("the CRL covers {coverage}; the one held covers {held} (RFC 5280, section 5.2.5)")]
    ScopeChanged {
        /// What the new CRL covers.
        coverage: Coverage,
        /// What the held CRL covers.
        held: Coverage,
    },
    /// `delta_base`
    #[error(
        "the delta CRL starts from number {base}, above {held}, the complete CRL held \
         (RFC 5280, section 5.2.4)"
    )]
    DeltaBase {
        /// The base number of the delta CRL.
        base: CrlNumber,
        /// The held complete CRL's number.
        held: CrlNumber,
    },
}

impl Conflict {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NumberRegressed { .. } => "number_regressed",
            Self::NumberReused { .. } => "number_reused",
            Self::ThisUpdateRegressed { .. } => "this_update_regressed",
            Self::ScopeChanged { .. } => "scope_changed",
            Self::DeltaBase { .. } => "delta_base",
        }
    }
}

/// Whether `new` may replace `held`.
///
/// # Errors
/// [`Conflict`]: the first rule that is broken.
pub fn supersedes(new: &Edition, held: &Edition) -> Result<Succession, Conflict> {
    if new.sha256 == held.sha256 {
        return Ok(Succession::Same);
    }
    // RFC 5280, section 5.2.3
    let number = new.number;
    match number.cmp(&held.number) {
        Ordering::Greater => {}
        Ordering::Equal => return Err(Conflict::NumberReused { number }),
        Ordering::Less => {
            return Err(Conflict::NumberRegressed {
                number,
                held: held.number,
            });
        }
    }
    // RFC 5280, sections 5.1.2.4 and 5.2.3: numbers follow the order in which CRLs are made.
    if new.this_update < held.this_update {
        return Err(Conflict::ThisUpdateRegressed {
            this_update: new.this_update,
            held: held.this_update,
        });
    }
    match (new.coverage, held.coverage) {
        (Some(coverage), Some(held)) if coverage != held => {
            Err(Conflict::ScopeChanged { coverage, held })
        }
        _ => Ok(Succession::Later),
    }
}

/// Whether a delta CRL that starts from number `base` can be combined with the complete CRL that is
/// held, number `held` (RFC 5280, section 5.2.4).
///
/// # Errors
/// [`Conflict::DeltaBase`].
pub fn check_delta_base(base: CrlNumber, held: CrlNumber) -> Result<(), Conflict> {
    if base > held {
        return Err(Conflict::DeltaBase { base, held });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scope::Certificates;

    const HELD: Edition = Edition {
        number: CrlNumber::ZERO,
        this_update: UnixTime(1000),
        coverage: Some(Coverage::ALL),
        sha256: [1; 32],
    };

    fn next() -> Edition {
        Edition {
            number: CrlNumber::from(1),
            sha256: [2; 32],
            ..HELD
        }
    }

    fn code(new: Edition, held: Edition) -> &'static str {
        match supersedes(&new, &held) {
            Ok(Succession::Later) => "later",
            Ok(Succession::Same) => "same",
            Err(conflict) => conflict.code(),
        }
    }

    #[test]
    fn numbers_grow_and_times_do_not_go_back() {
        assert_eq!(code(next(), HELD), "later");
        assert_eq!(code(HELD, HELD), "same");
        assert_eq!(code(HELD, next()), "number_regressed");
        let other_bytes = Edition {
            sha256: [3; 32],
            ..HELD
        };
        assert_eq!(code(other_bytes, HELD), "number_reused");
        let earlier = Edition {
            this_update: UnixTime(999),
            ..next()
        };
        assert_eq!(code(earlier, HELD), "this_update_regressed");
    }

    #[test]
    fn what_is_covered_stays_the_same() {
        let users = Coverage {
            certificates: Certificates::User,
            ..Coverage::ALL
        };
        let narrower = Edition {
            coverage: Some(users),
            ..next()
        };
        assert_eq!(code(narrower, HELD), "scope_changed");
        let unknown = Edition {
            coverage: None,
            ..HELD
        };
        assert_eq!(code(narrower, unknown), "later");
        assert_eq!(
            alloc::string::ToString::to_string(&supersedes(&narrower, &HELD).unwrap_err()),
            "the CRL covers user certificates, all reasons; the one held covers all certificates, \
             all reasons (RFC 5280, section 5.2.5)"
        );
    }

    #[test]
    fn a_delta_starts_from_a_complete_crl_that_is_held() {
        let (one, two) = (CrlNumber::from(1), CrlNumber::from(2));
        assert_eq!(check_delta_base(one, one), Ok(()));
        assert_eq!(check_delta_base(one, two), Ok(()));
        let conflict = check_delta_base(two, one).unwrap_err();
        assert_eq!(conflict.code(), "delta_base");
    }
}
