//! The real origin: `crl-origin` with its own port and database.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::edge::{HOOK_TOKEN, ORIGIN_TOKEN};
use crate::program::{self, Attached};

/// A running origin. Dropping it ends its process.
pub struct Origin {
    url: String,
    folder: TempDir,
    /// What `serve` is run with, apart from the address and the database.
    options: Vec<String>,
    service: Option<Attached>,
}

/// A certificate that the origin has issued.
pub struct Certificate {
    issuer: String,
    file: PathBuf,
}

impl Certificate {
    /// A PEM file with the certificate.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }
}

impl Origin {
    /// Starts an origin without issuers.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts an origin that pushes revocations to the edge at this URL.
    #[must_use]
    pub fn pushing_to(edge: &str) -> Self {
        Self::start_with(&["--edge", edge, "--hook-token", HOOK_TOKEN])
    }

    fn start_with(more: &[&str]) -> Self {
        let mut origin = Self {
            url: String::new(),
            folder: TempDir::with_prefix("crl-origin-").expect("a temporary folder"),
            options: more.iter().map(|&option| option.to_owned()).collect(),
            service: None,
        };
        origin.serve("127.0.0.1:0", &[]);
        origin
    }

    /// Ends the service. Commands still work.
    pub fn stop(&mut self) {
        self.service = None;
    }

    /// Starts the service again at the same address, by way of these words: a
    /// program and its arguments, which runs the rest.
    pub fn start_again(&mut self, by_way_of: &[&str]) {
        let address = self.url.trim_start_matches("http://").to_owned();
        self.serve(&address, by_way_of);
    }

    fn serve(&mut self, address: &str, by_way_of: &[&str]) {
        let program = program::path("crl-origin");
        let mut command = match by_way_of {
            [] => Command::new(program),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        };
        command
            .args(["serve", "--listen", address, "--grace", "1s"])
            .args(["--token", ORIGIN_TOKEN])
            .args(&self.options)
            .arg("--database")
            .arg(self.database());
        let mut service = Attached::start(&command).expect("a shell");
        let mut ready = String::new();
        BufReader::new(service.stdout())
            .read_line(&mut ready)
            .expect("the origin's first line");
        let url = ready.trim().strip_prefix("ready ");
        url.expect("the origin is ready").clone_into(&mut self.url);
        self.service = Some(service);
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("origin.sqlite")
    }

    /// The folder with the database, in which an operator's commands run.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A shell that runs a line of an operator, with `crl-origin` in its path.
    #[must_use]
    pub fn shell(&self, line: &str) -> Command {
        let program = program::path("crl-origin");
        let mut paths = vec![program.parent().expect("a folder").to_owned()];
        paths.extend(std::env::split_paths(
            &std::env::var_os("PATH").unwrap_or_default(),
        ));
        let mut command = Command::new("sh");
        command
            .args(["-e", "-c", line])
            .current_dir(self.folder.path())
            .env("PATH", std::env::join_paths(paths).expect("paths"))
            .env("ORIGIN_DATABASE", self.database());
        command
    }

    /// The origin's base URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Creates an issuer with a full CRL at this URL.
    pub fn create_issuer(&self, id: &str, key: &str, distribution_point: &str) {
        let subject = format!("CN={id},O=Tests,C=DE");
        self.run(&[
            "issuer",
            "create",
            id,
            "--key",
            key,
            "--subject",
            &subject,
            "--distribution-point",
            distribution_point,
        ]);
    }

    /// A PEM file with the issuer's certificate.
    #[must_use]
    pub fn issuer_certificate(&self, issuer: &str) -> PathBuf {
        let file = self.folder.path().join(format!("{issuer}.pem"));
        std::fs::write(&file, self.run(&["issuer", "show", issuer, "--pem"])).expect("a file");
        file
    }

    /// Issues a certificate.
    #[must_use]
    pub fn issue(&self, issuer: &str, dns_name: &str) -> Certificate {
        let file = self.folder.path().join(format!("{issuer}-{dns_name}.pem"));
        let key = file.with_extension("key");
        let (out, key_out) = (file.display().to_string(), key.display().to_string());
        self.run(&[
            "cert",
            "issue",
            issuer,
            "--dns",
            dns_name,
            "--out",
            &out,
            "--key-out",
            &key_out,
        ]);
        Certificate {
            issuer: issuer.to_owned(),
            file,
        }
    }

    /// Revokes a certificate.
    pub fn revoke(&self, certificate: &Certificate) {
        self.revoke_for("keyCompromise", certificate);
    }

    /// Puts a certificate on hold.
    pub fn hold(&self, certificate: &Certificate) {
        self.revoke_for("certificateHold", certificate);
    }

    fn revoke_for(&self, reason: &str, certificate: &Certificate) {
        let file = certificate.file.display().to_string();
        self.run(&[
            "revoke",
            &certificate.issuer,
            "--reason",
            reason,
            "--certificate",
            &file,
        ]);
    }

    /// Releases a certificate from its hold.
    pub fn release(&self, certificate: &Certificate) {
        let file = certificate.file.display().to_string();
        self.run(&["release", &certificate.issuer, "--certificate", &file]);
    }

    /// Connects another CA: runs `issuer connect` with these arguments.
    pub fn connect(&self, args: &[&str]) {
        self.run(&[&["issuer", "connect"], args].concat());
    }

    /// Runs a `crl-origin` command on the service's database while it is running.
    fn run(&self, args: &[&str]) -> String {
        let output = Command::new(program::path("crl-origin"))
            .args(args)
            .arg("--database")
            .arg(self.database())
            .output()
            .expect("crl-origin");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "crl-origin {args:?} failed: {error}"
        );
        String::from_utf8(output.stdout).expect("text")
    }
}
