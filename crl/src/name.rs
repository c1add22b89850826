//! The name of an issuer: its exact bytes, and how names compare.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

use der::Encode;
use der::asn1::ObjectIdentifier;
use der::oid::db::rfc4519;
use x509_cert::name::Name;

use crate::tlv::{self, Fault, OBJECT_IDENTIFIER, SEQUENCE, SET};

/// The most attributes that a name may have: comparing and printing one stays cheap, whoever
/// wrote it.
const MAX_ATTRIBUTES: usize = 128;

/// A distinguished name (RFC 5280, section 4.1.2.4): the DER of a `Name`. Prints as RFC 4514 says.
///
/// Equality is that of the bytes; [`DistinguishedName::matches`] compares as RFC 5280 does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DistinguishedName {
    der: Vec<u8>,
}

/// The bytes are not the DER of a `Name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a distinguished name: {0}")]
pub struct NameError(&'static str);

impl DistinguishedName {
    /// Reads the DER of a `Name` of at most 128 attributes.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn from_der(der: &[u8]) -> Result<Self, NameError> {
        check(der).map_err(NameError)?;
        Ok(Self { der: der.into() })
    }

    /// The DER of the `Name`.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// Whether both are the same name by RFC 5280, section 7.1: case, repeated white space and the
    /// string type do not count. That also holds for domainComponent and emailAddress (RFC 5280,
    /// sections 7.2 and 7.5).
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.matches_der(&other.der)
    }

    /// As [`DistinguishedName::matches`]; false for bytes that are not a `Name`.
    pub(crate) fn matches_der(&self, other: &[u8]) -> bool {
        self.der == other || (check(other).is_ok() && canonical(&self.der) == canonical(other))
    }

    fn rdns(&self) -> Elements<'_> {
        rdns(&self.der)
    }
}

impl TryFrom<&Name> for DistinguishedName {
    type Error = der::Error;

    fn try_from(name: &Name) -> Result<Self, der::Error> {
        Ok(Self {
            der: name.to_der()?,
        })
    }
}

/// One attribute of a relative distinguished name.
struct Attribute<'a> {
    oid: &'a [u8],
    tag: u8,
    value: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// Reads the contents of an `AttributeTypeAndValue`.
    fn read(mut fields: &'a [u8]) -> Result<Self, Fault> {
        let oid = tlv::take(
            &mut fields,
            OBJECT_IDENTIFIER,
            "an attribute has no object identifier",
        )?;
        let (tag, value) = tlv::take_any(&mut fields)?;
        if oid.is_empty() || !fields.is_empty() {
            return Err("an attribute is not a type and a value");
        }
        Ok(Self { oid, tag, value })
    }

    /// The value as text; `None` if it is not a string, or not a valid one.
    fn text(&self) -> Option<Cow<'a, str>> {
        const UTF8: u8 = 0x0c;
        const NUMERIC: u8 = 0x12;
        const PRINTABLE: u8 = 0x13;
        const TELETEX: u8 = 0x14;
        const IA5: u8 = 0x16;
        const VISIBLE: u8 = 0x1a;
        const UNIVERSAL: u8 = 0x1c;
        const BMP: u8 = 0x1e;
        let value = self.value;
        match self.tag {
            UTF8 => core::str::from_utf8(value).ok().map(Cow::Borrowed),
            NUMERIC | PRINTABLE | IA5 | VISIBLE if value.is_ascii() => {
                core::str::from_utf8(value).ok().map(Cow::Borrowed)
            }
            // Read as Latin-1: that is what is written in practice, and how OpenSSL reads it.
            TELETEX => Some(value.iter().map(|octet| char::from(*octet)).collect()),
            BMP => {
                let units = whole_units(value)?.map(u16::from_be_bytes);
                let text: Result<_, _> = char::decode_utf16(units).collect();
                text.ok()
            }
            UNIVERSAL => {
                let units = whole_units(value)?.map(u32::from_be_bytes);
                units.map(char::from_u32).collect()
            }
            _ => None,
        }
    }
}

