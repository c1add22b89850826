//! Runs the tables: requests, and the answers that RFC 9110 and RFC 9111 ask for, as text that a
//! reader can check.
//!
//! A table begins with comments (`#`) and `key value` lines: the head, the settings, and `now`.
//! Then come cases:
//!
//! ```text
//! --- what is shown (RFC and section)
//! with now 2026-11-17T12:00:00Z        any of the table's keys, for this case alone
//! GET /crl/demo.crl
//! If-None-Match: {etag}                {etag} and {pem-etag} are the tags, [[3 of a,]] is a,a,a,
//! -> 304 none                          status; body: none, whole, first-last, a code, or a text
//! ETag: {etag}                         these headers; with `-> 304 none exactly`, no others
//! Content-Range: (absent)             or (any)
//! ```
//!
//! Headers of the same name are joined by `, `, as the platform does. For each GET, HEAD is tried
//! as well: it is answered as GET without its range, and without a body.

use std::time::Duration;

use chrono::DateTime;
use crl::UnixTime;
use origin_api::Problem;

use super::decision::decide;
use super::{Policy, Validity, health, preflight};
use crate::http::{Answer, Body, Method};
use crate::problem::EdgeError;
use crate::refresh::head::Head;
use crate::routes::{Handler, route};
use crate::time::Timestamp;

/// A head for tests: a week's validity that begins on 2026-11-16.
pub(crate) fn head() -> Head {
    Head {
        number: "1".parse().unwrap(),
        sha256: "0".repeat(64).parse().unwrap(),
        size: 1000,
        this_update: UnixTime(1_794_787_200),
        next_update: UnixTime(1_795_392_000),
        refresh_after: Timestamp::from_millis(1_795_192_416_000),
        committed_at: Timestamp::from_millis(1_794_787_201_000),
        entry_count: 10,
    }
}

#[test]
fn conditional_requests() {
    run("conditions.txt", include_str!("tables/conditions.txt"));
}

#[test]
fn ranges() {
    run("ranges.txt", include_str!("tables/ranges.txt"));
}

#[test]
fn freshness() {
    run("freshness.txt", include_str!("tables/freshness.txt"));
}

#[test]
fn encodings_and_methods() {
    run("encodings.txt", include_str!("tables/encodings.txt"));
}

#[test]
fn hostile_requests() {
    run("hostile.txt", include_str!("tables/hostile.txt"));
}

fn run(file: &str, text: &str) {
    let (preface, cases) = text.split_once("\n--- ").expect("a table has cases");
    let mut setting = Setting::default();
    for line in lines(preface).filter(|line| !line.starts_with('#')) {
        setting.set(line);
    }
    let failures: Vec<String> = cases
        .split("\n--- ")
        .filter_map(|case| {
            let (name, case) = case.split_once('\n').expect("a case has lines");
            let case = Case::parse(case, setting.clone());
            let differences = [case.differences(), case.head_differences()].concat();
            (!differences.is_empty())
                .then(|| format!("{file}: {name}\n    {}", differences.join("\n    ")))
        })
        .collect();
    assert!(failures.is_empty(), "\n{}\n", failures.join("\n"));
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

/// What a request meets.
#[derive(Clone)]
struct Setting {
    head: Head,
    policy: Policy,
    now: Timestamp,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            head: head(),
            policy: Policy {
                max_age: Duration::from_hours(1),
                clock_skew: Duration::from_mins(5),
                serve_expired: false,
            },
            now: Timestamp::from_millis(0),
        }
    }
}

impl Setting {
    fn set(&mut self, line: &str) {
        let (key, value) = line.split_once(char::is_whitespace).expect(line);
        let value = value.trim();
        let moment = || {
            let moment = DateTime::parse_from_rfc3339(value).expect(line);
            Timestamp::from_millis(moment.timestamp_millis())
        };
        let seconds = || Duration::from_secs(value.parse().expect(line));
        match key {
            "number" => self.head.number = value.parse().expect(line),
            "sha256" => self.head.sha256 = value.parse().expect(line),
            "size" => self.head.size = value.parse().expect(line),
            "this-update" => self.head.this_update = moment().as_unix_time(),
            "committed" => self.head.committed_at = moment(),
            "next-update" => self.head.next_update = moment().as_unix_time(),
            "refresh-after" => self.head.refresh_after = moment(),
            "MAX_AGE_SECONDS" => self.policy.max_age = seconds(),
            "CLOCK_SKEW_SECONDS" => self.policy.clock_skew = seconds(),
            "SERVE_EXPIRED" => self.policy.serve_expired = value.parse().expect(line),
            "now" => self.now = moment(),
            _ => panic!("no such key: {line}"),
        }
    }

