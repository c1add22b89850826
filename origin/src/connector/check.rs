//! Checks another CA when it is connected: whether an edge could serve its CRL, and what stands in
//! the way.

use std::sync::Arc;

use crl::{Refusal, WrongIssuer};
use origin_api::{CrlName, Der, Issuer, IssuerId, Timestamp};

use super::fetch::Fetched;
use super::openbao::Engine;
use super::{CrlRequest, UpstreamFault, follow, url};
use crate::connector_config::{ConnectorConfig, OpenBaoConfig};
use crate::http_client::HttpClient;
use crate::origin::Caller;

/// Why a CA cannot be connected as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    /// Its CRL, or the way to it.
    #[error("{fault}{}", advice(fault))]
    Upstream {
        /// What is wrong.
        fault: UpstreamFault,
    },
    /// The edge would refuse the CRL as one for other certificates.
    #[error(
        "the CRL names {named} as its distribution point, and --distribution-point is {given}: \
         give the CRL's own, or have the CA name the edge's"
    )]
    DistributionPoint {
        /// The first URL in the CRL.
        named: String,
        /// The one configured.
        given: String,
    },
    /// The token may not find out whether the engine lists what was revoked.
    #[error(
        "the token may not read {mount}/config/crl, which decides whether revocations are listed: \
         add `path \"{mount}/config/crl\" {{ capabilities = [\"read\"] }}` to its policy"
    )]
    ConfigForbidden {
        /// Where the engine is mounted.
        mount: String,
    },
}

impl From<UpstreamFault> for CheckError {
    fn from(fault: UpstreamFault) -> Self {
        Self::Upstream { fault }
    }
}

/// What an operator can do about it, if the fault does not say.
fn advice(fault: &UpstreamFault) -> &'static str {
    match fault {
        UpstreamFault::Refused(Refusal::NumberMissing) => {
            "; no edge serves a CRL without one: configure the CA to number its CRLs \
             (`openssl ca`: crlnumber and crl_extensions)"
        }
        UpstreamFault::Refused(Refusal::WrongIssuer(WrongIssuer::KeyUsage)) => {
            "; give the certificate of the key that signs the CRLs, or have it issued anew with cRLSign"
        }
        UpstreamFault::Refused(Refusal::WrongIssuer(_) | Refusal::BadSignature(_)) => {
            "; the certificate must be that of the CA that signs this CRL"
        }
        UpstreamFault::Refused(Refusal::NextUpdateMissing) => {
            "; configure the CA to state when the next CRL is due"
        }
        UpstreamFault::Malformed(_) => "; is it the CRL's URL, and the CRL in DER?",
        _ => "",
    }
}

/// Checks a CA. Returns what its operator should know; a CA that cannot be reached now may be
/// connected all the same.
///
/// # Errors
/// [`CheckError`].
pub(crate) async fn check(
    client: Arc<dyn HttpClient>,
    connector: &ConnectorConfig,
    id: &IssuerId,
    certificate: &[u8],
    distribution_point: Option<&str>,
    now: Timestamp,
) -> Result<Vec<String>, CheckError> {
    let request = CrlRequest {
        issuer: Issuer {
            id: id.clone(),
            certificate: Der(certificate.to_vec()),
            crls: Vec::new(),
        },
        name: CrlName::Full,
        caller: Caller::default(),
        now,
    };
    let mut notes = Vec::new();
    let fetched = match connector {
        ConnectorConfig::Url(config) => url::fetch_once(&*client, config, &request).await,
        ConnectorConfig::OpenBao(config) => {
            notes.push(check_engine(&client, config).await?);
            Engine::new(config.clone(), client).crl(&request).await
        }
        ConnectorConfig::OpenSsl(config) => {
            notes.extend(match follow::first_bad_line(config) {
                Ok(bad) => {
                    bad.map(|bad| format!("until its index is mended there is no CRL: {bad}"))
                }
                Err(fault) => Some(format!("there is no CRL yet: {fault}")),
            });
            return Ok(notes);
        }
        ConnectorConfig::Local | ConnectorConfig::External => return Ok(notes),
    };
    match fetched {
        Ok(fetched) => notes.extend(check_distribution_point(&fetched, distribution_point)?),
        Err(fault) if fault.is_passing() => {
            notes.push(format!("the CRL cannot be checked now: {fault}"));
        }
        Err(fault @ UpstreamFault::Refused(Refusal::Expired { .. })) => {
            notes.push(format!("there is no CRL to serve yet: {fault}"));
        }
        Err(fault) => return Err(fault.into()),
    }
    Ok(notes)
}

async fn check_engine(
    client: &Arc<dyn HttpClient>,
    config: &OpenBaoConfig,
) -> Result<String, CheckError> {
    let engine = Engine::new(config.clone(), Arc::clone(client));
    let mount = || engine.mount().to_owned();
    match engine.crl_config().await? {
        None => Err(CheckError::ConfigForbidden { mount: mount() }),
        Some(config) if config.disable => Err(UpstreamFault::Disabled { mount: mount() }.into()),
        Some(config) => Ok(format!("config/crl: {}", config.meaning())),
    }
}

/// A CRL that names a distribution point is for the certificates that name it, too (RFC 5280,
/// section 5.2.5).
fn check_distribution_point(
    fetched: &Fetched,
    given: Option<&str>,
) -> Result<Option<String>, CheckError> {
    let named = fetched.distribution_points();
    match (named.first(), given) {
        (Some(first), Some(given)) if !named.iter().any(|url| url == given) => {
            Err(CheckError::DistributionPoint {
                named: first.clone(),
                given: given.to_owned(),
            })
        }
        (Some(first), None) => Ok(Some(format!(
            "the CRL names {first} as its distribution point: its clients look for it there, not at the edge"
        ))),
        _ => Ok(None),
    }
}
