//! Figures and times, formatted for people.

use std::time::Duration;

use askama::Template;
use askama::filters::HtmlSafe;

use super::super::crl_status::{CrlStatus, State};
use super::super::issuers::IssuerStatus;
use super::bar::Bar;
use crate::actions::Action;
use crate::events::{Event, EventFinding, EventId, Outcome};
use crate::registry::{JobState, RefreshJob, Summary};
use crate::served::Served;
use crate::tables::CandidateStatus;
use crate::time::{Rfc3339, Timestamp};

/// A time for programs, for people, and relative to now. It renders through a template of its own:
/// inlined, its code would be repeated for each use.
#[derive(Clone, Debug, PartialEq, Eq, Template)]
#[template(path = "moment.html")]
pub(crate) struct Moment {
    pub(crate) iso: String,
    /// `2026-01-31 06:00:00`, UTC.
    pub(crate) text: String,
    /// `in 3 h 20 min`, `2 d 4 h ago`.
    pub(crate) distance: String,
}

impl HtmlSafe for Moment {}

impl Moment {
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

/// A span in its two largest units.
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

/// A number with its thousands separated.
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

/// A size in its largest decimal unit.
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

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CrlView {
    pub(crate) issuer: String,
    pub(crate) name: String,
    /// The state, `elsewhere` or `withdrawn`.
    pub(crate) state: &'static str,
    pub(crate) number: Option<String>,
    pub(crate) entries: Option<String>,
    pub(crate) size: Option<String>,
    pub(crate) sha256: Option<String>,
    pub(crate) this_update: Option<Moment>,
    pub(crate) next_update: Option<Moment>,
    pub(crate) refresh_after: Option<Moment>,
    pub(crate) duration: Option<String>,
    pub(crate) last_checked: Option<Moment>,
    pub(crate) failures: u64,
    pub(crate) failing_since: Option<Moment>,
    /// The code and the message of the last error.
    pub(crate) error: Option<(String, String)>,
    pub(crate) publish_owed: bool,
    pub(crate) bar: Option<Bar>,
    /// The number of the CRL before, if an event has it.
    pub(crate) number_before: Option<String>,
    pub(crate) findings: Vec<EventFinding>,
    pub(crate) candidate: Option<CandidateView>,
}

/// A refused CRL that an operator may accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CandidateView {
    pub(crate) sha256: String,
    /// The first digits of that.
    pub(crate) short: String,
    pub(crate) code: String,
    pub(crate) number: Option<String>,
    pub(crate) entries: String,
    pub(crate) refused_at: Moment,
    /// Serial numbers of entries that are missing from it.
    pub(crate) missing: Vec<String>,
}

impl CandidateView {
    fn new(candidate: &CandidateStatus, now: Timestamp) -> Self {
        let sha256 = candidate.sha256.to_string();
        let Rfc3339(refused_at) = candidate.refused_at;
        Self {
            short: sha256.chars().take(12).collect(),
            sha256,
            code: candidate.code.clone(),
            number: candidate.number.clone(),
            entries: grouped(candidate.revoked_count),
            refused_at: Moment::new(refused_at, now),
            missing: candidate.missing.clone(),
        }
    }
}

impl CrlView {
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
            } else if crl.withdrawn {
                "withdrawn"
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
            last_checked: moment(crl.last_checked_at),
            failures: crl.consecutive_failures,
            failing_since: moment(crl.failing_since),
            error: crl
                .last_error
                .as_ref()
                .map(|error| (error.code.clone(), error.message.clone())),
            publish_owed: crl.publish_owed,
            bar,
            number_before: number_before(issuer, crl),
            findings: crl.findings.clone(),
            candidate: crl
                .candidate
                .as_ref()
                .map(|candidate| CandidateView::new(candidate, now)),
        }
    }
}

/// The number that was published before the one held, if one of the issuer's events has it.
fn number_before(issuer: &IssuerStatus, crl: &CrlStatus) -> Option<String> {
    let published = issuer
        .recent_events
        .iter()
        .filter(|event| event.crl_name == crl.name && event.outcome == Outcome::Published);
    let mut numbers = published.map(|event| &event.crl_number);
    numbers.find(|number| **number != crl.number)?.clone()
}

