//! Figures and moments as people read them. Pure: time is an argument.

use std::time::Duration;

use askama::Template;
use askama::filters::HtmlSafe;

use super::super::crl_status::{CrlStatus, State};
use super::super::issuers::IssuerStatus;
use super::bar::Bar;
use crate::events::{Event, EventId};
use crate::time::{Rfc3339, Timestamp};

/// A moment: for programs, for people, and how far it is from now. Shown in one place, as code is made for each.
#[derive(Clone, Debug, PartialEq, Eq, Template)]
#[template(path = "moment.html")]
pub(crate) struct Moment {
    /// RFC 3339.
    pub(crate) iso: String,
    /// `2026-01-31 06:00:00`, UTC.
    pub(crate) text: String,
    /// `in 3 h 20 min`, `2 d 4 h ago`.
    pub(crate) distance: String,
}

impl HtmlSafe for Moment {}

impl Moment {
    /// A moment as seen at `now`.
    #[must_use]
    pub(crate) fn new(moment: Timestamp, now: Timestamp) -> Self {
        let iso = moment.to_string();
        let text = iso.chars().take(19).collect::<String>().replace('T', " ");
        let distance = if moment > now {
            format!("in {}", span(moment.since(now)))
        } else {
            format!("{} ago", span(now.since(moment)))
        };
        Self {
            iso,
            text,
            distance,
        }
    }
}

/// The two largest units of a span.
#[must_use]
pub(crate) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{rest} s"),
        (0, 0, _) => format!("{minutes} min {rest} s"),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// A number with its thousands apart.
#[must_use]
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        let left = digits.len().saturating_sub(index);
        if index > 0 && left.is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// Bytes in the unit that suits them.
#[must_use]
pub(crate) fn bytes(size: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1000)];
    for (unit, one) in UNITS {
        if size >= one {
            let rest = size.checked_rem(one).unwrap_or(0);
            let tenths = rest.saturating_mul(10).checked_div(one).unwrap_or(0);
            return format!("{}.{tenths} {unit}", size.checked_div(one).unwrap_or(0));
        }
    }
    format!("{size} B")
}

/// One CRL of an issuer, as a row shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CrlView {
    /// Whose.
    pub(crate) issuer: String,
    /// Which.
    pub(crate) name: String,
    /// How it stands, for people.
    pub(crate) state: &'static str,
    /// The CRLNumber.
    pub(crate) number: Option<String>,
    /// Entries.
    pub(crate) entries: Option<String>,
    /// Size.
    pub(crate) size: Option<String>,
    /// SHA-256.
    pub(crate) sha256: Option<String>,
    /// thisUpdate.
    pub(crate) this_update: Option<Moment>,
    /// nextUpdate.
    pub(crate) next_update: Option<Moment>,
    /// When it is refreshed.
    pub(crate) refresh_after: Option<Moment>,
    /// How long the last refresh took.
    pub(crate) duration: Option<String>,
    /// Failures in a row.
    pub(crate) failures: u64,
    /// Since when.
    pub(crate) failing_since: Option<Moment>,
    /// The code and words of the last.
    pub(crate) error: Option<(String, String)>,
    /// Whether KV has yet to get it.
    pub(crate) publish_owed: bool,
    /// Its validity.
    pub(crate) bar: Option<Bar>,
}

impl CrlView {
    /// A CRL as seen at `now`.
    #[must_use]
    pub(crate) fn new(issuer: &IssuerStatus, crl: &CrlStatus, now: Timestamp) -> Self {
        let moment = |at: Option<Rfc3339>| at.map(|Rfc3339(at)| Moment::new(at, now));
        let bar = crl.this_update.zip(crl.next_update).map(|(this, next)| {
            Bar::new(this.0, next.0, crl.refresh_after.map(|Rfc3339(at)| at), now)
        });
        Self {
            issuer: issuer.id.to_string(),
            name: crl.name.to_string(),
            state: if crl.is_published_elsewhere() {
                "elsewhere"
            } else {
                crl.state.as_str()
            },
            number: crl.number.clone(),
            entries: crl.revoked_count.map(grouped),
            size: crl.size_bytes.map(bytes),
            sha256: crl.sha256.clone(),
            this_update: moment(crl.this_update),
            next_update: moment(crl.next_update),
            refresh_after: moment(crl.refresh_after),
            duration: crl.duration_ms.map(milliseconds),
            failures: crl.consecutive_failures,
            failing_since: moment(crl.failing_since),
            error: crl
                .last_error
                .as_ref()
                .map(|error| (error.code.clone(), error.message.clone())),
            publish_owed: crl.publish_owed,
            bar,
        }
    }
}

/// Milliseconds, as a refresh takes them.
#[must_use]
pub(crate) fn milliseconds(millis: u64) -> String {
    format!("{} ms", grouped(millis))
}

/// One event, as a row shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventView {
    /// When it began.
    pub(crate) started: Option<Moment>,
    /// Whose CRL.
    pub(crate) issuer: String,
    /// Which.
    pub(crate) name: String,
    /// Who asked.
    pub(crate) trigger: &'static str,
    /// How it ended.
    pub(crate) outcome: &'static str,
    /// The CRLNumber.
    pub(crate) number: String,
    /// Entries.
    pub(crate) entries: String,
    /// Size.
    pub(crate) size: String,
    /// How long it took.
    pub(crate) duration: String,
    /// The stable code of what went wrong.
    pub(crate) code: String,
    /// The same in words.
    pub(crate) error: String,
    /// Whether it is the one that the operator just caused.
    pub(crate) is_new: bool,
}

