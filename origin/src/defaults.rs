//! What holds where nothing is said.

use std::time::Duration;

use origin_api::CrlName;

const DAY: Duration = Duration::from_hours(24);

/// How long an issuer's own certificate is valid: ten years.
pub const ISSUER_VALIDITY: Duration = DAY.saturating_mul(3650);

/// How long a certificate is valid.
pub const CERTIFICATE_VALIDITY: Duration = DAY.saturating_mul(90);

/// How long a CRL is valid: seven days, a delta one.
#[must_use]
pub const fn crl_validity(name: CrlName) -> Duration {
    match name {
        CrlName::Full | CrlName::Shard(_) => DAY.saturating_mul(7),
        CrlName::Delta => DAY,
    }
}
