//! The queries that read the tables in D1 for operators.

use std::fmt::Write as _;

use origin_api::{CrlName, IssuerId};

use super::event_query::{Cursor, EventFilter};
use crate::events::{EventId, Outcome};
use crate::tables::Query;

impl Query {
    /// The events that match `filter`, newest first, after `cursor`: rows of
    /// [`crate::events::Event`].
    ///
    /// By the table's indexes it reads few more rows than it returns if the filter names an outcome
    /// or nothing; of an issuer it may read all. [`EventFilter::admit`] refuses filters that no
    /// index serves.
    #[must_use]
    pub(crate) fn events(filter: &EventFilter, cursor: Option<&Cursor>, limit: u32) -> Self {
        let mut conditions = Vec::new();
        let mut values = Vec::new();
        let mut equal = |column: &str, value: Option<String>| {
            if let Some(value) = value {
                conditions.push(format!("{column} = ?"));
                values.push(value);
            }
        };
        equal("issuer_id", filter.issuer.as_ref().map(ToString::to_string));
        equal("crl_name", filter.name.map(|name| name.to_string()));
        // With an issuer and an outcome, SQLite would choose the index on the outcome, in which
        // most rows belong to other issuers. The plus rules that index out.
        let outcome = filter.issuer.as_ref().map_or("outcome", |_| "+outcome");
        equal(outcome, filter.outcome.map(|outcome| outcome.to_string()));
        equal("trigger", filter.trigger.map(|trigger| trigger.to_string()));
        if let Some(since) = filter.since {
            conditions.push("started_at >= ?".to_owned());
            values.push(since.to_string());
        }
        // Given two upper bounds, SQLite may start at either and read up to the other, so only the
        // earlier one is given.
        match (cursor, filter.until) {
            (Some(cursor), until) if until.is_none_or(|until| cursor.started_at < until) => {
                conditions.push("(started_at, id) < (?, ?)".to_owned());
                values.extend([cursor.started_at.to_string(), cursor.id.to_string()]);
            }
            (_, Some(until)) => {
                conditions.push("started_at < ?".to_owned());
                values.push(until.to_string());
            }
            (_, None) => (),
        }
        let mut sql = "SELECT * FROM crl_generation_events".to_owned();
        if !conditions.is_empty() {
            sql.extend([" WHERE ", &conditions.join(" AND ")]);
        }
        // Writing to a string cannot fail.
        let _ = write!(sql, " ORDER BY started_at DESC, id DESC LIMIT {limit}");
        Self::new(sql, values)
    }

    /// The newest `count` events of each of these issuers, newest first. It reads about twice as
    /// many rows as it returns.
    #[must_use]
    pub(crate) fn recent_events(issuers: &[IssuerId], count: u32) -> Self {
        Self::new(
            format!(
                "SELECT event.* FROM json_each(?) AS issuer \
                 JOIN crl_generation_events AS event ON event.rowid IN \
                 (SELECT rowid FROM crl_generation_events WHERE issuer_id = issuer.value \
                  ORDER BY started_at DESC LIMIT {count}) \
                 ORDER BY event.issuer_id, event.started_at DESC, event.id DESC"
            ),
            [json_list(issuers.iter().map(ToString::to_string))],
        )
    }

    /// The newest events with this outcome.
    #[must_use]
    pub(crate) fn latest(outcome: Outcome, limit: u32) -> Self {
        let filter = EventFilter {
            outcome: Some(outcome),
            ..EventFilter::default()
        };
        Self::events(&filter, None, limit)
    }

    /// The status of every CRL: rows of [`crate::tables::StatusRow`].
    #[must_use]
    pub(crate) fn all_statuses() -> Self {
        Self::new("SELECT * FROM crl_status", [])
    }

    /// The status of the CRLs of the issuers from `first` to `last`.
    #[must_use]
    pub(crate) fn statuses_between(first: &IssuerId, last: &IssuerId) -> Self {
        Self::new(
            "SELECT * FROM crl_status WHERE issuer_id BETWEEN ? AND ?",
            [first.to_string(), last.to_string()],
        )
    }