    /// Puts in what a table's placeholders stand for.
    fn fill(&self, text: &str) -> String {
        let sha256 = self.head.sha256;
        let mut text = text
            .replace("{etag}", &format!("\"{sha256}\""))
            .replace("{pem-etag}", &format!("\"{sha256}-pem\""));
        while let Some((before, after)) = text.split_once("[[") {
            let (repeat, after) = after.split_once("]]").expect(before);
            let (times, what) = repeat.split_once(" of ").expect(repeat);
            let repeated = what.repeat(times.parse().expect(repeat));
            text = [before, &repeated, after].concat();
        }
        text
    }
}

struct Case {
    setting: Setting,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    status_and_body: String,
    exactly: bool,
    expected: Vec<(String, String)>,
}

impl Case {
    fn parse(text: &str, mut setting: Setting) -> Self {
        let (request, response) = text.split_once("\n-> ").expect(text);
        let mut request = lines(request).peekable();
        while let Some(line) = request.next_if(|line| line.starts_with("with ")) {
            setting.set(&line[5..]);
        }
        let header = |line: &str| {
            let (name, value) = line.split_once(':').expect(line);
            (name.to_owned(), setting.fill(value.trim()))
        };
        let request_line = setting.fill(request.next().expect(text));
        let (method, path) = request_line.split_once(' ').expect(text);
        let headers = request.map(header).collect();
        let mut response = lines(response);
        let expected = response.next().expect(text);
        let status_and_body = expected.trim_end_matches(" exactly");
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            headers,
            status_and_body: status_and_body.to_owned(),
            exactly: expected != status_and_body,
            expected: response.map(header).collect(),
            setting,
        }
    }

    /// The answer, as the platform would be given it; none where the path is not public.
    fn answer(&self, method: &str, without: &[&str]) -> Option<Answer> {
        let header = |name: &str| {
            let values: Vec<&str> = self
                .headers
                .iter()
                .filter(|(key, _)| key.eq_ignore_ascii_case(name) && !without.contains(&name))
                .map(|(_, value)| value.as_str())
                .collect();
            (!values.is_empty()).then(|| values.join(", "))
        };
        let Setting { head, policy, now } = &self.setting;
        match route(method, &self.path) {
            Ok((Method::Options, Handler::Crl { .. } | Handler::Health)) => Some(preflight()),
            Ok((method, Handler::Crl { encoding, .. })) => {
                let validity = Validity::of(head, *now, policy.clock_skew);
                Some(decide(method, header, head, validity, encoding, policy, *now).answer())
            }
            Ok((method, Handler::Health)) => Some(health(method, &[])),
            Ok((_, Handler::Operator(_))) | Err(EdgeError::NotFound) => None,
            Err(error) => Some(error.answer()),
        }
    }

    fn differences(&self) -> Vec<String> {
        let Some(answer) = self.answer(&self.method, &[]) else {
            return difference("answer", &self.status_and_body, "not public");
        };
        let status_and_body = format!("{} {}", answer.status, shown(&answer.body));
        let mut differences = difference("answer", &self.status_and_body, &status_and_body);
        for (name, expected) in &self.expected {
            let value = answer.header(name).unwrap_or("(absent)");
            if expected != "(any)" || value == "(absent)" {
                differences.extend(difference(name, expected, value));
            }
        }
        if self.exactly {
            for (name, value) in &answer.headers {
                if !self.expected.iter().any(|(expected, _)| expected == name) {
                    differences.extend(difference(name, "(absent)", value));
                }
            }
        }
        differences
    }

    /// HEAD equals GET without the body, and knows no ranges (RFC 9110, sections 9.3.2 and 14.2).
    fn head_differences(&self) -> Vec<String> {
        if self.method != "GET" {
            return Vec::new();
        }
        let get = self.answer("GET", &["Range"]).map(Answer::without_body);
        let head = self.answer("HEAD", &[]);
        if get == head {
            return Vec::new();
        }
        difference("HEAD beside GET", &format!("{get:?}"), &format!("{head:?}"))
    }
}

fn difference(what: &str, expected: &str, actual: &str) -> Vec<String> {
    if expected == actual {
        return Vec::new();
    }
    vec![
        format!("{what}"),
        format!("  - {expected}"),
        format!("  + {actual}"),
    ]
}

fn shown(body: &Body) -> String {
    match body {
        Body::None => "none".to_owned(),
        Body::Whole => "whole".to_owned(),
        Body::Part(part) => format!("{}-{}", part.first, part.last()),
        Body::Text(text) => serde_json::from_str::<Problem>(text)
            .map_or_else(|_| format!("{text:?}"), |problem| problem.code.into_owned()),
    }
}
