//! The object's one alarm: when something is to be done next.

use std::cell::Cell;
use std::time::Duration;

use super::ports::{IssuerPorts, Shared};
use crate::refresh::{ObjectState, Publication, Runtime as _, StoreError};
use crate::time::Timestamp;

/// When events that D1 did not take, and deletes that KV did not do, are tried again.
const PAUSE: Duration = Duration::from_secs(30);
/// The soonest that the alarm is set for. One for now, set inside an alarm, would stall; and if
/// storage fails, so that no attempt is noted, the origin must not be asked without a pause.
pub(super) const SOONEST: Duration = Duration::from_secs(5);
/// The latest that the alarm is set for: it then looks again. The platform refuses dates far ahead,
/// and a CRL may be valid until the year 9999.
const LATEST: Duration = Duration::from_hours(30 * 24);

/// The alarm, and the time that it is set for, as far as this run of the object knows.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    set_for: Cell<Option<Timestamp>>,
}

impl Alarm {
    /// The platform's alarm has gone off, so none is set.
    pub(super) fn has_gone_off(&self) {
        self.set_for.set(None);
    }

    /// Sets the alarm for the next thing to do, unless it is set for that already. `removal` gives
    /// when the next CRL is to be removed.
    ///
    /// # Errors
    /// Storage failed.
    pub(super) async fn follow<P: IssuerPorts>(
        &self,
        shared: &Shared<P>,
        removal: impl FnOnce(&ObjectState) -> Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let now = shared.runtime.now();
        let next = shared.state.with(|state| {
            let all = next_time(state, now).into_iter();
            all.chain(removal(state)).min()
        })?;
        let Some(at) = next.map(|at| at.clamp(now.after(SOONEST), now.after(LATEST))) else {
            return Ok(());
        };
        if self.set_for.get() == Some(at) {
            return Ok(());
        }
        self.set_for.set(None);
        shared.runtime.set_alarm(at).await?;
        self.set_for.set(Some(at));
        Ok(())
    }
}

/// When something is to be done next; `None` if there is nothing to do.
fn next_time(state: &ObjectState, now: Timestamp) -> Option<Timestamp> {
    // The registry brings back an issuer that is gone.
    let names = match state.issuer.gone_since {
        Some(_) => Vec::new(),
        None => state.issuer.listed(),
    };
    let of_crls = state.crls.iter().flat_map(|(name, crl)| {
        let refresh = crl.next_attempt.filter(|_| names.contains(name));
        let publication = match crl.publication {
            Publication::Owed { retry_at, .. } => Some(retry_at),
            Publication::Nothing | Publication::Done { .. } => None,
        };
        let comparison = crl.unsettled.map(|unsettled| unsettled.compare_at);
        [refresh, publication, comparison]
    });
    // Events and deletes were just tried.
    let soon = now.after(PAUSE);
    let is_owed = state.events_owed > 0 || state.crls.values().any(|crl| crl.removal_owed);
    let delivery = is_owed.then_some(soon);
    let deletes = state.pending_deletes.values().map(|at| soon.max(*at));
    of_crls.flatten().chain(delivery).chain(deletes).min()
}

#[cfg(test)]
mod tests {
    use origin_api::CrlName;

    use super::*;
    use crate::refresh::CrlState;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    #[test]
    fn the_earliest_thing_to_do_decides() {
        let at = |seconds| NOW.after(Duration::from_secs(seconds));
        let mut state = ObjectState::default();
        assert_eq!(next_time(&state, NOW), None);
        state.pending_deletes.insert("key".to_owned(), at(500));
        assert_eq!(next_time(&state, NOW), Some(at(500)));
        let crl = CrlState {
            next_attempt: Some(at(100)),
            ..CrlState::default()
        };
        state.crls.insert(CrlName::Full, crl.clone());
        assert_eq!(next_time(&state, NOW), Some(at(100)));
        // The origin does not list it, as far as is known.
        state.crls.insert(
            CrlName::Shard(1),
            CrlState {
                next_attempt: Some(at(1)),
                ..crl
            },
        );
        assert_eq!(next_time(&state, NOW), Some(at(100)));
        state.events_owed = 1;
        assert_eq!(next_time(&state, NOW), Some(NOW.after(PAUSE)));
    }
}