#[must_use]
pub(crate) fn milliseconds(millis: u64) -> String {
    format!("{} ms", grouped(millis))
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventView {
    pub(crate) started: Option<Moment>,
    pub(crate) issuer: String,
    pub(crate) name: String,
    pub(crate) trigger: &'static str,
    pub(crate) outcome: &'static str,
    pub(crate) number: String,
    pub(crate) entries: String,
    pub(crate) size: String,
    pub(crate) duration: String,
    pub(crate) code: String,
    pub(crate) error: String,
    /// Whether the operator's last action caused it.
    pub(crate) is_new: bool,
}

impl EventView {
    /// Those in `new` were caused by the operator's last action.
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

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ActionView {
    pub(crate) at: Option<Moment>,
    pub(crate) act: String,
    /// The token's name or the identity; without one, the role.
    pub(crate) who: String,
    pub(crate) address: String,
    pub(crate) issuer: String,
    pub(crate) name: String,
    pub(crate) sha256: String,
}

impl ActionView {
    #[must_use]
    pub(crate) fn new(action: &Action, now: Timestamp) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let at = action.at.parse().ok();
        Self {
            at: at.map(|at| Moment::new(at, now)),
            act: action.action.as_str().replace('_', " "),
            who: match (&action.token_name, &action.role) {
                (Some(name), Some(role)) => format!("{name} ({role})"),
                (Some(only), None) | (None, Some(only)) => only.clone(),
                (None, None) => "unknown".to_owned(),
            },
            address: text(&action.address),
            issuer: action
                .issuer_id
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            name: action
                .crl_name
                .map(|name| name.to_string())
                .unwrap_or_default(),
            sha256: text(&action.sha256),
        }
    }
}

/// The last refresh of all issuers.
#[derive(Clone, Debug)]
pub(crate) struct JobView {
    pub(crate) requested: Moment,
    pub(crate) state: JobState,
    pub(crate) asked: u64,
    /// The issuers in all; 0 before the first is asked.
    pub(crate) issuers: u64,
    pub(crate) summary: Summary,
}

impl JobView {
    #[must_use]
    pub(crate) fn new(job: &RefreshJob, now: Timestamp) -> Self {
        let summary = job.summary.clone();
        Self {
            requested: Moment::new(job.requested_at.0, now),
            state: job.state,
            asked: summary.issuers,
            issuers: summary.issuers.saturating_add(summary.not_reached),
            summary,
        }
    }

    pub(crate) fn is_under_way(&self) -> bool {
        self.state != JobState::Finished
    }
}

/// What relying parties got since the counters began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServedView {
    pub(crate) answers: String,
    /// The answers 503 among them.
    pub(crate) unavailable: String,
    /// The mean time to the first byte.
    pub(crate) mean: String,
    /// The reads of KV.
    pub(crate) reads: String,
    /// Those that failed; among them those that returned what they should not.
    pub(crate) failed: String,
}

impl ServedView {
    #[must_use]
    pub(crate) fn new(served: &Served) -> Self {
        let sum = |counts: &mut dyn Iterator<Item = u64>| counts.fold(0_u64, u64::saturating_add);
        let counts = || served.served.iter();
        let answers = sum(&mut counts().map(|count| count.answers));
        let unavailable = counts().filter(|count| count.status == 503);
        let spent = sum(&mut counts().map(|count| count.milliseconds));
        // A mismatch counts as failed too.
        let read = |outcome: &str| served.kv.get(outcome).copied().unwrap_or(0);
        let failed = read("failed");
        let reads = ["hit", "miss"].map(read).into_iter();
        Self {
            answers: grouped(answers),
            unavailable: grouped(sum(&mut unavailable.map(|count| count.answers))),
            mean: milliseconds(spent.checked_div(answers).unwrap_or(0)),
            reads: grouped(reads.fold(failed, u64::saturating_add)),
            failed: grouped(failed),
        }
    }
}

/// The overall health.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Health {
    pub(crate) issuers: String,
    /// The number of CRLs in each state, the most urgent first.
    pub(crate) states: Vec<(&'static str, usize)>,
    /// The issuer of the CRL that expires next, and when.
    pub(crate) soonest: Option<(String, Moment)>,
    /// The issuers with a changed certificate that is waiting for trust.
    pub(crate) waiting: Vec<String>,
    /// The number of CRLs that KV has not taken.
    pub(crate) publishes_owed: usize,
    /// Whether nothing needs an operator.
    pub(crate) is_well: bool,
}

impl Health {
    #[must_use]
    pub(crate) fn of(issuers: &[IssuerStatus], now: Timestamp) -> Self {
        let crls = || {
            issuers
                .iter()
                .flat_map(|issuer| issuer.crls.iter().map(move |crl| (issuer, crl)))
                .filter(|(_, crl)| crl.is_expected())
        };
        let count = |state| crls().filter(|(_, crl)| crl.state == state).count();
        let soonest = crls()
            .filter_map(|(issuer, crl)| Some((crl.next_update?.0, issuer)))
            .filter(|(at, _)| *at > now)
            .min_by_key(|(at, _)| *at);
        let waiting: Vec<_> = issuers
            .iter()
            .filter(|issuer| {
                issuer.gone_since.is_none() && issuer.waiting_certificate_sha256.is_some()
            })
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
        let listed = Listed {
            crls: vec![origin_api::CrlName::Full],
            ..Listed::default()
        };
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
