//! Workers in workerd without wrangler's proxy in front, which would be what a benchmark measures.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::{port, program};

/// What runs.
pub enum Worker<'k> {
    /// What is in build/.
    Edge,
    /// Streams the value of this key from KV, with fixed headers.
    Stream(&'k str),
    /// Says hello.
    Hello,
}

/// A running Worker. Dropping it ends its processes.
pub struct Workerd {
    runtime: Child,
    port: u16,
}

impl Workerd {
    /// Starts a Worker. Those with the same `state` folder share its KV.
    #[must_use]
    pub fn start(worker: &Worker<'_>, state: &Path, vars: &[(&str, &str)]) -> Self {
        let root = program::workspace();
        let npm = root.join("target/tools/npm/node_modules");
        let port = port::free();
        let (worker, key) = match worker {
            Worker::Edge => ("edge", ""),
            Worker::Stream(key) => ("stream", *key),
            Worker::Hello => ("hello", ""),
        };
        let settings = serde_json::json!({
            "miniflare": npm.join("miniflare/dist/src/index.js"),
            "build": root.join("build"),
            "state": state,
            "port": port,
            "worker": worker,
            "key": key,
            "vars": vars.iter().copied().collect::<BTreeMap<_, _>>(),
        });
        let mut runtime = Command::new(npm.join(".bin/node"))
            .arg(root.join("tests/src/workerd.mjs"))
            .arg(settings.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node; `cargo xtask setup` brings it");
        let mut stdout = BufReader::new(runtime.stdout.take().expect("a pipe"));
        let mut ready = String::new();
        stdout.read_line(&mut ready).expect("a line");
        assert_eq!(ready, "ready\n");
        // Read on, or the runtime would block on a full pipe.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        Self { runtime, port }
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `http://127.0.0.1:PORT` and this path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The process that all others of it descend from.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.runtime.id()
    }
}

impl Drop for Workerd {
    fn drop(&mut self) {
        // It ends with its standard input.
        drop(self.runtime.stdin.take());
        let _ = self.runtime.wait();
    }
}
