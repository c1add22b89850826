//! Directories of `openssl ca`: the real OpenSSL keeps them, and says what their CRL holds.

mod harness;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use end_to_end::{OpensslAuthority, Skipped};
use ureq::Body;
use ureq::http::Response;

use harness::{Origin, Server, header, number, openssl, serials};

const URL: &str = "http://crl.example/demo.crl";
const EXPIRY: &str = "361123120000Z";
const REVOCATION: &str = "241123120000Z";

fn authority(key: &str) -> Option<OpensslAuthority> {
    OpensslAuthority::with_key(key, URL)
        .map_err(|Skipped(why)| println!("skipped: {why}"))
        .ok()
}

/// A line of `index.txt` with these fields, and the usual ones after the serial number.
fn line(status: &str, expiry: &str, revocation: &str, serial: &str) -> Vec<u8> {
    format!("{status}\t{expiry}\t{revocation}\t{serial}\tunknown\t/CN=a\n").into_bytes()
}

fn revoked(revocation: &str, serial: &str) -> Vec<u8> {
    line("R", EXPIRY, revocation, serial)
}

/// Indexes with something odd in each.
fn indexes() -> Vec<Vec<u8>> {
    let reason = |text: &str| revoked(&format!("{REVOCATION},{text}"), "02");
    let good = revoked(REVOCATION, "02");
    vec![
        good.clone(),
        // Comments and encodings.
        [&b"# kept by hand\n"[..], &good].concat(),
        [&b"#\tR\t\t\n"[..], &good].concat(),
        b"R\t361123120000Z\t241123120000Z\t02\tunkn\xf6wn\t/CN=M\xfcller\n".to_vec(),
        b"R\t361123120000Z\t241123120000Z\t02\tunknown\t/CN=a\r\n".to_vec(),
        b"R\t361123120000Z\t241123120000Z\t02\ttab\\\there\t/CN=a\n".to_vec(),
        // Statuses.
        line("Revoked", EXPIRY, REVOCATION, "02"),
        [line("X", EXPIRY, "", "03"), good.clone()].concat(),
        [
            line("V", EXPIRY, "", "03"),
            line("E", EXPIRY, "", "04"),
            good,
        ]
        .concat(),
        // Times.
        line("R", "3611231200Z", "2411231200Z", "02"),
        line("R", "3611231200+0100", "2411231200-0230", "02"),
        line("R", "361123120000+0100", "241123120015-0230", "02"),
        line("R", EXPIRY, "241123120000+1259", "02"),
        line("R", "20361123120000Z", REVOCATION, "02"),
        line("R", "20361123120000.5Z", REVOCATION, "02"),
        line("R", "203611231200Z", REVOCATION, "02"),
        line("R", "99991231235959Z", REVOCATION, "02"),
        revoked("500101000000Z", "02"),
        // Serial numbers.
        revoked(REVOCATION, "00"),
        revoked(REVOCATION, "-00"),
        revoked(REVOCATION, "-02"),
        revoked(REVOCATION, "-80"),
        revoked(REVOCATION, "-0100"),
        revoked(REVOCATION, "80"),
        revoked(REVOCATION, "0002"),
        revoked(REVOCATION, "aB"),
        revoked(REVOCATION, &"ff".repeat(25)),
        [revoked(REVOCATION, "-02"), revoked(REVOCATION, "02")].concat(),
        // Reasons.
        reason("KEYCOMPROMISE"),
        reason("CACompromise"),
        reason("affiliationchanged"),
        reason("removeFromCRL"),
        reason("certificateHold"),
        reason("holdInstruction,holdInstructionReject"),
        reason("keyTime,20241101000000Z"),
        reason("CAkeyTime,202411010000Z"),
        reason("keyTime,20241101000000.25Z"),
        reason("keyTime,20241101000000+0130"),
        reason("superseded,junk,more"),
    ]
}

/// The revocation date of each serial number on a CRL, as OpenSSL prints both.
fn entries(folder: &Path, der: &[u8]) -> BTreeMap<String, String> {
    std::fs::write(folder.join("printed.der"), der).unwrap();
    let arguments = [
        "crl",
        "-inform",
        "DER",
        "-in",
        "printed.der",
        "-noout",
        "-text",
    ];
    let output = openssl(folder, &arguments).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut entries = BTreeMap::new();
    let mut serial = String::new();
    for line in text.lines().map(str::trim) {
        if let Some(found) = line.strip_prefix("Serial Number: ") {
            found.clone_into(&mut serial);
        } else if let Some(date) = line.strip_prefix("Revocation Date: ") {
            entries.insert(serial.clone(), date.to_owned());
        }
    }
    entries
}

