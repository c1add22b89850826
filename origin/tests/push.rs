//! The edge is told of revocations.

mod harness;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use harness::Origin;

/// An edge that answers with these statuses, in turn, and then with 200; what it is asked.
fn edge(statuses: &'static [u16]) -> (String, Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (asked, questions) = channel();
    std::thread::spawn(move || {
        let mut statuses = statuses.iter();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap())
                .lines()
                .map(Result::unwrap);
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let authorization = head
                .iter()
                .find(|line| line.to_lowercase().starts_with("authorization:"));
            let status = statuses.next().unwrap_or(&200);
            let answer = format!(
                "HTTP/1.1 {status} X\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"
            );
            stream.write_all(answer.as_bytes()).unwrap();
            if asked
                .send((head[0].clone(), authorization.cloned().unwrap_or_default()))
                .is_err()
            {
                return;
            }
        }
    });
    (url, questions)
}

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_revocation_is_told_once_however_it_was_made() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    let (url, questions) = edge(&[]);
    let server = origin.serve_with(&["--edge", &url, "--hook-token", "hook"]);
    // A new issuer is news as well.
    let (line, authorization) = questions.recv_timeout(PATIENCE).unwrap();
    assert_eq!(line, "POST /v1/issuers/ca/refresh HTTP/1.1");
    assert!(authorization.ends_with("Bearer hook"), "{authorization}");
    // By another process.
    origin.run(&["revoke", "ca", "0a"]);
    questions.recv_timeout(PATIENCE).unwrap();
    // Over HTTP.
    let revocation = serde_json::json!({"serial": "0b"});
    assert_eq!(
        server
            .post("/v1/issuers/ca/revocations", &revocation)
            .status(),
        201
    );
    questions.recv_timeout(PATIENCE).unwrap();
    // What changes nothing is no news: the next question is another issuer's, whose turn would come later.
    origin.run(&["revoke", "ca", "0a"]);
    origin.issuer("later", "p256");
    assert!(
        questions
            .recv_timeout(PATIENCE)
            .unwrap()
            .0
            .contains("/later/")
    );
}

#[test]
fn an_edge_that_fails_is_told_again_also_by_the_next_process() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    let (url, questions) = edge(&[502, 404]);
    let server = origin.serve_with(&["--edge", &url, "--hook-token", "hook"]);
    questions.recv_timeout(PATIENCE).unwrap();
    drop(server);
    let _server = origin.serve_with(&["--edge", &url, "--hook-token", "hook"]);
    questions.recv_timeout(PATIENCE).unwrap();
    questions.recv_timeout(PATIENCE).unwrap();
    // The third attempt was heard: the next question is another issuer's, whose turn would come later.
    origin.issuer("later", "p256");
    assert!(
        questions
            .recv_timeout(PATIENCE)
            .unwrap()
            .0
            .contains("/later/")
    );
}
