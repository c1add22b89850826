//! The real edge: `cargo xtask edge` with its own port and state folder.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{fs, thread};

use reqwest::{Method, RequestBuilder, Response};
use tempfile::TempDir;

use crate::database::Database;
use crate::kv::Kv;
use crate::{port, program, suite};

/// `ORIGIN_TOKEN`: the edge presents it to the origin.
pub const ORIGIN_TOKEN: &str = "the-origins-token";
/// `OPERATOR_TOKEN`: operators present it to the edge.
pub const OPERATOR_TOKEN: &str = "the-operators-token";
/// `HOOK_TOKEN`: the origin presents it to the edge after a revocation.
pub const HOOK_TOKEN: &str = "the-hooks-own-token";

/// Builder of an [`Edge`].
pub struct Start {
    origin_url: String,
    vars: Vec<(String, String)>,
    port: u16,
    script: Option<PathBuf>,
    xtask: Option<PathBuf>,
    state: TempDir,
}

impl Start {
    /// An edge in front of the origin at this URL, with all tokens set and a registry TTL of one
    /// second.
    #[must_use]
    pub fn new(origin_url: &str) -> Self {
        let start = Self {
            origin_url: origin_url.to_owned(),
            vars: Vec::new(),
            port: port::free(),
            script: None,
            xtask: None,
            state: TempDir::with_prefix("crl-edge-").expect("a temporary folder"),
        };
        start
            .var("ORIGIN_TOKEN", ORIGIN_TOKEN)
            .var("OPERATOR_TOKEN", OPERATOR_TOKEN)
            .var("HOOK_TOKEN", HOOK_TOKEN)
            .var("REGISTRY_TTL_SECONDS", "1")
            .var("FAST_PATH", &suite::has_fast_path().to_string())
    }

    /// Adds a setting; of two with the same name the later one counts.
    #[must_use]
    pub fn var(mut self, key: &str, value: &str) -> Self {
        self.vars.retain(|(known, _)| known != key);
        self.vars.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Runs a script that wraps the Worker instead of the Worker itself.
    #[must_use]
    pub fn script(mut self, script: &Path) -> Self {
        self.script = Some(script.to_owned());
        self
    }

    /// Runs the edge of another checkout, by its xtask.
    #[must_use]
    pub fn xtask(mut self, xtask: &Path) -> Self {
        self.xtask = Some(xtask.to_owned());
        self
    }

    /// Changes the origin, for an edge that is started again.
    #[must_use]
    pub fn origin_url(mut self, origin_url: &str) -> Self {
        origin_url.clone_into(&mut self.origin_url);
        self
    }

    /// The URL of this path, for certificates that name it before the edge runs.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The folder that holds KV, D1 and the Durable Objects.
    #[must_use]
    pub fn state(&self) -> &Path {
        self.state.path()
    }

    /// The event table.
    #[must_use]
    pub fn database(&self) -> Database {
        Database::in_folder(&self.state().join("v3/d1/miniflare-D1DatabaseObject"))
    }

    /// The KV namespace.
    #[must_use]
    pub fn kv(&self) -> Kv {
        Kv::in_state(self.state())
    }

    /// Starts the edge and waits until it answers.
    pub async fn start(self) -> Edge {
        tokio::task::spawn_blocking(|| Edge::start(self))
            .await
            .expect("an edge")
    }
}

/// A running edge. Dropping it ends all of its processes.
pub struct Edge {
    process_group: u32,
    client: reqwest::Client,
    /// Closing it ends the edge, which also happens if this program is killed.
    stdin: Option<ChildStdin>,
    xtask: Child,
    /// The builder it was started from, which owns the state folder.
    start: Option<Start>,
}

impl Edge {
    fn start(start: Start) -> Self {
        let xtask = start.xtask.clone();
        let mut command = Command::new(xtask.unwrap_or_else(|| program::path("xtask")));
        command
            .args([
                "edge",
                "--until-stdin-closes",
                "--test-scheduled",
                "--origin-url",
                &start.origin_url,
            ])
            .args(["--port", &start.port.to_string(), "--state"])
            .arg(start.state.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(script) = &start.script {
            command.arg("--script").arg(script);
        }
        for (key, value) in &start.vars {
            command.args(["--var", &format!("{key}={value}")]);
        }
        let mut xtask = command.spawn().expect("xtask");
        let lines = lines_of(&mut xtask);
        let mut printed = String::new();
        let process_group = loop {
            match lines.recv_timeout(Duration::from_mins(5)) {
                Ok(line) if line.starts_with("ready") => break process_group_in(&line),
                Ok(line) => printed = printed + &line + "\n",
                Err(error) => {
                    let _ = xtask.kill();
                    let _ = xtask.wait();
                    panic!("the edge does not start ({error}); it printed\n{printed}");
                }
            }
        };
        let client = crate::client()
            .timeout(Duration::from_mins(2))
            .build()
            .expect("an HTTP client");
        let stdin = xtask.stdin.take();
        Self {
            process_group,
            client,
            stdin,
            xtask,
            start: Some(start),
        }
    }

    /// The URL of this path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        self.started_with().url(path)
    }

