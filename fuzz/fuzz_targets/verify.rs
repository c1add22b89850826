//! Changed CRLs against the issuers that signed them: no panic, and nothing is verified that was
//! not signed. The first octet chooses the issuer, the rest is the CRL.
#![no_main]

use crl::{CrlKind, Examination, Issuer, Limits, Requirements, RustCrypto, Verification};
use libfuzzer_sys::fuzz_target;

const SIGNED: [(&[u8], &[u8]); 6] = [
    (
        include_bytes!("../../crl/tests/data/openssl-p256.cer"),
        include_bytes!("../../crl/tests/data/openssl-p256.crl"),
    ),
    (
        include_bytes!("../../crl/tests/data/openssl-p384.cer"),
        include_bytes!("../../crl/tests/data/openssl-p384.crl"),
    ),
    (
        include_bytes!("../../crl/tests/data/openssl-p521.cer"),
        include_bytes!("../../crl/tests/data/openssl-p521.crl"),
    ),
    (
        include_bytes!("../../crl/tests/data/openssl-rsa2048.cer"),
        include_bytes!("../../crl/tests/data/openssl-rsa2048.crl"),
    ),
    (
        include_bytes!("../../crl/tests/data/openssl-rsa-pss.cer"),
        include_bytes!("../../crl/tests/data/openssl-rsa-pss.crl"),
    ),
    (
        include_bytes!("../../crl/tests/data/openssl-ed25519.cer"),
        include_bytes!("../../crl/tests/data/openssl-ed25519.crl"),
    ),
];

fuzz_target!(|data: &[u8]| {
    let Some((choice, der)) = data.split_first() else {
        return;
    };
    // Any certificate, too: reading one must not panic.
    let _ = Issuer::from_der(der);
    let (certificate, signed) = SIGNED[usize::from(choice % 6)];
    let issuer = Issuer::from_der(certificate).unwrap();
    let mut examination = Examination::<RustCrypto>::new(Limits::default());
    let Ok(()) = examination.push(der) else {
        return;
    };
    let Ok(examined) = examination.finish() else {
        return;
    };
    let now = examined.crl().header.this_update;
    let requirements = Requirements {
        distribution_point: (choice & 0x40 != 0).then_some("http://example.com/crl"),
        ..Requirements::new(
            &issuer,
            [CrlKind::Full, CrlKind::Delta, CrlKind::Shard][usize::from(choice >> 4 & 3) % 3],
            now,
        )
    };
    let verified = match crl::verify(&examined, &requirements) {
        Ok(Verification::Verified(verified)) => verified,
        Ok(Verification::NeedsSecondPass(mut pass)) => {
            for piece in der.chunks(usize::from(*choice) + 1) {
                pass.push(piece);
            }
            match pass.finish() {
                Ok(verified) => verified,
                Err(_) => return,
            }
        }
        Err(refusal) => {
            assert!(!refusal.code().is_empty() && !refusal.to_string().is_empty());
            return;
        }
    };
    let tbs = &verified.crl().tbs;
    let tbs = &der[tbs.start as usize..tbs.end as usize];
    assert!(
        signed.windows(tbs.len()).any(|bytes| bytes == tbs),
        "a forgery"
    );
});
