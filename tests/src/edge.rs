//! The real edge: `cargo xtask edge` with a port and a state folder of its own.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use reqwest::{Method, RequestBuilder, Response};
use tempfile::TempDir;

use crate::{database::Database, kv::Kv, port, program};

/// What the edge shows to the origin.
pub const ORIGIN_TOKEN: &str = "the-origins-token";
/// What operators show to the edge.
pub const OPERATOR_TOKEN: &str = "the-operators-token";
/// What the origin's hook shows to the edge.
pub const HOOK_TOKEN: &str = "the-hooks-token";

/// How to start an edge.
pub struct Start {
    origin_url: String,
    vars: Vec<(String, String)>,
    port: u16,
    script: Option<PathBuf>,
    state: TempDir,
}

impl Start {
    /// In front of the origin at this URL, with all tokens set and a registry that is asked for every second.
    #[must_use]
    pub fn new(origin_url: &str) -> Self {
        let start = Self {
            origin_url: origin_url.to_owned(),
            vars: Vec::new(),
            port: port::free(),
            script: None,
            state: TempDir::with_prefix("crl-edge-").expect("a temporary folder"),
        };
        start
            .var("ORIGIN_TOKEN", ORIGIN_TOKEN)
            .var("OPERATOR_TOKEN", OPERATOR_TOKEN)
            .var("HOOK_TOKEN", HOOK_TOKEN)
            .var("REGISTRY_TTL_SECONDS", "1")
    }

    /// With one setting; a later one wins.
    #[must_use]
    pub fn var(mut self, key: &str, value: &str) -> Self {
        self.vars.retain(|(known, _)| known != key);
        self.vars.push((key.to_owned(), value.to_owned()));
        self
    }

    /// A script that wraps the Worker, instead of the Worker itself.
    #[must_use]
    pub fn script(mut self, script: &Path) -> Self {
        self.script = Some(script.to_owned());
        self
    }

    /// Another origin, for an edge that is started again.
    #[must_use]
    pub fn origin_url(mut self, origin_url: &str) -> Self {
        origin_url.clone_into(&mut self.origin_url);
        self
    }

    /// `http://127.0.0.1:PORT` and this path, as it will be: certificates name it before the edge runs.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The state folder: KV, D1 and the Durable Objects.
    #[must_use]
    pub fn state(&self) -> &Path {
        self.state.path()
    }

    /// Starts it, and returns once it answers.
    pub async fn start(self) -> Edge {
        tokio::task::spawn_blocking(|| Edge::start(self))
            .await
            .expect("an edge")
    }
}

/// A running edge. Dropping it ends every process that belongs to it.
pub struct Edge {
    process_group: u32,
    client: reqwest::Client,
    /// Closing it ends the edge, also when this program is killed.
    stdin: Option<ChildStdin>,
    xtask: Child,
    /// What it was started with; holds the state folder.
    start: Option<Start>,
}

impl Edge {
    fn start(start: Start) -> Self {
        let mut command = Command::new(program::path("xtask"));
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

    /// `http://127.0.0.1:PORT` and this path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        self.started_with().url(path)
    }

    /// The process group of all that serves this edge.
    #[must_use]
    pub fn process_group(&self) -> u32 {
        self.process_group
    }

    /// A request of a relying party, to be refined and sent.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path))
    }

    /// GET, as a relying party.
    pub async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path)
            .send()
            .await
            .expect("an answer")
    }

    /// A request of an operator.
    pub async fn operate(&self, method: Method, path: &str) -> Response {
        self.request(method, path)
            .bearer_auth(OPERATOR_TOKEN)
            .send()
            .await
            .expect("an answer")
    }

    /// Refreshes all CRLs of an issuer, as an operator.
    pub async fn refresh(&self, issuer: &str) -> Response {
        self.operate(Method::POST, &format!("/v1/issuers/{issuer}/refresh"))
            .await
    }

    /// Fires the cron trigger, and returns once the handler has ended.
    pub async fn tick(&self) -> Response {
        self.get("/cdn-cgi/handler/scheduled").await
    }

    /// The table of events.
    #[must_use]
    pub fn database(&self) -> Database {
        Database::in_folder(&self.state().join("v3/d1/miniflare-D1DatabaseObject"))
    }

    /// What the object of the one issuer stores.
    #[must_use]
    pub fn object(&self) -> Database {
        Database::in_folder(&self.state().join("v3/do/crl-edge-IssuerObject"))
    }

    /// KV.
    #[must_use]
    pub fn kv(&self) -> Kv {
        Kv::in_state(self.state())
    }

    /// The state folder.
    #[must_use]
    pub fn state(&self) -> &Path {
        self.started_with().state()
    }

    /// What the Worker and wrangler printed.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.state().join("wrangler.log")
    }

    /// Stops it in good order. What is returned starts one again, on the same state.
    #[must_use]
    pub fn stop(mut self) -> Start {
        self.end();
        self.start.take().expect("only stopping takes it")
    }

    /// Kills it without any warning (SIGKILL). What is returned starts one again, on the same state.
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

/// All that a child prints, line by line. The channel closes when the child does.
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
                // Read on when nobody listens, or the child would block on a full pipe.
                let _ = sender.send(line);
            }
        });
    }
    receiver
}

/// The number in `ready on URL (process group N)`.
fn process_group_in(line: &str) -> u32 {
    line.rsplit_once("process group ")
        .and_then(|(_, number)| number.trim_end_matches(')').parse().ok())
        .unwrap_or_else(|| panic!("no process group in {line:?}"))
}
