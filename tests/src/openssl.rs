//! OpenSSL as a relying party, which fetches the CRL from a certificate's distribution point, and
//! as a CA.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::Skipped;

/// OpenSSL's verdict on a certificate.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// `OK`
    Good,
    /// `certificate revoked`
    Revoked,
    /// Any other output.
    Refused(String),
}

/// Runs `openssl verify -crl_check -crl_download`.
///
/// # Errors
/// If OpenSSL is not installed.
pub fn verify(issuer: &Path, certificate: &Path) -> Result<Verdict, Skipped> {
    let output = Command::new("openssl")
        .args(["verify", "-crl_check", "-crl_download", "-CAfile"])
        .args([issuer, certificate])
        .output()
        .map_err(|error| Skipped(format!("openssl: {error}")))?;
    let said = [output.stdout, output.stderr]
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .concat();
    Ok(if output.status.success() {
        Verdict::Good
    } else if said.contains("certificate revoked") {
        Verdict::Revoked
    } else {
        Verdict::Refused(said)
    })
}

/// A directory of `openssl ca`.
pub struct OpensslAuthority {
    folder: TempDir,
}

impl OpensslAuthority {
    /// Creates a CA with an RSA key. Its certificates name this CRL distribution point.
    ///
    /// # Errors
    /// If OpenSSL is not installed.
    pub fn start(distribution_point: &str) -> Result<Self, Skipped> {
        Self::with_key("rsa:2048", distribution_point)
    }

    /// Creates a CA with a key of any type that `openssl req -newkey` accepts.
    ///
    /// # Errors
    /// If OpenSSL is not installed.
    pub fn with_key(key: &str, distribution_point: &str) -> Result<Self, Skipped> {
        let folder = TempDir::with_prefix("openssl-ca-").expect("a temporary folder");
        let write = |name: &str, text: &str| {
            fs::write(folder.path().join(name), text).expect("a file");
        };
        fs::create_dir(folder.path().join("private")).expect("a folder");
        write("index.txt", "");
        write("serial", "1000\n");
        write("crlnumber", "01\n");
        write(
            "ca.cnf",
            &format!("{CONFIGURATION}crlDistributionPoints = URI:{distribution_point}\n"),
        );
        let ca = Self { folder };
        let root = format!(
            "req -x509 -newkey {key} -nodes -keyout private/cakey.pem -out cacert.pem -subj /CN=Lab -days 99 \
             -addext keyUsage=critical,keyCertSign,cRLSign"
        );
        let output = ca
            .command(&root)
            .output()
            .map_err(|error| Skipped(format!("openssl: {error}")))?;
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {root} failed: {error}");
        Ok(ca)
    }

    /// The CA's directory.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A PEM file with the CA's certificate.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("cacert.pem")
    }

    /// Issues a certificate and returns its PEM file.
    #[must_use]
    pub fn issue(&self, name: &str) -> PathBuf {
        self.run(&format!(
            "req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name} -config ca.cnf"
        ));
        self.run(&format!(
            "ca -batch -config ca.cnf -in {name}.csr -out {name}.pem -notext"
        ));
        self.folder.path().join(format!("{name}.pem"))
    }

    /// Revokes the certificate that was issued for this name.
    pub fn revoke(&self, name: &str) {
        self.run(&format!(
            "ca -config ca.cnf -revoke {name}.pem -crl_reason keyCompromise"
        ));
    }

    /// Generates the next CRL with these options of `openssl ca` and returns its DER.
    #[must_use]
    pub fn crl(&self, options: &str) -> Vec<u8> {
        self.run(&format!("ca -config ca.cnf -gencrl {options} -out crl.pem"));
        self.run("crl -in crl.pem -outform DER -out crl.der");
        fs::read(self.folder.path().join("crl.der")).expect("a CRL")
    }

    fn run(&self, line: &str) {
        let output = self.command(line).output().expect("openssl");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {line} failed: {error}");
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new("openssl");
        command
            .args(line.split_whitespace())
            .current_dir(self.folder.path());
        command
    }
}

const CONFIGURATION: &str = "
[ca]
default_ca = lab
[lab]
database = index.txt
new_certs_dir = .
certificate = cacert.pem
private_key = private/cakey.pem
serial = serial
crlnumber = crlnumber
default_md = sha256
default_days = 30
default_crl_days = 30
policy = any
x509_extensions = leaf
[any]
commonName = supplied
[req]
distinguished_name = name
[name]
[leaf]
";
