//! How an issuer is printed.

use std::time::Duration;

use origin_api::Der;

use super::error::CliError;
use super::output::Output;
use crate::ca;
use crate::origin::Setup;
use crate::wire::{CrlSetup, IssuerSetup};

pub(super) fn show(setup: Setup, output: Output) -> Result<(), CliError> {
    output.value(&IssuerSetup::from(setup), describe)
}

fn describe(issuer: &IssuerSetup) -> String {
    let mut lines = vec![
        format!("issuer     {}", issuer.id),
        format!("subject    {}", subject(&issuer.certificate)),
    ];
    if let Ok(certificate) = ca::certificate_from_pem_or_der(&issuer.certificate.0) {
        let validity = certificate.tbs_certificate().validity();
        lines.push(format!(
            "valid      {} to {}",
            validity.not_before, validity.not_after
        ));
    }
    lines.push(format!("connector  {}", issuer.connector));
    lines.push(format!("profile    {}", issuer.profile.0));
    lines.extend(issuer.crls.iter().map(|crl| {
        let at = crl
            .distribution_point
            .as_deref()
            .unwrap_or("(no distribution point)");
        format!("crl        {} at {at}{}", crl.name, times(crl))
    }));
    if issuer.crls.is_empty() {
        lines.push("crl        none: published elsewhere".to_owned());
    }
    lines.join("\n")
}

fn times(crl: &CrlSetup) -> String {
    let text = |seconds| humantime::format_duration(Duration::from_secs(seconds));
    match (crl.validity_seconds, crl.overlap_seconds) {
        (Some(validity), Some(overlap)) => format!(
            ", valid for {}, the next one due {} before the end",
            text(validity),
            text(overlap)
        ),
        _ => String::new(),
    }
}

/// The subject of a certificate, in the form of RFC 4514.
pub(super) fn subject(certificate: &Der) -> String {
    let certificate = ca::certificate_from_pem_or_der(&certificate.0);
    certificate.map_or_else(
        |error| error.to_string(),
        |certificate| certificate.tbs_certificate().subject().to_string(),
    )
}
