use std::cell::RefCell;

use futures_executor::block_on;

use super::*;
use crate::refresh::testing::{MINUTE, NOW, settings};

/// Answers every request with the same response, and keeps what it was asked.
struct Carrier {
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    body: Vec<u8>,
    asked: RefCell<Vec<Request>>,
    logged: RefCell<Vec<serde_json::Value>>,
}

struct Answered {
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    body: Vec<u8>,
}

struct Bytes(std::io::Cursor<Vec<u8>>);

impl OriginBody for Bytes {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, OriginError> {
        let count = buffer.len().min(7);
        Ok(std::io::Read::read(&mut self.0, &mut buffer[..count]).unwrap())
    }
}

impl Response for Answered {
    type Body = Bytes;

    fn status(&self) -> u16 {
        self.status
    }

    fn header(&self, name: &str) -> Option<String> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| (*value).to_owned())
    }

    fn into_body(self) -> Bytes {
        Bytes(std::io::Cursor::new(self.body))
    }
}

impl Transport for Carrier {
    type Response = Answered;

    fn now(&self) -> Timestamp {
        NOW
    }

    async fn send(&self, request: Request) -> Result<Answered, OriginError> {
        self.asked.borrow_mut().push(request);
        Ok(Answered {
            status: self.status,
            headers: self.headers,
            body: self.body.clone(),
        })
    }

    fn log(&self, line: &serde_json::Value) {
        self.logged.borrow_mut().push(line.clone());
    }
}

fn client(
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    body: &str,
) -> OriginClient<Carrier> {
    OriginClient {
        transport: Carrier {
            status,
            headers,
            body: body.as_bytes().to_vec(),
            asked: RefCell::default(),
            logged: RefCell::default(),
        },
        settings: Rc::new(settings(&[])),
        page_size: 2,
    }
}

fn id() -> IssuerId {
    "demo".parse().unwrap()
}

const CRL: &[(&str, &str)] = &[("content-type", CRL_MEDIA_TYPE)];

/// The CRL's bytes and watermark, or why there is none.
type Asked = Result<OriginAnswer<(Vec<u8>, Option<u64>)>, OriginError>;

/// What an answer with this head and body means to one who asked for a CRL.
fn crl_of(status: u16, headers: &'static [(&'static str, &'static str)], body: &str) -> Asked {
    let client = client(status, headers, body);
    let request = CrlRequest::default();
    block_on(async {
        Ok(match client.crl(&id(), CrlName::Full, &request).await? {
            OriginAnswer::Crl(OriginCrl { body, watermark }) => {
                OriginAnswer::Crl((body.0.into_inner(), watermark))
            }
            OriginAnswer::Unchanged => OriginAnswer::Unchanged,
            OriginAnswer::NothingToPublish => OriginAnswer::NothingToPublish,
        })
    })
}

#[test]
fn each_status_has_its_meaning() {
    let crl = crl_of(200, CRL, "der").unwrap();
    assert!(matches!(crl, OriginAnswer::Crl((body, None)) if body == b"der"));
    assert!(matches!(
        crl_of(204, &[], ""),
        Ok(OriginAnswer::NothingToPublish)
    ));
    assert!(matches!(crl_of(304, &[], ""), Ok(OriginAnswer::Unchanged)));
    for status in [201, 206, 301, 400, 401, 403, 404, 429, 500, 503] {
        let refused = crl_of(status, CRL, "der").unwrap_err();
        assert_eq!(refused, refused_with(status, None));
    }
}

fn refused_with(status: u16, retry_after: Option<Duration>) -> OriginError {
    OriginError::Status {
        status,
        retry_after,
    }
}

