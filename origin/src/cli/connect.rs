//! `crl-origin issuer connect`: connects other CAs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use crl::CrlNumber;
use der::Encode;
use origin_api::{CrlName, Issuer, IssuerId, Timestamp};

use super::common::{Crls, absolute, read, read_key, web_url};
use super::error::CliError;
use super::output::Output;
use crate::ca::{self, CertificateError};
use crate::connector::{self, Engine, EngineIssuer, UpstreamFault};
use crate::connector_config::{ConnectorConfig, Login, OpenBaoConfig, OpenSslConfig, UrlConfig};
use crate::defaults;
use crate::http_client::{HttpClient, NetworkClient};
use crate::list_config::{Lists, NewList};
use crate::origin::{ConnectedIssuer, NewIssuer, NewKey, Origin, OriginError, Setup, SignedBy};
use crate::profile::Profile;

#[derive(Debug, Subcommand)]
pub(super) enum Connect {
    /// OpenBao or Vault: its PKI engine issues, revokes and makes the CRL; the origin fetches and
    /// rotates it
    Openbao(OpenBao),
    /// A directory of `openssl ca`: OpenSSL issues and revokes; the origin follows index.txt and
    /// makes the CRL
    Openssl(OpenSsl),
    /// A CRL published at a URL: the origin fetches it, verifies it, and passes it on unchanged
    Url(Url),
    /// An issuer that publishes its CRLs elsewhere: the origin only lists it
    External(External),
}

#[derive(Debug, Args)]
struct Common {
    /// The issuer's id: 1 to 64 of A-Z a-z 0-9 . _ -
    id: IssuerId,
    /// Succeed and change nothing if an issuer with that id exists
    #[arg(long)]
    if_missing: bool,
}

#[derive(Debug, Args)]
pub(super) struct OpenBao {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    engine: EngineOptions,
    /// The issuer's id or name in the engine
    #[arg(long, value_name = "REF", default_value = "default")]
    issuer_ref: String,
    /// The http URL of the CRL at the edge
    #[arg(long, value_name = "URL")]
    distribution_point: Option<String>,
}

/// A PKI engine, and how to log in to it.
#[derive(Debug, Args)]
struct EngineOptions {
    /// The server's URL
    #[arg(long, value_name = "URL", value_parser = web_url)]
    address: String,
    /// The path at which the PKI engine is mounted
    #[arg(long, value_name = "PATH", default_value = "pki")]
    mount: String,
    /// A file with a token that may read crl/rotate; it is read on each use, so that it can be
    /// renewed
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "role_id",
        conflicts_with = "role_id"
    )]
    token_file: Option<PathBuf>,
    /// Log in by `AppRole` with this role id
    #[arg(long, value_name = "ID", requires = "secret_id_file")]
    role_id: Option<String>,
    /// The file with the secret id of --role-id
    #[arg(long, value_name = "FILE", requires = "role_id")]
    secret_id_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct OpenSsl {
    #[command(flatten)]
    common: Common,
    /// The CA's directory, with index.txt, cacert.pem, private/cakey.pem and crlnumber; options
    /// name other places
    #[arg(long, value_name = "FOLDER")]
    directory: PathBuf,
    /// `database` in its configuration [default: index.txt in the directory]
    #[arg(long, value_name = "FILE")]
    index: Option<PathBuf>,
    /// `certificate` in its configuration [default: cacert.pem in the directory]
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// `private_key` in its configuration: PKCS#8, PKCS#1 or SEC1 [default: private/cakey.pem in
    /// the directory]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// A file; its first line is the passphrase of an encrypted key
    #[arg(long, value_name = "FILE")]
    key_passphrase_file: Option<PathBuf>,
    /// `crlnumber` in its configuration [default: crlnumber in the directory, if it is there]
    #[arg(long, value_name = "FILE")]
    crl_number: Option<PathBuf>,
    /// The CRLNumber of the last CRL that other software made; the next one is greater
    #[arg(long, value_name = "NUMBER")]
    last_number: Option<CrlNumber>,
    #[command(flatten)]
    crls: Crls,
}

