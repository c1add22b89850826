//! A real OpenBao server that keeps its state in memory, driven by its own command line.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::program::Attached;
use crate::{Skipped, port};

/// A running OpenBao server. Dropping it ends its process.
pub struct OpenBao {
    url: String,
    program: PathBuf,
    folder: TempDir,
    _server: Attached,
}

/// The server's root token.
const ROOT_TOKEN: &str = "root";

impl OpenBao {
    /// Starts a server. The environment variable `BAO` overrides the path of its program.
    ///
    /// # Errors
    /// If OpenBao is not installed.
    pub fn start() -> Result<Self, Skipped> {
        let program = std::env::var_os("BAO").map_or_else(|| "bao".into(), PathBuf::from);
        let version = Command::new(&program)
            .arg("version")
            .stdout(Stdio::null())
            .status();
        version.map_err(|error| Skipped(format!("{}: {error}", program.display())))?;
        let folder = TempDir::with_prefix("openbao-").expect("a temporary folder");
        let address = format!("127.0.0.1:{}", port::free());
        let mut command = Command::new(&program);
        command
            .args(["server", "-dev", "-dev-no-store-token"])
            .arg(format!("-dev-root-token-id={ROOT_TOKEN}"))
            .arg(format!("-dev-listen-address={address}"))
            .env("HOME", folder.path());
        let server = Attached::start(&command).expect("a shell");
        let bao = Self {
            url: format!("http://{address}"),
            program,
            folder,
            _server: server,
        };
        std::fs::write(bao.token_file(), ROOT_TOKEN).expect("a file");
        let is_up = || {
            let status = bao.command(&["status"]).output();
            status.is_ok_and(|output| output.status.success())
        };
        for _ in 0..300 {
            if is_up() {
                return Ok(bao);
            }
            thread::sleep(Duration::from_millis(100));
        }
        panic!("OpenBao does not start");
    }

    /// The server's base URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A file that contains the root token.
    #[must_use]
    pub fn token_file(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    /// Runs a `bao` command with JSON output and returns its `data` member.
    #[must_use]
    pub fn run(&self, args: &[&str]) -> Value {
        let output = self
            .command(args)
            .env("BAO_FORMAT", "json")
            .output()
            .expect("bao");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "bao {args:?} failed: {error}");
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        answer["data"].clone()
    }

    /// Mounts a PKI engine with a role that issues for any name.
    pub fn mount(&self, path: &str) {
        let _ = self.run(&["secrets", "enable", &format!("-path={path}"), "pki"]);
        let role = ["allow_any_name=true", "key_type=ec", "max_ttl=72h"];
        let _ = self.run(&[&["write", &format!("{path}/roles/any")], &role[..]].concat());
    }

    /// Creates a root CA in a PKI engine and returns a PEM file with its certificate.
    #[must_use]
    pub fn root(&self, mount: &str, name: &str) -> PathBuf {
        let root = self.run(&[
            "write",
            &format!("{mount}/root/generate/internal"),
            &format!("common_name={name}"),
            &format!("issuer_name={name}"),
            "key_type=ec",
        ]);
        self.file(&format!("{name}.pem"), &root["certificate"])
    }

    /// Issues a certificate and returns its PEM file and serial number.
    #[must_use]
    pub fn issue(&self, mount: &str, name: &str) -> (PathBuf, String) {
        let name_there = format!("common_name={name}");
        let issued = self.run(&["write", &format!("{mount}/issue/any"), &name_there]);
        let serial = issued["serial_number"].as_str().expect("a serial number");
        (
            self.file(&format!("{name}.pem"), &issued["certificate"]),
            serial.to_owned(),
        )
    }

    fn file(&self, name: &str, text: &Value) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text.as_str().expect("PEM")).expect("a file");
        path
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(args)
            .env("BAO_ADDR", &self.url)
            .env("BAO_TOKEN", ROOT_TOKEN)
            .env("HOME", self.folder.path() as &Path);
        command
    }
}
