//! Issuers as operators see them: entries of the registry, joined with the status table and events.

use std::collections::HashMap;
use std::ops::Bound;

use origin_api::IssuerId;
use serde::Serialize;

use super::crl_status::CrlStatus;
use crate::events::Event;
use crate::issuer::Overview;
use crate::refresh::{StatusReport, fingerprint};
use crate::registry::{Index, Listed};
use crate::tables::StatusRow;
use crate::time::{Rfc3339, Timestamp};

/// One issuer, as `GET /v1/issuers` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct IssuerStatus {
    pub(crate) id: IssuerId,
    /// When the origin stopped listing it. Its CRLs are served while they are valid.
    pub(crate) gone_since: Option<Rfc3339>,
    /// An issuer that publishes elsewhere has none, or one with `last_outcome` skipped.
    pub(crate) crls: Vec<CrlStatus>,
    /// The SHA-256 of the pinned certificate: the first one seen, until an operator trusts another.
    pub(crate) pinned_certificate_sha256: Option<String>,
    /// The SHA-256 of a changed certificate that is waiting for an operator's trust.
    pub(crate) waiting_certificate_sha256: Option<String>,
    /// How many events are not in D1 yet.
    pub(crate) events_owed: u64,
    /// The newest events, newest first.
    pub(crate) recent_events: Vec<Event>,
}

/// A page of issuers, sorted by id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct IssuerPage {
    pub(crate) issuers: Vec<IssuerStatus>,
    /// The `cursor` of the next page; null on the last page.
    pub(crate) next_cursor: Option<String>,
}

/// How many recent events the API shows of an issuer.
pub(crate) const RECENT_EVENTS: u32 = 5;

impl IssuerStatus {
    /// An issuer from its entry in the registry and its rows of the status table, judged at `now`.
    #[must_use]
    pub(crate) fn of_rows(
        id: IssuerId,
        listed: &Listed,
        rows: Vec<StatusRow>,
        now: Timestamp,
    ) -> Self {
        let pinned = rows
            .iter()
            .find_map(|row| row.pinned_certificate_sha256.clone());
        let waiting = rows
            .iter()
            .find_map(|row| row.waiting_certificate_sha256.clone());
        let events_owed = rows.iter().map(|row| row.events_owed).max().unwrap_or(0);
        let known = rows.into_iter().map(|row| {
            let crl = CrlStatus::of_row(row, now);
            let is_listed = listed.gone_since.is_none() && listed.crls.contains(&crl.name);
            CrlStatus {
                withdrawn: !is_listed,
                ..crl
            }
        });
        Self {
            id,
            gone_since: listed.gone_since.map(Rfc3339),
            crls: with_all_listed(known, listed),
            pinned_certificate_sha256: pinned,
            waiting_certificate_sha256: waiting,
            events_owed,
            recent_events: Vec::new(),
        }
    }

    /// An issuer from its entry in the registry and its own object, which is never out of date,
    /// judged at `now`.
    #[must_use]
    pub(crate) fn of_overview(
        id: &IssuerId,
        listed: &Listed,
        overview: &Overview,
        now: Timestamp,
    ) -> Self {
        let (pinned, waiting) = (
            &overview.issuer.pinned,
            &overview.issuer.pending_certificate,
        );
        let (pinned, waiting) = (
            pinned.as_ref().map(fingerprint),
            waiting.as_ref().map(fingerprint),
        );
        let statuses = overview.crls.iter().map(|(name, state)| StatusReport {
            issuer_id: id.clone(),
            crl_name: *name,
            state: state.clone(),
            pinned,
            pending_certificate: waiting,
            events_owed: overview.events_owed,
        });
        let rows = statuses.map(|status| StatusRow::from(&status)).collect();
        let mut issuer = Self::of_rows(id.clone(), listed, rows, now);
        // An object that holds no CRL yet may have a certificate all the same.
        issuer.pinned_certificate_sha256 = pinned.map(|sha256| sha256.to_string());
        issuer.waiting_certificate_sha256 = waiting.map(|sha256| sha256.to_string());
        issuer.events_owed = overview.events_owed;
        issuer
    }
}

/// Adds the CRLs that the registry lists and that were never refreshed.
fn with_all_listed(known: impl Iterator<Item = CrlStatus>, listed: &Listed) -> Vec<CrlStatus> {
    let listed = listed.crls.iter().map(|name| CrlStatus::absent(*name));
    let mut crls: Vec<CrlStatus> = Vec::new();
    for crl in known.chain(listed) {
        if let Err(place) = crls.binary_search_by_key(&crl.name, |crl| crl.name) {
            crls.insert(place, crl);
        }
    }
    crls
}

/// The issuers after `cursor`, at most `limit`, and whether more follow.
#[must_use]
pub(crate) fn page<'a>(
    index: &'a Index,
    cursor: Option<&IssuerId>,
    limit: u32,
) -> (Vec<(&'a IssuerId, &'a Listed)>, bool) {
    let after = cursor.map_or(Bound::Unbounded, Bound::Excluded);
    let mut rest = index
        .issuers
        .range::<IssuerId, _>((after, Bound::Unbounded));
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let page: Vec<_> = rest.by_ref().take(limit).collect();
    (page, rest.next().is_some())
}

