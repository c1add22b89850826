//! D1: the event table and the status table.

use worker::js_sys::Reflect;
use worker::wasm_bindgen::JsValue;
use worker::wasm_bindgen_futures::JsFuture;
use worker::{D1Database, D1PreparedStatement};

use crate::js::from_js;
use edge::events::retention::OldEvents;
use edge::events::{Event, Outcome};
use edge::refresh::{EventLog, EventLogError, Publication, Status};
use edge::time::Timestamp;

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

/// RFC 3339 in UTC with milliseconds sorts as time does.
const REMOVE: &str = "DELETE FROM crl_generation_events WHERE id IN \
    (SELECT id FROM crl_generation_events WHERE started_at < ? ORDER BY started_at LIMIT ?)";

/// What D1 tells of a statement beside its rows.
#[derive(Default, serde::Deserialize)]
pub(crate) struct Meta {
    /// How many rows it wrote or removed.
    pub(crate) changes: Option<u64>,
    /// How many rows D1 read for it, as it counts and charges them.
    pub(crate) rows_read: Option<u64>,
}

impl Meta {
    /// Of D1's answer to a statement.
    pub(crate) fn of(result: &JsValue) -> worker::Result<Self> {
        let meta: Option<Self> = from_js(&Reflect::get(result, &"meta".into())?)?;
        Ok(meta.unwrap_or_default())
    }
}

/// D1 as an issuer's object writes it.
#[derive(Debug)]
pub(crate) struct D1Log(pub(crate) D1Database);

impl EventLog for D1Log {
    async fn append(&self, events: &[Event], report: &[Status]) -> Result<(), EventLogError> {
        let failed = |error: worker::Error| EventLogError(error.to_string());
        let append = self.0.prepare(APPEND);
        let write_status = self.0.prepare(REPORT);
        let statements = events
            .iter()
            .map(|event| append.clone().bind(&event_row(event)))
            .chain(
                report
                    .iter()
                    .map(|status| write_status.clone().bind(&status_row(status))),
            )
            .collect::<Result<Vec<D1PreparedStatement>, _>>()
            .map_err(failed)?;
        // A batch is one transaction.
        self.0.batch(statements).await.map(drop).map_err(failed)
    }
}

impl OldEvents for D1Log {
    async fn remove(&self, before: Timestamp, limit: u32) -> Result<u64, EventLogError> {
        let failed = |error: worker::Error| EventLogError(error.to_string());
        let removal = self
            .0
            .prepare(REMOVE)
            .bind(&[before.to_string().into(), limit.into()])
            .map_err(failed)?;
        let run = async {
            let result = JsFuture::from(removal.inner().run()?).await?;
            Meta::of(&result)
        };
        let changes = run.await.map_err(failed)?.changes;
        changes.ok_or_else(|| EventLogError("D1 did not tell how many rows it removed".to_owned()))
    }
}

fn event_row(event: &Event) -> [JsValue; 16] {
    [
        event.id.to_string().into(),
        event.issuer_id.as_str().into(),
        event.crl_name.to_string().into(),
        event.trigger.as_str().into(),
        event.outcome.as_str().into(),
        event.succeeded.into(),
        text(event.crl_number.as_deref()),
        number(event.revoked_count),
        number(event.size_bytes),
        text(event.sha256.as_deref()),
        text(event.this_update.as_deref()),
        text(event.next_update.as_deref()),
        event.started_at.as_str().into(),
        number(Some(event.duration_ms)),
        text(event.error_code.as_deref()),
        text(event.error.as_deref()),
    ]
}

fn status_row(status: &Status) -> [JsValue; 22] {
    let state = &status.state;
    let head = state.head();
    let moment = |time: Option<Timestamp>| text(time.map(|time| time.to_string()).as_deref());
    let error = state.last_error.as_ref();
    [
        status.issuer_id.as_str().into(),
        status.crl_name.to_string().into(),
        number(Some(state.revision)),
        text(head.map(|head| head.number.to_string()).as_deref()),
        number(head.map(|head| head.entry_count)),
        number(head.map(|head| head.size)),
        text(head.map(|head| head.sha256.to_string()).as_deref()),
        moment(head.map(|head| head.this_update.into())),
        moment(head.map(|head| head.next_update.into())),
        moment(state.next_attempt),
        moment(head.map(|head| head.generated_at)),
        number(Some(state.last_duration_ms)),
        state
            .last_outcome
            .map_or(Outcome::Failed.as_str(), Outcome::as_str)
            .into(),
        number(Some(u64::from(state.consecutive_failures))),
        text(error.map(|error| error.code.as_str())),
        text(error.map(|error| error.message.as_str())),
        moment(error.map(|error| error.at)),
        text(status.pinned.map(|sha256| sha256.to_string()).as_deref()),
        text(status.waiting.map(|sha256| sha256.to_string()).as_deref()),
        number(Some(u64::from(matches!(
            state.publication,
            // What was not tried yet is about to be.
            Publication::Owed { attempts, .. } if attempts > 0
        )))),
        number(Some(status.events_owed)),
        moment(state.failing_since),
    ]
}

fn text(value: Option<&str>) -> JsValue {
    value.map_or(JsValue::NULL, JsValue::from)
}

/// D1 takes JavaScript's numbers, never a `BigInt`.
fn number(value: Option<u64>) -> JsValue {
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts, sizes and milliseconds stay below 2^53"
    )]
    value.map_or(JsValue::NULL, |value| JsValue::from_f64(value as f64))
}
