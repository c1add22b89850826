//! D1: SQLite with the tables of the migrations, and calls that fail.

use std::rc::Rc;

use edge::events::Event;
use edge::events::retention::OldEvents;
use edge::refresh::{EventLog, EventLogError, StatusReport};
use edge::tables::{self, Query};
use origin_api::Timestamp;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use serde::de::DeserializeOwned;

use crate::clock::Timeline;
use crate::faults::{Fault, Faults, Owner};
use crate::ledger::Ledger;
use crate::mutation::Mutation;
use crate::random::Random;

const MIGRATIONS: [&str; 7] = [
    include_str!("../../migrations/0001_events_and_status.sql"),
    include_str!("../../migrations/0002_refresh_counts.sql"),
    include_str!("../../migrations/0003_failing_since.sql"),
    include_str!("../../migrations/0004_last_checked_at.sql"),
    include_str!("../../migrations/0005_operator_actions.sql"),
    include_str!("../../migrations/0006_absolute_counts.sql"),
    include_str!("../../migrations/0007_findings.sql"),
];

/// D1. Clones are the same database.
#[derive(Clone)]
pub(crate) struct D1(Rc<Inside>);

struct Inside {
    database: Connection,
    timeline: Timeline,
    random: Random,
    faults: Faults,
    ledger: Ledger,
    mutation: Option<Mutation>,
}

impl D1 {
    pub(crate) fn new(
        timeline: &Timeline,
        random: Random,
        faults: &Faults,
        ledger: &Ledger,
        mutation: Option<Mutation>,
    ) -> anyhow::Result<Self> {
        let database = Connection::open_in_memory()?;
        // Most of a run's time would go into compiling statements and into a journal: a statement
        // that fails ends the run.
        database.set_prepared_statement_cache_capacity(64);
        database.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        database.pragma_update(None, "journal_mode", "OFF")?;
        for step in MIGRATIONS {
            database.execute_batch(step)?;
        }
        Ok(Self(Rc::new(Inside {
            database,
            timeline: timeline.clone(),
            random,
            faults: faults.clone(),
            ledger: ledger.clone(),
            mutation,
        })))
    }

    fn is(&self, mutation: Mutation) -> bool {
        self.0.mutation == Some(mutation)
    }

    async fn answer(&self, step: &'static str) -> Result<(), EventLogError> {
        let Inside {
            timeline,
            random,
            faults,
            ..
        } = &*self.0;
        timeline.sleep(random.millis(2..60)).await;
        if faults.strikes(Fault::D1Down, step) {
            return Err(EventLogError("D1 is down".to_owned()));
        }
        if faults.strikes(Fault::D1Slow, step) {
            timeline.sleep(random.seconds(1..120)).await;
        }
        Ok(())
    }

    /// Runs statements in one transaction; returns how many rows the last one changed.
    fn run(&self, queries: &[Query]) -> Result<usize, EventLogError> {
        let run = || {
            let transaction = self.0.database.unchecked_transaction()?;
            let mut changed = 0;
            for query in queries {
                let mut statement = transaction.prepare_cached(&query.sql)?;
                changed = statement.execute(rusqlite::params_from_iter(&query.values))?;
            }
            transaction.commit()?;
            Ok::<_, rusqlite::Error>(changed)
        };
        run().map_err(|error| EventLogError(error.to_string()))
    }
}

impl D1 {
    /// The rows that a query selects.
    pub(crate) async fn rows<T: DeserializeOwned>(
        &self,
        query: &Query,
    ) -> Result<Vec<T>, EventLogError> {
        self.answer("answer a query").await?;
        self.select(query)
    }

    /// The same, at once and without faults.
    pub(crate) fn select<T: DeserializeOwned>(
        &self,
        query: &Query,
    ) -> Result<Vec<T>, EventLogError> {
        let read = || {
            let mut statement = self.0.database.prepare_cached(&query.sql)?;
            let names = statement.column_names().map(str::to_owned);
            let names: Vec<_> = names.collect();
            let rows = statement.query_map(rusqlite::params_from_iter(&query.values), |row| {
                let mut fields = serde_json::Map::new();
                for (index, name) in names.iter().enumerate() {
                    let value = match row.get_ref(index)? {
                        ValueRef::Integer(number) => number.into(),
                        ValueRef::Real(number) => number.into(),
                        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned().into(),
                        ValueRef::Null | ValueRef::Blob(_) => serde_json::Value::Null,
                    };
                    fields.insert(name.clone(), value);
                }
                Ok(serde_json::Value::Object(fields))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        let rows = read();
        let rows = rows.map_err(|error: rusqlite::Error| EventLogError(error.to_string()))?;
        let rows = rows.into_iter().map(serde_json::from_value);
        let rows: Result<_, _> = rows.collect();
        rows.map_err(|error: serde_json::Error| EventLogError(error.to_string()))
    }
}

impl EventLog for D1 {
    async fn append(&self, events: &[Event], report: &[StatusReport]) -> Result<(), EventLogError> {
        let step = "append events";
        let owner = events.first().map(|event| event.issuer_id.clone());
        let _under_way = owner.map(|id| self.0.faults.under_way(Owner::Object(id), step));
        self.answer(step).await?;
        if self.is(Mutation::EventsAcknowledgedUnwritten) && self.0.random.chance(100) {
            return Ok(());
        }
        let mut events = events.to_vec();
        if self.is(Mutation::EventsDoubled) {
            for event in events.clone() {
                let id = edge::events::EventId::new(self.0.timeline.now(), self.0.random.bytes());
                events.push(Event { id, ..event });
            }
        }
        // In the order of the report; a batch is one transaction.
        if let Err(error) = self.run(&tables::append(&events, report)) {
            self.0
                .ledger
                .violated("D1 takes what objects write", &error.to_string());
            return Err(error);
        }
        for event in &events {
            self.0.ledger.event_written(event);
        }
        if self.0.faults.strikes(Fault::D1Kept, step) {
            return Err(EventLogError("the connection broke".to_owned()));
        }
        Ok(())
    }
}

impl OldEvents for D1 {
    async fn remove(&self, before: Timestamp, limit: u32) -> Result<u64, EventLogError> {
        self.answer("remove old events").await?;
        let removed = self.run(&[tables::remove_events(before, limit)])? as u64;
        if removed < u64::from(limit) {
            self.0.ledger.forget_events(before);
        }
        Ok(removed)
    }
}
