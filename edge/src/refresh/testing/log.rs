//! D1: the events that it took, and how each CRL stands.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use origin_api::CrlName;

use super::Faults;
use crate::events::{Event, EventId};
use crate::refresh::{CrlState, EventLog, EventLogError, StatusReport};

/// D1, for one issuer.
#[derive(Clone)]
pub(crate) struct TwinLog {
    pub(crate) rows: Rc<RefCell<BTreeMap<EventId, Event>>>,
    pub(crate) statuses: Rc<RefCell<HashMap<CrlName, CrlState>>>,
    /// The event that a constraint of the table refuses.
    pub(crate) refused: Rc<RefCell<Option<EventId>>>,
    /// How many events D1 knows to be missing.
    pub(crate) events_owed: Rc<Cell<u64>>,
    faults: Rc<Faults>,
}

impl TwinLog {
    pub(crate) fn new(faults: &Rc<Faults>) -> Self {
        Self {
            rows: Rc::default(),
            statuses: Rc::default(),
            refused: Rc::default(),
            events_owed: Rc::default(),
            faults: Rc::clone(faults),
        }
    }

    /// The events in the order of their ids.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.rows.borrow().values().cloned().collect()
    }

    /// One column of the events.
    pub(crate) fn codes(&self) -> Vec<String> {
        let code = |event: &Event| {
            event
                .error_code
                .clone()
                .unwrap_or_else(|| event.outcome.to_string())
        };
        self.rows.borrow().values().map(code).collect()
    }
}

impl EventLog for TwinLog {
    async fn append(&self, events: &[Event], report: &[StatusReport]) -> Result<(), EventLogError> {
        let refused = *self.refused.borrow();
        if events.iter().any(|event| Some(event.id) == refused) {
            return Err(EventLogError("CHECK constraint failed".to_owned()));
        }
        let keep = || {
            let mut rows = self.rows.borrow_mut();
            for event in events {
                let row = rows.entry(event.id).or_insert_with(|| event.clone());
                assert_eq!(row, event, "an event changed after it was recorded");
            }
            let mut statuses = self.statuses.borrow_mut();
            for status in report {
                self.events_owed.set(status.events_owed);
                if status.state.removal_owed {
                    statuses.remove(&status.crl_name);
                    continue;
                }
                let known = statuses.entry(status.crl_name).or_default();
                if status.state.revision >= known.revision {
                    *known = status.state.clone();
                }
            }
            Ok(())
        };
        self.faults.run("log.append", keep, EventLogError)
    }
}
