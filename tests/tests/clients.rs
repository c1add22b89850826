//! Relying parties in common use, with the real edge and the real origin behind the URL:
//! validators that fetch the CRL themselves, and curl.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use end_to_end::openssl::{self, Verdict};
use end_to_end::{Edge, Origin, Skipped, Start, World, serving_suite};
use tempfile::TempDir;

struct Shared {
    origin: Origin,
    edge: Edge,
    folder: TempDir,
}

/// Issuers, named by the type of their key.
const KEYS: [&str; 4] = ["rsa-2048", "p256", "p384", "ed25519"];
/// An issuer that no test revokes a certificate of.
const STEADY: &str = "steady";

impl World for Shared {
    async fn start() -> Self {
        let origin = Origin::start();
        let start = Start::new(origin.url());
        for key in KEYS {
            origin.create_issuer(key, key, &start.url(&format!("/crl/{key}.crl")));
        }
        origin.create_issuer(STEADY, "rsa-2048", &start.url("/crl/steady.crl"));
        let edge = start.start().await;
        assert_eq!(edge.refresh(STEADY).await.status(), 200);
        let folder = TempDir::with_prefix("clients-").expect("a temporary folder");
        Self {
            origin,
            edge,
            folder,
        }
    }

    fn log(&self) -> String {
        self.edge.log()
    }
}

async fn openssl_accepts_a_certificate_until_it_is_revoked(
    world: Arc<Shared>,
) -> Result<(), Skipped> {
    accepts_until_revoked(&world, "openssl", openssl::verify).await
}

async fn java_accepts_a_certificate_until_it_is_revoked(world: Arc<Shared>) -> Result<(), Skipped> {
    accepts_until_revoked(&world, "java", |issuer, certificate| {
        let mut java = Command::new("java");
        java.arg(program("Check.java")).args([issuer, certificate]);
        Ok(verdict(&output(&mut java)?))
    })
    .await
}

async fn python_accepts_a_certificate_until_it_is_revoked(
    world: Arc<Shared>,
) -> Result<(), Skipped> {
    let import = "import pyhanko_certvalidator";
    let there = output(Command::new("python3").args(["-c", import]))?;
    if !there.status.success() {
        return Err(Skipped("python3 has no pyhanko-certvalidator".to_owned()));
    }
    accepts_until_revoked(&world, "python", |issuer, certificate| {
        let mut python = Command::new("python3");
        python.arg(program("check.py")).args([issuer, certificate]);
        Ok(verdict(&output(&mut python)?))
    })
    .await
}

async fn gnutls_accepts_a_certificate_until_the_pem_crl_lists_it(
    world: Arc<Shared>,
) -> Result<(), Skipped> {
    accepts_until_revoked(&world, "gnutls", |issuer, certificate| {
        let key = issuer.file_stem().unwrap().to_string_lossy();
        let crl = world.folder.path().join(format!("{key}-gnutls.pem"));
        world.curl(&format!("/crl/{key}.pem"), &["-f", "-o", text(&crl)])?;
        let mut certtool = Command::new("certtool");
        certtool
            .arg("--verify")
            .arg("--load-ca-certificate")
            .arg(issuer);
        certtool
            .arg("--load-crl")
            .arg(&crl)
            .arg("--infile")
            .arg(certificate);
        let output = output(&mut certtool)?;
        let said = said(&output);
        Ok(
            if output.status.success() && said.contains("Checked against CRL") {
                Verdict::Good
            } else if said.contains("The certificate chain is revoked") {
                Verdict::Revoked
            } else {
                Verdict::Refused(said)
            },
        )
    })
    .await
}

async fn gnutls_verifies_the_signature_of_the_der(world: Arc<Shared>) -> Result<(), Skipped> {
    for key in KEYS {
        let [issuer, crl] =
            ["cer", "crl"].map(|ending| world.folder.path().join(format!("{key}.{ending}")));
        let mut convert = Command::new("certtool");
        convert.args(["--certificate-info", "--outder", "--infile"]);
        convert
            .arg(world.origin.issuer_certificate(key))
            .arg("--outfile")
            .arg(&issuer);
        assert!(output(&mut convert)?.status.success());
        world.curl(&format!("/crl/{key}.crl"), &["-f", "-o", text(&crl)])?;

        let mut certtool = Command::new("certtool");
        certtool.args(["--verify-crl", "--inder", "--load-ca-certificate"]);
        certtool.arg(&issuer).arg("--infile").arg(&crl);

        let said = said(&output(&mut certtool)?);
        assert!(
            said.contains("Verification output: Verified."),
            "{key}: {said}"
        );
    }
    Ok(())
}

async fn curl_revalidates_by_etag_or_date(world: Arc<Shared>) -> Result<(), Skipped> {
    for path in ["/crl/steady.crl", "/crl/steady.pem"] {
        let file = world.folder.path().join("kept");
        let tag = world.folder.path().join("kept.etag");
        let save = ["-R", "-o", text(&file), "--etag-save", text(&tag)];
        assert_eq!(world.curl(path, &save)?.status, "200");

        for condition in [["--etag-compare", text(&tag)], ["-z", text(&file)]] {
            let again = world.curl(path, &condition)?;
            assert_eq!(
                (again.status.as_str(), again.body.as_slice()),
                ("304", &b""[..])
            );
        }
        let weak = fs::read_to_string(&tag).unwrap();
        let weak = format!("If-None-Match: \"other\", W/{}", weak.trim());
        assert_eq!(world.curl(path, &["-H", &weak])?.status, "304");
        let long_ago = ["-z", "1 Jan 2000"];
        assert_eq!(world.curl(path, &long_ago)?.status, "200");
    }
    Ok(())
}

