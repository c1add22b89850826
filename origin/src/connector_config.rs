//! How an issuer's CRLs are obtained, as stored. Plain data: `crate::origin` keeps it,
//! `crate::connector` acts on it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The kind of connector, and its parameters. A new kind is a variant here and a file in
/// `connector`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum ConnectorConfig {
    /// The key and the revocations are kept here.
    Local,
    /// A directory of `openssl ca`: the key was imported, `index.txt` is followed.
    OpenSsl(OpenSslConfig),
    /// OpenBao or Vault: its PKI engine makes the CRLs.
    OpenBao(OpenBaoConfig),
    /// A CRL that is published at a URL.
    Url(UrlConfig),
    /// The issuer publishes its CRLs elsewhere; the origin has none.
    External,
}

impl ConnectorConfig {
    /// Whether the CA's own index says what is revoked.
    pub(crate) fn follows_index(&self) -> bool {
        matches!(self, Self::OpenSsl(_))
    }

    /// The kind's name, as stored and as shown to operators.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::OpenSsl(_) => "openssl",
            Self::OpenBao(_) => "openbao",
            Self::Url(_) => "url",
            Self::External => "external",
        }
    }
}

/// The files of a directory of `openssl ca`, by absolute path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenSslConfig {
    /// The CA's database: `database` in its configuration, usually `index.txt`.
    pub index: PathBuf,
    /// The number of its next CRL, in hexadecimal: `crlnumber` in its configuration. Numbers given
    /// out here stay above it.
    pub crl_number: Option<PathBuf>,
}

/// A PKI engine of OpenBao or Vault, and how to log in to it. Secrets stay in files of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenBaoConfig {
    /// The server's URL.
    pub address: String,
    /// Where the engine is mounted, such as `pki`.
    pub mount: String,
    /// The issuer's id or name in the engine; `default` is the engine's own choice.
    pub issuer: String,
    /// How to log in.
    pub login: Login,
}

/// How to log in to OpenBao or Vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Login {
    /// With the token in this file. It is read at each call, so that an agent can renew it.
    TokenFile(PathBuf),
    /// By `AppRole`.
    AppRole {
        /// The role's id.
        role_id: String,
        /// The file with the secret id.
        secret_id_file: PathBuf,
    },
}

/// A published CRL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UrlConfig {
    /// The CRL's URL, http or https.
    pub url: String,
    /// Whether the URL may lead to a loopback or link-local address.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_local: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database of this release must be readable by the next one.
    #[test]
    fn the_stored_form_is_stable() {
        let url = "http://ca.example/root.crl".to_owned();
        let stored = |config: &ConnectorConfig| serde_json::to_string(config).unwrap();
        assert_eq!(stored(&ConnectorConfig::Local), r#"{"kind":"local"}"#);
        assert_eq!(stored(&ConnectorConfig::External), r#"{"kind":"external"}"#);
        let config = ConnectorConfig::Url(UrlConfig {
            url,
            allow_local: false,
        });
        assert_eq!(
            stored(&config),
            r#"{"kind":"url","url":"http://ca.example/root.crl"}"#
        );
        assert_eq!(
            serde_json::from_str::<ConnectorConfig>(&stored(&config)).unwrap(),
            config
        );
    }
}