/// Joins issuers with their rows of the status table.
#[must_use]
pub(crate) fn join<'a>(
    issuers: impl IntoIterator<Item = (&'a IssuerId, &'a Listed)>,
    rows: Vec<StatusRow>,
    now: Timestamp,
) -> Vec<IssuerStatus> {
    let mut rows_of: HashMap<IssuerId, Vec<StatusRow>> = HashMap::new();
    for row in rows {
        rows_of.entry(row.issuer_id.clone()).or_default().push(row);
    }
    issuers
        .into_iter()
        .map(|(id, listed)| {
            let rows = rows_of.remove(id).unwrap_or_default();
            IssuerStatus::of_rows(id.clone(), listed, rows, now)
        })
        .collect()
}

/// The `wanted` CRLs, each with its issuer, the most urgent first.
#[must_use]
pub(crate) fn most_urgent_first(
    issuers: &[IssuerStatus],
    wanted: impl Fn(&IssuerStatus, &CrlStatus) -> bool,
) -> Vec<(&IssuerStatus, &CrlStatus)> {
    let mut crls = Vec::new();
    for issuer in issuers {
        let wanted = issuer.crls.iter().filter(|crl| wanted(issuer, crl));
        crls.extend(wanted.map(|crl| (issuer, crl)));
    }
    sort_by_urgency(&mut crls);
    crls
}

/// Apart from the generic function: its code would be there once for each `wanted`.
fn sort_by_urgency(crls: &mut [(&IssuerStatus, &CrlStatus)]) {
    crls.sort_unstable_by_key(|(issuer, crl)| (crl.urgency(), &issuer.id, crl.name));
}

/// Adds each issuer's events, which keep their order.
pub(crate) fn add_events(issuers: &mut [IssuerStatus], events: Vec<Event>) {
    let mut events_of: HashMap<IssuerId, Vec<Event>> = HashMap::new();
    for event in events {
        events_of
            .entry(event.issuer_id.clone())
            .or_default()
            .push(event);
    }
    for issuer in issuers {
        issuer.recent_events = events_of.remove(&issuer.id).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use origin_api::CrlName;

    use super::*;
    use crate::operator::crl_status::State;
    use crate::tables::testing::{NOW, event, status_row};

    fn index() -> Index {
        let listed = |crls: &[CrlName]| Listed {
            crls: crls.to_vec(),
            ..Listed::default()
        };
        let issuers = [
            ("a", listed(&[CrlName::Full])),
            ("b", listed(&[CrlName::Full, CrlName::Delta])),
            ("c", listed(&[])),
        ];
        Index {
            read_at: NOW,
            issuers: issuers
                .into_iter()
                .map(|(id, listed)| (id.parse().unwrap(), listed))
                .collect(),
            shrink: None,
        }
    }

    #[test]
    fn an_issuer_that_was_never_refreshed_is_shown_as_absent() {
        let index = index();
        let issuers = join(&index.issuers, vec![status_row("b")], NOW);
        let states = |position: usize| {
            let crls = issuers[position].crls.iter();
            crls.map(|crl| (crl.name, crl.state)).collect::<Vec<_>>()
        };
        assert_eq!(states(0), [(CrlName::Full, State::Absent)]);
        assert_eq!(
            states(1),
            [
                (CrlName::Full, State::Fresh),
                (CrlName::Delta, State::Absent)
            ]
        );
        assert_eq!(states(2), []);
    }

    #[test]
    fn pages_walk_the_registry() {
        let index = index();
        let ids = |cursor: Option<&str>, limit| {
            let cursor = cursor.map(|id| id.parse().unwrap());
            let (page, more) = page(&index, cursor.as_ref(), limit);
            let ids = page.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>();
            (ids.join(""), more)
        };
        assert_eq!(ids(None, 2), ("ab".to_owned(), true));
        assert_eq!(ids(Some("b"), 2), ("c".to_owned(), false));
        assert_eq!(ids(Some("aa"), 1), ("b".to_owned(), true));
    }

    #[test]
    fn what_the_origin_no_longer_lists_is_withdrawn() {
        let mut index = index();
        let delta = StatusRow {
            crl_name: CrlName::Delta,
            ..status_row("a")
        };
        let rows = || {
            vec![
                status_row("a"),
                delta.clone(),
                status_row("b"),
                status_row("c"),
            ]
        };
        let withdrawn = |index: &Index| {
            let issuers = join(&index.issuers, rows(), NOW);
            let crls = issuers.iter().flat_map(|issuer| &issuer.crls);
            crls.map(|crl| crl.withdrawn).collect::<Vec<_>>()
        };
        // The full CRL and the delta of a; those of b; the full CRL of c, which lists none.
        assert_eq!(withdrawn(&index), [false, true, false, false, true]);
        let b = index.issuers.get_mut(&"b".parse().unwrap()).unwrap();
        b.gone_since = Some(NOW);
        assert!(withdrawn(&index)[2]);
    }

    #[test]
    fn each_issuer_gets_its_own_events() {
        let index = index();
        let mut issuers = join(&index.issuers, vec![], NOW);
        add_events(&mut issuers, vec![event(2), event(1)]);
        let counts: Vec<_> = issuers
            .iter()
            .map(|issuer| issuer.recent_events.len())
            .collect();
        assert_eq!(counts, [2, 0, 0]);
    }
}
