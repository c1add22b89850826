//! The servers that are compared. Each ends when it is dropped.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

/// What runs in workerd.
pub(crate) enum Worker<'k> {
    Edge,
    /// Streams the value of this key.
    Stream(&'k str),
    Hello,
}

pub(crate) struct Server {
    child: Child,
    port: u16,
    /// nginx's configuration and files.
    folder: Option<TempDir>,
}

impl Server {
    /// workerd with one Worker; all of them share the KV in `state`.
    pub(crate) async fn worker(worker: Worker<'_>, state: &Path, vars: &[(&str, &str)]) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("a workspace");
        let npm = root.join("target/tools/npm/node_modules");
        let port = end_to_end::free_port();
        let (name, key) = match worker {
            Worker::Edge => ("edge", ""),
            Worker::Stream(key) => ("stream", key),
            Worker::Hello => ("hello", ""),
        };
        let settings = serde_json::json!({
            "miniflare": npm.join("miniflare/dist/src/index.js"),
            "build": root.join("build"),
            "state": state,
            "port": port,
            "worker": name,
            "key": key,
            "vars": vars.iter().copied().collect::<std::collections::BTreeMap<_, _>>(),
        });
        let mut child = Command::new(npm.join(".bin/node"))
            .arg(root.join("tests/benches/serve/runtime.mjs"))
            .arg(settings.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node; `cargo xtask setup` brings it");
        let mut ready = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        stdout.read_line(&mut ready).expect("a line");
        assert_eq!(ready, "ready\n");
        // Read on, or the runtime would block on a full pipe.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        let server = Self {
            child,
            port,
            folder: None,
        };
        server.warmed_up().await
    }

    /// nginx with these files, if it is there.
    pub(crate) async fn nginx<'f>(
        files: impl Iterator<Item = (&'f str, &'f [u8])>,
    ) -> Option<Self> {
        let program = ["/usr/sbin/nginx", "/usr/local/bin/nginx"]
            .into_iter()
            .find(|path| Path::new(path).exists())?;
        let folder = TempDir::new().expect("a temporary folder");
        for (id, der) in files {
            fs::write(folder.path().join(format!("{id}.crl")), der).expect("a file");
        }
        fs::write(folder.path().join("healthz"), "ok").expect("a file");
        let port = end_to_end::free_port();
        let root = folder.path().display();
        let configuration = folder.path().join("nginx.conf");
        fs::write(
            &configuration,
            format!(
                "daemon off; pid {root}/pid; error_log {root}/error.log; worker_processes 1;\n\
                 events {{}}\n\
                 http {{ access_log off; sendfile on; keepalive_requests 1000000; types {{ application/pkix-crl crl; }}\n\
                 client_body_temp_path {root}/a; proxy_temp_path {root}/b; fastcgi_temp_path {root}/c;\n\
                 uwsgi_temp_path {root}/d; scgi_temp_path {root}/e;\n\
                 server {{ listen 127.0.0.1:{port}; root {root}; }} }}\n"
            ),
        )
        .expect("a file");
        // As whoever runs this: nginx would give up root, and then not read the folder.
        let user = if fs::metadata("/proc/self")
            .ok()
            .is_some_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
        {
            "user root;"
        } else {
            ""
        };
        let child = Command::new(program)
            .arg("-c")
            .arg(&configuration)
            .args(["-e", "stderr", "-g", user])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx");
        let server = Self {
            child,
            port,
            folder: Some(folder),
        };
        Some(server.warmed_up().await)
    }

    async fn warmed_up(self) -> Self {
        let client = reqwest::Client::new();
        for _ in 0..200 {
            if client
                .get(self.url("/healthz"))
                .send()
                .await
                .is_ok_and(|answer| answer.status() == 200)
            {
                return self;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the server does not answer");
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The processor time of its process and their children so far; on Linux, in hundredths of a second.
    pub(crate) fn cpu_time(&self) -> Duration {
        cpu_time_of_tree(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The runtime ends with its input, nginx by a signal.
        drop(self.child.stdin.take());
        if self.folder.is_some() {
            let _ = Command::new("kill")
                .arg(self.child.id().to_string())
                .status();
        }
        let _ = self.child.wait();
    }
}

fn cpu_time_of_tree(pid: u32) -> Duration {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
    // utime and stime are the 14th and 15th field; the second one, the name, may hold spaces.
    let ticks = stat.rsplit_once(") ").map_or(0, |(_, fields)| {
        fields
            .split(' ')
            .skip(11)
            .take(2)
            .filter_map(|ticks| ticks.parse::<u64>().ok())
            .sum()
    });
    let threads = fs::read_dir(process.join("task"))
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let children = threads
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|children| {
            children
                .split(' ')
                .filter_map(|child| child.parse().ok())
                .collect::<Vec<u32>>()
        })
        .map(cpu_time_of_tree);
    Duration::from_millis(ticks * 10) + children.sum()
}
