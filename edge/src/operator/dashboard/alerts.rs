//! The page behind an alert: which CRLs it is about, what clients get meanwhile, when it becomes an
//! outage, and what to do.

use super::super::crl_status::{CrlStatus, State};
use super::super::issuers::IssuerStatus;
use crate::events::Outcome;

/// An alert of `ops/prometheus/crl-edge.rules.yml`.
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
    /// Which CRLs it is about.
    pub(crate) concerns: fn(&IssuerStatus, &CrlStatus) -> bool,
}

impl PartialEq for Alert {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Alert {}

const AT_NEXT_UPDATE: &str = "At nextUpdate, unless a refresh succeeds before.";
const HELD: &str = "The CRL that is held, until its nextUpdate.";
const FIX: &str = "The last error names the cause; the runbook has an entry for its code. Fix it, then refresh on the issuer's page.";

/// The alerts, in the order of the rules.
#[rustfmt::skip]
pub(crate) const ALERTS: [Alert; 18] = [
    Alert {
        name: "CrlExpired",
        problem: "The nextUpdate of a CRL has passed.",
        clients: "503, or the expired CRL if SERVE_EXPIRED is true. They may refuse certificates.",
        outage: "Now.",
        advice: FIX,
        concerns: |_, crl| crl.state == State::Expired,
    },
    Alert {
        name: "CrlExpiresSoon",
        problem: "A CRL expires within an hour, and its refreshes fail.",
        clients: HELD,
        outage: AT_NEXT_UPDATE,
        advice: FIX,
        concerns: |_, crl| crl.state == State::Failing,
    },
    Alert {
        name: "CrlAbsent",
        problem: "The origin lists a CRL that the edge has never had.",
        clients: "503.",
        outage: "Now, for certificates that name this CRL.",
        advice: FIX,
        concerns: |_, crl| crl.state == State::Absent,
    },
    Alert {
        name: "CrlFailing",
        problem: "Refreshes of a CRL fail.",
        clients: HELD,
        outage: AT_NEXT_UPDATE,
        advice: FIX,
        concerns: |_, crl| crl.state == State::Failing,
    },
    Alert {
        name: "CrlRejected",
        problem: "The origin sent a CRL that must not be published.",
        clients: HELD,
        outage: AT_NEXT_UPDATE,
        advice: "Find out why the origin sent it: a fault of the CA, or an attack. The last error says which rule refused it.",
        concerns: |_, crl| crl.last_outcome == Some(Outcome::Rejected),
    },
    Alert {
        name: "CertificateWaiting",
        problem: "The origin names another certificate for an issuer than the pinned one.",
        clients: HELD,
        outage: AT_NEXT_UPDATE,
        advice: "Compare the fingerprint on the issuer's page with the CA's own, then trust the certificate.",
        concerns: |issuer, _| issuer.waiting_certificate_sha256.is_some(),
    },
    Alert {
        name: "CrlNumberWentBack",
        problem: "The number of a CRL is lower than before: its object has lost its storage.",
        clients: "The CRL with the lower number, which may lack revocations.",
        outage: "None; but revocations may be missing now.",
        advice: "Compare the number with the CA's, and refresh. The alert names the issuer.",
        concerns: |_, _| false,
    },
    Alert {
        name: "RegenerateAllStands",
        problem: "The cron trigger has refreshed nothing for an hour.",
        clients: "Current CRLs: each issuer's alarm refreshes them.",
        outage: "None, while alarms run.",
        advice: "Look at the Worker's trigger events and at the log of its last runs.",
        concerns: |_, crl| crl.state == State::Due,
    },
    Alert {
        name: "CrlUnchecked",
        problem: "Nobody has tried to refresh a CRL for two hours.",
        clients: HELD,
        outage: AT_NEXT_UPDATE,
        advice: "Refresh on the issuer's page. If it is all of them, look at the cron trigger.",
        concerns: |_, crl| matches!(crl.state, State::Due | State::Failing | State::Expired),
    },
    Alert {
        name: "RegistryShrank",
        problem: "Most issuers vanished from the origin's list at once.",
        clients: "Their CRLs, as before.",
        outage: "After a day they are removed, unless they come back.",
        advice: "If the origin lost its list, restore it. If they are to go, POST /v1/registry/confirm.",
        concerns: |_, _| false,
    },
    Alert {
        name: "CandidateWaiting",
        problem: "A CRL is refused by a rule that an operator may overrule.",
        clients: HELD,
        outage: AT_NEXT_UPDATE,
        advice: "Find out at the CA whether the CRL is right. If so, accept it; else have the CA sign another.",
        concerns: |_, crl| crl.candidate.is_some(),
    },
    Alert {
        name: "EarlyRemoval",
        problem: "Revocations left a CRL early, and nothing explains it.",
        clients: "The CRL without these entries.",
        outage: "None; but these certificates count as good.",
        advice: "Ask the CA why. If they are still revoked, have it sign a CRL that lists them.",
        concerns: |_, crl| has_early_removal(crl),
    },
    Alert {
        name: "PublishesOwed",
        problem: "KV does not take a CRL.",
        clients: "The current CRL from its Durable Object, more slowly.",
        outage: "None.",
        advice: "Look at the platform's status. The write is tried until it succeeds.",
        concerns: |_, crl| crl.publish_owed,
    },
    Alert {
        name: "EventsOwed",
        problem: "D1 does not take events.",
        clients: "Current CRLs.",
        outage: "None: events are kept and delivered later.",
        advice: "Look at the platform's status and at the size of the database.",
        concerns: |issuer, _| issuer.events_owed > 0,
    },
    Alert {
        name: "ServingErrors",
        problem: "More than one of a hundred answers to relying parties is 503.",
        clients: "503 for CRLs that are expired or absent, or whose object does not answer.",
        outage: "Now, for those clients.",
        advice: "If a CRL below is expired or absent, its last error names the cause. If none is, look at the platform's status and the Worker's log.",
        concerns: |_, crl| matches!(crl.state, State::Expired | State::Absent),
    },
    Alert {
        name: "ServingSlow",
        problem: "The first byte of an answer takes more than a second on average.",
        clients: "Current CRLs, late; some give up before.",
        outage: "None, while clients wait.",
        advice: "Compare the sources in Grafana. From KV or memory: look at the platform's status. From objects: KV lacks CRLs, see those below.",
        concerns: |_, crl| crl.publish_owed,
    },
    Alert {
        name: "KvFailing",
        problem: "More than one of twenty reads of KV fails, or returns what it should not.",
        clients: "The current CRL from its Durable Object, more slowly.",
        outage: "None.",
        advice: "Look at the platform's status. Altered values are written again by themselves.",
        concerns: |_, crl| crl.publish_owed,
    },
    Alert {
        name: "EdgeUnseen",
        problem: "Prometheus cannot read /metrics.",
        clients: "What /healthz says: if it answers, CRLs are served.",
        outage: "Not known until /metrics can be read.",
        advice: "Ask /healthz, then /metrics with the token of Prometheus: 401 is a wrong token, 503 events_unavailable is D1.",
        concerns: |_, crl| crl.state == State::Failing,
    },
];

fn has_early_removal(crl: &CrlStatus) -> bool {
    let mut findings = crl.findings.iter();
    findings.any(|finding| finding.code == "early_removal")
}

/// The alert with this name.
pub(crate) fn find(name: &str) -> Option<&'static Alert> {
    ALERTS.iter().find(|alert| alert.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_its_page_and_its_link_leads_there() {
        let rules = include_str!("../../../../ops/prometheus/crl-edge.rules.yml");
        let field = |name: &str| -> Vec<_> {
            let values = rules.lines().filter_map(|line| {
                let line = line.trim_start_matches([' ', '-']);
                line.strip_prefix(name)
            });
            values.collect()
        };
        let names: Vec<_> = ALERTS.iter().map(|alert| alert.name).collect();
        assert_eq!(field("alert: "), names);
        let links: Vec<_> = names
            .iter()
            .map(|name| format!("https://{{{{ $labels.instance }}}}/dashboard/alerts/{name}"))
            .collect();
        assert_eq!(field("dashboard: "), links);
    }
}
