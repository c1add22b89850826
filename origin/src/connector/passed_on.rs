//! The newest CRL of each issuer that was passed on from another CA. Lost with the process: then a
//! CRL is fetched once more, and its number is compared with that of the caller alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crl::CrlNumber;
use http::HeaderMap;
use origin_api::IssuerId;

use super::CrlRequest;
use super::fetch::{Entries, Fetched, Validity};

/// The newest CRLs, by issuer.
#[derive(Clone, Default)]
pub(super) struct PassedOn(Arc<Mutex<HashMap<IssuerId, Known>>>);

/// A CRL that was passed on.
#[derive(Clone)]
pub(super) struct Known {
    /// Where it came from. If that has changed, numbers cannot be compared.
    source: String,
    number: CrlNumber,
    sha256: [u8; 32],
    entries: Entries,
    validity: Validity,
    /// The headers that ask for it only if it has changed.
    conditions: HeaderMap,
}

impl PassedOn {
    /// The conditions under which the CA may answer 304: the caller holds the newest CRL, and half
    /// of its validity is still to come. A server that answers 304 for ever is asked without
    /// conditions from then on.
    pub(super) fn conditions(&self, request: &CrlRequest, source: &str) -> HeaderMap {
        let now = request.now.as_unix_time();
        let known = self.known(request, source).filter(|known| {
            !request.caller.renew
                && request.holds(&known.sha256)
                && !known.validity.is_half_over(now)
        });
        known.map(|known| known.conditions).unwrap_or_default()
    }

    /// The greatest CRLNumber known to be published: that of the CRL that was passed on, while it
    /// is valid, or that of the CRL that the caller holds.
    pub(super) fn newest_number(&self, request: &CrlRequest, source: &str) -> Option<CrlNumber> {
        let passed_on = self.valid(request, source).map(|known| known.number);
        passed_on.max(request.held_number())
    }

    /// Whether the caller holds a CRL with a greater number.
    pub(super) fn caller_holds_newer(
        &self,
        request: &CrlRequest,
        source: &str,
        number: CrlNumber,
    ) -> bool {
        let holds = |known: &Known| request.holds(&known.sha256);
        let passed_on = self.valid(request, source).filter(holds);
        let held = passed_on.map(|known| known.number);
        held.max(request.held_number()) > Some(number)
    }

    /// Whether the CRL that the caller holds lists the same revocations, and half of its validity
    /// is still to come.
    pub(super) fn is_as_good(&self, request: &CrlRequest, source: &str, fetched: &Fetched) -> bool {
        let now = request.now.as_unix_time();
        self.known(request, source).is_some_and(|known| {
            request.holds(&known.sha256)
                && known.entries == fetched.entries()
                && !known.validity.is_half_over(now)
        })
    }

    /// Remembers a CRL if it is the newest.
    pub(super) fn remember(&self, request: &CrlRequest, source: &str, fetched: &Fetched) {
        if self.newest_number(request, source) > Some(fetched.number()) {
            return;
        }
        let known = Known {
            source: source.to_owned(),
            number: fetched.number(),
            sha256: fetched.sha256(),
            entries: fetched.entries(),
            validity: fetched.validity(),
            conditions: fetched.conditions(),
        };
        self.lock().insert(request.issuer.id.clone(), known);
    }

    fn valid(&self, request: &CrlRequest, source: &str) -> Option<Known> {
        let now = request.now.as_unix_time();
        self.known(request, source)
            .filter(|known| now < known.validity.next_update)
    }

    fn known(&self, request: &CrlRequest, source: &str) -> Option<Known> {
        let known = self.lock().get(&request.issuer.id).cloned();
        known.filter(|known| known.source == source)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IssuerId, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
