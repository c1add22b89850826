//! Says whether a CRL revokes a certificate: `check_certificate CRL CERTIFICATE
//! ISSUER-CERTIFICATE`, all in DER. Exits with 0 for a good certificate, 1 for a revoked one, and 2
//! if the CRL does not say or cannot be used.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use crl::der::Decode;
use crl::x509_cert::Certificate;
use crl::{
    CrlKind, Examination, Issuer, Limits, Lookup, Requirements, RustCrypto, Serial, Status,
    UnixTime, Verification,
};

fn main() -> ExitCode {
    run().unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::from(2)
    })
}

fn run() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let paths: Vec<_> = std::env::args_os().skip(1).collect();
    let [crl, certificate, issuer] = &paths[..] else {
        return Err("usage: check_certificate CRL CERTIFICATE ISSUER-CERTIFICATE".into());
    };
    let crl = std::fs::read(crl)?;
    let certificate = Certificate::from_der(&std::fs::read(certificate)?)?;
    let issuer = Issuer::from_der(&std::fs::read(issuer)?)?;
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let now = UnixTime(i64::try_from(seconds)?);

    // One pass reads the CRL, hashes it and looks for the certificate.
    let serial = certificate.tbs_certificate().serial_number().as_bytes();
    let serial = Serial::from_integer(serial).ok_or("the serial number is not in DER")?;
    let mut lookup = Lookup::new(serial);
    let mut examination = Examination::<RustCrypto>::new(Limits::default());
    examination.push_with(&crl, &mut lookup)?;
    let examined = examination.finish()?;

    // The CRL counts only if the issuer signed it and it is valid now. A certificate that names a
    // distribution point needs that point's CRL: see `Requirements::distribution_point`.
    let requirements = Requirements::new(&issuer, CrlKind::Full, now);
    if let Verification::NeedsSecondPass(mut pass) = crl::verify(&examined, &requirements)? {
        pass.push(&crl);
        pass.finish()?;
    }

    Ok(match lookup.status(examined.crl()) {
        Status::NotListed => {
            println!("{serial} is not revoked");
            ExitCode::SUCCESS
        }
        Status::Revoked(listed) => {
            let reason = listed.reason.map_or("no reason", |reason| reason.name());
            println!(
                "{serial} was revoked at {}: {reason}",
                listed.revocation_date
            );
            ExitCode::from(1)
        }
        other => {
            println!("the CRL does not say: {other:?}");
            ExitCode::from(2)
        }
    })
}
