//! Which certificates, and which reasons, a CRL speaks for.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::number::CrlNumber;
use crate::reason::Reasons;

/// Which of an issuer's CRLs is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CrlKind {
    /// A complete one, for all certificates of its issuer.
    Full,
    /// The changes since a complete one (RFC 5280, section 5.2.4).
    Delta,
    /// A complete one for the certificates that name its distribution point (RFC 5280,
    /// section 5.2.5).
    Shard,
}

/// Which certificates and reasons a CRL speaks for: its delta CRL indicator and its issuing
/// distribution point (RFC 5280, sections 5.2.4 and 5.2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scope {
    /// In a delta CRL: the number of the complete CRL whose changes it lists.
    pub base: Option<CrlNumber>,
    /// The URLs of the distribution point whose certificates it is limited to; none if it is named
    /// otherwise. `None` if the CRL is not limited to a distribution point.
    pub distribution_point: Option<Vec<String>>,
    /// Of these certificates, which ones, and for which reasons.
    pub coverage: Coverage,
    /// Whether entries may be for certificates of other issuers.
    pub is_indirect: bool,
}

impl Scope {
    /// Whether the CRL speaks for every certificate of its issuer, for every reason.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.base.is_none()
            && self.distribution_point.is_none()
            && self.coverage == Coverage::ALL
            && !self.is_indirect
    }
}

/// Which kind of certificates a CRL covers, and for which reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Coverage {
    /// Which kind of certificates.
    pub certificates: Certificates,
    /// For which reasons.
    pub reasons: Reasons,
}

impl Coverage {
    /// All certificates, for all reasons.
    pub const ALL: Self = Self {
        certificates: Certificates::All,
        reasons: Reasons::ALL,
    };
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.certificates, self.reasons)
    }
}

/// Which kind of certificates a CRL covers (RFC 5280, section 5.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Certificates {
    /// All of them.
    All,
    /// Certificates of end entities: onlyContainsUserCerts.
    User,
    /// Certificates of CAs: onlyContainsCACerts.
    Ca,
    /// Attribute certificates: onlyContainsAttributeCerts.
    Attribute,
    /// None: over one of the three `only…` flags is set, which RFC 5280, section 5.2.5, forbids.
    Contradictory,
}

impl Certificates {
    const ALL: [Self; 5] = [
        Self::All,
        Self::User,
        Self::Ca,
        Self::Attribute,
        Self::Contradictory,
    ];

    /// A stable short name, to store it: `all`, `user`, `ca`, `attribute` or `contradictory`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::User => "user",
            Self::Ca => "ca",
            Self::Attribute => "attribute",
            Self::Contradictory => "contradictory",
        }
    }

    /// The kind that has this [`Certificates::name`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "all certificates",
            Self::User => "user certificates",
            Self::Ca => "CA certificates",
            Self::Attribute => "attribute certificates",
            Self::Contradictory => "no certificates",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_certificates_have_names() {
        for kind in Certificates::ALL {
            assert_eq!(Certificates::from_name(kind.name()), Some(kind));
        }
        assert_eq!(Certificates::from_name(""), None);
    }
}