impl EventView {
    /// An event as seen at `now`. Those in `new` were just caused.
    #[must_use]
    pub(crate) fn new(event: &Event, new: &[EventId], now: Timestamp) -> Self {
        let started = event.started_at.parse().ok();
        Self {
            started: started.map(|at| Moment::new(at, now)),
            issuer: event.issuer_id.to_string(),
            name: event.crl_name.to_string(),
            trigger: event.trigger.as_str(),
            outcome: event.outcome.as_str(),
            number: event.crl_number.clone().unwrap_or_default(),
            entries: event.revoked_count.map(grouped).unwrap_or_default(),
            size: event.size_bytes.map(bytes).unwrap_or_default(),
            duration: milliseconds(event.duration_ms),
            code: event.error_code.clone().unwrap_or_default(),
            error: event.error.clone().unwrap_or_default(),
            is_new: new.contains(&event.id),
        }
    }
}

/// The health of all, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Health {
    /// Issuers in the registry.
    pub(crate) issuers: String,
    /// CRLs by state, the most urgent first.
    pub(crate) states: Vec<(&'static str, usize)>,
    /// The first nextUpdate to come, and whose it is.
    pub(crate) soonest: Option<(String, Moment)>,
    /// Issuers with a changed certificate that waits for trust.
    pub(crate) waiting: Vec<String>,
    /// CRLs that KV did not take.
    pub(crate) publishes_owed: usize,
    /// Whether somebody should do something.
    pub(crate) is_well: bool,
}

impl Health {
    /// The health of these issuers at `now`.
    #[must_use]
    pub(crate) fn of(issuers: &[IssuerStatus], now: Timestamp) -> Self {
        let crls = || {
            issuers
                .iter()
                .flat_map(|issuer| issuer.crls.iter().map(move |crl| (issuer, crl)))
                .filter(|(_, crl)| !crl.is_published_elsewhere())
        };
        let count = |state| crls().filter(|(_, crl)| crl.state == state).count();
        let soonest = crls()
            .filter_map(|(issuer, crl)| Some((crl.next_update?.0, issuer)))
            .filter(|(at, _)| *at > now)
            .min_by_key(|(at, _)| *at);
        let waiting: Vec<_> = issuers
            .iter()
            .filter(|issuer| issuer.waiting_certificate_sha256.is_some())
            .map(|issuer| issuer.id.to_string())
            .collect();
        let publishes_owed = crls().filter(|(_, crl)| crl.publish_owed).count();
        let troubles = [State::Expired, State::Absent, State::Failing];
        Self {
            issuers: grouped(issuers.len() as u64),
            states: State::ALL
                .map(|state| (state.as_str(), count(state)))
                .to_vec(),
            soonest: soonest.map(|(at, issuer)| (issuer.id.to_string(), Moment::new(at, now))),
            is_well: waiting.is_empty()
                && publishes_owed == 0
                && troubles.into_iter().all(|state| count(state) == 0),
            waiting,
            publishes_owed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::issuers::join;
    use crate::registry::Listed;
    use crate::tables::testing::{NOW, status_row};

    #[test]
    fn spans_sizes_and_numbers_are_as_people_say_them() {
        let said = |seconds| span(Duration::from_secs(seconds));
        assert_eq!(
            [5, 65, 3600, 7380, 90_000].map(said),
            ["5 s", "1 min 5 s", "1 h 0 min", "2 h 3 min", "1 d 1 h"]
        );
        assert_eq!(
            [999, 1000, 24_549_000, 1_200_000_000].map(bytes),
            ["999 B", "1.0 kB", "24.5 MB", "1.2 GB"]
        );
        assert_eq!(
            [7, 1000, 1_234_567].map(grouped),
            ["7", "1\u{202f}000", "1\u{202f}234\u{202f}567"]
        );
        let moment = Moment::new(NOW.after(Duration::from_mins(1)), NOW);
        assert_eq!(
            (moment.text.as_str(), moment.distance.as_str()),
            ("2026-01-01 00:01:00", "in 1 min 0 s")
        );
    }

    #[test]
    fn health_tells_whether_somebody_should_do_something() {
        let listed = Listed::default();
        let health = |change: &dyn Fn(&mut crate::tables::StatusRow)| {
            let mut row = status_row("a");
            change(&mut row);
            let id = "a".parse().unwrap();
            Health::of(&join([(&id, &listed)], vec![row], NOW), NOW)
        };
        let well = health(&|_| ());
        assert!(well.is_well);
        assert_eq!(well.soonest.unwrap().1.distance, "in 2 h 0 min");
        assert!(!health(&|row| row.consecutive_failures = 1).is_well);
        assert!(!health(&|row| row.publish_owed = 1).is_well);
        assert!(!health(&|row| row.waiting_certificate_sha256 = Some("aa".to_owned())).is_well);
        let expired = health(&|row| row.next_update = Some(Rfc3339(NOW)));
        assert!(!expired.is_well && expired.soonest.is_none());
    }
}
