//! After a revocation the edge is asked to refresh.

mod harness;

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use end_to_end::{OpensslAuthority, Skipped};
use rusqlite::Connection;

use harness::{Origin, Server};

/// A request to a stand-in for the edge.
struct Asked {
    line: String,
    authorization: String,
}

/// A stand-in for the edge: `answer` gives the response to each request, by its line, on a thread
/// of its own.
fn edge(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> (String, Receiver<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (asked, questions) = channel();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, asked) = (stream.unwrap(), asked.clone());
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || serve(stream, &*answer, &asked));
        }
    });
    (url, questions)
}

fn serve(mut stream: TcpStream, answer: &dyn Fn(&str) -> String, asked: &Sender<Asked>) {
    let lines = BufReader::new(stream.try_clone().unwrap())
        .lines()
        .map_while(Result::ok);
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let Some(line) = head.first().cloned() else {
        return;
    };
    let authorization = head
        .iter()
        .find(|line| line.to_lowercase().starts_with("authorization:"));
    let _ = asked.send(Asked {
        line: line.clone(),
        authorization: authorization.cloned().unwrap_or_default(),
    });
    let _ = stream.write_all(answer(&line).as_bytes());
}

/// A response with that status, further headers and body.
fn response(status: u16, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n{headers}Connection: close\r\n\r\n{body}",
        body.len()
    )
}

/// The edge's answer to a refresh that succeeded.
fn refreshed() -> String {
    response(
        200,
        "Content-Type: application/json\r\n",
        r#"{"events":[]}"#,
    )
}

/// Answers with these statuses, in turn, and then with success.
fn statuses(statuses: &'static [u16]) -> impl Fn(&str) -> String + Send + Sync + 'static {
    let count = AtomicUsize::new(0);
    move |_| {
        let status = statuses.get(count.fetch_add(1, Ordering::SeqCst));
        status.map_or_else(refreshed, |status| response(*status, "", "{}"))
    }
}

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_revocation_is_pushed_once_however_it_was_made() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    let (url, questions) = edge(statuses(&[]));
    let server = origin.serve_with(&["--edge", &url, "--hook-token", "hook"]);
    // A new issuer is news as well.
    let first = questions.recv_timeout(PATIENCE).unwrap();
    assert_eq!(first.line, "POST /v1/issuers/ca/refresh HTTP/1.1");
    assert!(first.authorization.ends_with("Bearer hook"));
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
    // What changes nothing is no news: the next question is another issuer's, whose turn would come
    // later.
    origin.run(&["revoke", "ca", "0a"]);
    origin.issuer("later", "p256");
    assert!(
        questions
            .recv_timeout(PATIENCE)
            .unwrap()
            .line
            .contains("/later/")
    );
}

#[test]
fn a_push_that_fails_is_repeated_also_by_the_next_process() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    let (url, questions) = edge(statuses(&[502, 404]));
    let server = origin.serve_with(&["--edge", &url, "--hook-token", "hook"]);
    questions.recv_timeout(PATIENCE).unwrap();
    drop(server);
    let _server = origin.serve_with(&["--edge", &url, "--hook-token", "hook"]);
    questions.recv_timeout(PATIENCE).unwrap();
    questions.recv_timeout(PATIENCE).unwrap();
    // The third attempt was heard: the next question is another issuer's, whose turn would come
    // later.
    origin.issuer("later", "p256");
    assert!(
        questions
            .recv_timeout(PATIENCE)
            .unwrap()
            .line
            .contains("/later/")
    );
}

/// A proxy's login page answers 200 to anything: the push counts as failed, and is repeated.
#[test]
fn a_login_page_is_no_success() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    let (url, questions) = edge({
        let count = AtomicUsize::new(0);
        move |_| match count.fetch_add(1, Ordering::SeqCst) {
            0 => response(200, "Content-Type: text/html\r\n", "<h1>Log in</h1>"),
            1 => response(200, "Content-Type: application/json\r\n", "{}"),
            _ => refreshed(),
        }
    });
    let _server = origin.serve_with(&["--edge", &url, "--hook-token", "hook"]);
    for _ in 0..3 {
        questions.recv_timeout(PATIENCE).unwrap();
    }
    origin.issuer("later", "p256");
    let next = questions.recv_timeout(PATIENCE).unwrap();
    assert!(next.line.contains("/later/"), "{}", next.line);
}

/// A redirect would carry the token to a host that nobody named.
#[test]
fn a_redirect_is_not_followed() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    let (elsewhere, strays) = edge(statuses(&[]));
    let (url, questions) = edge(move |_| {
        let location = format!("Location: {elsewhere}/v1/issuers/ca/refresh\r\n");
        response(307, &location, "")
    });
    let _server = origin.serve_with(&["--edge", &url, "--hook-token", "hook"]);
    // It counts as a failure, so it is repeated here.
    questions.recv_timeout(PATIENCE).unwrap();
    questions.recv_timeout(PATIENCE).unwrap();
    assert!(strays.try_recv().is_err());
}

