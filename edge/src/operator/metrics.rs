//! Metrics in Prometheus's text format 0.0.4, or in `OpenMetrics` 1.0.
//!
//! The number of series is bounded however many issuers there are: sums over all CRLs are always
//! there, and as many of the most urgent CRLs as the caller allows have series of their own, but an
//! expired one always has. CRLs that the origin no longer lists have none. Label
//! values are ids and names from this crate, which contain nothing to escape.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::time::Duration;

use origin_api::{CrlName, IssuerId};
use serde::Deserialize;

use super::crl_status::{CrlStatus, State};
use super::issuers::{IssuerStatus, most_urgent_first};
use super::media;
use crate::events::{Outcome, Trigger};
use crate::registry::Shrink;
use crate::served::{READS, SOURCES, Served};
use crate::time::{Rfc3339, Timestamp};

/// The refreshes of one trigger and outcome, over all CRLs: a row of `crl_refresh_totals`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Total {
    pub(crate) trigger: Trigger,
    pub(crate) outcome: Outcome,
    pub(crate) refreshes: u64,
    /// The sum of their durations.
    pub(crate) duration_ms: u64,
}

/// The refreshes of one trigger and outcome, of one CRL: a row of `crl_refresh_counts`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct CrlTotal {
    pub(crate) issuer_id: IssuerId,
    pub(crate) crl_name: CrlName,
    pub(crate) trigger: Trigger,
    pub(crate) outcome: Outcome,
    pub(crate) refreshes: u64,
}

/// The exposition format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Prometheus,
    OpenMetrics,
}

impl Format {
    /// The format that `accept` prefers; Prometheus's own if it is absent or allows neither.
    pub(crate) fn negotiate(accept: Option<&str>) -> Self {
        let offered = ["text/plain", "application/openmetrics-text"];
        match media::best(accept, &offered) {
            Some(1) => Self::OpenMetrics,
            _ => Self::Prometheus,
        }
    }

    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

pub(crate) type Subject<'a> = (&'a IssuerId, &'a CrlStatus);

/// The CRLs that have series of their own: the `limit` most urgent and every expired one, of
/// `issuer` if it is given.
#[must_use]
pub(crate) fn with_series<'a>(
    issuers: &'a [IssuerStatus],
    issuer: Option<&IssuerId>,
    limit: u32,
) -> Vec<Subject<'a>> {
    let subjects = most_urgent_first(issuers, |of, crl| {
        issuer.is_none_or(|wanted| *wanted == of.id) && crl.is_expected()
    });
    // The most urgent state comes first.
    let expired = subjects.partition_point(|(_, crl)| crl.state == State::Expired);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let subjects = subjects.into_iter().take(limit.max(expired));
    subjects.map(|(issuer, crl)| (&issuer.id, crl)).collect()
}

fn crls(issuers: &[IssuerStatus]) -> impl Iterator<Item = Subject<'_>> {
    issuers
        .iter()
        .flat_map(|issuer| issuer.crls.iter().map(|crl| (&issuer.id, crl)))
}

/// What the metrics count beside the issuers.
pub(crate) struct Totals<'t> {
    /// The refreshes of all CRLs.
    pub(crate) all: &'t [Total],
    /// The refreshes of the CRLs with series of their own.
    pub(crate) of_crls: &'t [CrlTotal],
    /// The events that D1 refuses, known without D1.
    pub(crate) events_pending: u64,
    /// What relying parties got; `None` if it is not known.
    pub(crate) served: Option<&'t Served>,
    /// If so many issuers vanished at once that they are still listed.
    pub(crate) shrink: Option<Shrink>,
}

