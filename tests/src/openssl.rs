//! OpenSSL as a relying party: it fetches the CRL from the certificate's distribution point by itself.

use std::{path::Path, process::Command};

use crate::Skipped;

/// What OpenSSL says about a certificate.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// `OK`
    Good,
    /// `certificate revoked`
    Revoked,
    /// Anything else, in its own words.
    Refused(String),
}

/// `openssl verify -crl_check -crl_download`.
///
/// # Errors
/// Where there is no OpenSSL.
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
