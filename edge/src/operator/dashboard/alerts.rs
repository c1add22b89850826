//! The page behind an alert: which CRLs it is about, what clients get meanwhile, when it becomes an
//! outage, and what to do.

use std::time::Duration;

use super::super::crl_status::{CrlStatus, State};
use super::super::issuers::IssuerStatus;
use crate::events::Outcome;
use crate::time::{Rfc3339, Timestamp};

/// An alert of `ops/prometheus/crl-edge.rules.yml` or `ops/prometheus/crl-origin.rules.yml`.
#[derive(Debug)]
pub(crate) struct Alert {
    pub(crate) name: &'static str,
    /// What is the matter.
    pub(crate) problem: &'static str,
    /// What relying parties get meanwhile.
    pub(crate) clients: &'static str,
    /// When they stop getting a valid CRL.
    pub(crate) outage: &'static str,
    /// What the person on call does.
    pub(crate) advice: &'static str,
    pub(crate) concern: Concern,
}

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Concern {
    /// CRLs in one of these states.
    States(&'static [State]),
    /// CRLs of which relying parties get no valid one, and what they got.
    Unserved,
    /// CRLs that KV has not taken, and what relying parties got.
    NotInKv,
    /// CRLs whose last refresh was refused by a rule.
    Rejected,
    /// CRLs whose issuer has a changed certificate that waits.
    Certificate,
    /// CRLs of which one was refused that an operator may accept.
    Candidate,
    /// CRLs that entries left early.
    EarlyRemoval,
    /// CRLs whose events D1 has not taken.
    Events,
    /// CRLs that nobody has tried to refresh for so long.
    Unchecked(Duration),
    /// The issuers that vanished from the registry.
    Registry,
    /// The issuer that the alert names.
    Issuer,
}

impl Concern {
    /// Whether it is about this CRL.
    pub(crate) fn is_about(self, issuer: &IssuerStatus, crl: &CrlStatus, now: Timestamp) -> bool {
        match self {
            Self::States(states) => states.contains(&crl.state),
            Self::Unserved => matches!(crl.state, State::Expired | State::Absent),
            Self::NotInKv => crl.publish_owed,
            Self::Rejected => crl.last_outcome == Some(Outcome::Rejected),
            Self::Certificate => issuer.waiting_certificate_sha256.is_some(),
            Self::Candidate => crl.candidate.is_some(),
            Self::EarlyRemoval => {
                let mut findings = crl.findings.iter();
                findings.any(|finding| finding.code == "early_removal")
            }
            Self::Events => issuer.events_owed > 0,
            Self::Unchecked(span) => crl
                .last_checked_at
                .is_none_or(|Rfc3339(at)| now.since(at) > span),
            Self::Registry | Self::Issuer => false,
        }
    }

    /// Since when it is so with this CRL.
    pub(crate) fn since(self, crl: &CrlStatus) -> Option<Rfc3339> {
        let own = match self {
            Self::NotInKv | Self::EarlyRemoval => crl.generated_at,
            Self::Candidate => crl.candidate.as_ref().map(|refused| refused.refused_at),
            Self::Events | Self::Unchecked(_) => crl.last_checked_at,
            _ if crl.state == State::Expired => crl.next_update,
            _ => crl.failing_since,
        };
        own.or(crl.generated_at)
    }

    /// Whether the figures of serving say more about it.
    pub(crate) const fn has_figures(self) -> bool {
        matches!(self, Self::Unserved | Self::NotInKv)
    }
}

impl PartialEq for Alert {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Alert {}

const AT_NEXT_UPDATE: &str = "At nextUpdate, unless a refresh succeeds before.";
const HELD: &str = "The CRL that is held, until its nextUpdate.";
/// CRLs that are not refreshed while the origin fails.
const UNREFRESHED: Concern = Concern::States(&[State::Expired, State::Absent, State::Failing]);
const FIX: &str = "The last error names the cause; the runbook has an entry for its code. Fix it, then refresh on the issuer's page.";

/// The alerts, in the order of the rules: those of the edge, then those of the origin.
#[rustfmt::skip]
pub(crate) const ALERTS: [Alert; 25] = [
    Alert {
        name: "CrlExpired",
        problem: "The nextUpdate of a CRL has passed.",
        clients: "503, or the expired CRL if SERVE_EXPIRED is true. They may refuse certificates.",
        outage: "Now.",
        advice: FIX,
        concern: Concern::States(&[State::Expired]),
    },
    Alert {
        name: "CrlExpiresSoon",
        problem: "A CRL expires within an hour, and its refreshes fail.",
        clients: HELD,
        outage: AT_NEXT_UPDATE,
        advice: FIX,
        concern: Concern::States(&[State::Failing]),
    },
    Alert {
        name: "CrlAbsent",
        problem: "The origin lists a CRL that the edge has never had.",
        clients: "503.",
        outage: "Now, for certificates that name this CRL.",
        advice: FIX,
        concern: Concern::States(&[State::Absent]),
    },
    Alert {
        name: "CrlFailing",
        problem: "Refreshes of a CRL fail.",
        clients: HELD,
        outage: AT_NEXT_UPDATE,
        advice: FIX,
        concern: Concern::States(&[State::Failing]),
    },
    Alert {
        name: "CrlRejected",
        problem: "The origin sent a CRL that must not be published.",
        clients: HELD,
        outage: AT_NEXT_UPDATE,
        advice: "Find out why the origin sent it: a fault of the CA, or an attack. The last error says which rule refused it.",
        concern: Concern::Rejected,
    },
    Alert {
        name: "CertificateWaiting",
        problem: "The origin names another certificate for an issuer than the pinned one.",
        clients: HELD,
        outage: AT_NEXT_UPDATE,
        advice: "Compare the fingerprint on the issuer's page with the CA's own, then trust the certificate.",
        concern: Concern::Certificate,
    },
    Alert {
        name: "CrlNumberWentBack",
        problem: "The number of a CRL is lower than before: its object has lost its storage.",
        clients: "The CRL with the lower number, which may lack revocations.",
        outage: "None; but revocations may be missing now.",
        advice: "Compare the number with the CA's, and refresh. The alert names the issuer.",
        concern: Concern::Issuer,
    },
    Alert {
        name: "RegenerateAllStands",
        problem: "The cron trigger has refreshed nothing for an hour.",
        clients: "Current CRLs: each issuer's alarm refreshes them.",
        outage: "None, while alarms run.",
        advice: "Look at the Worker's trigger events and at the log of its last runs.",
        concern: Concern::Unchecked(Duration::from_hours(1)),
    },
    Alert {
        name: "CrlUnchecked",
        problem: "Nobody has tried to refresh a CRL for two hours.",
        clients: HELD,
        outage: AT_NEXT_UPDATE,
        advice: "Refresh on the issuer's page. If it is all of them, look at the cron trigger.",
        concern: Concern::Unchecked(Duration::from_hours(2)),
    },
    Alert {
        name: "RegistryShrank",
        problem: "Most issuers vanished from the origin's list at once.",
        clients: "Their CRLs, as before.",
        outage: "After a day they are removed, unless they come back.",
        advice: "If the origin lost its list, restore it. If they are to go, POST /v1/registry/confirm.",
        concern: Concern::Registry,
    },
    Alert {
        name: "CandidateWaiting",
        problem: "A CRL is refused by a rule that an operator may overrule.",
        clients: HELD,
        outage: AT_NEXT_UPDATE,
        advice: "Find out at the CA whether the CRL is right. If so, accept it; else have the CA sign another.",
        concern: Concern::Candidate,
    },
    Alert {
        name: "EarlyRemoval",
        problem: "Revocations left a CRL early, and nothing explains it.",
        clients: "The CRL without these entries.",
        outage: "None; but these certificates count as good.",
        advice: "Ask the CA why. If they are still revoked, have it sign a CRL that lists them.",
        concern: Concern::EarlyRemoval,
    },
    Alert {
        name: "PublishesOwed",
        problem: "KV does not take a CRL.",
        clients: "The current CRL from its Durable Object, more slowly.",
        outage: "None.",
        advice: "Look at the platform's status. The write is tried until it succeeds.",
        concern: Concern::NotInKv,
    },
    Alert {
        name: "EventsOwed",
        problem: "D1 does not take events.",
        clients: "Current CRLs.",
        outage: "None: events are kept and delivered later.",
        advice: "Look at the platform's status and at the size of the database.",
        concern: Concern::Events,
    },
    Alert {
        name: "ServingErrors",
        problem: "More than one of a hundred answers to relying parties is 503.",
        clients: "503 for CRLs that are expired or absent, or whose object does not answer.",
        outage: "Now, for those clients.",
        advice: "If a CRL below is expired or absent, its last error names the cause. If none is, look at the platform's status and the Worker's log.",
        concern: Concern::Unserved,
    },
    Alert {
        name: "ServingSlow",
        problem: "The first byte of an answer takes more than a second on average.",
        clients: "Current CRLs, late; some give up before.",
        outage: "None, while clients wait.",
        advice: "Compare the sources in Grafana. From KV or memory: look at the platform's status. From objects: KV lacks CRLs, see those below.",
        concern: Concern::NotInKv,
    },
    Alert {
        name: "KvFailing",
        problem: "More than one of twenty reads of KV fails, or returns what it should not.",
        clients: "The current CRL from its Durable Object, more slowly.",
        outage: "None.",
        advice: "Look at the platform's status. Altered values are written again by themselves.",
        concern: Concern::NotInKv,
    },
    Alert {
        name: "EdgeUnseen",
        problem: "Prometheus cannot read /metrics.",
        clients: "What /healthz says: if it answers, CRLs are served.",
        outage: "Not known until /metrics can be read.",
        advice: "Ask /healthz, then /metrics with the token of Prometheus: 401 is a wrong token, 503 events_unavailable is D1.",
        concern: Concern::States(&[State::Failing]),
    },
    Alert {
        name: "OriginStateLost",
        problem: "The origin's database was restored and knows less than the edge serves.",
        clients: HELD,
        outage: AT_NEXT_UPDATE,
        advice: "Run crl-origin recover for the issuer: it takes the revocations from the CRLs that the edge serves.",
        concern: UNREFRESHED,
    },
    Alert {
        name: "OriginListsNothing",
        problem: "A CA behind the origin signs an empty CRL, whatever was revoked.",
        clients: HELD,
        outage: AT_NEXT_UPDATE,
        advice: "Set disable to false in config/crl of its PKI engine, then refresh on the issuer's page.",
        concern: UNREFRESHED,
    },
    Alert {
        name: "OriginListShrank",
        problem: "The full CRL of an issuer has less than half of the entries of an hour ago.",
        clients: "The CRL with fewer entries, unless the edge withholds it.",
        outage: "None; but certificates that left it count as good.",
        advice: "Compare the CRL with the last one (crl-origin crl diff), and find out what released or expired the entries.",
        concern: Concern::EarlyRemoval,
    },
    Alert {
        name: "OriginConfigChanged",
        problem: "The configuration of a CA behind the origin changed in a way that affects its CRL.",
        clients: "The CRL as it is configured now.",
        outage: "None.",
        advice: "The origin's log says what the configuration means now. Find out who changed it.",
        concern: Concern::Issuer,
    },
    Alert {
        name: "OriginIssuerFailing",
        problem: "The origin cannot make or fetch the CRL of an issuer.",
        clients: HELD,
        outage: AT_NEXT_UPDATE,
        advice: "The alert's code and the origin's log name the file, host or key that failed.",
        concern: UNREFRESHED,
    },
    Alert {
        name: "OriginCallsWait",
        problem: "Calls for an issuer wait for a HSM, directory or CA that hangs.",
        clients: HELD,
        outage: AT_NEXT_UPDATE,
        advice: "Look at the issuer's HSM, directory or CA. Other issuers are not affected.",
        concern: UNREFRESHED,
    },
    Alert {
        name: "OriginPushesWait",
        problem: "The edge has not confirmed a change for five minutes.",
        clients: "The CRL from before the change, until the edge refreshes by itself.",
        outage: "None; but new revocations come late.",
        advice: "If refreshes fail below, their errors name the cause. If none does, look at crl_origin_pushes_total by outcome and at the origin's log.",
        concern: UNREFRESHED,
    },
];

/// The alert with this name.
pub(crate) fn find(name: &str) -> Option<&'static Alert> {
    ALERTS.iter().find(|alert| alert.name == name)
}

#[cfg(test)]
mod tests {
    use origin_api::CrlName;

    use super::*;
    use crate::operator::issuers::join;
    use crate::registry::Listed;
    use crate::tables::StatusRow;
    use crate::tables::testing::{NOW, status_row};

    const RULES: &str = concat!(
        include_str!("../../../../ops/prometheus/crl-edge.rules.yml"),
        include_str!("../../../../ops/prometheus/crl-origin.rules.yml"),
    );

    #[test]
    fn every_rule_has_its_page_and_its_link_leads_there() {
        let field = |name: &str| -> Vec<_> {
            let values = RULES.lines().filter_map(|line| {
                let line = line.trim_start_matches([' ', '-']);
                line.strip_prefix(name)
            });
            values.collect()
        };
        let names: Vec<_> = ALERTS.iter().map(|alert| alert.name).collect();
        assert_eq!(field("alert: "), names);
        let links = field("dashboard: ");
        assert_eq!(links.len(), names.len());
        for (name, link) in names.iter().zip(links) {
            let host = match name.strip_prefix("Origin") {
                Some(_) => "$externalLabels.crl_edge",
                None => "$labels.instance",
            };
            let page = format!("https://{{{{ {host} }}}}/dashboard/alerts/{name}");
            let issuer = "?issuer={{ $labels.issuer }}";
            assert_eq!(link.strip_suffix(issuer).unwrap_or(link), page);
        }
    }

    /// Brings a row into a state.
    type Change<'c> = &'c dyn Fn(&mut StatusRow);

    #[test]
    fn each_concern_is_about_the_crls_in_its_state_and_says_since_when() {
        let at = |minutes: i64| {
            let at = Timestamp::from_millis(NOW.as_millis() + minutes * 60_000);
            Some(Rfc3339(at))
        };
        let listed = Listed {
            crls: vec![CrlName::Full],
            ..Listed::default()
        };
        let id = "a".parse().unwrap();
        let about = |concern: Concern, change: &dyn Fn(&mut StatusRow)| {
            let mut row = status_row("a");
            change(&mut row);
            let issuers = join([(&id, &listed)], vec![row], NOW);
            let crl = &issuers[0].crls[0];
            let is_about = concern.is_about(&issuers[0], crl, NOW);
            is_about.then(|| concern.since(crl).unwrap())
        };
        let candidate = r#"{"sha256":"SHA","code":"number_regressed","number":"6",
            "revoked_count":1,"refused_at":"2025-12-31T23:50:00.000Z","missing":[]}"#;
        let candidate = candidate.replace("SHA", &"5a".repeat(32));
        let findings = r#"[{"code":"early_removal","count":2,"example":"0a"}]"#;
        let failing: Change<'_> = &|row| {
            row.consecutive_failures = 1;
            row.failing_since = at(-7);
        };
        let cases: [(Concern, Change<'_>, i64); 11] = [
            (
                Concern::States(&[State::Expired]),
                &|row| row.next_update = at(-5),
                -5,
            ),
            (Concern::States(&[State::Failing]), failing, -7),
            (UNREFRESHED, failing, -7),
            (Concern::Unserved, &|row| row.next_update = at(-5), -5),
            (Concern::NotInKv, &|row| row.publish_owed = 1, -60),
            (
                Concern::Rejected,
                &|row| {
                    row.last_outcome = Some(Outcome::Rejected);
                    failing(row);
                },
                -7,
            ),
            (
                Concern::Certificate,
                &|row| row.waiting_certificate_sha256 = Some("beef".to_owned()),
                -60,
            ),
            (
                Concern::Candidate,
                &|row| row.candidate = Some(candidate.clone()),
                -10,
            ),
            (
                Concern::EarlyRemoval,
                &|row| row.findings = Some(findings.to_owned()),
                -60,
            ),
            (
                Concern::Events,
                &|row| {
                    row.events_owed = 3;
                    row.last_checked_at = at(-3);
                },
                -3,
            ),
            (
                Concern::Unchecked(Duration::from_hours(2)),
                &|row| row.last_checked_at = at(-121),
                -121,
            ),
        ];
        for (concern, change, since) in cases {
            assert_eq!(about(concern, change), at(since), "{concern:?}");
            assert_eq!(about(concern, &|_| ()), None, "{concern:?}");
        }
    }
}