/// The metrics of all `issuers` together and of each of `subjects`, at `now`.
#[must_use]
pub(crate) fn render(
    issuers: &[IssuerStatus],
    totals: &Totals<'_>,
    subjects: &[Subject<'_>],
    format: Format,
    now: Timestamp,
) -> String {
    let mut text = Text {
        text: String::new(),
        format,
    };
    over_all(&mut text, issuers, subjects.len(), now);
    text.one(
        "crl_edge_registry_vanished_issuers",
        "Issuers that vanished from the registry with more than half of all. They stay until an operator confirms it or a day has passed.",
        totals.shrink.map_or(0, |shrink| shrink.vanished),
    );
    events_owed(&mut text, issuers, totals.events_pending);
    refreshes(&mut text, totals.all);
    if let Some(served) = totals.served {
        answers(&mut text, served);
    }
    of_each(&mut text, subjects, now);
    text.family(
        "crl_edge_crl_refreshes_total",
        "counter",
        "Refreshes of this CRL, by trigger and outcome.",
        totals.of_crls.iter().map(|total| {
            let (trigger, outcome) = (total.trigger, total.outcome);
            let labels = format!(
                r#"issuer="{}",crl="{}",trigger="{trigger}",outcome="{outcome}""#,
                total.issuer_id, total.crl_name
            );
            (labels, total.refreshes)
        }),
    );
    text.finish()
}

fn over_all(text: &mut Text, issuers: &[IssuerStatus], subjects: usize, now: Timestamp) {
    let here = || {
        crls(issuers)
            .map(|(_, crl)| crl)
            .filter(|crl| crl.is_expected())
    };
    let count =
        |condition: &dyn Fn(&CrlStatus) -> bool| here().filter(|crl| condition(crl)).count();
    text.one(
        "crl_edge_issuers",
        "Issuers in the registry.",
        issuers.len(),
    );
    text.one(
        "crl_edge_issuers_gone",
        "Issuers that the origin no longer lists. Their CRLs are served while they are valid.",
        issuers
            .iter()
            .filter(|issuer| issuer.gone_since.is_some())
            .count(),
    );
    text.one(
        "crl_edge_crls_withdrawn",
        "CRLs that the origin no longer lists. They are served while they are valid.",
        crls(issuers).filter(|(_, crl)| crl.withdrawn).count(),
    );
    text.family(
        "crl_edge_crls",
        "gauge",
        "CRLs by state. Expired and absent ones are not served; failing ones still are; due ones are about to be refreshed.",
        State::ALL.map(|state| {
            (format!(r#"state="{state}""#), count(&|crl| crl.state == state))
        }),
    );
    let soonest = here().filter_map(|crl| crl.next_update).min();
    text.family(
        "crl_edge_soonest_next_update_seconds",
        "gauge",
        "Seconds until the earliest nextUpdate; negative if a CRL has expired.",
        soonest.map(|Rfc3339(at)| (String::new(), seconds_until(at, now))),
    );
    let longest_unchecked = here().filter_map(|crl| crl.last_checked_at).min();
    text.family(
        "crl_edge_longest_unchecked_seconds",
        "gauge",
        "Seconds since the last refresh, whatever its outcome, of the CRL that was refreshed least recently.",
        longest_unchecked.map(|Rfc3339(at)| (String::new(), seconds_until(now, at))),
    );
    text.one(
        "crl_edge_most_consecutive_failures",
        "Consecutive refreshes that failed or were rejected, of the CRL that has the most.",
        here()
            .map(|crl| crl.consecutive_failures)
            .max()
            .unwrap_or(0),
    );
    text.one(
        "crl_edge_held_entries",
        "Entries in all CRLs.",
        here()
            .filter_map(|crl| crl.revoked_count)
            .fold(0, u64::saturating_add),
    );
    text.one(
        "crl_edge_held_bytes",
        "Size of the DER of all CRLs.",
        here()
            .filter_map(|crl| crl.size_bytes)
            .fold(0, u64::saturating_add),
    );
    text.one(
        "crl_edge_publishes_owed",
        "CRLs that are not in KV yet, although a write was tried.",
        count(&|crl| crl.publish_owed),
    );
    text.one(
        "crl_edge_candidates_waiting",
        "Refused CRLs that an operator may accept.",
        count(&|crl| crl.candidate.is_some()),
    );
    text.one(
        "crl_edge_early_removals",
        "Entries that are missing without an explanation from the CRLs held.",
        early_removals(issuers),
    );
    text.one(
        "crl_edge_certificates_waiting",
        "Changed issuer certificates that are waiting for an operator's trust.",
        issuers
            .iter()
            .filter(|issuer| {
                issuer.gone_since.is_none() && issuer.waiting_certificate_sha256.is_some()
            })
            .count(),
    );
    text.one(
        "crl_edge_crls_without_series",
        "CRLs without series of their own in this answer: the least urgent, or those of other issuers.",
        here().count().saturating_sub(subjects),
    );
}

fn events_owed(text: &mut Text, issuers: &[IssuerStatus], pending: u64) {
    // The status table has the count of each issuer's last report, which is old while D1 refuses.
    let reported = issuers.iter().map(|issuer| issuer.events_owed);
    text.one(
        "crl_edge_events_owed",
        "Events that are not in D1 yet.",
        reported.fold(0, u64::saturating_add).max(pending),
    );
}

fn refreshes(text: &mut Text, totals: &[Total]) {
    // Counters start at 0 for every combination: if one appeared at 1, its first increase would be
    // lost.
    let each = || {
        Trigger::ALL.iter().flat_map(move |trigger| {
            Outcome::ALL.iter().map(move |outcome| {
                let total = totals
                    .iter()
                    .find(|total| total.trigger == *trigger && total.outcome == *outcome);
                let labels = format!(r#"trigger="{trigger}",outcome="{outcome}""#);
                (labels, total)
            })
        })
    };
    text.family(
        "crl_edge_refreshes_total",
        "counter",
        "Refreshes of all CRLs, by trigger and outcome.",
        each().map(|(labels, total)| (labels, total.map_or(0, |total| total.refreshes))),
    );
    text.family(
        "crl_edge_refresh_duration_seconds_total",
        "counter",
        "The sum of the durations of these refreshes.",
        each().map(|(labels, total)| {
            (
                labels,
                Seconds::from_millis(total.map_or(0, |total| total.duration_ms)),
            )
        }),
    );
}

/// Statuses that count from 0: an alert is about the first of them too.
const STATUSES: [u16; 3] = [200, 304, 503];

fn answers(text: &mut Text, served: &Served) {
    let mut sums = BTreeMap::new();
    for status in STATUSES {
        sums.extend(SOURCES.map(|source| ((status, source), (0, 0))));
    }
    for count in &served.served {
        let key = (count.status, count.source.as_str());
        sums.insert(key, (count.answers, count.milliseconds));
    }
    let labels = |(status, source): &(u16, &str)| format!(r#"status="{status}",source="{source}""#);
    text.family(
        "crl_edge_answers_total",
        "counter",
        "Answers to requests for CRLs, by status and source. Isolates report them once a minute.",
        sums.iter()
            .map(|(key, (answers, _))| (labels(key), answers)),
    );
    text.family(
        "crl_edge_answer_duration_seconds_total",
        "counter",
        "The sum of the times to the first bytes of these answers.",
        sums.iter()
            .map(|(key, (_, millis))| (labels(key), Seconds::from_millis(*millis))),
    );
    text.family(
        "crl_edge_kv_reads_total",
        "counter",
        "Reads of KV by how they ended. A mismatch, a value that its metadata does not describe, counts as failed too.",
        READS.map(|outcome| {
            let reads = served.kv.get(outcome).copied().unwrap_or(0);
            (format!(r#"outcome="{outcome}""#), reads)
        }),
    );
}

fn of_each(text: &mut Text, subjects: &[Subject<'_>], now: Timestamp) {
    let labels = |(issuer, crl): &Subject<'_>| format!(r#"issuer="{issuer}",crl="{}""#, crl.name);
    text.family(
        "crl_edge_crl_state",
        "gauge",
        "1 for the state that this CRL is in.",
        subjects.iter().map(|subject| {
            (
                format!(r#"{},state="{}""#, labels(subject), subject.1.state),
                1,
            )
        }),
    );
    let mut gauge = |name, help, value: &dyn Fn(&CrlStatus) -> Option<String>| {
        let samples = subjects
            .iter()
            .filter_map(|subject| Some((labels(subject), value(subject.1)?)));
        text.family(name, "gauge", help, samples);
    };
    gauge(
        "crl_edge_crl_until_next_update_seconds",
        "Seconds until nextUpdate; negative if the CRL has expired.",
        &|crl| Some(seconds_until(crl.next_update?.0, now).to_string()),
    );
    gauge(
        "crl_edge_crl_since_this_update_seconds",
        "Seconds since thisUpdate.",
        &|crl| Some(seconds_until(now, crl.this_update?.0).to_string()),
    );
    gauge(
        "crl_edge_crl_since_last_check_seconds",
        "Seconds since the last refresh, whatever its outcome.",
        &|crl| Some(seconds_until(now, crl.last_checked_at?.0).to_string()),
    );
    gauge(
        "crl_edge_crl_number",
        "The CRLNumber, which never decreases; large ones are rounded.",
        &|crl| crl.number.clone(),
    );
    gauge(
        "crl_edge_crl_entries",
        "Entries, one for each revoked certificate.",
        &|crl| crl.revoked_count.map(|count| count.to_string()),
    );
    gauge("crl_edge_crl_size_bytes", "Size of its DER.", &|crl| {
        crl.size_bytes.map(|size| size.to_string())
    });
    gauge(
        "crl_edge_crl_consecutive_failures",
        "Refreshes that failed or were rejected since the last success.",
        &|crl| Some(crl.consecutive_failures.to_string()),
    );
    gauge(
        "crl_edge_crl_last_refresh_duration_seconds",
        "Duration of the last refresh.",
        &|crl| Some(Seconds::from_millis(crl.duration_ms?).to_string()),
    );
    gauge(
        "crl_edge_crl_publish_owed",
        "1 if this CRL is not in KV yet, although a write was tried.",
        &|crl| Some(u8::from(crl.publish_owed).to_string()),
    );
}

fn early_removals(issuers: &[IssuerStatus]) -> u64 {
    let crls = issuers.iter().flat_map(|issuer| &issuer.crls);
    crls.flat_map(|crl| &crl.findings)
        .filter(|finding| finding.code == "early_removal")
        .fold(0, |sum, finding| sum.saturating_add(finding.count))
}

/// Seconds from `now` to `moment`, negative if it has passed.
fn seconds_until(moment: Timestamp, now: Timestamp) -> Seconds {
    Seconds {
        negative: moment < now,
        span: if moment < now {
            now.since(moment)
        } else {
            moment.since(now)
        },
    }
}

struct Seconds {
    negative: bool,
    span: Duration,
}

impl Seconds {
    const fn from_millis(millis: u64) -> Self {
        Self {
            negative: false,
            span: Duration::from_millis(millis),
        }
    }
}

impl Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        write!(
            f,
            "{sign}{}.{:03}",
            self.span.as_secs(),
            self.span.subsec_millis()
        )
    }
}

struct Text {
    text: String,
    format: Format,
}

impl Text {
    fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn one(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help, [(String::new(), value)]);
    }

    /// Writes one metric and its samples, each with its labels. Writing to a string cannot fail.
    fn family<V: Display>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        samples: impl IntoIterator<Item = (String, V)>,
    ) {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return;
        }
        // OpenMetrics names a family of counters without the suffix of its samples.
        let family = match self.format {
            Format::OpenMetrics if kind == "counter" => name.trim_end_matches("_total"),
            _ => name,
        };
        let _ = writeln!(self.text, "# HELP {family} {help}\n# TYPE {family} {kind}");
        for (labels, value) in samples {
            let _ = if labels.is_empty() {
                writeln!(self.text, "{name} {value}")
            } else {
                writeln!(self.text, "{name}{{{labels}}} {value}")
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::issuers::join;
    use crate::registry::Listed;
    use crate::served::ServedTotals;
    use crate::tables::testing::{NOW, status_row};

    fn issuers(count: u32) -> Vec<IssuerStatus> {
        let listed = Listed {
            crls: vec![CrlName::Full],
            ..Listed::default()
        };
        let ids: Vec<IssuerId> = (0..count)
            .map(|id| format!("i{id:05}").parse().unwrap())
            .collect();
        let rows = ids
            .iter()
            .map(|id| {
                let mut row = status_row(id.as_str());
                if id.as_str() == "i00001" {
                    row.next_update = Some(Rfc3339(NOW.before(Duration::from_millis(1500))));
                }
                row
            })
            .collect();
        join(ids.iter().map(|id| (id, &listed)), rows, NOW)
    }

    /// Nine answers from KV, which took 1.25 s, and ten reads.
    fn served() -> Served {
        let report = r#"{"report":{"served":[{"status":200,"source":"kv","answers":9,
            "milliseconds":1250,"slowest":900}],"kv":{"hit":9,"failed":1}}}"#;
        ServedTotals::default().answer(serde_json::from_str(report).unwrap())
    }

    fn text(issuers: &[IssuerStatus], limit: u32) -> String {
        let totals = [Total {
            trigger: Trigger::Cron,
            outcome: Outcome::Published,
            refreshes: 7,
            duration_ms: 1250,
        }];
        let served = served();
        let totals = Totals {
            shrink: None,
            served: Some(&served),
            all: &totals,
            of_crls: &[],
            events_pending: 4,
        };
        let subjects = with_series(issuers, None, limit);
        render(issuers, &totals, &subjects, Format::Prometheus, NOW)
    }

    #[test]
    fn figures_over_all_and_of_each_are_told() {
        let text = text(&issuers(3), 2);
        for line in [
            "crl_edge_issuers 3",
            r#"crl_edge_crls{state="expired"} 1"#,
            r#"crl_edge_crls{state="fresh"} 2"#,
            r#"crl_edge_crls{state="failing"} 0"#,
            "crl_edge_soonest_next_update_seconds -1.500",
            "crl_edge_longest_unchecked_seconds 3600.000",
            r#"crl_edge_crl_since_last_check_seconds{issuer="i00000",crl="full"} 3600.000"#,
            "crl_edge_held_entries 15",
            "crl_edge_events_owed 4",
            r#"crl_edge_refreshes_total{trigger="cron",outcome="published"} 7"#,
            r#"crl_edge_answers_total{status="200",source="kv"} 9"#,
            r#"crl_edge_answers_total{status="503",source="none"} 0"#,
            r#"crl_edge_answer_duration_seconds_total{status="200",source="kv"} 1.250"#,
            r#"crl_edge_kv_reads_total{outcome="failed"} 1"#,
            r#"crl_edge_kv_reads_total{outcome="mismatch"} 0"#,
            r#"crl_edge_refreshes_total{trigger="hook",outcome="rejected"} 0"#,
            r#"crl_edge_refresh_duration_seconds_total{trigger="cron",outcome="published"} 1.250"#,
            r#"crl_edge_crl_until_next_update_seconds{issuer="i00001",crl="full"} -1.500"#,
            r#"crl_edge_crl_since_this_update_seconds{issuer="i00000",crl="full"} 3600.000"#,
            r#"crl_edge_crl_state{issuer="i00001",crl="full",state="expired"} 1"#,
            r#"crl_edge_crl_number{issuer="i00000",crl="full"} 7"#,
            "crl_edge_crls_without_series 1",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in\n{text}"
            );
        }
        assert!(
            !text.contains("i00002"),
            "only the two most urgent have series"
        );
    }

    #[test]
    fn series_stay_bounded_with_ten_thousand_issuers() {
        let text = text(&issuers(10_000), 250);
        let series = text.lines().filter(|line| !line.starts_with('#')).count();
        assert!(series < 250 * 10 + 100, "{series}");
        assert!(text.contains("crl_edge_issuers 10000\n"));
        assert!(text.contains("i00001"), "the expired one is among them");
    }

    #[test]
    fn an_expired_crl_has_series_however_many_there_are() {
        let mut all = issuers(10);
        for issuer in all.iter_mut().skip(3) {
            issuer.crls[0].state = State::Expired;
        }
        let subjects = with_series(&all, None, 2);
        assert_eq!(subjects.len(), 8, "issuer 1 and the last seven");
        assert!(subjects.iter().all(|(_, crl)| crl.state == State::Expired));
        assert_eq!(with_series(&all, None, 9).len(), 9);
    }

    #[test]
    fn what_the_origin_no_longer_lists_has_no_series_and_raises_no_alert() {
        let mut all = issuers(3);
        for crl in &mut all[1].crls {
            crl.withdrawn = true;
        }
        let text = text(&all, 250);
        assert!(
            text.contains(r#"crl_edge_crls{state="expired"} 0"#),
            "{text}"
        );
        assert!(text.contains("crl_edge_crls_withdrawn 1\n"), "{text}");
        assert!(!text.contains("i00001"), "{text}");
    }

    #[test]
    fn open_metrics_is_written_if_it_is_preferred() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        assert_eq!(Format::negotiate(Some(prometheus)), Format::OpenMetrics);
        for other in [None, Some("*/*"), Some("text/plain"), Some("text/html")] {
            assert_eq!(Format::negotiate(other), Format::Prometheus, "{other:?}");
        }
        let totals = [Total {
            trigger: Trigger::Cron,
            outcome: Outcome::Published,
            refreshes: 7,
            duration_ms: 1250,
        }];
        let served = served();
        let totals = Totals {
            shrink: None,
            served: Some(&served),
            all: &totals,
            of_crls: &[],
            events_pending: 0,
        };
        let text = render(&issuers(1), &totals, &[], Format::OpenMetrics, NOW);
        assert!(text.ends_with("\n# EOF\n"));
        let (mut family, mut kind) = ("", "");
        for line in text.lines().filter(|line| *line != "# EOF") {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                (family, kind) = rest.split_once(' ').unwrap();
                assert!(!family.ends_with("_total"), "{line}");
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().unwrap();
                let suffix = if kind == "counter" { "_total" } else { "" };
                assert_eq!(name, format!("{family}{suffix}"), "{line}");
            }
        }
    }

    #[test]
    fn one_issuer_can_be_asked_for() {
        let issuers = issuers(3);
        let wanted = "i00002".parse().unwrap();
        let subjects = with_series(&issuers, Some(&wanted), 250);
        assert_eq!(subjects.len(), 1);
        assert_eq!(subjects[0].0, &wanted);
    }

    #[test]
    fn what_is_published_elsewhere_is_not_counted_as_absent() {
        let listed = Listed {
            crls: vec![CrlName::Full],
            ..Listed::default()
        };
        let mut row = status_row("a");
        row.next_update = None;
        row.last_outcome = Some(Outcome::Skipped);
        let id = "a".parse().unwrap();
        let text = text(&join([(&id, &listed)], vec![row], NOW), 250);
        assert!(
            text.contains(r#"crl_edge_crls{state="absent"} 0"#),
            "{text}"
        );
        assert!(!text.contains(r#"issuer="a""#), "{text}");
    }

    #[test]
    fn every_figure_that_alerts_and_plots_name_is_told() {
        let owed = issuers(3);
        let id: IssuerId = "i00000".parse().unwrap();
        let counted = CrlTotal {
            issuer_id: id,
            crl_name: CrlName::Full,
            trigger: Trigger::Cron,
            outcome: Outcome::Published,
            refreshes: 1,
        };
        let served = served();
        let totals = Totals {
            shrink: None,
            served: Some(&served),
            all: &[],
            of_crls: &[counted],
            events_pending: 0,
        };
        let subjects = with_series(&owed, None, 9);
        let text = render(&owed, &totals, &subjects, Format::Prometheus, NOW);
        let rendered: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
            .collect();
        let files = concat!(
            include_str!("../../../ops/prometheus/crl-edge.rules.yml"),
            include_str!("../../../ops/grafana/crl-edge.json"),
        );
        let named = files
            .split(|c: char| !c.is_ascii_lowercase() && c != '_')
            .filter(|word| word.starts_with("crl_edge_"));
        let mut count = 0;
        for name in named {
            assert!(rendered.contains(&name), "{name}");
            count += 1;
        }
        assert!(count > 20);
    }
}
