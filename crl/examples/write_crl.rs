//! Writes a CRL, signed by a new P-256 key: `write_crl CRL ISSUER-CERTIFICATE SERIAL…`, serial
//! numbers in decimal. Any signer will do: `Template::sign` takes a closure.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use crl::{Algorithm, CrlNumber, Digest, Issuer, Reason, Revocation, Serial, Template, UnixTime};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, SigningKey};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(crl_path), Some(issuer_path)) = (arguments.next(), arguments.next()) else {
        return Err("usage: write_crl CRL ISSUER-CERTIFICATE SERIAL…".into());
    };
    let serials: Vec<u64> = arguments
        .map(|serial| serial.parse())
        .collect::<Result<_, _>>()?;

    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "Example CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key)?;
    let issuer = Issuer::from_der(certificate.der())?;

    let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let now = UnixTime(i64::try_from(seconds)?);
    let template = Template {
        authority_key_id: issuer.subject_key_id().map(<[u8]>::to_vec),
        ..Template::new(
            issuer.subject().clone(),
            Algorithm::Ecdsa(Digest::Sha256).identifier()?,
            CrlNumber::from(1),
            now..UnixTime(now.0 + 7 * 86_400),
        )
    };
    let octets: Vec<_> = serials.iter().map(|serial| serial.to_be_bytes()).collect();
    let revocations = octets.iter().map(|serial| Revocation {
        serial: Serial::from_be_bytes(serial),
        date: now,
        reason: Reason::Superseded,
        invalidity_date: None,
    });
    let crl = template.sign(revocations, |tbs| key.sign(tbs))?;
    std::fs::write(crl_path, crl)?;
    std::fs::write(issuer_path, certificate.der())?;
    Ok(())
}
