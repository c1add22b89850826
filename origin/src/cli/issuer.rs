//! `crl-origin issuer`: creates, imports, lists and shows issuers.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use crl::CrlNumber;
use origin_api::{Issuer, IssuerId};

use super::common::{Crls, Session, duration, key_kind, profile, read, read_key};
use super::error::CliError;
use super::issuer_view::{show, subject};
use super::{connect, output, setup};
use crate::ca::{self, KeyKind};
use crate::connector_config::ConnectorConfig;
use crate::defaults;
use crate::origin::{NewIssuer, NewKey, Origin, OriginError, SignedBy};
use crate::profile::Profile;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create an issuer with a new key
    Create(Create),
    /// Import an existing issuer: its certificate, its key, and the number of its last CRL
    Import(Import),
    /// Connect another CA, and pass on its CRLs or follow its revocations
    #[command(subcommand)]
    Connect(connect::Connect),
    /// Change an issuer's configuration: its CRLs, its profile, the address of its CA
    Set(Box<setup::Set>),
    /// Renew an issuer's certificate; its name and key stay
    Renew(Renew),
    /// List the issuers of an OpenBao or Vault PKI engine
    Discover(connect::Discover),
    /// List the issuers
    List,
    /// Show one issuer
    Show {
        /// The issuer's id
        id: IssuerId,
        /// Print only its certificate, in PEM
        #[arg(long)]
        pem: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// The issuer's id: 1 to 64 of A-Z a-z 0-9 . _ -
    id: IssuerId,
    /// The kind of key to generate
    #[arg(long, value_parser = key_kind(), default_value = "p256")]
    key: KeyKind,
    /// Use the key in a PKCS#11 token, at this URI:
    /// pkcs11:token=LABEL;object=LABEL?module-path=FILE&pin-source=FILE
    #[arg(long, value_name = "URI", conflicts_with = "key")]
    pkcs11: Option<String>,
    /// Its distinguished name, such as "CN=Example CA,O=Example,C=DE" [default: CN= and the id]
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
    /// The validity of its certificate, from now
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "3650d")]
    validity: Duration,
    /// The issuer that signs its certificate [default: itself]
    #[arg(long, value_name = "ID")]
    signed_by: Option<IssuerId>,
    /// Succeed and change nothing if an issuer with that id exists
    #[arg(long)]
    if_missing: bool,
    #[command(flatten)]
    rules: Rules,
    #[command(flatten)]
    crls: Crls,
}

#[derive(Debug, Args)]
pub(super) struct Renew {
    /// The issuer's id
    id: IssuerId,
    /// The new certificate, in PEM or DER, that its CA signed [default: sign it with its own key]
    #[arg(long, value_name = "FILE", conflicts_with = "validity")]
    certificate: Option<PathBuf>,
    /// The validity of a self-signed certificate, from now
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "3650d")]
    validity: Duration,
}

#[derive(Debug, Args)]
pub(super) struct Import {
    /// The issuer's id: 1 to 64 of A-Z a-z 0-9 . _ -
    id: IssuerId,
    /// Its certificate, in PEM or DER
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// Its private key: PKCS#8, PKCS#1 or SEC1, in PEM or DER
    #[arg(long, value_name = "FILE", required_unless_present = "pkcs11")]
    key: Option<PathBuf>,
    /// Its private key is in a PKCS#11 token, at this URI:
    /// pkcs11:token=LABEL;object=LABEL?module-path=FILE&pin-source=FILE
    #[arg(long, value_name = "URI", conflicts_with = "key")]
    pkcs11: Option<String>,
    /// A file; its first line is the passphrase of an encrypted --key
    #[arg(long, value_name = "FILE")]
    key_passphrase_file: Option<PathBuf>,
    /// The CRLNumber of the last CRL that other software made; the next one is greater
    #[arg(long, value_name = "NUMBER")]
    last_number: Option<CrlNumber>,
    /// Succeed and change nothing if an issuer with that id exists
    #[arg(long)]
    if_missing: bool,
    #[command(flatten)]
    rules: Rules,
    #[command(flatten)]
    crls: Crls,
}

/// The rules that an issuer is held to.
#[derive(Debug, Args)]
struct Rules {
    /// Refuse keys, validities and reasons that these rules forbid
    #[arg(long, value_parser = profile(), default_value = "rfc5280")]
    profile: Profile,
}

