//! One extension, undecoded (RFC 5280, section 4.2), and the rule that none comes twice.

use alloc::vec::Vec;

use der::asn1::ObjectIdentifier;

use crate::tlv::{self, BOOLEAN, Fault, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE};

/// An extension, undecoded (RFC 5280, section 4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Its type.
    pub oid: ObjectIdentifier,
    /// Whether a reader that does not know it must not use the CRL.
    pub critical: bool,
    /// The contents of extnValue: DER of whatever the type says.
    pub value: Vec<u8>,
}

/// An extension, undecoded, borrowed from its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtensionRef<'a> {
    /// Its type: the contents of the OBJECT IDENTIFIER.
    pub oid: &'a [u8],
    /// Whether a reader that does not know it must not use the CRL.
    pub critical: bool,
    /// The contents of extnValue: DER of whatever the type says.
    pub value: &'a [u8],
}

impl<'a> ExtensionRef<'a> {
    /// Its type, decoded; `None` if the octets are not an object identifier, or a longer one than
    /// [`ObjectIdentifier`] holds.
    #[must_use]
    pub fn object_identifier(&self) -> Option<ObjectIdentifier> {
        ObjectIdentifier::from_bytes(self.oid).ok()
    }

    /// Takes the extension that `input` begins with.
    pub(crate) fn take(input: &mut &'a [u8]) -> Result<Self, Fault> {
        let mut fields = tlv::take(input, SEQUENCE, "an extension is not a SEQUENCE")?;
        let oid = tlv::take(
            &mut fields,
            OBJECT_IDENTIFIER,
            "an extension has no object identifier",
        )?;
        // DER leaves the default out (X.690, section 11.5), but CAs do write it, and webpki and
        // OpenSSL accept it.
        let critical = match tlv::take_optional(&mut fields, BOOLEAN)? {
            None | Some([0x00]) => false,
            Some([0xff]) => true,
            Some(_) => return Err("an extension's critical is neither 00 nor FF"),
        };
        let value = tlv::take(
            &mut fields,
            OCTET_STRING,
            "an extension has no OCTET STRING",
        )?;
        if !fields.is_empty() {
            return Err("an extension continues after its value");
        }
        Ok(Self {
            oid,
            critical,
            value,
        })
    }
}

/// The types seen so far, at most `N`.
pub(crate) struct SeenTypes<'a, const N: usize> {
    types: [&'a [u8]; N],
    /// A fingerprint of each type: comparing those is cheaper, and finds nearly all differences.
    keys: [u64; N],
    count: usize,
}

/// Why a type is not accepted.
pub(crate) enum SeenError {
    /// RFC 5280, section 4.2: a type comes once.
    Twice,
    /// There are over `N`.
    TooMany,
}

impl<'a, const N: usize> SeenTypes<'a, N> {
    #[inline]
    pub(crate) const fn new() -> Self {
        Self {
            types: [&[]; N],
            keys: [0; N],
            count: 0,
        }
    }

    /// Remembers one more type. Comparing it with all the others is cheap because `N` is small.
    #[inline]
    pub(crate) fn add(&mut self, oid: &'a [u8]) -> Result<(), SeenError> {
        let key = oid
            .iter()
            .fold(1u64, |key, octet| key.rotate_left(8) ^ u64::from(*octet));
        let is_candidate = self.keys.contains(&key);
        if is_candidate && self.is_seen(oid) {
            return Err(SeenError::Twice);
        }
        let (Some(free_type), Some(free_key)) = (
            self.types.get_mut(self.count),
            self.keys.get_mut(self.count),
        ) else {
            return Err(SeenError::TooMany);
        };
        (*free_type, *free_key) = (oid, key);
        self.count = self.count.wrapping_add(1);
        Ok(())
    }

    #[cold]
    fn is_seen(&self, oid: &[u8]) -> bool {
        let seen = self.types.get(..self.count).unwrap_or_default();
        seen.contains(&oid)
    }
}