async fn curl_resumes_an_interrupted_download(world: Arc<Shared>) -> Result<(), Skipped> {
    for path in ["/crl/steady.crl", "/crl/steady.pem"] {
        let whole = world.curl(path, &[])?.body;
        for kept in [1, whole.len() / 2, whole.len() - 1] {
            let file = world.folder.path().join("resumed");
            fs::write(&file, &whole[..kept]).unwrap();
            let resumed = world.curl(path, &["-C", "-", "-o", text(&file)])?;
            assert_eq!(resumed.status, "206", "{path}");
            assert_eq!(fs::read(&file).unwrap(), whole, "{path} after {kept} bytes");
        }
    }
    Ok(())
}

async fn curl_sees_the_same_headers_with_and_without_a_body(
    world: Arc<Shared>,
) -> Result<(), Skipped> {
    for path in [
        "/crl/steady.crl",
        "/crl/steady.pem",
        "/.well-known/pki/crl/steady",
    ] {
        let get = world.curl(path, &[])?;
        assert_eq!(get.headers["content-length"], get.body.len().to_string());
        for version in ["--http1.0", "--http1.1"] {
            let head = world.curl(path, &[version, "-I"])?;
            assert_eq!(head.status, "200");
            assert_eq!(lasting(&head), lasting(&get), "{path} {version}");
        }
    }
    Ok(())
}

/// Mozilla's `CRLite` fetcher sends HEAD for the size and date, then a malformed range.
async fn a_malformed_range_is_ignored(world: Arc<Shared>) -> Result<(), Skipped> {
    let path = "/crl/steady.crl";
    let size = &world.curl(path, &["-I"])?.headers["content-length"];
    let range = format!("Range: bytes: 0-{size}");
    let get = world.curl(path, &["-H", &range])?;
    assert_eq!(
        (&get.status, &get.body.len().to_string()),
        (&"200".to_owned(), size)
    );
    Ok(())
}

/// Checks, for each type of key, that `client` accepts a certificate until the edge's CRL lists it.
async fn accepts_until_revoked(
    world: &Shared,
    name: &str,
    client: impl Fn(&Path, &Path) -> Result<Verdict, Skipped>,
) -> Result<(), Skipped> {
    for key in KEYS {
        let issuer = world.origin.issuer_certificate(key);
        let certificate = world.origin.issue(key, &format!("www.{name}.example"));
        let other = world.origin.issue(key, &format!("other.{name}.example"));
        assert_eq!(client(&issuer, certificate.file())?, Verdict::Good, "{key}");

        world.origin.revoke(&certificate);
        assert_eq!(world.edge.refresh(key).await.status(), 200, "{key}");

        assert_eq!(
            client(&issuer, certificate.file())?,
            Verdict::Revoked,
            "{key}"
        );
        assert_eq!(client(&issuer, other.file())?, Verdict::Good, "{key}");
    }
    Ok(())
}

/// A response that curl has received.
struct Fetched {
    status: String,
    /// Keyed by lower-case name.
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Shared {
    fn curl(&self, path: &str, args: &[&str]) -> Result<Fetched, Skipped> {
        let headers = tempfile::NamedTempFile::new_in(&self.folder).unwrap();
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--noproxy", "*", "-D"])
            .arg(headers.path());
        let output = output(curl.args(args).arg(self.edge.url(path)))?;
        assert!(output.status.success(), "curl {args:?}: {}", said(&output));
        let head = fs::read_to_string(headers.path()).unwrap();
        let (status, fields) = head.split_once("\r\n").unwrap();
        let fields = fields.lines().filter_map(|line| line.split_once(": "));
        Ok(Fetched {
            status: status.split(' ').nth(1).unwrap().to_owned(),
            headers: fields
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
            // With -I, curl prints the headers to standard output.
            body: if args.contains(&"-I") {
                Vec::new()
            } else {
                output.stdout
            },
        })
    }
}

/// The headers that do not depend on the time or the connection.
fn lasting(fetched: &Fetched) -> BTreeMap<String, String> {
    let mut headers = fetched.headers.clone();
    headers.retain(|name, _| {
        !matches!(
            name.as_str(),
            "date" | "expires" | "connection" | "keep-alive"
        )
    });
    headers
}

/// The path of a client in tests/clients.
fn program(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("clients")
        .join(file)
}

fn output(command: &mut Command) -> Result<Output, Skipped> {
    let output = command.output();
    output.map_err(|error| Skipped(format!("{}: {error}", command.get_program().display())))
}

/// Parses the output of a client in tests/clients.
fn verdict(output: &Output) -> Verdict {
    match output.stdout.trim_ascii() {
        b"good" => Verdict::Good,
        b"revoked" => Verdict::Revoked,
        _ => Verdict::Refused(said(output)),
    }
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr]
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .concat()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

serving_suite!(
    Shared;
    openssl_accepts_a_certificate_until_it_is_revoked,
    java_accepts_a_certificate_until_it_is_revoked,
    python_accepts_a_certificate_until_it_is_revoked,
    gnutls_accepts_a_certificate_until_the_pem_crl_lists_it,
    gnutls_verifies_the_signature_of_the_der,
    curl_revalidates_by_etag_or_date,
    curl_resumes_an_interrupted_download,
    curl_sees_the_same_headers_with_and_without_a_body,
    a_malformed_range_is_ignored,
);
