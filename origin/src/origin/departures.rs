//! Why certificates are no longer on a CRL: the evidence that an edge asks for before it publishes
//! a CRL that shrank.

use crl::UnixTime;
use origin_api::{CrlName, IssuerId};

use super::lookup::{find_list, find_signing};
use super::{Origin, OriginError};
use crate::ca::Serial;
use crate::revocation::State;
use crate::store::{lists, revocations as rows};

/// A certificate that an edge misses on the latest CRL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    /// Its serial number.
    pub serial: Serial,
    /// Why it is not on the CRL.
    pub cause: Cause,
}

/// Why a certificate is not on the CRL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It expired at this time.
    Expired(UnixTime),
    /// It was on hold and has been released, or the import that revoked it was undone.
    Released,
    /// The database knows no reason: it never was revoked here, or still should be on the CRL.
    Unknown,
}

impl Origin {
    /// Why these certificates are not on the current CRL of a list.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::ManagedElsewhere`],
    /// [`OriginError::CrlNotFound`], [`OriginError::Store`].
    ///
    /// [`OriginError::EntryLost`]: an issuer that follows an index has no reason for one of them.
    /// The database was restored, and the index no longer lists it: it is an earlier copy, too, or
    /// the line was made valid again. What was followed stays revoked.
    pub fn departures(
        &self,
        issuer: &IssuerId,
        name: CrlName,
        serials: Vec<Serial>,
    ) -> Result<Vec<Departure>, OriginError> {
        self.store.read(|conn| {
            let issuer = find_signing(conn, issuer)?;
            find_list(&lists::all(conn, issuer.number)?, &issuer, name)?;
            let departure = |serial: Serial| {
                let known = rows::find(conn, issuer.number, &serial)?;
                let cause = match known.map(|(_, known)| (known.state, known.not_after)) {
                    Some((State::Expired, Some(not_after))) => Cause::Expired(not_after),
                    Some((State::Released, _)) => Cause::Released,
                    // It may have been recovered since the CRL was made that the edge asks about.
                    _ if issuer.connector.follows_index() => {
                        return Err(OriginError::EntryLost(issuer.id.clone(), name, serial));
                    }
                    _ => Cause::Unknown,
                };
                Ok(Departure { serial, cause })
            };
            serials.into_iter().map(departure).collect()
        })
    }
}
