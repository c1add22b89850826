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