/// The edge hangs for one issuer: the others' pushes do not wait for it, and its metrics say so.
#[test]
fn a_push_that_hangs_delays_no_other() {
    let origin = Origin::new();
    for id in ["a-hangs", "b", "c"] {
        origin.issuer(id, "p256");
    }
    let (release, hanging) = channel::<()>();
    let hanging = Mutex::new(hanging);
    let (url, questions) = edge(move |line| {
        if line.contains("/a-hangs/") {
            // Until the test ends.
            let _ = hanging.lock().unwrap().recv();
        }
        refreshed()
    });
    let server = origin.serve_with(&["--edge", &url, "--hook-token", "hook"]);
    let mut asked: Vec<String> = (0..3)
        .map(|_| questions.recv_timeout(PATIENCE).unwrap().line)
        .collect();
    asked.sort();
    assert!(
        asked[1].contains("/b/") && asked[2].contains("/c/"),
        "{asked:?}"
    );
    origin.run(&["revoke", "c", "0a"]);
    assert!(
        questions
            .recv_timeout(PATIENCE)
            .unwrap()
            .line
            .contains("/c/")
    );
    shows(&server, "crl_origin_pushes_running 1");
    shows(&server, "crl_origin_pushes_waiting 1");
    drop(release);
}

/// The edge hangs for a thousand issuers. A certificate of one more is revoked.
#[test]
fn a_fresh_revocation_does_not_wait_for_a_thousand_pushes_that_hang() {
    let origin = Origin::new();
    origin.issuer("fresh", "p256");
    let (release, hanging) = channel::<()>();
    let hanging = Mutex::new(hanging);
    let (url, questions) = edge(move |line| {
        if line.contains("/waits-") {
            // Until the test ends.
            let _ = hanging.lock().unwrap().recv();
        }
        refreshed()
    });
    let server = origin.serve_with(&["--edge", &url, "--hook-token", "hook"]);
    while !is_for(&questions, "fresh") {}
    let database = Connection::open(origin.path("origin.db")).unwrap();
    let waiting = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
        INSERT INTO issuers (id, certificate, connector, watermark, created_at, profile)
        SELECT 'waits-' || i, certificate, '{\"kind\":\"external\"}', 1, created_at, profile
        FROM issuers, n WHERE id = 'fresh'";
    database.execute(waiting, []).unwrap();
    // As many as run at once; the others wait.
    shows(&server, "crl_origin_pushes_running 256");
    shows(&server, "crl_origin_pushes_waiting 1000");
    origin.run(&["revoke", "fresh", "0a"]);
    while !is_for(&questions, "fresh") {}
    drop(release);
}

/// Whether the next question is about that issuer.
fn is_for(questions: &Receiver<Asked>, issuer: &str) -> bool {
    let question = questions.recv_timeout(PATIENCE).unwrap();
    question.line.contains(&format!("/{issuer}/"))
}

/// A CA's directory hangs, as one on a file server that is gone: here `index.txt` is a pipe that
/// nobody writes to. Calls for other issuers are answered, and their revocations pushed.
#[cfg(unix)]
#[test]
fn a_directory_that_hangs_holds_up_its_own_issuer_alone() {
    let ca = match OpensslAuthority::start("http://crl.example/demo.crl") {
        Ok(ca) => ca,
        Err(Skipped(why)) => return println!("skipped: {why}"),
    };
    let origin = Origin::new();
    let folder = ca.folder().to_str().unwrap();
    let connect = ["issuer", "connect", "openssl", "stuck", "--directory"];
    origin.run(&[&connect[..], &[folder]].concat());
    let index = ca.folder().join("index.txt");
    std::fs::remove_file(&index).unwrap();
    let pipe = Command::new("mkfifo").arg(&index).status().unwrap();
    assert!(pipe.success());
    origin.issuer("ca", "p256");
    let (url, questions) = edge(statuses(&[]));
    let server = origin.serve_with(&["--edge", &url, "--hook-token", "hook"]);
    // As many calls as the issuer's lane has permits, and more.
    let stuck = format!("{}/v1/issuers/stuck/crls/full", server.url);
    for _ in 0..8 {
        let stuck = stuck.clone();
        std::thread::spawn(move || {
            let request = harness::agent().post(stuck);
            let _ = request
                .header("Authorization", "Bearer secret")
                .send_empty();
        });
    }
    shows(
        &server,
        "crl_origin_issuer_calls_running{issuer=\"stuck\"} 4",
    );
    shows(
        &server,
        "crl_origin_issuer_calls_waiting{issuer=\"stuck\"} 4",
    );
    for _ in 0..8 {
        assert_eq!(server.crl("ca", "full", None).status(), 200);
    }
    while !is_for(&questions, "ca") {}
    origin.run(&["revoke", "ca", "0a"]);
    while !is_for(&questions, "ca") {}
}

/// Waits until the metrics have this line.
fn shows(server: &Server, line: &str) {
    let started = Instant::now();
    loop {
        let metrics = server.get("/metrics").body_mut().read_to_string().unwrap();
        if metrics.lines().any(|found| found == line) {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "no {line} in {metrics}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
