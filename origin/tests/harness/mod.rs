//! Runs the real binary, over a database of its own, and OpenSSL where it is installed.
#![allow(dead_code, reason = "each test program uses its part")]

pub(crate) mod ca;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crl_origin::hex::encode;
use tempfile::TempDir;
use ureq::http::Response;
use ureq::{Agent, Body};
use x509_cert::crl::CertificateList;
use x509_cert::der::Decode;
use x509_cert::der::oid::AssociatedOid;
use x509_cert::ext::pkix::CrlNumber;

/// A folder with a database, gone when the test ends.
pub(crate) struct Origin {
    folder: TempDir,
}

impl Origin {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes `list.csv`, with this many serial numbers.
    pub(crate) fn write_list(&self, count: usize) {
        let lines = (1..=count).map(|serial| format!("{serial:04x}\n"));
        let list = format!("serial\n{}", lines.collect::<String>());
        std::fs::write(self.path("list.csv"), list).unwrap();
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crl-origin"));
        command
            .args(arguments)
            .arg("--database")
            .arg(self.path("origin.db"));
        command
            .current_dir(self.folder.path())
            .env_remove("ORIGIN_TOKEN")
            .env_remove("HOOK_TOKEN")
            .env_remove("ORIGIN_PASSPHRASE");
        command
    }

    /// Runs a command that must succeed; what it printed.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must fail; its exit code and complaint.
    pub(crate) fn fail(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.command(arguments).output().unwrap();
        let code = output.status.code().unwrap();
        assert_ne!(code, 0, "{arguments:?} succeeded");
        (code, String::from_utf8(output.stderr).unwrap())
    }

    /// An issuer with a full CRL at a made-up URL.
    pub(crate) fn issuer(&self, id: &str, key: &str) {
        let url = format!("http://crl.example/{id}.crl");
        self.run(&[
            "issuer",
            "create",
            id,
            "--key",
            key,
            "--distribution-point",
            &url,
        ]);
        std::fs::write(
            self.path(&format!("{id}.pem")),
            self.run(&["issuer", "show", id, "--pem"]),
        )
        .unwrap();
    }

    /// A certificate of that issuer in `{name}.pem`; its serial number.
    pub(crate) fn certificate(&self, issuer: &str, name: &str) -> String {
        let (out, key) = (format!("{name}.pem"), format!("{name}.key"));
        let printed = self.run(&[
            "cert",
            "issue",
            issuer,
            "--dns",
            name,
            "--out",
            &out,
            "--key-out",
            &key,
            "--json",
        ]);
        let new: serde_json::Value = serde_json::from_str(&printed).unwrap();
        new["serial"].as_str().unwrap().to_owned()
    }

    /// A new CRL, in a file and as bytes.
    pub(crate) fn crl(&self, issuer: &str, name: &str) -> (PathBuf, Vec<u8>) {
        let path = self.path(&format!("{issuer}-{name}.crl"));
        self.run(&["crl", "make", issuer, name, "--out", path.to_str().unwrap()]);
        let der = std::fs::read(&path).unwrap();
        (path, der)
    }

    pub(crate) fn serve(&self) -> Server {
        self.serve_with(&[])
    }

    pub(crate) fn serve_with(&self, more: &[&str]) -> Server {
        Self::start(self.service(more))
    }

    /// A service whose working directory is another one.
    pub(crate) fn serve_in(&self, folder: &Path) -> Server {
        let mut service = self.service(&[]);
        service.current_dir(folder);
        Self::start(service)
    }

    pub(crate) fn service(&self, more: &[&str]) -> Command {
        let arguments = [
            &["serve", "--listen", "127.0.0.1:0", "--token", "secret"],
            more,
        ]
        .concat();
        self.command(&arguments)
    }

    pub(crate) fn start(mut service: Command) -> Server {
        let mut child = service
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let Some(url) = line.trim().strip_prefix("ready ") else {
            let _ = child.kill();
            panic!("not ready: {line:?}");
        };
        Server {
            url: url.to_owned(),
            child,
        }
    }
}

/// A running service, ended with the test, also when that fails.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    pub(crate) fn get(&self, path: &str) -> Response<Body> {
        agent()
            .get(format!("{}{path}", self.url))
            .header("Authorization", "Bearer secret")
            .call()
            .unwrap()
    }

    pub(crate) fn post(&self, path: &str, body: &serde_json::Value) -> Response<Body> {
        let request = agent()
            .post(format!("{}{path}", self.url))
            .header("Authorization", "Bearer secret");
        request.send_json(body).unwrap()
    }

    /// Asks for a new CRL, whatever is held.
    pub(crate) fn new_crl(&self, issuer: &str, name: &str, held: &str) -> Response<Body> {
        let url = format!("{}/v1/issuers/{issuer}/crls/{name}", self.url);
        let request = agent().post(url).header("Authorization", "Bearer secret");
        let request = request.header("If-None-Match", held);
        request
            .header("Cache-Control", "no-cache")
            .send_empty()
            .unwrap()
    }

    pub(crate) fn crl(&self, issuer: &str, name: &str, held: Option<&str>) -> Response<Body> {
        let url = format!("{}/v1/issuers/{issuer}/crls/{name}", self.url);
        let mut request = agent().post(url).header("Authorization", "Bearer secret");
        if let Some(held) = held {
            request = request.header("If-None-Match", held);
        }
        request.send_empty().unwrap()
    }
}

pub(crate) fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into()
}

pub(crate) fn header<'a>(response: &'a Response<Body>, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .unwrap_or_else(|| panic!("no {name}"))
        .to_str()
        .unwrap()
}

pub(crate) fn json(response: &mut Response<Body>) -> serde_json::Value {
    response.body_mut().read_json().unwrap()
}

/// What a CRL says, read by an independent parser.
pub(crate) fn parse(der: &[u8]) -> CertificateList {
    CertificateList::from_der(der).unwrap()
}

pub(crate) fn number(der: &[u8]) -> u128 {
    let extensions = parse(der).tbs_cert_list.crl_extensions.unwrap();
    let number = extensions
        .iter()
        .find(|extension| extension.extn_id == CrlNumber::OID)
        .expect("a CRL number");
    let CrlNumber(number) = CrlNumber::from_der(number.extn_value.as_bytes()).unwrap();
    number
        .as_bytes()
        .iter()
        .fold(0, |number, &byte| number << 8 | u128::from(byte))
}

/// The serial numbers on a CRL, in hexadecimal, as `crl-origin` and other CAs print them: without
/// the zero octet that an INTEGER has before a number with its first bit set.
pub(crate) fn serials(der: &[u8]) -> Vec<String> {
    let entries = parse(der)
        .tbs_cert_list
        .revoked_certificates
        .unwrap_or_default();

    entries
        .iter()
        .map(|entry| {
            let contents = entry.serial_number.as_bytes();
            encode(crl::Serial::from_integer(contents).unwrap().as_be_bytes())
        })
        .collect()
}

/// Runs OpenSSL; `None`, and a line that says so, where it is not installed.
pub(crate) fn openssl(folder: &Path, arguments: &[&str]) -> Option<Output> {
    match Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .output()
    {
        Ok(output) => Some(output),
        Err(error) => {
            println!("skipped: openssl: {error}");
            None
        }
    }
}