#[derive(Debug, Args)]
pub(super) struct Url {
    #[command(flatten)]
    common: Common,
    /// The certificate that verifies the CRL, in PEM or DER
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// The http or https URL of the CRL, in DER
    #[arg(long = "url", value_name = "URL", value_parser = web_url)]
    source: String,
    /// Let the URL lead to a loopback or link-local address: this machine, or a cloud's metadata
    /// service
    #[arg(long)]
    allow_local: bool,
    /// The http URL of the CRL at the edge
    #[arg(long, value_name = "URL")]
    distribution_point: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct External {
    #[command(flatten)]
    common: Common,
    /// The issuer's certificate, in PEM or DER
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Discover {
    #[command(flatten)]
    engine: EngineOptions,
}

impl Connect {
    pub(super) fn id(&self) -> &IssuerId {
        &self.common().id
    }

    pub(super) fn if_missing(&self) -> bool {
        self.common().if_missing
    }

    fn common(&self) -> &Common {
        match self {
            Self::Openbao(OpenBao { common, .. })
            | Self::Openssl(OpenSsl { common, .. })
            | Self::Url(Url { common, .. })
            | Self::External(External { common, .. }) => common,
        }
    }

    pub(super) fn run(self, origin: &Origin, now: Timestamp) -> Result<Issuer, CliError> {
        let new = match self {
            Self::Openssl(openssl) => {
                let created = origin.create_issuer(openssl.new_issuer()?, now)?;
                let setup = origin.setup(&created.id)?;
                check(&Candidate::from(&setup), now)?;
                return Ok(created);
            }
            Self::Openbao(openbao) => openbao.issuer()?,
            Self::Url(url) => ConnectedIssuer {
                id: url.common.id,
                certificate: ca::certificate_from_pem_or_der(&read(&url.certificate)?)?,
                connector: ConnectorConfig::Url(UrlConfig {
                    url: url.source,
                    allow_local: url.allow_local,
                }),
                lists: full_alone(url.distribution_point)?,
            },
            Self::External(external) => ConnectedIssuer {
                id: external.common.id,
                certificate: ca::certificate_from_pem_or_der(&read(&external.certificate)?)?,
                connector: ConnectorConfig::External,
                lists: Lists::new(Vec::new()).map_err(OriginError::from)?,
            },
        };
        if origin.issuer(&new.id).is_ok() {
            return Err(OriginError::IssuerExists(new.id).into());
        }
        let certificate = new.certificate.to_der().map_err(CertificateError::from)?;
        if let Some(list) = new.lists.configs().first() {
            let candidate = Candidate {
                id: &new.id,
                certificate: &certificate,
                connector: &new.connector,
                distribution_point: list.distribution_point.as_deref(),
            };
            check(&candidate, now)?;
        }
        Ok(origin.connect_issuer(&new, now)?)
    }
}

/// A CA as it would be connected.
pub(super) struct Candidate<'a> {
    pub(super) id: &'a IssuerId,
    /// DER.
    pub(super) certificate: &'a [u8],
    pub(super) connector: &'a ConnectorConfig,
    /// The URL of its full CRL at the edge.
    pub(super) distribution_point: Option<&'a str>,
}

impl<'a> From<&'a Setup> for Candidate<'a> {
    fn from(setup: &'a Setup) -> Self {
        let full = setup.lists.iter().find(|list| list.name == CrlName::Full);
        Self {
            id: &setup.id,
            certificate: &setup.certificate,
            connector: &setup.connector,
            distribution_point: full.and_then(|list| list.distribution_point.as_deref()),
        }
    }
}

/// Refuses a CA if no edge would serve its CRL; prints what its operator should know.
pub(super) fn check(candidate: &Candidate<'_>, now: Timestamp) -> Result<(), CliError> {
    let Candidate {
        id,
        certificate,
        connector,
        distribution_point,
    } = *candidate;
    ca::check_verifier(certificate)?;
    let notes = ask(async |client| {
        connector::check(client, connector, id, certificate, distribution_point, now).await
    })?;
    for note in notes.map_err(|error| CliError::Refused(error.to_string()))? {
        eprintln!("crl-origin: {id}: {note}");
    }
    Ok(())
}

