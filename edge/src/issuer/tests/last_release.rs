//! What this release stores still has all that the last one (commit 85b5ac9) reads: a deploy can be
//! rolled back.

use std::collections::BTreeMap;

use rusqlite::types::Value as SqlValue;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::*;
use crate::refresh::testing::Failure;
use crate::refresh::{CrlState, OriginError, Publication};
use crate::registry::{Index, Lease, Listed};
use crate::tables::StatusRow;
use crate::tables::testing::{Tables, event, status_row};

/// As the last release reads and writes it: src/refresh/head.rs.
#[derive(Serialize, Deserialize)]
struct OldHead {
    v: u8,
    number: String,
    sha256: String,
    size: u64,
    this: i64,
    next: i64,
    refresh: i64,
    made: i64,
    entries: u64,
}

/// src/refresh/seams.rs.
#[derive(Serialize, Deserialize)]
struct OldMetadata {
    head: OldHead,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parts: Option<u32>,
}

/// src/refresh/state.rs, without `last_event`, which it stores and never reads.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct OldCrlState {
    current: Option<OldCurrent>,
    watermark: Option<u64>,
    revision: u64,
    last_outcome: Option<String>,
    last_duration_ms: u64,
    consecutive_failures: u32,
    failing_since: Option<i64>,
    last_error: Option<OldError>,
    next_attempt: Option<i64>,
    not_before: Option<i64>,
    origin_closed_until: Option<i64>,
    publication: OldPublication,
    replaced: Vec<OldHead>,
}

#[derive(Serialize, Deserialize)]
struct OldCurrent {
    head: OldHead,
    body: u32,
    pieces: u32,
}

#[derive(Serialize, Deserialize)]
struct OldError {
    code: String,
    message: String,
    at: i64,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OldPublication {
    #[default]
    Nothing,
    Owed {
        attempts: u32,
        retry_at: i64,
    },
    Done {
        at: i64,
    },
}

/// Without `skip_told_at`: without it, an event that says "skipped" is written once more.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct OldIssuerState {
    record: Option<OldRecord>,
    pinned: Option<String>,
    waiting: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct OldRecord {
    issuer: OldIssuer,
    read_at: i64,
}

/// origin/api/src/issuer.rs.
#[derive(Serialize, Deserialize)]
struct OldIssuer {
    id: String,
    certificate: String,
    crls: Vec<OldCrl>,
}

#[derive(Serialize, Deserialize)]
struct OldCrl {
    name: String,
    distribution_point: Option<String>,
}

/// src/events.rs.
#[derive(Serialize, Deserialize)]
struct OldEvent {
    id: String,
    issuer_id: String,
    crl_name: String,
    trigger: String,
    outcome: String,
    succeeded: u8,
    crl_number: Option<String>,
    revoked_count: Option<u64>,
    size_bytes: Option<u64>,
    sha256: Option<String>,
    this_update: Option<String>,
    next_update: Option<String>,
    started_at: String,
    duration_ms: u64,
    error_code: Option<String>,
    error: Option<String>,
}

/// src/registry/index.rs.
#[derive(Serialize, Deserialize)]
struct OldIndex {
    version: u8,
    read_at: i64,
    issuers: BTreeMap<String, OldListed>,
}

#[derive(Serialize, Deserialize)]
struct OldListed {
    crls: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gone_since: Option<i64>,
}

/// src/registry/tick.rs.
#[derive(Serialize, Deserialize)]
struct OldLease {
    began_at: i64,
    until: i64,
}

/// Asserts that the last release reads what `new` stores, and finds a value for each of its fields.
fn assert_read<Old: Serialize + DeserializeOwned>(new: &impl Serialize) {
    let new = serde_json::to_value(new).unwrap();
    let old: Old = serde_json::from_value(new.clone()).unwrap();
    assert_within(&serde_json::to_value(old).unwrap(), &new, "");
}

fn assert_within(old: &Value, new: &Value, path: &str) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in old {
                let path = format!("{path}.{key}");
                let new = new.get(key).unwrap_or_else(|| panic!("{path} is missing"));
                assert_within(value, new, &path);
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            assert_eq!(old.len(), new.len(), "{path}");
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                assert_within(old, new, &format!("{path}.{index}"));
            }
        }
        (old, new) => assert_eq!(old, new, "{path}"),
    }
}

/// Checks all that the object has stored.
fn check(stage: &Stage) -> CrlState {
    let crl = stage.disk.crl(FULL);
    assert_read::<OldCrlState>(&crl);
    assert_read::<OldIssuerState>(&stage.disk.issuer());
    for event in stage.object().overview().unwrap().outbox {
        assert_read::<OldEvent>(&event);
    }
    for event in stage.log.events() {
        assert_read::<OldEvent>(&event);
    }
    if let Some((metadata, _)) = stage.replica.body(&key(FULL)) {
        assert_read::<OldMetadata>(&metadata);
    }
    crl
}