#[test]
fn whatever_openssl_lists_is_listed() {
    let Some(ca) = authority("ec -pkeyopt ec_paramgen_curve:P-256") else {
        return;
    };
    let origin = Origin::new();
    let folder = ca.folder();
    for (number, index) in indexes().into_iter().enumerate() {
        let shown = String::from_utf8_lossy(&index);
        std::fs::write(folder.join("index.txt"), &index).unwrap();
        let expected = entries(folder, &ca.crl(""));
        assert!(!expected.is_empty(), "{shown}");
        let id = format!("case-{number}");
        let connect = ["issuer", "connect", "openssl", &id, "--directory"];
        origin.run(&[&connect[..], &[folder.to_str().unwrap()]].concat());
        let found = entries(folder, &origin.crl(&id, "full").1);
        assert_eq!(found, expected, "{shown}");
    }
}

#[test]
fn a_line_that_cannot_be_listed_fails_the_list_and_keeps_the_others() {
    let Some(ca) = authority("ec -pkeyopt ec_paramgen_curve:P-256") else {
        return;
    };
    let origin = Origin::new();
    let folder = ca.folder().to_str().unwrap();
    let connect = [
        "issuer",
        "connect",
        "openssl",
        "demo",
        "--directory",
        folder,
    ];
    origin.run(&connect);
    origin.run(&["issuer", "set", "demo", "--profile", "cabf"]);
    // The Baseline Requirements allow no hold.
    let hold = revoked(&format!("{REVOCATION},certificateHold"), "02");
    let index = [&hold[..], &revoked(REVOCATION, "03")].concat();
    std::fs::write(ca.folder().join("index.txt"), index).unwrap();
    let server = origin.serve();
    let status = || server.crl("demo", "full", None).status();
    assert_eq!(status(), 502);
    let (_, complaint) = origin.fail(&["crl", "make", "demo"]);
    assert!(complaint.contains("line 1"), "{complaint}");
    // What was wrong was the profile: the index is the same.
    origin.run(&["issuer", "set", "demo", "--profile", "rfc5280"]);
    assert_eq!(status(), 200);
    assert_eq!(harness::serials(&origin.crl("demo", "full").1).len(), 2);
}

#[test]
fn a_key_is_read_in_every_form_in_which_openssl_keeps_it() {
    let rsa = [
        "rsa -traditional",
        "rsa -traditional -aes128",
        "rsa -traditional -aes192",
        "rsa -traditional -aes256",
        "rsa -traditional -des3",
        "rsa -traditional -outform DER",
        "pkcs8 -topk8 -nocrypt",
        "pkcs8 -topk8",
        "pkcs8 -topk8 -v2 des3",
        "pkcs8 -topk8 -v2 aes128 -v2prf hmacWithSHA512",
        "pkcs8 -topk8 -scrypt",
        "pkcs8 -topk8 -outform DER",
    ];
    let ec = [
        "ec",
        "ec -aes256",
        "ec -des3",
        "ec -outform DER",
        "ec -text",
        "pkcs8 -topk8",
    ];
    let cas = [
        ("rsa:2048", &rsa[..]),
        ("ec -pkeyopt ec_paramgen_curve:P-256", &ec),
        ("ec -pkeyopt ec_paramgen_curve:P-384", &ec),
    ];
    for (kind, forms) in cas {
        let Some(ca) = authority(kind) else { return };
        let origin = Origin::new();
        let passphrase = ca.folder().join("passphrase");
        std::fs::write(&passphrase, "correct horse\n").unwrap();
        let connect = |id: &str, key: &str, passphrase: &Path| {
            let directory = ca.folder().to_str().unwrap().to_owned();
            let key = ca.folder().join(key).to_str().unwrap().to_owned();
            let mut command = origin.command(&["issuer", "connect", "openssl", id]);
            command.args(["--directory", &directory, "--key", &key]);
            command.arg("--key-passphrase-file").arg(passphrase);
            command.output().unwrap()
        };
        for (number, form) in forms.iter().enumerate() {
            let id = format!("form-{number}");
            convert(&ca, form, &id);
            let output = connect(&id, &id, &passphrase);
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{kind}, {form}: {error}");
            origin.crl(&id, "full");
        }
        let wrong = ca.folder().join("wrong");
        std::fs::write(&wrong, "incorrect horse\n").unwrap();
        convert(&ca, forms[1], "sealed");
        let output = connect("sealed", "sealed", &wrong);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("does not decrypt"), "{kind}: {error}");
        let output = connect("none", "cacert.pem", &passphrase);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("not a private key"), "{kind}: {error}");
    }
}

/// What `openssl ecparam -genkey` and `openssl genrsa -traditional` write as it is.
#[test]
fn a_key_is_read_as_openssl_first_wrote_it() {
    let made = [
        "ecparam -name prime256v1 -genkey -out cakey.pem",
        "ecparam -name secp384r1 -genkey -noout -out cakey.pem",
        "genrsa -traditional -out cakey.pem 2048",
        "genrsa -traditional -aes256 -passout pass:correct -out cakey.pem 2048",
    ];
    let origin = Origin::new();
    let folder = origin.path("ca");
    std::fs::create_dir_all(folder.join("private")).unwrap();
    std::fs::write(folder.join("index.txt"), "").unwrap();
    std::fs::write(origin.path("passphrase"), "correct\n").unwrap();
    for (number, line) in made.into_iter().enumerate() {
        let id = format!("ca-{number}");
        let certify = "req -x509 -new -key cakey.pem -passin pass:correct -out ../cacert.pem -subj /CN=Lab \
                       -addext keyUsage=critical,keyCertSign,cRLSign";
        for line in [line, certify] {
            let arguments: Vec<&str> = line.split_whitespace().collect();
            let Some(output) = openssl(&folder.join("private"), &arguments) else {
                return;
            };
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{line}: {error}");
        }
        let connect = ["issuer", "connect", "openssl", &id, "--directory", "ca"];
        let key = ["--key-passphrase-file", "passphrase"];
        origin.run(&[&connect[..], &key].concat());
        origin.crl(&id, "full");
    }
}