impl Command {
    pub(super) fn run(self, session: &Session) -> Result<(), CliError> {
        let (origin, now) = (&*session.origin, session.clock.now());
        match self {
            Self::Create(create) => {
                let if_missing = create.if_missing;
                let id = create.id.clone();
                let result = create
                    .new_issuer()
                    .and_then(|new| origin.create_issuer(new, now));
                report(session, &id, if_missing, result)
            }
            Self::Import(import) => {
                let if_missing = import.if_missing;
                let id = import.id.clone();
                let result = origin.create_issuer(import.new_issuer()?, now);
                report(session, &id, if_missing, result)
            }
            Self::Connect(connect) => {
                let (if_missing, id) = (connect.if_missing(), connect.id().clone());
                let result = connect.run(origin, now);
                match result {
                    Err(CliError::Origin(error)) => report(session, &id, if_missing, Err(error)),
                    result => report(session, &id, if_missing, Ok(result?)),
                }
            }
            Self::Renew(renew) => {
                match &renew.certificate {
                    Some(path) => {
                        let certificate = ca::certificate_from_pem_or_der(&read(path)?)?;
                        origin.replace_certificate(&renew.id, &certificate)?;
                    }
                    None => origin.renew_self_signed(&renew.id, renew.validity, now)?,
                }
                show(origin.setup(&renew.id)?, session.output)
            }
            Self::Set(set) => set.run(session),
            Self::Discover(discover) => discover.run(session.output),
            Self::List => {
                let issuers = all(origin)?;
                session
                    .output
                    .rows(&issuers, ["ID", "SUBJECT", "CRLS"], |issuer| {
                        let crls: Vec<String> =
                            issuer.crls.iter().map(|crl| crl.name.to_string()).collect();
                        [
                            issuer.id.to_string(),
                            subject(&issuer.certificate),
                            crls.join(", "),
                        ]
                    })
            }
            Self::Show { id, pem: true } => {
                let issuer = origin.issuer(&id)?;
                output::print(pem_of(&issuer)?.trim_end())
            }
            Self::Show { id, pem: false } => show(origin.setup(&id)?, session.output),
        }
    }
}

impl Create {
    fn new_issuer(self) -> Result<NewIssuer, OriginError> {
        Ok(NewIssuer {
            subject: ca::parse_subject(
                self.subject
                    .as_deref()
                    .unwrap_or(&format!("CN={}", self.id)),
            )?,
            id: self.id,
            key: self
                .pkcs11
                .map_or(NewKey::Generate(self.key), NewKey::Token),
            validity: self.validity,
            signed_by: self.signed_by.map_or(SignedBy::Itself, SignedBy::Issuer),
            connector: ConnectorConfig::Local,
            profile: self.rules.profile,
            lists: self.crls.lists()?,
        })
    }
}

impl Import {
    fn new_issuer(self) -> Result<NewIssuer, CliError> {
        let certificate = ca::certificate_from_pem_or_der(&read(&self.certificate)?)?;
        let key = match (self.key, self.pkcs11) {
            (Some(path), _) => {
                let key = read_key(&path, self.key_passphrase_file.as_deref())?;
                NewKey::Import(Box::new(key))
            }
            (None, uri) => NewKey::Token(uri.unwrap_or_default()),
        };
        Ok(NewIssuer {
            id: self.id,
            subject: certificate.tbs_certificate().subject().clone(),
            key,
            validity: defaults::ISSUER_VALIDITY,
            signed_by: SignedBy::Already(Box::new(certificate), self.last_number),
            connector: ConnectorConfig::Local,
            profile: self.rules.profile,
            lists: self.crls.lists()?,
        })
    }
}

fn report(
    session: &Session,
    id: &IssuerId,
    if_missing: bool,
    result: Result<Issuer, OriginError>,
) -> Result<(), CliError> {
    match result {
        Ok(_) => {}
        Err(OriginError::IssuerExists(_)) if if_missing => {}
        Err(error) => return Err(error.into()),
    }
    show(session.origin.setup(id)?, session.output)
}

fn all(origin: &Origin) -> Result<Vec<Issuer>, OriginError> {
    let mut issuers = Vec::new();
    loop {
        let last = issuers.last().map(|issuer: &Issuer| issuer.id.clone());
        let page = origin.issuers(last.as_ref(), 1000)?;
        issuers.extend(page.issuers);
        if page.next_cursor.is_none() {
            return Ok(issuers);
        }
    }
}

fn pem_of(issuer: &Issuer) -> Result<String, CliError> {
    let pem = der::pem::encode_string(
        "CERTIFICATE",
        der::pem::LineEnding::LF,
        &issuer.certificate.0,
    );
    pem.map_err(|error| CliError::Usage(error.to_string()))
}
