//! `crl-origin issuer`: make, import, list and show issuers.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use crl::CrlNumber;
use origin_api::{CrlName, Der, Issuer, IssuerId};
use pkcs8::EncryptedPrivateKeyInfoRef;
use zeroize::Zeroizing;

use super::output::Output;
use super::{CliError, connect, duration, read, read_text, setup};
use crate::ca::{self, KeyError, KeyKind, PrivateKey};
use crate::clock::Moment;
use crate::connector_config::ConnectorConfig;
use crate::defaults;
use crate::origin::{Lists, NewIssuer, NewKey, NewList, Origin, OriginError, Setup, SignedBy};
use crate::profile::Profile;
use crate::wire::{CrlSetup, IssuerSetup};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make an issuer with a new key.
    Create(Create),
    /// Take over an issuer that exists: its certificate, its key, and the number of its last CRL.
    Import(Import),
    /// Put the origin in front of a CA that runs elsewhere.
    #[command(subcommand)]
    Connect(connect::Connect),
    /// Change how an issuer is set up: its CRLs, its rules, where its CA is.
    Set(Box<setup::Set>),
    /// List the issuers of an OpenBao or Vault PKI engine.
    Discover(connect::Discover),
    /// List the issuers.
    List,
    /// Show one issuer.
    Show {
        /// The issuer's id.
        id: IssuerId,
        /// Print its certificate, in PEM, and nothing else.
        #[arg(long)]
        pem: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// The issuer's id: 1 to 64 of A-Z a-z 0-9 . _ -
    id: IssuerId,
    /// The kind of key to make.
    #[arg(long, value_enum, default_value = "p256")]
    key: KeyKind,
    /// Use the key that is in a PKCS#11 token, where this URI says:
    /// pkcs11:token=LABEL;object=LABEL?module-path=FILE&pin-source=FILE
    #[arg(long, value_name = "URI", conflicts_with = "key")]
    pkcs11: Option<String>,
    /// Its distinguished name, such as "CN=Example CA,O=Example,C=DE" [default: CN= and the id]
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
    /// How long its certificate is valid.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "3650d")]
    validity: Duration,
    /// The issuer that signs its certificate [default: itself]
    #[arg(long, value_name = "ID")]
    signed_by: Option<IssuerId>,
    /// Succeed, and change nothing, if an issuer of that id exists.
    #[arg(long)]
    if_missing: bool,
    #[command(flatten)]
    rules: Rules,
    #[command(flatten)]
    crls: Crls,
}

#[derive(Debug, Args)]
pub(super) struct Import {
    /// The issuer's id: 1 to 64 of A-Z a-z 0-9 . _ -
    id: IssuerId,
    /// Its certificate, in PEM or DER.
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// Its private key: PKCS#8, in PEM or DER.
    #[arg(long, value_name = "FILE", required_unless_present = "pkcs11")]
    key: Option<PathBuf>,
    /// Its private key is in a PKCS#11 token, where this URI says:
    /// pkcs11:token=LABEL;object=LABEL?module-path=FILE&pin-source=FILE
    #[arg(long, value_name = "URI", conflicts_with = "key")]
    pkcs11: Option<String>,
    /// A file whose first line is the passphrase of an encrypted --key.
    #[arg(long, value_name = "FILE")]
    key_passphrase_file: Option<PathBuf>,
    /// The CRLNumber of the last CRL made elsewhere: the next one is greater.
    #[arg(long, value_name = "NUMBER")]
    last_number: Option<CrlNumber>,
    /// Succeed, and change nothing, if an issuer of that id exists.
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
    /// Refuse what these rules do not allow: keys, validities, reasons.
    #[arg(long, value_enum, default_value = "rfc5280")]
    profile: Profile,
}

/// The CRLs that an issuer publishes.
#[derive(Debug, Args)]
pub(super) struct Crls {
    /// The http URL of the full CRL, which certificates name.
    #[arg(long, value_name = "URL")]
    distribution_point: Option<String>,
    /// How long a full CRL or a shard is valid.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "7d")]
    crl_validity: Duration,
    /// How long before a CRL ends the next one is due [default: half of its validity]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    crl_overlap: Option<Duration>,
    /// Publish a delta CRL at this http URL.
    #[arg(long, value_name = "URL")]
    delta: Option<String>,
    /// How long a delta CRL is valid.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "1d")]
    delta_validity: Duration,
    /// Publish a shard at this http URL; the first one is shard-0, and so on.
    #[arg(long = "shard", value_name = "URL")]
    shards: Vec<String>,
}