#[test]
fn only_503_with_the_code_state_lost_says_that_state_is_lost() {
    let lost = r#"{"code":"state_lost","detail":"restored from a backup"}"#;
    let retry_after = Some(MINUTE);
    let refused = crl_of(503, &[("retry-after", "60")], lost).unwrap_err();
    assert_eq!(refused, OriginError::StateLost { retry_after });
    for (status, body) in [
        (503, r#"{"code":"busy"}"#),
        (503, "state_lost"),
        (500, lost),
    ] {
        let refused = crl_of(status, &[("retry-after", "60")], body).unwrap_err();
        assert_eq!(refused, refused_with(status, retry_after));
    }
}

#[test]
fn a_time_to_wait_is_in_seconds_or_a_date() {
    let wait = |headers| crl_of(429, headers, "").unwrap_err().retry_after();
    assert_eq!(
        wait(&[("retry-after", " 120 ")]),
        Some(Duration::from_mins(2))
    );
    // NOW is 2027-01-15T08:00:00Z.
    let at = wait(&[("retry-after", "Fri, 15 Jan 2027 08:01:30 GMT")]);
    assert_eq!(at, Some(Duration::from_secs(90)));
    let past = wait(&[("retry-after", "Fri, 15 Jan 2027 07:00:00 GMT")]);
    assert_eq!(past, Some(Duration::ZERO));
    assert_eq!(wait(&[("retry-after", "soon")]), None);
    assert_eq!(wait(&[]), None);
}

#[test]
fn a_crl_has_its_media_type_and_may_have_a_watermark() {
    let crl = crl_of(
        200,
        &[
            ("content-type", "Application/PKIX-CRL; version=2"),
            ("revocation-watermark", " 7 "),
        ],
        "der",
    );
    assert!(matches!(crl, Ok(OriginAnswer::Crl((_, Some(7))))));
    let html = crl_of(200, &[("content-type", "text/html")], "der").unwrap_err();
    assert_eq!(
        html,
        OriginError::WrongContentType(Some("text/html".to_owned()))
    );
    let none = crl_of(200, &[], "der").unwrap_err();
    assert_eq!(none, OriginError::WrongContentType(None));
}

#[test]
fn an_origin_without_evidence_is_not_one_that_fails() {
    let ask = |status, body: &str| {
        let client = client(status, &[], body);
        block_on(client.departed(&id(), CrlName::Full, &["0a"]))
    };
    for status in [404, 405, 501] {
        assert_eq!(ask(status, ""), Ok(None));
    }
    let explained = ask(200, r#"{"departed":[{"serial":"0a","because":"expired"}]}"#);
    assert_eq!(explained.unwrap().unwrap().len(), 1);
    assert!(matches!(
        ask(500, ""),
        Err(OriginError::Status { status: 500, .. })
    ));
    assert!(matches!(
        ask(200, "{"),
        Err(OriginError::MalformedRecord(_))
    ));
}

#[test]
fn an_unknown_issuer_is_no_failure() {
    let ask = |status, body: &str| block_on(client(status, &[], body).issuer(&id()));
    assert_eq!(ask(404, ""), Ok(None));
    let record = r#"{"id":"demo","certificate":"AQID","crls":[]}"#;
    assert_eq!(ask(200, record).unwrap().unwrap().id, id());
    assert!(matches!(
        ask(200, "[]"),
        Err(OriginError::MalformedRecord(_))
    ));
    assert!(matches!(
        ask(502, ""),
        Err(OriginError::Status { status: 502, .. })
    ));
}

#[test]
fn json_is_read_up_to_its_limit_and_no_further() {
    let padded = |json: &str, length: usize| json.to_owned() + &" ".repeat(length - json.len());
    let ends = |limit: usize, json: &str, ask: &dyn Fn(&str) -> Result<(), OriginError>| {
        assert_eq!(ask(&padded(json, limit)), Ok(()), "{json}");
        let larger = ask(&padded(json, limit + 1));
        let Err(OriginError::MalformedRecord(why)) = larger else {
            panic!("{json}: {larger:?}");
        };
        assert_eq!(why, format!("it has more than {limit} bytes"));
    };
    let record = r#"{"id":"demo","certificate":"AQID","crls":[]}"#;
    ends(LARGEST_RECORD, record, &|body| {
        block_on(client(200, &[], body).issuer(&id())).map(|_| ())
    });
    ends(LARGEST_DEPARTED, r#"{"departed":[]}"#, &|body| {
        block_on(client(200, &[], body).departed(&id(), CrlName::Full, &[])).map(|_| ())
    });
    ends(LARGEST_PAGE, r#"{"issuers":[]}"#, &|body| {
        block_on(client(200, &[], body).page(None)).map(|_| ())
    });
    let is_understood = |length| {
        let lost = padded(r#"{"code":"state_lost"}"#, length);
        let refused = crl_of(503, &[], &lost).unwrap_err();
        matches!(refused, OriginError::StateLost { .. })
    };
    assert!(is_understood(LARGEST_PROBLEM));
    assert!(!is_understood(LARGEST_PROBLEM + 1));
}

#[test]
fn a_record_that_cannot_be_read_does_not_hide_the_others() {
    let page = r#"{"issuers":[{"id":"bad"},{"id":"demo","certificate":"AQID","crls":[]}],
        "next_cursor":"a b"}"#;
    let client = client(200, &[], page);
    let (issuers, next) = block_on(client.page(Some("x&y"))).unwrap();
    assert_eq!(issuers.len(), 1);
    assert_eq!(next.as_deref(), Some("a b"));
    assert_eq!(client.transport.logged.borrow()[0]["id"], "bad");
    let asked = client.transport.asked.borrow();
    assert!(
        asked[0].url.ends_with("/v1/issuers?limit=2&cursor=x%26y"),
        "{asked:?}"
    );
}

#[test]
fn what_is_held_is_said() {
    let client = client(304, &[], "");
    let held = crate::refresh::HeldCrl {
        sha256: crate::refresh::Sha256([0x5a; 32]),
        number: 9.into(),
        watermark: Some(4),
    };
    let request = CrlRequest {
        held: Some(held),
        new_crl: true,
    };
    let asked = block_on(client.crl(&id(), CrlName::Full, &request));
    assert!(matches!(asked, Ok(OriginAnswer::Unchanged)));
    let asked = client.transport.asked.borrow();
    let headers = serde_json::json!(asked[0].headers);
    assert_eq!(headers["if-none-match"], format!("\"{}\"", "5a".repeat(32)));
    assert_eq!(headers["crl-number"], "9");
    assert_eq!(headers["revocation-watermark"], "4");
    assert_eq!(headers["cache-control"], "no-cache");
    assert!(
        headers["authorization"]
            .as_str()
            .unwrap()
            .starts_with("Bearer ")
    );
    assert_eq!(asked[0].method, "POST");
}