    /// The newest actions, newest first, after the one with the id `cursor`: rows of
    /// [`crate::actions::Action`]. Ids are in the order of time.
    #[must_use]
    pub(crate) fn actions(cursor: Option<EventId>, limit: u32) -> Self {
        let condition = cursor.map_or("", |_| " WHERE id < ?");
        Self::new(
            format!("SELECT * FROM operator_actions{condition} ORDER BY id DESC LIMIT {limit}"),
            cursor.map(|id| id.to_string()),
        )
    }

    /// The number of refreshes by trigger and outcome, over all CRLs: rows of
    /// [`super::metrics::Total`].
    #[must_use]
    pub(crate) fn totals() -> Self {
        Self::new(
            "SELECT trigger, outcome, refreshes, duration_ms FROM crl_refresh_totals",
            [],
        )
    }

    /// The same for single CRLs: rows of [`super::metrics::CrlTotal`].
    #[must_use]
    pub(crate) fn totals_of<'a>(crls: impl IntoIterator<Item = (&'a IssuerId, CrlName)>) -> Self {
        let keys = crls
            .into_iter()
            .map(|(issuer, name)| format!("{issuer}/{name}"));
        Self::new(
            "SELECT issuer_id, crl_name, trigger, outcome, refreshes, duration_ms FROM json_each(?) AS crl \
             JOIN crl_refresh_counts \
             ON issuer_id = substr(crl.value, 1, instr(crl.value, '/') - 1) \
             AND crl_name = substr(crl.value, instr(crl.value, '/') + 1)",
            [json_list(keys)],
        )
    }
}