impl OpenBao {
    fn issuer(self) -> Result<ConnectedIssuer, CliError> {
        let engine = self.engine.config(self.issuer_ref)?;
        let der = query(engine.clone(), async |engine| engine.certificate().await)?;
        Ok(ConnectedIssuer {
            id: self.common.id,
            certificate: ca::certificate_from_pem_or_der(&der)?,
            connector: ConnectorConfig::OpenBao(engine),
            lists: full_alone(self.distribution_point)?,
        })
    }
}

impl EngineOptions {
    fn config(self, issuer: String) -> Result<OpenBaoConfig, CliError> {
        let login = match (self.token_file, self.role_id, self.secret_id_file) {
            (_, Some(role_id), Some(secret_id_file)) => app_role(role_id, &secret_id_file)?,
            (token_file, ..) => token(&token_file.unwrap_or_default())?,
        };
        Ok(OpenBaoConfig {
            address: self.address,
            mount: self.mount,
            issuer,
            login,
        })
    }
}

/// The service may have another working directory, so file names are stored as absolute paths.
pub(super) fn token(file: &Path) -> Result<Login, CliError> {
    Ok(Login::TokenFile(absolute(file)?))
}

pub(super) fn app_role(role_id: String, secret_id_file: &Path) -> Result<Login, CliError> {
    Ok(Login::AppRole {
        role_id,
        secret_id_file: absolute(secret_id_file)?,
    })
}

impl OpenSsl {
    fn new_issuer(self) -> Result<NewIssuer, CliError> {
        let directory = absolute(&self.directory)?;
        let within = |given: Option<PathBuf>, name: &str| match given {
            Some(path) => absolute(&path),
            None => Ok(directory.join(name)),
        };
        let certificate =
            ca::certificate_from_pem_or_der(&read(&within(self.certificate, "cacert.pem")?)?)?;
        let key = within(self.key, "private/cakey.pem")?;
        let key = read_key(&key, self.key_passphrase_file.as_deref())?;
        let crl_number = within(self.crl_number, "crlnumber")?;
        Ok(NewIssuer {
            id: self.common.id,
            subject: certificate.tbs_certificate().subject().clone(),
            key: NewKey::Import(Box::new(key)),
            validity: defaults::ISSUER_VALIDITY,
            signed_by: SignedBy::Already(Box::new(certificate), self.last_number),
            connector: ConnectorConfig::OpenSsl(OpenSslConfig {
                index: within(self.index, "index.txt")?,
                crl_number: crl_number.exists().then_some(crl_number),
            }),
            profile: Profile::default(),
            lists: self.crls.lists()?,
        })
    }
}

impl Discover {
    pub(super) fn run(self, output: Output) -> Result<(), CliError> {
        let engine = self.engine.config("default".to_owned())?;
        let issuers = query(engine, async |engine| engine.issuers().await)?;
        output.rows(&issuers, ["ID", "NAME"], |EngineIssuer { id, name }| {
            [id.clone(), name.clone().unwrap_or_default()]
        })
    }
}

/// Asks a PKI engine.
pub(super) fn query<T>(
    engine: OpenBaoConfig,
    question: impl AsyncFnOnce(Engine) -> Result<T, UpstreamFault>,
) -> Result<T, CliError> {
    let address = engine.address.clone();
    let answer = ask(async |client| question(Engine::new(engine, client)).await)?;
    answer.map_err(|fault| CliError::Serve(format!("{address}: {fault}")))
}

/// Runs one question over the network.
fn ask<T>(question: impl AsyncFnOnce(Arc<dyn HttpClient>) -> T) -> Result<T, CliError> {
    let failed = |error: &dyn std::fmt::Display| CliError::Serve(error.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed(&error))?;
    let client = NetworkClient::new().map_err(|error| failed(&error))?;
    Ok(runtime.block_on(question(Arc::new(client))))
}

/// One full CRL; the other CA decides its times.
fn full_alone(distribution_point: Option<String>) -> Result<Lists, CliError> {
    let validity: Duration = defaults::crl_validity(CrlName::Full);
    let full = NewList {
        name: CrlName::Full,
        distribution_point,
        validity,
        overlap: None,
    };
    Ok(Lists::new(vec![full]).map_err(OriginError::from)?)
}
