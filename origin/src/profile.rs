//! Rules beyond RFC 5280's, for issuers that want to be held to them.

use std::fmt;
use std::time::Duration;

use crl::Reason;
use origin_api::CrlName;

use crate::ca::KeyKind;

/// Which rules an issuer is held to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Profile {
    /// RFC 5280.
    #[default]
    #[value(name = "rfc5280")]
    Rfc5280,
    /// The CA/Browser Forum's Baseline Requirements for TLS server certificates, for CRLs of subscriber certificates.
    #[value(name = "cabf")]
    CabForum,
}

/// What a profile does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// A key of another kind.
    #[error("profile cabf: the key is RSA, P-256 or P-384, not {0} (BR, section 6.1.5)")]
    Key(KeyKind),
    /// A CRL that is valid for too long.
    #[error("profile cabf: {0} is valid for at most ten days (BR, section 4.9.7)")]
    Validity(CrlName),
    /// A reason that must not be given.
    #[error(
        "profile cabf: the reason is unspecified, keyCompromise, affiliationChanged, superseded, cessationOfOperation or \
         privilegeWithdrawn, not {0} (BR, section 7.2.2)"
    )]
    Reason(Reason),
}

impl Profile {
    /// As written in the database and on the command line.
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
        [Self::Rfc5280, Self::CabForum]
            .into_iter()
            .find(|profile| profile.as_str() == name)
    }

    /// Whether an issuer may have such a key.
    ///
    /// # Errors
    /// [`ProfileError::Key`].
    pub fn check_key(self, kind: KeyKind) -> Result<(), ProfileError> {
        match (self, kind) {
            (Self::CabForum, KeyKind::Ed25519) => Err(ProfileError::Key(kind)),
            _ => Ok(()),
        }
    }

    /// Whether a CRL may be valid for so long.
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

    /// Whether a certificate may be revoked for that reason.
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
        for profile in [Profile::Rfc5280, Profile::CabForum] {
            assert_eq!(Profile::from_name(profile.as_str()), Some(profile));
        }
        assert_eq!(Profile::from_name("none"), None);
    }
}
