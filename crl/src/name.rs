//! The name of an issuer: its exact bytes, and what they mean.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

use der::asn1::Ia5String;
use der::oid::ObjectIdentifier;
use der::oid::db::rfc4519;
use der::{Any, Decode, Encode};
use x509_cert::ext::pkix::name::DirectoryString;
use x509_cert::name::{Name, RelativeDistinguishedName};

/// A distinguished name (RFC 5280 §4.1.2.4): its DER as it stands, and the same parsed. Written as RFC 4514 has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistinguishedName {
    der: Vec<u8>,
    name: Name,
}

impl DistinguishedName {
    /// Reads a `Name`.
    ///
    /// # Errors
    /// What `der` finds wrong with it.
    pub fn from_der(der: &[u8]) -> Result<Self, der::Error> {
        Ok(Self {
            name: Name::from_der(der)?,
            der: der.into(),
        })
    }

    /// The DER of the `Name`.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// The parsed name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Whether both are the same name by RFC 5280 §7.1: case and repeated white space do not count, nor does the string type.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.der == other.der
            || (self.name.len() == other.name.len()
                && self.name.iter_rdn().count() == other.name.iter_rdn().count()
                && self
                    .name
                    .iter_rdn()
                    .zip(other.name.iter_rdn())
                    .all(|(a, b)| same_rdn(a, b)))
    }
}

/// A set: every attribute of one is in the other.
fn same_rdn(a: &RelativeDistinguishedName, b: &RelativeDistinguishedName) -> bool {
    let within = |a: &RelativeDistinguishedName, b: &RelativeDistinguishedName| {
        a.iter().all(|a| {
            b.iter()
                .any(|b| a.oid == b.oid && same_value(&a.value, &b.value))
        })
    };
    a.len() == b.len() && within(a, b) && within(b, a)
}

fn same_value(a: &Any, b: &Any) -> bool {
    if a == b {
        return true;
    }
    match (DirectoryString::try_from(a), DirectoryString::try_from(b)) {
        (Ok(a), Ok(b)) => prepare(&a.value()) == prepare(&b.value()),
        _ => false,
    }
}

/// What counts of a string: lower case, single spaces, none at the ends (the part of RFC 4518 that RFC 5280 §7.1 asks for).
fn prepare(text: &str) -> String {
    let mut prepared = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !prepared.is_empty() {
            prepared.push(' ');
        }
        prepared.extend(word.chars().flat_map(char::to_lowercase));
    }
    prepared
}

impl TryFrom<&Name> for DistinguishedName {
    type Error = der::Error;

    fn try_from(name: &Name) -> Result<Self, der::Error> {
        Ok(Self {
            der: name.to_der()?,
            name: name.clone(),
        })
    }
}

/// As RFC 4514 has it, with the attribute types of its section 3 by name and all others by number: a table of every name would be
/// a tenth of a Worker.
impl fmt::Display for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.name.iter_rdn().collect();
        for (index, name) in names.into_iter().rev().enumerate() {
            for (part, attribute) in name.iter().enumerate() {
                f.write_str(match (index, part) {
                    (0, 0) => "",
                    (_, 0) => ",",
                    _ => "+",
                })?;
                match short_name(attribute.oid) {
                    Some(short) => f.write_str(short)?,
                    None => write!(f, "{}", attribute.oid)?,
                }
                f.write_char('=')?;
                write_value(f, &attribute.value)?;
            }
        }
        Ok(())
    }
}

fn short_name(oid: ObjectIdentifier) -> Option<&'static str> {
    Some(match oid {
        rfc4519::CN => "CN",
        rfc4519::L => "L",
        rfc4519::ST => "ST",
        rfc4519::O => "O",
        rfc4519::OU => "OU",
        rfc4519::C => "C",
        rfc4519::STREET => "STREET",
        rfc4519::DC => "DC",
        rfc4519::UID => "UID",
        _ => return None,
    })
}

/// Text with what has a meaning escaped (RFC 4514 §2.4); what is no text as its octets.
fn write_value(f: &mut fmt::Formatter<'_>, value: &Any) -> fmt::Result {
    let text = DirectoryString::try_from(value)
        .map(|text| text.value().into_owned())
        .or_else(|_| {
            value
                .decode_as::<Ia5String>()
                .map(|text| text.as_str().into())
        });
    let Ok(text): Result<String, _> = text else {
        f.write_char('#')?;
        let octets = value.to_der().map_err(|_| fmt::Error)?;
        return octets.iter().try_for_each(|octet| write!(f, "{octet:02x}"));
    };
    let last = text.chars().count().saturating_sub(1);
    for (at, c) in text.chars().enumerate() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => write!(f, "\\{c}")?,
            '#' | ' ' if at == 0 => write!(f, "\\{c}")?,
            ' ' if at == last => f.write_str("\\ ")?,
            c if c.is_control() => {
                let mut buffer = [0; 4];
                let octets = c.encode_utf8(&mut buffer).bytes();
                octets
                    .into_iter()
                    .try_for_each(|octet| write!(f, "\\{octet:02x}"))?;
            }
            c => f.write_char(c)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use core::str::FromStr;

    use super::*;

    fn name(text: &str) -> DistinguishedName {
        DistinguishedName::try_from(&Name::from_str(text).unwrap()).unwrap()
    }

    #[test]
    fn case_spaces_and_string_type_do_not_count() {
        let issuer = name("CN=Example  CA,O=Example,C=NL");
        assert!(issuer.matches(&name("CN=example ca,O=EXAMPLE,C=NL")));
        assert!(!issuer.matches(&name("CN=ExampleCA,O=Example,C=NL")));
        assert!(!issuer.matches(&name("O=Example,CN=Example CA,C=NL")));
        assert!(!issuer.matches(&name("CN=Example CA,O=Example")));
        // The same text as PrintableString and as UTF8String.
        let printable =
            DistinguishedName::from_der(b"\x30\x0f1\x0d0\x0b\x06\x03\x55\x04\x03\x13\x04Root")
                .unwrap();
        let utf8 =
            DistinguishedName::from_der(b"\x30\x0f1\x0d0\x0b\x06\x03\x55\x04\x03\x0c\x04ROOT")
                .unwrap();
        assert_ne!(printable, utf8);
        assert!(printable.matches(&utf8));
    }

    #[test]
    fn a_name_is_written_as_rfc_4514_has_it() {
        for text in [
            "CN=Example CA,O=Example\\, Inc.,C=NL",
            "OU=a+CN=\\#1 \\+ \\<2\\>,DC=example,DC=com",
            "UID=x\\ ,STREET=1 Way,L=Here,ST=There",
        ] {
            assert_eq!(alloc::string::ToString::to_string(&name(text)), text);
        }
        let control =
            DistinguishedName::from_der(b"\x30\x0f1\x0d0\x0b\x06\x03\x55\x04\x03\x0c\x04a\nb\x00")
                .unwrap();
        assert_eq!(
            alloc::string::ToString::to_string(&control),
            "CN=a\\0ab\\00"
        );
        let number = name("2.5.4.5=x");
        assert!(
            alloc::string::ToString::to_string(&number).starts_with("2.5.4.5="),
            "{number}"
        );
    }

    #[test]
    fn a_name_keeps_its_bytes() {
        let der = b"\x30\x0f1\x0d0\x0b\x06\x03\x55\x04\x03\x13\x04Root";
        let name = DistinguishedName::from_der(der).unwrap();
        assert_eq!(name.as_der(), der);
        assert_eq!(alloc::string::ToString::to_string(&name), "CN=Root");
        assert!(DistinguishedName::from_der(&der[..10]).is_err());
    }
}
