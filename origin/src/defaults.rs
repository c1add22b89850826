//! Default settings.

use std::time::Duration;

use origin_api::CrlName;

const DAY: Duration = Duration::from_hours(24);

/// The validity of an issuer's own certificate: ten years.
pub const ISSUER_VALIDITY: Duration = DAY.saturating_mul(3650);

/// The validity of a certificate.
pub const CERTIFICATE_VALIDITY: Duration = DAY.saturating_mul(90);

/// The validity of a CRL: seven days; one day for a delta.
#[must_use]
pub const fn crl_validity(name: CrlName) -> Duration {
    match name {
        CrlName::Full | CrlName::Shard(_) => DAY.saturating_mul(7),
        CrlName::Delta => DAY,
    }
}