/// Groups of `N` octets; `None` if some are left over.
fn whole_units<const N: usize>(octets: &[u8]) -> Option<impl Iterator<Item = [u8; N]>> {
    let units = octets.chunks_exact(N);
    units
        .remainder()
        .is_empty()
        .then(|| units.filter_map(|unit| unit.try_into().ok()))
}

/// The contents of the elements of a SEQUENCE OF or SET OF with one tag; ends at the first fault.
struct Elements<'a> {
    rest: &'a [u8],
    tag: u8,
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        tlv::take(&mut self.rest, self.tag, "").ok()
    }
}

fn rdns(der: &[u8]) -> Elements<'_> {
    Elements {
        rest: tlv::only(der, SEQUENCE, "").unwrap_or_default(),
        tag: SET,
    }
}

fn attributes(rdn: &[u8]) -> impl Iterator<Item = Attribute<'_>> {
    let attributes = Elements {
        rest: rdn,
        tag: SEQUENCE,
    };
    attributes.filter_map(|fields| Attribute::read(fields).ok())
}

/// Whether the bytes are a `Name` of at most [`MAX_ATTRIBUTES`].
fn check(der: &[u8]) -> Result<(), Fault> {
    let mut rest = tlv::only(der, SEQUENCE, "it is not a SEQUENCE")?;
    let mut count = 0usize;
    while !rest.is_empty() {
        let mut rdn = tlv::take(&mut rest, SET, "a relative distinguished name is not a SET")?;
        if rdn.is_empty() {
            return Err("a relative distinguished name is empty");
        }
        while !rdn.is_empty() {
            let fields = tlv::take(&mut rdn, SEQUENCE, "an attribute is not a SEQUENCE")?;
            Attribute::read(fields)?;
            count = count.wrapping_add(1);
            if count > MAX_ATTRIBUTES {
                return Err("it has over 128 attributes");
            }
        }
    }
    Ok(())
}

/// What of an attribute counts when names are compared.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Value<'a> {
    Text(String),
    Other { tag: u8, value: &'a [u8] },
}

/// What of a name counts when it is compared: its relative distinguished names in order, the
/// attributes of each sorted, as they are a set.
fn canonical(der: &[u8]) -> Vec<Vec<(&[u8], Value<'_>)>> {
    let canonical_rdn = |rdn| {
        let mut all: Vec<_> = attributes(rdn)
            .map(|attribute| {
                let value = match attribute.text() {
                    Some(text) => Value::Text(prepare(&text)),
                    None => Value::Other {
                        tag: attribute.tag,
                        value: attribute.value,
                    },
                };
                (attribute.oid, value)
            })
            .collect();
        all.sort_unstable();
        all
    };
    rdns(der).map(canonical_rdn).collect()
}

/// Lower case, single spaces, none at the ends: the part of RFC 4518 that RFC 5280, section 7.1,
/// asks for.
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

/// As RFC 4514 says, with the attribute types of its section 3 by name and all others by number: a
/// table of all names would be a tenth of a Worker.
impl fmt::Display for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.rdns().collect();
        for (index, rdn) in names.into_iter().rev().enumerate() {
            for (part, attribute) in attributes(rdn).enumerate() {
                f.write_str(match (index, part) {
                    (0, 0) => "",
                    (_, 0) => ",",
                    _ => "+",
                })?;
                write_type(f, attribute.oid)?;
                f.write_char('=')?;
                write_value(f, &attribute)?;
            }
        }
        Ok(())
    }
}

fn write_type(f: &mut fmt::Formatter<'_>, oid: &[u8]) -> fmt::Result {
    let Ok(oid) = ObjectIdentifier::from_bytes(oid) else {
        return f.write_str("?");
    };
    let name = match oid {
        rfc4519::CN => "CN",
        rfc4519::L => "L",
        rfc4519::ST => "ST",
        rfc4519::O => "O",
        rfc4519::OU => "OU",
        rfc4519::C => "C",
        rfc4519::STREET => "STREET",
        rfc4519::DC => "DC",
        rfc4519::UID => "UID",
        _ => return write!(f, "{oid}"),
    };
    f.write_str(name)
}