/// Binds any number of strings as one value.
fn json_list(texts: impl Iterator<Item = String>) -> String {
    texts.collect::<serde_json::Value>().to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::events::Trigger;
    use crate::tables::testing::Tables;

    fn event(number: u64, issuer: &str, outcome: &str) -> (String, String, String, String) {
        let id = format!("018bcfe5-6800-7000-8000-{number:012x}");
        let started_at = format!("2026-01-01T00:{:02}:{:02}.000Z", number / 60, number % 60);
        (id, issuer.to_owned(), outcome.to_owned(), started_at)
    }

    fn tables() -> Tables {
        let tables = Tables::new();
        for number in 0..600 {
            let issuer = ["a", "b", "c"][usize::try_from(number).unwrap() % 3];
            let outcome = if number % 10 == 0 {
                "failed"
            } else {
                "published"
            };
            tables.add_event(&event(number, issuer, outcome));
        }
        tables
    }

    fn filter(issuer: Option<&str>, outcome: Option<Outcome>) -> EventFilter {
        EventFilter {
            issuer: issuer.map(|issuer| issuer.parse().unwrap()),
            outcome,
            ..EventFilter::default()
        }
    }

    #[test]
    fn pages_cover_everything_once_while_rows_are_added() {
        let tables = tables();
        let mut cursor = None;
        let mut seen = Vec::new();
        loop {
            let page = tables.events(&Query::events(&filter(None, None), cursor.as_ref(), 7));
            let Some(last) = page.last() else { break };
            cursor = Some(Cursor::of(last));
            seen.extend(page.iter().map(|event| event.id.to_string()));
            tables.add_event(&event(1000 + seen.len() as u64, "a", "published"));
        }
        let expected: Vec<_> = (0..600)
            .rev()
            .map(|number| event(number, "", "").0)
            .collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn events_of_one_millisecond_are_told_apart_by_their_ids() {
        let tables = Tables::new();
        for number in 0..9 {
            let (id, issuer, outcome, _) = event(number, "a", "published");
            tables.add_event(&(id, issuer, outcome, "2026-01-01T00:00:00.000Z".to_owned()));
        }
        let first = tables.events(&Query::events(&filter(Some("a"), None), None, 4));
        let cursor = Cursor::of(first.last().unwrap());
        let rest = tables.events(&Query::events(&filter(Some("a"), None), Some(&cursor), 9));
        assert_eq!((first.len(), rest.len()), (4, 5));
        assert!(rest.iter().all(|event| event.id < first[3].id));
    }

    #[test]
    fn every_filter_narrows() {
        let tables = tables();
        let count = |filter: &EventFilter| tables.events(&Query::events(filter, None, 1000)).len();
        assert_eq!(count(&filter(Some("a"), None)), 200);
        assert_eq!(count(&filter(None, Some(Outcome::Failed))), 60);
        assert_eq!(count(&filter(Some("a"), Some(Outcome::Failed))), 20);
        let hour = EventFilter {
            since: Some("2026-01-01T00:01:00Z".parse().unwrap()),
            until: Some("2026-01-01T00:02:00Z".parse().unwrap()),
            ..EventFilter::default()
        };
        assert_eq!(count(&hour), 60);
        let none = EventFilter {
            name: Some(CrlName::Delta),
            ..EventFilter::default()
        };
        assert_eq!(count(&none), 0);
    }

    #[test]
    fn recent_events_are_so_many_of_each_issuer() {
        let tables = tables();
        let issuers = ["a", "c", "nobody"].map(|id| id.parse().unwrap());
        let events = tables.events(&Query::recent_events(&issuers, 5));
        let of = |id: &str| {
            let newest = events.iter().filter(|event| event.issuer_id.as_str() == id);
            newest
                .map(|event| event.started_at.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(of("a").len(), 5);
        assert_eq!(of("c")[0], "2026-01-01T00:09:59.000Z");
        assert_eq!(of("c").len(), 5);
        assert_eq!(events.len(), 10);
    }

    /// An upper bound of the virtual machine's steps for each row: about 50 find it and return all
    /// its columns.
    const STEPS_A_ROW: i32 = 100;

    #[test]
    fn of_200_000_events_a_query_reads_little_more_than_it_gives() {
        let tables = Tables::large();
        let newest = &tables.events(&Query::events(&filter(None, None), None, 1))[0];
        let newest = Cursor::of(newest);
        let days_ago = |days: u64| newest.started_at.before(Duration::from_hours(24 * days));
        let deep = Cursor {
            started_at: days_ago(15),
            ..newest
        };
        let page = |filter: &EventFilter, cursor| Query::events(filter, cursor, 101);
        let of_issuer = filter(Some("issuer-0400"), None);
        let published = filter(Some("issuer-0007"), Some(Outcome::Published));
        let span = EventFilter {
            since: Some(days_ago(25)),
            until: Some(days_ago(5)),
            ..EventFilter::default()
        };
        let lately = EventFilter {
            since: Some(days_ago(25)),
            ..published.clone()
        };
        let ids: Vec<IssuerId> = (0..1000)
            .map(|id| format!("issuer-{id:04}").parse().unwrap())
            .collect();
        let with_series = ids[..250].iter().map(|id| (id, CrlName::Full));
        for query in [
            page(&filter(None, None), None),
            page(&filter(None, None), Some(&deep)),
            page(&of_issuer, None),
            page(&of_issuer, Some(&deep)),
            page(&filter(None, Some(Outcome::Failed)), None),
            page(&filter(None, Some(Outcome::Published)), Some(&deep)),
            page(&published, None),
            page(&lately, Some(&deep)),
            page(&span, None),
            page(&span, Some(&deep)),
            Query::latest(Outcome::Rejected, 15),
            Query::recent_events(&ids, 5),
            Query::all_statuses(),
            Query::statuses_between(&ids[100], &ids[199]),
            Query::totals(),
            Query::totals_of(with_series),
        ] {
            let (given, steps) = tables.cost(&query);
            // A page may read all 200 events of an issuer.
            let allowed = STEPS_A_ROW * (given + 200);
            assert!(steps < allowed, "{steps} steps for {given} rows: {query:?}");
        }
    }

    #[test]
    fn every_filter_uses_an_index_or_is_refused_with_advice() {
        // Without statistics, the plan does not depend on the rows.
        let tables = Tables::new();
        let now = "2026-01-31T00:00:00Z".parse().unwrap();
        let hours_ago = |hours| {
            Some(crate::time::Timestamp::before(
                now,
                Duration::from_hours(hours),
            ))
        };
        let newest = "2026-01-30T23:00:00.000Z~018bcfe5-6800-7000-8000-000000000001";
        let newest: Cursor = newest.parse().unwrap();
        let (mut served, mut refused) = (0, 0);
        for issuer in [None, Some("issuer-0007")] {
            for outcome in [None, Some(Outcome::Published), Some(Outcome::Failed)] {
                for (name, trigger) in [
                    (None, None),
                    (Some(CrlName::Delta), None),
                    (None, Some(Trigger::Hook)),
                    (Some(CrlName::Full), Some(Trigger::Cron)),
                ] {
                    for (since, until) in [
                        (None, None),
                        (hours_ago(24), None),
                        (hours_ago(25), None),
                        (None, hours_ago(1)),
                        (hours_ago(48), hours_ago(24)),
                    ] {
                        let filter = EventFilter {
                            name,
                            trigger,
                            since,
                            until,
                            ..filter(issuer, outcome)
                        };
                        if let Err(error) = filter.admit(now) {
                            assert!(error.to_string().contains("add issuer"), "{error}");
                            refused += 1;
                            continue;
                        }
                        for cursor in [None, Some(&newest)] {
                            let query = Query::events(&filter, cursor, 101);
                            let plan = tables.plan(&query);
                            let (line, sorted) = plan.split_first().unwrap();
                            // Only events of the same millisecond are sorted.
                            let ties = "USE TEMP B-TREE FOR LAST TERM OF ORDER BY";
                            assert!(
                                sorted.iter().all(|line| line == ties),
                                "{plan:?}: {query:?}"
                            );
                            assert!(line.contains(" USING INDEX "), "{line}: {query:?}");
                            // What passes over rows that do not match has a bound in the index.
                            let passes = name.is_some() || trigger.is_some();
                            assert!(!passes || line.starts_with("SEARCH "), "{line}: {query:?}");
                            served += 1;
                        }
                    }
                }
            }
        }
        // By name or trigger: without an issuer, and with no outcome or a frequent one, in three
        // of five spans.
        assert_eq!((served, refused), (2 * (120 - 18), 18));
    }

    #[test]
    fn actions_are_read_and_removed_by_an_index() {
        let tables = Tables::new();
        let id = "018bcfe5-6800-7000-8000-000000000001".parse().unwrap();
        let before = "2026-01-31T00:00:00Z".parse().unwrap();
        for query in [
            Query::actions(None, 101),
            Query::actions(Some(id), 101),
            crate::tables::remove_actions(before, 1000),
        ] {
            for line in tables.plan(&query) {
                let is_indexed = line.contains(" INDEX ") || line.starts_with("LIST SUBQUERY");
                assert!(is_indexed, "{line}: {query:?}");
            }
        }
    }

    #[test]
    fn a_cursor_and_the_end_of_a_span_hold_whichever_comes_first() {
        let tables = tables();
        let all = tables.events(&Query::events(&filter(None, None), None, 600));
        let before = |until: usize, cursor: usize| {
            let filter = EventFilter {
                until: Some(all[until].started_at.parse().unwrap()),
                ..EventFilter::default()
            };
            let query = Query::events(&filter, Some(&Cursor::of(&all[cursor])), 1);
            tables.events(&query)[0].id
        };
        assert_eq!(before(5, 9), all[10].id);
        assert_eq!(before(9, 9), all[10].id);
        assert_eq!(before(9, 5), all[10].id);
    }

    #[test]
    fn every_documented_query_reads_little_or_says_how_much() {
        let tables = Tables::large();
        let document = include_str!("../../../docs/queries.md");
        let mut count = 0;
        for question in document.split("\n## ").skip(1) {
            let sql = question.split("```sql\n").nth(1).unwrap();
            let sql = sql.split("```").next().unwrap();
            let sql = sql.replace("demo-p256", "issuer-0007");
            let (_, steps) = tables.cost(&Query::new(sql, []));
            let reads_much = steps > STEPS_A_ROW * 500;
            assert_eq!(
                reads_much,
                question.contains("It reads "),
                "{steps} steps: {question}"
            );
            count += 1;
        }
        assert!(count > 10);
    }
}
