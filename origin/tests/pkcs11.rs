//! Keys in a PKCS#11 token: `SoftHSM2`, where it is installed.

mod harness;

use std::path::Path;
use std::process::Command;

use harness::{Origin, openssl};

/// Where distributions put the module.
const MODULES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
];

#[test]
fn a_key_signs_in_its_token() {
    let Some(module) = MODULES
        .into_iter()
        .find(|module| Path::new(module).exists())
    else {
        println!("skipped: SoftHSM2 is not installed");
        return;
    };
    let origin = Origin::new();
    let folder = origin.path("tokens");
    std::fs::create_dir(&folder).unwrap();
    let configuration = origin.path("softhsm2.conf");
    std::fs::write(
        &configuration,
        format!("directories.tokendir = {}\n", folder.display()),
    )
    .unwrap();
    let pin = origin.path("pin");
    std::fs::write(&pin, "1234\n").unwrap();
    let softhsm = |line: &str| {
        let mut command = Command::new("softhsm2-util");
        command
            .args(line.split(' '))
            .env("SOFTHSM2_CONF", &configuration)
            .current_dir(origin.path("."));
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "{line}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    softhsm("--init-token --free --label crls --so-pin 5678 --pin 1234");
    let kinds = [
        ("rsa", "RSA -pkeyopt rsa_keygen_bits:2048"),
        ("p256", "EC -pkeyopt ec_paramgen_curve:P-256"),
        ("p384", "EC -pkeyopt ec_paramgen_curve:P-384"),
    ];
    for (id, (name, kind)) in (1..).zip(kinds) {
        let make = format!("genpkey -out {name}.key -algorithm {kind}");
        if openssl(&origin.path("."), &make.split(' ').collect::<Vec<_>>()).is_none() {
            return;
        }
        softhsm(&format!(
            "--import {name}.key --token crls --label {name} --id 0{id} --pin 1234"
        ));
        let uri = format!(
            "pkcs11:token=crls;object={name}?module-path={module}&pin-source={}",
            pin.display()
        );
        let run = |arguments: &[&str]| {
            let output = origin
                .command(arguments)
                .env("SOFTHSM2_CONF", &configuration)
                .output()
                .unwrap();
            assert!(
                output.status.success(),
                "{arguments:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            String::from_utf8(output.stdout).unwrap()
        };
        run(&["issuer", "create", name, "--pkcs11", &uri]);
        let certificate = format!("{name}.pem");
        std::fs::write(
            origin.path(&certificate),
            run(&["issuer", "show", name, "--pem"]),
        )
        .unwrap();
        run(&["revoke", name, "0a"]);
        let crl = format!("{name}.crl");
        run(&["crl", "make", name, "--out", &crl]);
        let verify = [
            "crl",
            "-inform",
            "DER",
            "-in",
            &crl,
            "-CAfile",
            &certificate,
            "-noout",
        ];
        let verified = openssl(&origin.path("."), &verify).unwrap();
        let said = String::from_utf8_lossy(&verified.stderr).into_owned();
        assert!(said.contains("verify OK"), "{name}: {said}");
    }
    let mut service = origin.service(&[]);
    service.env("SOFTHSM2_CONF", &configuration);
    let server = Origin::start(service);
    let is_made = || server.crl("p256", "full", None).status() == 200;
    assert!(is_made());
    // The token is another one, with the same key in it.
    softhsm("--delete-token --token crls");
    softhsm("--init-token --free --label crls --so-pin 5678 --pin 1234");
    softhsm("--import p256.key --token crls --label p256 --id 02 --pin 1234");
    // The first try finds the old session gone, the next one opens another.
    assert!(is_made() || is_made());
}