impl Crls {
    pub(super) fn lists(self) -> Result<Lists, OriginError> {
        let whole = |name, distribution_point| NewList {
            name,
            distribution_point,
            validity: self.crl_validity,
            overlap: self.crl_overlap,
        };
        let mut lists = vec![whole(CrlName::Full, self.distribution_point)];
        lists.extend(self.delta.map(|url| NewList {
            name: CrlName::Delta,
            distribution_point: Some(url),
            validity: self.delta_validity,
            overlap: None,
        }));
        lists.extend(
            (0..)
                .zip(self.shards)
                .map(|(number, url)| whole(CrlName::Shard(number), Some(url))),
        );
        Ok(Lists::new(lists)?)
    }
}

impl Command {
    pub(super) fn run(self, origin: &Origin, output: Output) -> Result<(), CliError> {
        match self {
            Self::Create(create) => {
                let if_missing = create.if_missing;
                let id = create.id.clone();
                let result = create
                    .new_issuer()
                    .and_then(|new| origin.create_issuer(new, Moment::now()));
                report(origin, output, &id, if_missing, result)
            }
            Self::Import(import) => {
                let if_missing = import.if_missing;
                let id = import.id.clone();
                let result = origin.create_issuer(import.new_issuer()?, Moment::now());
                report(origin, output, &id, if_missing, result)
            }
            Self::Connect(connect) => {
                let (if_missing, id) = (connect.if_missing(), connect.id().clone());
                let result = connect.run(origin);
                match result {
                    Err(CliError::Origin(error)) => {
                        report(origin, output, &id, if_missing, Err(error))
                    }
                    result => report(origin, output, &id, if_missing, Ok(result?)),
                }
            }
            Self::Set(set) => set.run(origin, output),
            Self::Discover(discover) => discover.run(output),
            Self::List => {
                let issuers = all(origin)?;
                output.rows(&issuers, ["ID", "SUBJECT", "CRLS"], |issuer| {
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
                super::output::print(pem_of(&issuer)?.trim_end())
            }
            Self::Show { id, pem: false } => show(origin.setup(&id)?, output),
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
                let file = Zeroizing::new(read(&path)?);
                let passphrase = self
                    .key_passphrase_file
                    .map(|path| read_text(&path).map(Zeroizing::new))
                    .transpose()?;
                let passphrase = passphrase.as_ref().and_then(|text| text.lines().next());
                NewKey::Import(Box::new(read_key(&file, passphrase)?))
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

/// Reads a private key: PKCS#8, in PEM or DER, encrypted or not.
pub(super) fn read_key(file: &[u8], passphrase: Option<&str>) -> Result<PrivateKey, CliError> {
    let document = match std::str::from_utf8(file) {
        Ok(pem) => {
            let (_, document) =
                pkcs8::SecretDocument::from_pem(pem).map_err(|_| KeyError::Unsupported)?;
            Zeroizing::new(document.as_bytes().to_vec())
        }
        Err(_) => Zeroizing::new(file.to_vec()),
    };
    let Ok(sealed) = EncryptedPrivateKeyInfoRef::try_from(document.as_slice()) else {
        return Ok(PrivateKey::from_pkcs8_der(&document)?);
    };
    let passphrase = passphrase.ok_or_else(|| {
        CliError::Usage("the key is encrypted: give --key-passphrase-file".to_owned())
    })?;
    let plain = sealed
        .decrypt(passphrase)
        .map_err(|_| CliError::Usage("the passphrase does not open the key".to_owned()))?;
    Ok(PrivateKey::from_pkcs8_der(plain.as_bytes())?)
}

fn report(
    origin: &Origin,
    output: Output,
    id: &IssuerId,
    if_missing: bool,
    result: Result<Issuer, OriginError>,
) -> Result<(), CliError> {
    match result {
        Ok(_) => {}
        Err(OriginError::IssuerExists(_)) if if_missing => {}
        Err(error) => return Err(error.into()),
    }
    show(origin.setup(id)?, output)
}

pub(super) fn show(setup: Setup, output: Output) -> Result<(), CliError> {
    output.value(&IssuerSetup::from(setup), describe)
}

pub(super) fn all(origin: &Origin) -> Result<Vec<Issuer>, OriginError> {
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

fn subject(certificate: &Der) -> String {
    let certificate = ca::certificate_from_pem_or_der(&certificate.0);
    certificate.map_or_else(
        |error| error.to_string(),
        |certificate| certificate.tbs_certificate().subject().to_string(),
    )
}

fn pem_of(issuer: &Issuer) -> Result<String, CliError> {
    let pem = der::pem::encode_string(
        "CERTIFICATE",
        der::pem::LineEnding::LF,
        &issuer.certificate.0,
    );
    pem.map_err(|error| CliError::Usage(error.to_string()))
}
