//! Rules beyond RFC 5280 that an issuer can be held to.

use std::fmt;
use std::time::Duration;

use crl::Reason;
use origin_api::CrlName;

use crate::ca::KeyKind;

/// The rules that an issuer is held to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// RFC 5280.
    #[default]
    Rfc5280,
    /// The CA/Browser Forum's Baseline Requirements for TLS server certificates, for CRLs of
    /// subscriber certificates.
    CabForum,
}

/// What a profile forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// The kind of key.
    #[error("profile cabf: the key is RSA, P-256 or P-384, not {0} (BR, section 6.1.5)")]
    Key(KeyKind),
    /// A CRL's validity is too long.
    #[error("profile cabf: {0} is valid for at most ten days (BR, section 4.9.7)")]
    Validity(CrlName),
    /// The revocation reason.
    #[error(
        "profile cabf: the reason is unspecified, keyCompromise, affiliationChanged, superseded, cessationOfOperation or \
         privilegeWithdrawn, not {0} (BR, section 7.2.2)"
    )]
    Reason(Reason),
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 2] = [Self::Rfc5280, Self::CabForum];

    /// The name in the database, on the command line and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rfc5280 => "rfc5280",
            Self::CabForum => "cabf",
        }
    }

    /// The profile of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|profile| profile.as_str() == name)
    }

    /// Checks the kind of an issuer's key.
    ///
    /// # Errors
    /// [`ProfileError::Key`].
    pub fn check_key(self, kind: KeyKind) -> Result<(), ProfileError> {
        match (self, kind) {
            (Self::CabForum, KeyKind::Ed25519) => Err(ProfileError::Key(kind)),
            _ => Ok(()),
        }
    }

    /// Checks the validity of a CRL.
    ///
    /// # Errors
    /// [`ProfileError::Validity`].
    pub fn check_validity(self, name: CrlName, validity: Duration) -> Result<(), ProfileError> {
        const TEN_DAYS: Duration = Duration::from_hours(240);
        match self {
            Self::CabForum if validity > TEN_DAYS => Err(ProfileError::Validity(name)),
            _ => Ok(()),
        }
    }

    /// Checks the reason of a revocation.
    ///
    /// # Errors
    /// [`ProfileError::Reason`].
    pub fn check_reason(self, reason: Reason) -> Result<(), ProfileError> {
        let allowed = matches!(
            reason,
            Reason::Unspecified
                | Reason::KeyCompromise
                | Reason::AffiliationChanged
                | Reason::Superseded
                | Reason::CessationOfOperation
                | Reason::PrivilegeWithdrawn
        );
        match self {
            Self::CabForum if !allowed => Err(ProfileError::Reason(reason)),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_baseline_requirements_are_narrower() {
        let days = |days: u64| Duration::from_hours(24 * days);
        let cabf = Profile::CabForum;
        assert_eq!(cabf.check_validity(CrlName::Full, days(10)), Ok(()));
        assert_eq!(
            cabf.check_validity(CrlName::Full, days(11)),
            Err(ProfileError::Validity(CrlName::Full))
        );
        assert_eq!(cabf.check_key(KeyKind::P256), Ok(()));
        assert_eq!(
            cabf.check_key(KeyKind::Ed25519),
            Err(ProfileError::Key(KeyKind::Ed25519))
        );
        let allowed: Vec<u8> = Reason::ALL
            .into_iter()
            .filter(|reason| cabf.check_reason(*reason).is_ok())
            .map(Reason::code)
            .collect();
        assert_eq!(allowed, [0, 1, 3, 4, 5, 9]);
        assert!(
            Reason::ALL
                .into_iter()
                .all(|reason| Profile::Rfc5280.check_reason(reason).is_ok())
        );
    }

    #[test]
    fn each_profile_has_one_name() {
        for profile in Profile::ALL {
            assert_eq!(Profile::from_name(profile.as_str()), Some(profile));
        }
        assert_eq!(Profile::from_name("none"), None);
    }
}
