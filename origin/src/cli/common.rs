//! What commands have in common: what each runs with, and the values and options that several take.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use origin_api::CrlName;
use zeroize::Zeroizing;

use super::error::CliError;
use super::output::Output;
use crate::bearer_token::TokenScope;
use crate::ca::{KeyFileError, KeyKind, PrivateKey};
use crate::clock::Clock;
use crate::http_client::{HttpClient, Limits, NetworkClient, Reach};
use crate::list_config::{Lists, NewList};
use crate::origin::{Origin, OriginError};
use crate::profile::Profile;
use crate::revocation::NamedList;

/// The origin, the clock and the output of one run of crl-origin.
pub(super) struct Session {
    pub(super) origin: Arc<Origin>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) output: Output,
}

/// Parses the name of a kind of key.
pub(super) fn key_kind() -> impl TypedValueParser<Value = KeyKind> {
    PossibleValuesParser::new(KeyKind::ALL.map(KeyKind::as_str))
        .try_map(|name| name.parse::<KeyKind>())
}

/// Parses the name of a profile.
pub(super) fn profile() -> impl TypedValueParser<Value = Profile> {
    PossibleValuesParser::new(Profile::ALL.map(Profile::as_str))
        .try_map(|name| Profile::from_name(&name).ok_or("not a profile"))
}

/// Parses the name of a token's scope.
pub(super) fn token_scope() -> impl TypedValueParser<Value = TokenScope> {
    PossibleValuesParser::new(TokenScope::ALL.map(TokenScope::as_str))
        .try_map(|name| TokenScope::from_name(&name).ok_or("not a scope"))
}

/// The list that certificates name, by `--shard` and `--no-shard`.
pub(super) fn list_named(shard: Option<u32>, no_shard: bool) -> NamedList {
    match shard {
        Some(number) => NamedList::Shard(number),
        None if no_shard => NamedList::Full,
        None => NamedList::Unknown,
    }
}

/// The CRLs that an issuer publishes.
#[derive(Debug, Args)]
pub(super) struct Crls {
    /// The http URL of the full CRL, which certificates name
    #[arg(long, value_name = "URL")]
    distribution_point: Option<String>,
    /// The validity of a full CRL or a shard
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "7d")]
    crl_validity: Duration,
    /// How long before its nextUpdate the next CRL is due [default: half of its validity]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    crl_overlap: Option<Duration>,
    /// Publish a delta CRL at this http URL
    #[arg(long, value_name = "URL")]
    delta: Option<String>,
    /// The validity of a delta CRL
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "1d")]
    delta_validity: Duration,
    /// Publish a shard at this http URL; the first one is shard-0, and so on
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

/// Reads a private key in any form that OpenSSL writes. The first line of the other file is the
/// passphrase.
pub(super) fn read_key(
    path: &Path,
    passphrase_file: Option<&Path>,
) -> Result<PrivateKey, CliError> {
    let file = Zeroizing::new(read(path)?);
    let passphrase = passphrase_file
        .map(|path| read_text(path).map(Zeroizing::new))
        .transpose()?;
    let passphrase = passphrase.as_ref().and_then(|text| text.lines().next());
    PrivateKey::from_file(&file, passphrase).map_err(|error| match error {
        KeyFileError::PassphraseMissing => {
            CliError::Usage(format!("{error}: give --key-passphrase-file"))
        }
        KeyFileError::PassphraseWrong => CliError::Usage(error.to_string()),
        source => CliError::Key {
            path: path.to_owned(),
            source,
        },
    })
}

/// Reads the DER of a CRL from a file in DER or PEM.
pub(super) fn read_der(path: &Path) -> Result<Vec<u8>, CliError> {
    crl_der(&path.display().to_string(), read(path)?)
}

/// The DER of a CRL in DER or PEM.
pub(super) fn crl_der(source: &str, bytes: Vec<u8>) -> Result<Vec<u8>, CliError> {
    if bytes.first() == Some(&0x30) {
        return Ok(bytes);
    }
    match der::pem::decode_vec(&bytes) {
        Ok(("X509 CRL", der)) => Ok(der),
        _ => Err(CliError::Usage(format!(
            "{source}: not a CRL in DER or PEM"
        ))),
    }
}

/// Fetches a URL that an operator named, on any host.
pub(super) fn fetch(url: &str) -> Result<Vec<u8>, CliError> {
    let failed = |error: &dyn std::fmt::Display| CliError::Serve(format!("{url}: {error}"));
    let limits = Limits {
        timeout: Duration::from_mins(2),
        reach: Reach::Anywhere,
    };
    let request = http::Request::get(url)
        .body(bytes::Bytes::new())
        .map_err(|error| failed(&error))?;
    let client = NetworkClient::new().map_err(|error| failed(&error))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed(&error))?;
    runtime.block_on(async {
        let response = client
            .send(request, limits)
            .await
            .map_err(|error| failed(&error))?;
        if response.status != http::StatusCode::OK {
            return Err(failed(&format!("the answer is {}", response.status)));
        }
        response
            .read(FETCH_LIMIT)
            .await
            .map_err(|error| failed(&error))
    })
}

/// The largest CRL to fetch, in bytes.
const FETCH_LIMIT: usize = 1 << 30;

/// A CRL that an operator names may be of any size.
pub(super) fn unlimited() -> crl::Limits {
    crl::Limits {
        max_bytes: u64::MAX,
        ..crl::Limits::default()
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(path).map_err(|source| CliError::File {
        path: path.to_owned(),
        source,
    })
}

pub(super) fn read_text(path: &Path) -> Result<String, CliError> {
    std::fs::read_to_string(path).map_err(|source| CliError::File {
        path: path.to_owned(),
        source,
    })
}

/// Parses an http or https URL.
pub(super) fn web_url(text: &str) -> Result<String, &'static str> {
    let url = reqwest::Url::parse(text).ok();
    let is_web = |url: &reqwest::Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    match url.filter(is_web) {
        Some(_) => Ok(text.to_owned()),
        None => Err("not an http:// or https:// URL"),
    }
}

/// Parses a duration such as `7d`, `12h` or `90 days`.
pub(super) fn duration(text: &str) -> Result<Duration, humantime::DurationError> {
    humantime::parse_duration(text)
}

pub(super) fn absolute(path: &Path) -> Result<PathBuf, CliError> {
    std::path::absolute(path).map_err(|source| CliError::File {
        path: path.to_owned(),
        source,
    })
}
