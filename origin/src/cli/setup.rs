//! `crl-origin issuer set`: changes an issuer's configuration.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use origin_api::{CrlName, IssuerId, Timestamp};

use super::common::{Session, absolute, duration, profile, web_url};
use super::connect::{self, Candidate};
use super::error::CliError;
use super::issuer_view::show;
use crate::connector_config::{ConnectorConfig, OpenBaoConfig, OpenSslConfig, UrlConfig};
use crate::origin::{Changes, ListChange, Setup};
use crate::profile::Profile;

#[derive(Debug, Args)]
pub(super) struct Set {
    /// The issuer's id
    id: IssuerId,
    /// Hold it to these rules from now on
    #[arg(long, value_parser = profile())]
    profile: Option<Profile>,
    /// The http URL of the full CRL, which certificates issued from now on name
    #[arg(long, value_name = "URL")]
    distribution_point: Option<String>,
    /// The validity of a full CRL or a shard
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    crl_validity: Option<Duration>,
    /// How long before its nextUpdate the next CRL is due
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    crl_overlap: Option<Duration>,
    /// Publish a delta CRL at this http URL
    #[arg(long, value_name = "URL")]
    delta: Option<String>,
    /// The validity of a delta CRL
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    delta_validity: Option<Duration>,
    /// Stop publishing a delta CRL
    #[arg(long, conflicts_with_all = ["delta", "delta_validity"])]
    no_delta: bool,
    /// Publish one more shard at this http URL; may be repeated
    #[arg(long = "shard", value_name = "URL")]
    shards: Vec<String>,
    /// Keep certificates that expire from now on, on the CRLs, as code signing needs
    /// (expiredCertsOnCRL)
    #[arg(long)]
    keep_expired: bool,
    /// Let expired certificates leave the CRLs
    #[arg(long, conflicts_with = "keep_expired")]
    no_keep_expired: bool,
    #[command(flatten)]
    source: Source,
}

/// Where the CRLs or the revocations of another CA come from.
#[derive(Debug, Args)]
#[command(next_help_heading = "Other CAs")]
struct Source {
    /// `url`: the URL of the CRL
    #[arg(long, value_name = "URL", value_parser = web_url)]
    url: Option<String>,
    /// `url`: whether it may lead to a loopback or link-local address
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    allow_local: Option<bool>,
    /// `openssl`: `database` in its configuration
    #[arg(long, value_name = "FILE")]
    index: Option<PathBuf>,
    /// `openssl`: `crlnumber` in its configuration
    #[arg(long, value_name = "FILE")]
    crl_number: Option<PathBuf>,
    /// `openbao`: the server's URL
    #[arg(long, value_name = "URL", value_parser = web_url)]
    address: Option<String>,
    /// `openbao`: the path at which the PKI engine is mounted
    #[arg(long, value_name = "PATH")]
    mount: Option<String>,
    /// `openbao`: the issuer's id or name in the engine
    #[arg(long, value_name = "REF")]
    issuer_ref: Option<String>,
    /// `openbao`: a file with a token that may read crl/rotate
    #[arg(long, value_name = "FILE", conflicts_with = "role_id")]
    token_file: Option<PathBuf>,
    /// `openbao`: log in by `AppRole` with this role id
    #[arg(long, value_name = "ID", requires = "secret_id_file")]
    role_id: Option<String>,
    /// `openbao`: the file with the secret id of --role-id
    #[arg(long, value_name = "FILE", requires = "role_id")]
    secret_id_file: Option<PathBuf>,
}

impl Set {
    pub(super) fn run(self, session: &Session) -> Result<(), CliError> {
        let before = session.origin.setup(&self.id)?;
        let id = self.id.clone();
        let changes = self.changes(&before)?;
        check_ca(&before, &changes, session.clock.now())?;
        let setup = session
            .origin
            .change_issuer(&id, &changes, session.clock.now())?;
        show(setup, session.output)
    }