/// Text with special characters escaped (RFC 4514, section 2.4); other values as their DER in
/// hexadecimal.
fn write_value(f: &mut fmt::Formatter<'_>, attribute: &Attribute<'_>) -> fmt::Result {
    let Some(text) = attribute.text() else {
        f.write_char('#')?;
        let mut der = Vec::new();
        tlv::put(&mut der, attribute.tag, attribute.value).ok_or(fmt::Error)?;
        return der.iter().try_for_each(|octet| write!(f, "{octet:02x}"));
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
    fn a_name_prints_as_rfc_4514_says() {
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

    /// A name of one attribute.
    fn one(oid: &[u8], tag: u8, value: &[u8]) -> DistinguishedName {
        let mut fields = Vec::new();
        tlv::put(&mut fields, OBJECT_IDENTIFIER, oid).unwrap();
        tlv::put(&mut fields, tag, value).unwrap();
        let mut der = fields;
        for tag in [SEQUENCE, SET, SEQUENCE] {
            let mut outer = Vec::new();
            tlv::put(&mut outer, tag, &der).unwrap();
            der = outer;
        }
        DistinguishedName::from_der(&der).unwrap()
    }

    #[test]
    fn every_string_type_of_the_same_text_matches() {
        const CN: &[u8] = b"\x55\x04\x03";
        let utf8 = one(CN, 0x0c, "Wurzel é".as_bytes());
        let teletex = one(CN, 0x14, b"wurzel \xe9");
        let bmp = one(CN, 0x1e, b"\0W\0u\0r\0z\0e\0l\0 \0\xe9");
        let universal = one(
            CN,
            0x1c,
            b"\0\0\0W\0\0\0u\0\0\0r\0\0\0z\0\0\0e\0\0\0l\0\0\0 \0\0\0\xe9",
        );
        for name in [&teletex, &bmp, &universal] {
            assert!(utf8.matches(name) && name.matches(&utf8), "{name}");
        }
        assert_eq!(
            alloc::string::ToString::to_string(&universal),
            "CN=Wurzel é"
        );
        // Half a character is not text: it matches its own bytes alone.
        let broken = one(CN, 0x1e, b"\0W\0");
        assert!(!broken.matches(&utf8) && broken.matches(&broken.clone()));
        assert_eq!(
            alloc::string::ToString::to_string(&broken),
            "CN=#1e03005700"
        );
    }

    /// RFC 5280, sections 7.2 and 7.5: both are `IA5String`.
    #[test]
    fn domain_components_and_mail_addresses_match_without_case() {
        let dc = b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19";
        let mail = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01";
        for oid in [&dc[..], mail] {
            let upper = one(oid, 0x16, b"CA@Example.COM");
            assert!(upper.matches(&one(oid, 0x16, b"ca@example.com")));
            assert!(!upper.matches(&one(oid, 0x16, b"ca@example.org")));
        }
    }

    #[test]
    fn the_attributes_of_a_set_are_in_no_order() {
        let name = |values: [&[u8]; 2]| {
            let set: Vec<u8> = values
                .iter()
                .flat_map(|value| {
                    let fields = [b"\x06\x03\x55\x04\x03\x0c\x01", *value].concat();
                    [&[SEQUENCE, fields.len() as u8][..], &fields].concat()
                })
                .collect();
            let rdn = [&[SET, set.len() as u8][..], &set].concat();
            DistinguishedName::from_der(&[&[SEQUENCE, rdn.len() as u8][..], &rdn].concat())
        };
        let (ab, ba) = (name([b"a", b"b"]).unwrap(), name([b"b", b"a"]).unwrap());
        assert!(ab.matches(&ba));
        assert!(!ab.matches(&name([b"a", b"a"]).unwrap()));
    }

    #[test]
    fn a_name_has_a_bounded_number_of_attributes() {
        let rdn = b"\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01x";
        let name = |count: usize| {
            let mut der = Vec::new();
            tlv::put(&mut der, SEQUENCE, &rdn.repeat(count)).unwrap();
            DistinguishedName::from_der(&der)
        };
        assert!(name(128).is_ok());
        assert!(name(129).is_err());
        assert!(DistinguishedName::from_der(b"\x30\x02\x31\x00").is_err());
    }
}