    /// The process group of the edge.
    #[must_use]
    pub fn process_group(&self) -> u32 {
        self.process_group
    }

    /// A request by a relying party, not sent yet.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path))
    }

    /// Sends GET as a relying party.
    pub async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path)
            .send()
            .await
            .expect("an answer")
    }

    /// Sends a request with the operator's token.
    pub async fn operate(&self, method: Method, path: &str) -> Response {
        self.request(method, path)
            .bearer_auth(OPERATOR_TOKEN)
            .send()
            .await
            .expect("an answer")
    }

    /// Refreshes all CRLs of an issuer through the operators' API.
    pub async fn refresh(&self, issuer: &str) -> Response {
        self.operate(Method::POST, &format!("/v1/issuers/{issuer}/refresh"))
            .await
    }

    /// Trusts the changed certificate with this SHA-256.
    pub async fn trust(&self, issuer: &str, sha256: &str) -> Response {
        self.request(Method::POST, &format!("/v1/issuers/{issuer}/trust"))
            .bearer_auth(OPERATOR_TOKEN)
            .body(format!(r#"{{"sha256":"{sha256}"}}"#))
            .send()
            .await
            .expect("an answer")
    }

    /// Accepts the refused CRL with this SHA-256.
    pub async fn accept(&self, issuer: &str, name: &str, sha256: &str) -> Response {
        let path = format!("/v1/issuers/{issuer}/crls/{name}/accept");
        self.request(Method::POST, &path)
            .bearer_auth(OPERATOR_TOKEN)
            .body(format!(r#"{{"sha256":"{sha256}"}}"#))
            .send()
            .await
            .expect("an answer")
    }

    /// Fires the cron trigger and waits for its handler to return.
    pub async fn tick(&self) -> Response {
        self.get("/cdn-cgi/handler/scheduled").await
    }

    /// D1.
    #[must_use]
    pub fn database(&self) -> Database {
        self.started_with().database()
    }

    /// The storage of the issuer's Durable Object, on an edge with a single issuer.
    #[must_use]
    pub fn object(&self) -> Database {
        Database::in_folder(&self.state().join("v3/do/crl-edge-IssuerObject"))
    }

    /// The KV namespace.
    #[must_use]
    pub fn kv(&self) -> Kv {
        self.started_with().kv()
    }

    /// The folder that holds KV, D1 and the Durable Objects.
    #[must_use]
    pub fn state(&self) -> &Path {
        self.started_with().state()
    }

    /// The log of the Worker and of wrangler.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.state().join("wrangler.log")
    }

    /// Stops the edge. The builder that is returned starts one on the same state.
    #[must_use]
    pub fn stop(mut self) -> Start {
        self.end();
        self.start.take().expect("only stopping takes it")
    }

    /// Kills the edge with SIGKILL. The builder that is returned starts one on the same state.
    #[must_use]
    pub fn kill(mut self) -> Start {
        let killed = Command::new("kill")
            .args(["-KILL", "--", &format!("-{}", self.process_group)])
            .status();
        assert!(
            killed.is_ok_and(|status| status.success()),
            "cannot kill the edge"
        );
        self.end();
        self.start.take().expect("only stopping takes it")
    }

    fn started_with(&self) -> &Start {
        self.start.as_ref().expect("only stopping takes it")
    }

    fn end(&mut self) {
        drop(self.stdin.take());
        let _ = self.xtask.wait();
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.end();
    }
}

/// The lines that a child process prints. The channel closes when the process ends.
fn lines_of(child: &mut Child) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    let stdout = child
        .stdout
        .take()
        .map(|stream| Box::new(stream) as Box<dyn std::io::Read + Send>);
    let stderr = child
        .stderr
        .take()
        .map(|stream| Box::new(stream) as Box<dyn std::io::Read + Send>);
    for stream in [stdout, stderr].into_iter().flatten() {
        let sender = sender.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                // Keep reading without a receiver, or the child would block on a full pipe.
                let _ = sender.send(line);
            }
        });
    }
    receiver
}

/// Parses `ready on URL (process group N)`.
fn process_group_in(line: &str) -> u32 {
    line.rsplit_once("process group ")
        .and_then(|(_, number)| number.trim_end_matches(')').parse().ok())
        .unwrap_or_else(|| panic!("no process group in {line:?}"))
}
