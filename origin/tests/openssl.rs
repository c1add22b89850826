//! OpenSSL takes what is made here.

mod harness;

use harness::{Origin, number, openssl, serials};

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
            complaint.contains("signature does not verify"),
            "{kind}: {complaint}"
        );
    }
}

#[test]
fn keys_that_openssl_made_are_imported_in_every_form() {
    const LAST_NUMBER: u128 = 9_000_000_000_000_000;
    let kinds = [
        ("rsa-2048", "RSA -pkeyopt rsa_keygen_bits:2048"),
        ("rsa-3072", "RSA -pkeyopt rsa_keygen_bits:3072"),
        ("rsa-4096", "RSA -pkeyopt rsa_keygen_bits:4096"),
        ("p256", "EC -pkeyopt ec_paramgen_curve:P-256"),
        ("p384", "EC -pkeyopt ec_paramgen_curve:P-384"),
        ("ed25519", "ED25519"),
    ];
    let origin = Origin::new();
    std::fs::write(origin.path("passphrase"), "correct horse\n").unwrap();
    let run = |line: &str| openssl(&origin.path("."), &line.split(' ').collect::<Vec<_>>());
    for (name, kind) in kinds {
        if run(&format!("genpkey -algorithm {kind} -out key.pem")).is_none() {
            return;
        }
        for line in [
            "req -x509 -new -key key.pem -out ca.pem -subj /CN=CA -addext keyUsage=critical,keyCertSign,cRLSign",
            "pkcs8 -topk8 -nocrypt -in key.pem -outform DER -out key.der",
            "pkcs8 -topk8 -in key.pem -passout file:passphrase -out sealed.pem",
        ] {
            let output = run(line).unwrap();
            assert!(output.status.success(), "{name}: {line}");
        }
        let import = |id: &str, key: &str| {
            let id = format!("{name}-{id}");
            let last_number = LAST_NUMBER.to_string();
            let given = [
                "--certificate",
                "ca.pem",
                "--key",
                key,
                "--last-number",
                &last_number,
            ];
            origin.run(
                &[
                    &[
                        "issuer",
                        "import",
                        &id,
                        "--key-passphrase-file",
                        "passphrase",
                    ],
                    &given[..],
                ]
                .concat(),
            );
            id
        };
        for id in [
            import("plain", "key.pem"),
            import("der", "key.der"),
            import("sealed", "sealed.pem"),
        ] {
            let (path, der) = origin.crl(&id, "full");
            assert!(number(&der) > LAST_NUMBER, "its numbers go on");
            let crl = format!(
                "crl -inform DER -in {} -CAfile ca.pem -noout",
                path.display()
            );
            let said = String::from_utf8(run(&crl).unwrap().stderr).unwrap();
            assert!(said.contains("verify OK"), "{id}: {said}");
        }
    }
    let (code, complaint) = origin.fail(&[
        "issuer",
        "import",
        "other",
        "--certificate",
        "ca.pem",
        "--key",
        "sealed.pem",
    ]);
    assert_eq!(code, 2);
    assert!(complaint.contains("--key-passphrase-file"), "{complaint}");
}