    fn changes(self, before: &Setup) -> Result<Changes, CliError> {
        let numbers = || {
            before.lists.iter().filter_map(|list| match list.name {
                CrlName::Shard(number) => Some(number),
                CrlName::Full | CrlName::Delta => None,
            })
        };
        let whole = |name, distribution_point| ListChange {
            name,
            distribution_point,
            validity: self.crl_validity,
            overlap: self.crl_overlap,
        };
        let mut lists = Vec::new();
        let of_all = self.crl_validity.is_some() || self.crl_overlap.is_some();
        if of_all || self.distribution_point.is_some() {
            lists.push(whole(CrlName::Full, self.distribution_point.clone()));
        }
        if of_all {
            lists.extend(numbers().map(|number| whole(CrlName::Shard(number), None)));
        }
        if self.delta.is_some() || self.delta_validity.is_some() {
            lists.push(ListChange {
                name: CrlName::Delta,
                distribution_point: self.delta,
                validity: self.delta_validity,
                overlap: None,
            });
        }
        let next = numbers().max().map_or(0, |last| last.saturating_add(1));
        lists.extend(
            (next..)
                .zip(self.shards)
                .map(|(number, url)| whole(CrlName::Shard(number), Some(url))),
        );
        let changes = Changes {
            connector: self.source.connector(before)?,
            profile: self.profile,
            lists,
            keep_expired: match (self.keep_expired, self.no_keep_expired) {
                (true, _) => Some(true),
                (_, true) => Some(false),
                _ => None,
            },
            no_delta: self.no_delta,
        };
        if changes.is_empty() {
            let missing = "nothing to change: `crl-origin issuer set --help` lists the options";
            return Err(CliError::Usage(missing.to_owned()));
        }
        Ok(changes)
    }
}

impl Source {
    /// The changed connector, if any; options of another kind of connector are refused.
    fn connector(self, before: &Setup) -> Result<Option<ConnectorConfig>, CliError> {
        let given = [
            (self.url.is_some() || self.allow_local.is_some(), "url"),
            (self.index.is_some() || self.crl_number.is_some(), "openssl"),
            (self.is_engine(), "openbao"),
        ];
        let (id, kind) = (&before.id, before.connector.kind());
        let mut kinds = given.into_iter().filter(|(is_given, _)| *is_given);
        if let Some((_, other)) = kinds.clone().find(|(_, given)| *given != kind) {
            let complaint =
                format!("issuer {id} is of kind {kind}, and this option is for the kind {other}");
            return Err(CliError::Usage(complaint));
        }
        if kinds.next().is_none() {
            return Ok(None);
        }
        let mut connector = before.connector.clone();
        match &mut connector {
            ConnectorConfig::Url(UrlConfig { url, allow_local }) => {
                set(url, self.url);
                set(allow_local, self.allow_local);
            }
            ConnectorConfig::OpenSsl(OpenSslConfig { index, crl_number }) => {
                let absolute = |path: Option<PathBuf>| path.map(|path| absolute(&path)).transpose();
                set(index, absolute(self.index)?);
                *crl_number = absolute(self.crl_number)?.or(crl_number.take());
            }
            ConnectorConfig::OpenBao(engine) => {
                self.set_engine(engine)?;
                refuse_another(before, engine)?;
            }
            ConnectorConfig::Local | ConnectorConfig::External => {}
        }
        Ok(Some(connector))
    }

    fn is_engine(&self) -> bool {
        let texts = [&self.address, &self.mount, &self.issuer_ref, &self.role_id];
        texts.into_iter().any(Option::is_some) || self.token_file.is_some()
    }

    fn set_engine(self, engine: &mut OpenBaoConfig) -> Result<(), CliError> {
        set(&mut engine.address, self.address);
        set(&mut engine.mount, self.mount);
        set(&mut engine.issuer, self.issuer_ref);
        if let Some(file) = self.token_file {
            engine.login = connect::token(&file)?;
        }
        if let (Some(role_id), Some(file)) = (self.role_id, self.secret_id_file) {
            engine.login = connect::app_role(role_id, &file)?;
        }
        Ok(())
    }
}

/// Repeats the checks of `issuer connect` if the way to the CA, or the URL of its CRL at the edge,
/// changes.
fn check_ca(before: &Setup, changes: &Changes, now: Timestamp) -> Result<(), CliError> {
    let full = changes.lists.iter().find(|list| list.name == CrlName::Full);
    let given = full.and_then(|list| list.distribution_point.as_deref());
    if changes.connector.is_none() && (before.signs_here || given.is_none()) {
        return Ok(());
    }
    let mut candidate = Candidate::from(before);
    candidate.connector = changes.connector.as_ref().unwrap_or(&before.connector);
    candidate.distribution_point = given.or(candidate.distribution_point);
    connect::check(&candidate, now)
}

fn set<T>(setting: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *setting = given;
    }
}

/// The engine must still have the same issuer certificate.
fn refuse_another(before: &Setup, config: &OpenBaoConfig) -> Result<(), CliError> {
    let found = connect::query(config.clone(), async |engine| engine.certificate().await)?;
    if found == before.certificate {
        return Ok(());
    }
    let complaint = format!(
        "{}: the certificate of issuer {} is not that of {} here",
        config.address, config.issuer, before.id
    );
    Err(CliError::Refused(complaint))
}
