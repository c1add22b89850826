//! Why certificates are revoked (RFC 5280, section 5.3.1), and for which reasons a CRL speaks
//! (RFC 5280, section 5.2.5).

use alloc::vec::Vec;
use core::fmt;

/// Why a certificate was revoked (RFC 5280, section 5.3.1). The numbers are the standard's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Reason {
    /// No reason is given; written by leaving the extension out.
    Unspecified = 0,
    /// The subject's key is, or may be, in other hands.
    KeyCompromise = 1,
    /// The CA's key is, or may be, in other hands.
    CaCompromise = 2,
    /// The subject's name or other information has changed.
    AffiliationChanged = 3,
    /// Another certificate replaces it.
    Superseded = 4,
    /// It is no longer needed.
    CessationOfOperation = 5,
    /// It is on hold and may become valid again.
    CertificateHold = 6,
    /// In a delta CRL: it was released from hold, or has expired.
    RemoveFromCrl = 8,
    /// A privilege that it states was withdrawn.
    PrivilegeWithdrawn = 9,
    /// The attribute authority's key is, or may be, in other hands.
    AaCompromise = 10,
}

impl Reason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::CaCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::CertificateHold,
        Self::RemoveFromCrl,
        Self::PrivilegeWithdrawn,
        Self::AaCompromise,
    ];

    /// The reason with this number; 7 is not used.
    #[inline]
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Unspecified,
            1 => Self::KeyCompromise,
            2 => Self::CaCompromise,
            3 => Self::AffiliationChanged,
            4 => Self::Superseded,
            5 => Self::CessationOfOperation,
            6 => Self::CertificateHold,
            8 => Self::RemoveFromCrl,
            9 => Self::PrivilegeWithdrawn,
            10 => Self::AaCompromise,
            _ => return None,
        })
    }

    /// Its number.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Its name in the ASN.1 of RFC 5280: `keyCompromise`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "keyCompromise",
            Self::CaCompromise => "cACompromise",
            Self::AffiliationChanged => "affiliationChanged",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessationOfOperation",
            Self::CertificateHold => "certificateHold",
            Self::RemoveFromCrl => "removeFromCRL",
            Self::PrivilegeWithdrawn => "privilegeWithdrawn",
            Self::AaCompromise => "aACompromise",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of reasons: `ReasonFlags` (RFC 5280, section 4.2.1.13).
///
/// [`Reason::Unspecified`] and [`Reason::RemoveFromCrl`] have no flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reasons(u16);

impl Reasons {
    /// Every reason: what a CRL covers unless it says otherwise.
    pub const ALL: Self = Self(u16::MAX);

    /// These reasons, and no others.
    #[must_use]
    pub fn of(reasons: &[Reason]) -> Self {
        let flags = reasons.iter().filter_map(|reason| flag(*reason));
        Self(flags.fold(0, |bits, flag| bits | flag))
    }

    /// Whether every reason is covered.
    #[must_use]
    pub fn is_all(self) -> bool {
        self == Self::ALL
    }

    /// Whether the set has this reason. [`Reason::Unspecified`] belongs to [`Reasons::ALL`] alone.
    #[must_use]
    pub fn contains(self, reason: Reason) -> bool {
        self.is_all() || flag(reason).is_some_and(|flag| self.0 & flag != 0)
    }

    /// The set as a number, to store it: bit n is flag n of the ASN.1, and all 16 bits are set for
    /// [`Reasons::ALL`].
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// The set that [`Reasons::bits`] gave.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// The contents of a BIT STRING: the count of unused bits, then the flags, the first one in the
    /// most significant bit.
    pub(crate) fn from_bit_string(contents: &[u8]) -> Option<Self> {
        let (unused, octets) = contents.split_first()?;
        if *unused > 7 || (octets.is_empty() && *unused != 0) {
            return None;
        }
        let mut bits = 0u16;
        for (octet, shift) in octets.iter().zip([0u32, 8]) {
            bits |= u16::from(octet.reverse_bits()) << shift;
        }
        // `ALL` means that the field is absent. Only nine flags exist.
        Some(Self(bits & 0x1ff))
    }

    /// The contents of a BIT STRING, without trailing zero bits (X.690, section 11.2.2).
    pub(crate) fn to_bit_string(self) -> Vec<u8> {
        let [low, high] = (self.0 & 0x1ff).to_le_bytes();
        let unused = |octet: u8| u8::try_from(octet.trailing_zeros()).unwrap_or_default();
        match (low.reverse_bits(), high.reverse_bits()) {
            (0, 0) => [0].to_vec(),
            (first, 0) => [unused(first), first].to_vec(),
            (first, second) => [unused(second), first, second].to_vec(),
        }
    }
}

/// The names of the reasons, with commas between them.
impl fmt::Display for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() {
            return f.write_str("all reasons");
        }
        let mut separator = "";
        for reason in Reason::ALL {
            if self.contains(reason) {
                write!(f, "{separator}{reason}")?;
                separator = ", ";
            }
        }
        if separator.is_empty() {
            f.write_str("no reason")?;
        }
        Ok(())
    }
}

const fn flag(reason: Reason) -> Option<u16> {
    Some(match reason {
        Reason::KeyCompromise => 1 << 1,
        Reason::CaCompromise => 1 << 2,
        Reason::AffiliationChanged => 1 << 3,
        Reason::Superseded => 1 << 4,
        Reason::CessationOfOperation => 1 << 5,
        Reason::CertificateHold => 1 << 6,
        Reason::PrivilegeWithdrawn => 1 << 7,
        Reason::AaCompromise => 1 << 8,
        Reason::Unspecified | Reason::RemoveFromCrl => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_the_numbers_of_the_standard() {
        for code in 0..=u8::MAX {
            let reason = Reason::from_code(code);
            assert_eq!(reason.map_or(code, Reason::code), code);
            assert_eq!(reason.is_some(), code <= 10 && code != 7);
        }
        assert!(Reason::ALL.is_sorted());
    }

    #[test]
    fn sets_are_read_from_bit_strings() {
        let read = |contents: &[u8]| Reasons::from_bit_string(contents).unwrap();
        // keyCompromise and cACompromise, as OpenSSL writes them.
        let set = read(&[5, 0b0110_0000]);
        assert_eq!(
            set,
            Reasons::of(&[Reason::KeyCompromise, Reason::CaCompromise])
        );
        assert!(set.contains(Reason::KeyCompromise) && !set.contains(Reason::Superseded));
        assert!(!set.contains(Reason::Unspecified) && !set.is_all());
        assert_eq!(read(&[7, 0, 0x80]), Reasons::of(&[Reason::AaCompromise]));
        assert_eq!(
            alloc::string::ToString::to_string(&set),
            "keyCompromise, cACompromise"
        );
        assert_eq!(read(&[0]), Reasons::of(&[]));
        for bad in [&[][..], &[8, 0], &[1]] {
            assert_eq!(Reasons::from_bit_string(bad), None);
        }
        assert!(!read(&[0, 0xff, 0xff]).is_all());
        assert_eq!(Reasons::from_bits(set.bits()), set);
        for bits in 0..0x200 {
            let set = Reasons::from_bits(bits);
            assert_eq!(read(&set.to_bit_string()), set);
        }
    }
}
