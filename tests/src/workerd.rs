//! Workers in workerd without wrangler's proxy, which would dominate what a benchmark measures.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::{port, program};

/// The Worker to run.
pub enum Worker<'k> {
    /// crl-edge, as built in build/.
    Edge,
    /// Streams the value of this key from KV, with fixed headers.
    Stream(&'k str),
    /// Answers with a constant text.
    Hello,
    /// Has a Durable Object answer 500 after so many milliseconds, as a Worker does whose origin is
    /// slow.
    Wait(u32),
}

/// A running workerd. Dropping it ends its processes.
pub struct Workerd {
    runtime: Child,
    ports: Vec<u16>,
}

impl Workerd {
    /// Starts one Worker. Its storage and its log are in the folder `state`.
    #[must_use]
    pub fn start(worker: &Worker<'_>, state: &Path, vars: &[(&str, &str)]) -> Self {
        Self::start_all(std::slice::from_ref(worker), state, vars)
    }

    /// Starts several Workers that share one KV namespace.
    #[must_use]
    pub fn start_all(workers: &[Worker<'_>], state: &Path, vars: &[(&str, &str)]) -> Self {
        let root = program::workspace();
        let npm = root.join("target/tools/npm/node_modules");
        let ports: Vec<u16> = workers.iter().map(|_| port::free()).collect();
        let workers = workers.iter().zip(&ports).map(|(worker, port)| {
            let (kind, key) = match worker {
                Worker::Edge => ("edge", String::new()),
                Worker::Stream(key) => ("stream", (*key).to_owned()),
                Worker::Hello => ("hello", String::new()),
                Worker::Wait(milliseconds) => ("wait", milliseconds.to_string()),
            };
            serde_json::json!({ "kind": kind, "key": key, "port": port })
        });
        let settings = serde_json::json!({
            "miniflare": npm.join("miniflare/dist/src/index.js"),
            "build": root.join("build"),
            "state": state,
            "workers": workers.collect::<Vec<_>>(),
            "vars": vars.iter().copied().collect::<BTreeMap<_, _>>(),
        });
        let log = state.join("workerd.log");
        let mut runtime = Command::new(npm.join(".bin/node"))
            .arg(root.join("tests/src/workerd.mjs"))
            .arg(settings.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).expect("a log file"))
            .spawn()
            .expect("node; `cargo xtask setup` brings it");
        let mut stdout = BufReader::new(runtime.stdout.take().expect("a pipe"));
        let mut ready = String::new();
        stdout.read_line(&mut ready).expect("a line");
        assert_eq!(
            ready,
            "ready\n",
            "workerd does not start; it printed\n{}",
            fs::read_to_string(&log).unwrap_or_default()
        );
        // Keep reading, or workerd would block on a full pipe.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        Self { runtime, ports }
    }

    /// The first Worker's port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.ports[0]
    }

    /// The ports, in the order of the Workers.
    #[must_use]
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// The URL of this path at the first Worker.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port())
    }

    /// The process id of the runtime that starts workerd.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.runtime.id()
    }
}

impl Drop for Workerd {
    fn drop(&mut self) {
        // It ends when its standard input is closed.
        drop(self.runtime.stdin.take());
        let _ = self.runtime.wait();
    }
}