/// Writes the CA's key in another form.
fn convert(ca: &OpensslAuthority, form: &str, to: &str) {
    let mut command = Command::new("openssl");
    command
        .args(form.split(' '))
        .args(["-in", "private/cakey.pem", "-out", to])
        .args(["-passout", "file:passphrase"])
        .current_dir(ca.folder());
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{form}: {error}");
}

/// The index says what is revoked, so nothing but numbers was lost.
#[test]
fn a_restored_database_continues_from_the_index_and_above_what_the_edge_holds() {
    let Some(ca) = authority("rsa:2048") else {
        return;
    };
    let origin = backed_up(&ca);
    ca.revoke("one");
    let server = origin.serve();
    let held = Held::of(server.crl("demo", "full", None));
    assert_eq!(serials(&held.der), ["1000"]);
    drop(server);
    origin.run(&["restore", "copy.db"]);
    ca.revoke("two");
    let server = origin.serve();
    let next = held.ask(&server);
    assert_eq!(next.status(), 200);
    let next = Held::of(next);
    let above = next.watermark.parse::<u64>().unwrap();
    assert!(above > held.watermark.parse().unwrap());
    assert!(number(&next.der) > number(&held.der));
    assert_eq!(serials(&next.der), ["1000", "1001"]);
}

/// The index may be an earlier copy as well, as after a restore of the whole machine. What was
/// followed before is then in neither, but an edge that misses it asks why.
#[test]
fn a_restored_database_recovers_what_the_index_no_longer_lists() {
    let Some(ca) = authority("rsa:2048") else {
        return;
    };
    let origin = backed_up(&ca);
    let before = std::fs::read(ca.folder().join("index.txt")).unwrap();
    ca.revoke("one");
    let server = origin.serve();
    let held = Held::of(server.crl("demo", "full", None));
    assert_eq!(serials(&held.der), ["1000"]);
    std::fs::write(origin.path("served.crl"), &held.der).unwrap();
    drop(server);
    origin.run(&["restore", "copy.db"]);
    std::fs::write(ca.folder().join("index.txt"), before).unwrap();
    ca.revoke("two");
    let server = origin.serve();
    let next = held.ask(&server);
    assert_eq!(next.status(), 200);
    assert_eq!(serials(&Held::of(next).der), ["1001"]);
    let mut refused = harness::agent()
        .post(format!("{}/v1/issuers/demo/crls/full/departed", server.url))
        .header("Authorization", "Bearer secret")
        .send_json(serde_json::json!({ "serials": ["1000"] }))
        .unwrap();
    assert_eq!(refused.status(), 503);
    let refused: serde_json::Value = refused.body_mut().read_json().unwrap();
    assert_eq!(refused["code"], "state_lost");
    origin.run(&["recover", "demo", "served.crl"]);
    let next = Held::of(held.ask(&server));
    let mut listed = serials(&next.der);
    listed.sort();
    assert_eq!(listed, ["1000", "1001"]);
    assert!(number(&next.der) > number(&held.der));
}

/// An origin that follows the CA, with a copy of its database from before anything was revoked.
fn backed_up(ca: &OpensslAuthority) -> Origin {
    let origin = Origin::new();
    let folder = ca.folder().to_str().unwrap();
    let connect = ["issuer", "connect", "openssl", "demo"];
    origin.run(&[&connect[..], &["--directory", folder]].concat());
    let _ = (ca.issue("one"), ca.issue("two"));
    origin.crl("demo", "full");
    origin.run(&["backup", "copy.db"]);
    origin
}

/// A CRL that an edge holds.
struct Held {
    der: Vec<u8>,
    tag: String,
    watermark: String,
}

impl Held {
    fn of(mut response: Response<Body>) -> Self {
        Self {
            tag: header(&response, "etag").to_owned(),
            watermark: header(&response, "revocation-watermark").to_owned(),
            der: response.body_mut().read_to_vec().unwrap(),
        }
    }

    fn ask(&self, server: &Server) -> Response<Body> {
        let url = format!("{}/v1/issuers/demo/crls/full", server.url);
        harness::agent()
            .post(url)
            .header("Authorization", "Bearer secret")
            .header("If-None-Match", &self.tag)
            .header("CRL-Number", number(&self.der).to_string())
            .header("Revocation-Watermark", &self.watermark)
            .send_empty()
            .unwrap()
    }
}
