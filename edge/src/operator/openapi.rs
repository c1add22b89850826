//! The OpenAPI document of the API. It is written by hand; tests compare it with the code.

pub(crate) const DOCUMENT: &str = include_str!("../../../docs/openapi/edge.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use origin_api::CrlName;
    use serde::Serialize;
    use serde_json::Value;

    use super::*;
    use crate::actions::Act;
    use crate::events::{Outcome, Trigger};
    use crate::operator::authorization::Role;
    use crate::operator::crl_status::{CrlStatus, LastError, State};
    use crate::operator::desk::ActionPage;
    use crate::operator::event_page::EventPage;
    use crate::operator::issuers::{IssuerPage, IssuerStatus};
    use crate::operator::{OperatorRoute, Target};
    use crate::problem::EdgeError;
    use crate::registry::{JobState, Listed, RefreshJob, Summary};
    use crate::routes::{Handler, route};
    use crate::tables::CandidateStatus;
    use crate::tables::testing::{action, event};
    use crate::time::Rfc3339;

    fn document() -> Value {
        serde_json::from_str(DOCUMENT).unwrap()
    }

    /// A path with values for its parameters.
    fn sample(path: &str) -> String {
        path.replace("{id}", "a").replace("{name}", "full")
    }

    fn names(object: &Value) -> BTreeSet<String> {
        object.as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn every_path_of_the_document_is_a_call_with_that_method() {
        for (path, methods) in document()["paths"].as_object().unwrap() {
            let path = sample(path);
            for method in names(methods) {
                let found = route(&method.to_uppercase(), &path);
                let is_call = matches!(
                    found,
                    Ok((_, Handler::Operator(OperatorRoute(Target::Api(_)))))
                );
                assert!(is_call, "{method} {path}");
            }
        }
    }

    #[test]
    fn every_parameter_of_the_document_is_taken_and_no_other() {
        for (path, methods) in document()["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let listed: Vec<_> = operation["parameters"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter(|parameter| parameter["in"] == "query")
                    .map(|parameter| parameter["name"].as_str().unwrap())
                    .collect();
                let method = method.to_uppercase();
                let found = route(&method, &sample(path));
                let Ok((_, Handler::Operator(OperatorRoute(Target::Api(endpoint))))) = found else {
                    panic!("{method} {path}")
                };
                let wrong = [("unheard-of".to_owned(), String::new())];
                let error = endpoint
                    .call(&method, Role::Operator, &wrong, None)
                    .unwrap_err();
                let EdgeError::BadParameter { problem, .. } = error else {
                    panic!("{path}")
                };
                let taken = problem.split_once("this call takes ").unwrap().1;
                let taken: Vec<_> = taken.split(", ").filter(|name| *name != "none").collect();
                assert_eq!(
                    taken.iter().collect::<BTreeSet<_>>(),
                    listed.iter().collect(),
                    "{path}"
                );
            }
        }
    }

    #[test]
    fn every_answer_has_the_fields_of_its_schema() {
        let fields =
            |schema: &str| names(&document()["components"]["schemas"][schema]["properties"]);
        let check =
            |schema: &str, value: Value| assert_eq!(names(&value), fields(schema), "{schema}");
        let issuer = IssuerStatus::of_rows(
            "a".parse().unwrap(),
            &Listed::default(),
            vec![],
            crate::tables::testing::NOW,
        );
        check("Event", json(event(1)));
        let finding = crate::events::EventFinding {
            code: String::new(),
            count: 1,
            example: Some(String::new()),
        };
        check("Finding", json(finding));
        let candidate = CandidateStatus {
            sha256: crate::refresh::Sha256([0; 32]),
            code: String::new(),
            number: None,
            revoked_count: 0,
            refused_at: Rfc3339(crate::tables::testing::NOW),
            missing: Vec::new(),
        };
        check("Candidate", json(candidate));
        let action = action(1);
        check("Action", json(&action));
        let page = ActionPage {
            actions: vec![action],
            next_cursor: None,
        };
        check("ActionPage", json(page));
        check("EventPage", json(EventPage::of(vec![], 1)));
        check("CrlStatus", json(CrlStatus::absent(CrlName::Full)));
        check("IssuerStatus", json(issuer.clone()));
        check(
            "IssuerPage",
            json(IssuerPage {
                issuers: vec![issuer],
                next_cursor: None,
            }),
        );
        check(
            "LastError",
            json(LastError {
                code: String::new(),
                message: String::new(),
                at: None,
            }),
        );
        check("Summary", json(Summary::default()));
        let now = Rfc3339(crate::tables::testing::NOW);
        check(
            "RefreshJob",
            json(RefreshJob {
                id: event(1).id,
                state: JobState::Waiting,
                requested_at: now,
                started_at: None,
                finished_at: None,
                summary: Summary::default(),
            }),
        );
        check("Problem", json(EdgeError::NotFound.problem()));
    }

    #[test]
    fn every_choice_is_named() {
        let choices = |schema: &str| document()["components"]["schemas"][schema]["enum"].clone();
        assert_eq!(choices("State"), json(State::ALL));
        assert_eq!(choices("Act"), json(Act::ALL));
        assert_eq!(choices("JobState"), json(JobState::ALL));
        assert_eq!(choices("Outcome"), json(Outcome::ALL));
        assert_eq!(choices("Trigger"), json(Trigger::ALL));
    }

    fn json(value: impl Serialize) -> Value {
        serde_json::to_value(value).unwrap()
    }
}
