//! OpenSSL takes what is made here.

mod harness;

use harness::{Origin, openssl, serials};

#[test]
fn openssl_verifies_the_crl_of_every_kind_of_key() {
    for kind in ["rsa-2048", "p256", "p384", "ed25519"] {
        let origin = Origin::new();
        origin.issuer("ca", kind);
        let good = origin.certificate("ca", "good.example");
        let bad = origin.certificate("ca", "bad.example");
        assert_ne!(good, bad);
        origin.run(&[
            "revoke",
            "ca",
            "--certificate",
            "bad.example.pem",
            "--reason",
            "keyCompromise",
        ]);
        let (path, der) = origin.crl("ca", "full");
        assert_eq!(serials(&der), [bad]);
        let pem = origin.path("ca.crl.pem");
        let path = path.to_str().unwrap();
        let Some(crl) = openssl(
            &origin.path("."),
            &[
                "crl",
                "-inform",
                "DER",
                "-in",
                path,
                "-CAfile",
                "ca.pem",
                "-out",
                "ca.crl.pem",
            ],
        ) else {
            return;
        };
        let said = String::from_utf8_lossy(&crl.stderr).into_owned();
        assert!(
            crl.status.success() && said.contains("verify OK"),
            "{kind}: {said}"
        );
        let verify = |certificate: &str| {
            let pem = pem.to_str().unwrap();
            openssl(
                &origin.path("."),
                &[
                    "verify",
                    "-crl_check",
                    "-CRLfile",
                    pem,
                    "-CAfile",
                    "ca.pem",
                    certificate,
                ],
            )
            .unwrap()
        };
        assert!(verify("good.example.pem").status.success(), "{kind}");
        let refused = verify("bad.example.pem");
        assert!(
            String::from_utf8_lossy(&refused.stderr).contains("certificate revoked"),
            "{kind}"
        );
    }
}

#[test]
fn the_service_speaks_tls() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    origin.run(&[
        "cert",
        "issue",
        "ca",
        "--dns",
        "localhost",
        "--out",
        "tls.pem",
        "--key-out",
        "tls.key",
    ]);
    let server = origin.serve_with(&["--tls-certificate", "tls.pem", "--tls-key", "tls.key"]);
    let address = server.url.strip_prefix("https://").unwrap();
    let connect = [
        "s_client",
        "-connect",
        address,
        "-CAfile",
        "ca.pem",
        "-verify_hostname",
        "localhost",
        "-brief",
    ];
    let Some(output) = openssl(&origin.path("."), &connect) else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("Verification: OK"), "{said}");
}

#[test]
fn openssls_requests_are_certified_if_their_signature_fits() {
    let kinds = [
        "rsa:2048",
        "ec -pkeyopt ec_paramgen_curve:P-256",
        "ec -pkeyopt ec_paramgen_curve:P-384",
        "ed25519",
    ];
    for kind in kinds {
        let origin = Origin::new();
        origin.issuer("ca", "p256");
        let request = "-nodes -keyout key.pem -out csr.der -outform DER -subj /CN=a.example -addext subjectAltName=DNS:a.example";
        let make = format!("req -newkey {kind} {request}");
        let Some(output) = openssl(&origin.path("."), &make.split(' ').collect::<Vec<_>>()) else {
            return;
        };
        assert!(
            output.status.success(),
            "{kind}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        origin.run(&[
            "cert", "issue", "ca", "--csr", "csr.der", "--out", "cert.pem",
        ]);
        let verify = [
            "verify",
            "-CAfile",
            "ca.pem",
            "-verify_hostname",
            "a.example",
            "cert.pem",
        ];
        assert!(
            openssl(&origin.path("."), &verify)
                .unwrap()
                .status
                .success(),
            "{kind}"
        );
        // Another name, which the key's owner has not signed.
        let mut forged = std::fs::read(origin.path("csr.der")).unwrap();
        let at = forged
            .windows(9)
            .position(|window| window == b"a.example")
            .unwrap();
        forged[at] = b'b';
        std::fs::write(origin.path("forged.der"), forged).unwrap();
        let (_, complaint) = origin.fail(&["cert", "issue", "ca", "--csr", "forged.der"]);
        assert!(
            complaint.contains("signature does not fit"),
            "{kind}: {complaint}"
        );
    }
}