#[test]
fn what_an_object_stores() {
    let stage = Stage::p256();
    stage.faults.all("replica.put", Failure::Before);
    let crl = stage.origin.0.ca.borrow().crl(1, NOW);
    stage.origin.0.answer_next(Reply::Crl(crl, Some(10), 1000));
    stage.refreshed(Trigger::Cron);
    assert!(matches!(
        check(&stage).publication,
        Publication::Owed { attempts: 1, .. }
    ));
    stage.faults.none();
    stage.pass(MINUTE);
    assert!(matches!(
        check(&stage).publication,
        Publication::Done { .. }
    ));
    // D1 takes nothing, and KV has yet to learn that the first CRL was replaced.
    stage.faults.all("log.", Failure::Before);
    stage.refreshed(Trigger::Operator);
    stage.replica.gate.close();
    drop(stage.refresh(Trigger::Operator));
    stage.machine.run();
    let crl = check(&stage);
    assert!(!crl.replaced.is_empty() && stage.disk.bodies_and_outbox().1 > 0);
    stage.replica.gate.open();
    stage.faults.none();
    // An older CRL waits for an operator, and the certificate has changed.
    let older = stage.origin.0.ca.borrow().crl(1, NOW);
    stage.origin.0.answer_next(older);
    stage.refreshed(Trigger::Operator);
    let crl = check(&stage);
    assert!(crl.candidate.is_some() && crl.last_error.is_some());
    stage.pass(2 * MINUTE);
    *stage.origin.0.ca.borrow_mut() = Rc::new(Ca::p256());
    stage.refreshed(Trigger::Cron);
    check(&stage);
    assert!(stage.disk.issuer().pending_certificate.is_some());
    stage
        .origin
        .0
        .answer_next(Reply::Error(OriginError::Status {
            status: 503,
            retry_after: Some(MINUTE),
        }));
    stage.refreshed(Trigger::Operator);
    check(&stage);
}

#[test]
fn what_an_object_stores_of_a_large_crl() {
    let stage = Stage::p256();
    let ca = Rc::clone(&stage.origin.0.ca.borrow());
    stage
        .origin
        .0
        .answer_next(ca.sign(&ca.template(FULL, 1, NOW), 1_300_000));
    stage.refreshed(Trigger::Cron);
    check(&stage);
    let (metadata, _) = stage.replica.body(&key(FULL)).unwrap();
    assert_eq!(metadata.parts, 2);
}

#[test]
fn what_the_registry_stores() {
    let listed = |gone_since| Listed {
        crls: vec![FULL, CrlName::Shard(0)],
        withdrawn: vec![CrlName::Shard(1)],
        gone_since,
    };
    assert_read::<OldIndex>(&Index {
        read_at: NOW,
        issuers: [
            (id(), listed(None)),
            ("b".parse().unwrap(), listed(Some(NOW))),
        ]
        .into(),
        shrink: None,
    });
    assert_read::<OldLease>(&Lease::begin(None, NOW).unwrap());
}

/// src/platform/d1.rs.
const APPEND: &str = "INSERT OR IGNORE INTO crl_generation_events \
    (id, issuer_id, crl_name, trigger, outcome, succeeded, crl_number, revoked_count, size_bytes, sha256, \
     this_update, next_update, started_at, duration_ms, error_code, error) \
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

const REPORT: &str = "INSERT INTO crl_status \
    (issuer_id, crl_name, revision, crl_number, revoked_count, size_bytes, sha256, this_update, next_update, \
     refresh_after, generated_at, duration_ms, last_outcome, consecutive_failures, last_error_code, last_error, \
     last_error_at, pinned_certificate_sha256, waiting_certificate_sha256, publish_owed, events_owed, \
     failing_since) \
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
    ON CONFLICT (issuer_id, crl_name) DO UPDATE SET \
     revision = excluded.revision, crl_number = excluded.crl_number, revoked_count = excluded.revoked_count, \
     size_bytes = excluded.size_bytes, sha256 = excluded.sha256, this_update = excluded.this_update, \
     next_update = excluded.next_update, refresh_after = excluded.refresh_after, \
     generated_at = excluded.generated_at, duration_ms = excluded.duration_ms, last_outcome = excluded.last_outcome, \
     consecutive_failures = excluded.consecutive_failures, last_error_code = excluded.last_error_code, \
     last_error = excluded.last_error, last_error_at = excluded.last_error_at, \
     pinned_certificate_sha256 = excluded.pinned_certificate_sha256, \
     waiting_certificate_sha256 = excluded.waiting_certificate_sha256, \
     publish_owed = excluded.publish_owed, events_owed = excluded.events_owed, failing_since = excluded.failing_since \
    WHERE excluded.revision >= revision";

/// The values of a row's columns, as the last release binds them: numbers as doubles.
fn bound(row: &impl Serialize, columns: &str) -> Vec<SqlValue> {
    let row = serde_json::to_value(row).unwrap();
    let of = |column: &str| match &row[column.trim()] {
        Value::Null => SqlValue::Null,
        Value::Number(number) => SqlValue::Real(number.as_f64().unwrap()),
        Value::String(text) => SqlValue::Text(text.clone()),
        other => panic!("{column}: {other}"),
    };
    columns.split(',').map(of).collect()
}

/// The columns that a statement names first.
fn columns(sql: &str) -> &str {
    let (_, rest) = sql.split_once('(').unwrap();
    rest.split_once(')').unwrap().0
}

#[test]
fn the_tables_take_what_the_last_release_writes() {
    let tables = Tables::new();
    tables.bind(APPEND, bound(&event(1), columns(APPEND)));
    let query = crate::tables::Query::new("SELECT * FROM crl_generation_events", []);
    assert_eq!(tables.events(&query), [event(1)]);
    // Over a row of this release.
    let mut status = status_row("a");
    tables.bind(REPORT, bound(&status, columns(REPORT)));
    status.revision += 1;
    status.crl_number = Some("8".to_owned());
    tables.bind(REPORT, bound(&status, columns(REPORT)));
    let query = crate::tables::Query::new("SELECT * FROM crl_status", []);
    status.last_checked_at = None;
    assert_eq!(tables.typed::<StatusRow>(&query), [status]);
}
