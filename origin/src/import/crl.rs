//! A CRL that was made elsewhere. Its signature is not checked: whoever imports it trusts it.

use crl::{CrlNumber, DistinguishedName, Entry, Limits, ReadError, Reason, Visitor};

use super::{BadLine, Imported, LineFault};
use crate::ca::Serial;
use crate::revocation::Ask;

/// What a CRL says.
#[derive(Debug)]
pub struct ImportedCrl {
    /// Who made it.
    pub issuer: DistinguishedName,
    /// Its number, if it has one: the next CRL must have a greater one.
    pub number: Option<CrlNumber>,
    /// Its entries; those that cannot be taken over are named by their place, from 1.
    pub entries: Vec<Result<Imported, BadLine>>,
}

/// Reads a CRL from its DER.
///
/// # Errors
/// [`ReadError`].
pub fn read_crl(der: &[u8]) -> Result<ImportedCrl, ReadError> {
    let mut entries = Entries::default();
    let limits = Limits {
        max_bytes: u64::MAX,
        ..Limits::default()
    };
    let crl = crl::read(der, limits, &mut entries)?;
    Ok(ImportedCrl {
        issuer: crl.header.issuer,
        number: crl.extensions.number,
        entries: entries.0,
    })
}

#[derive(Default)]
struct Entries(Vec<Result<Imported, BadLine>>);

impl Visitor for Entries {
    fn entry(&mut self, entry: &Entry<'_>) {
        let line = (self.0.len() as u64).saturating_add(1);
        let read = match Serial::from_be_bytes(entry.serial.as_be_bytes()) {
            Ok(serial) => Ok(Imported {
                line,
                ask: Ask {
                    serial,
                    reason: entry.reason.unwrap_or(Reason::Unspecified),
                    revoked_at: Some(entry.revocation_date),
                    invalidity_date: entry.invalidity_date,
                    not_after: None,
                    shard: None,
                },
            }),
            Err(error) => Err(BadLine {
                line,
                fault: LineFault::Serial(error),
            }),
        };
        self.0.push(read);
    }
}
