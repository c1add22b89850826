//! Why a command failed, with a stable code and an exit code for each kind.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::ca::{CertificateError, KeyError, KeyFileError};
use crate::connector::ConnectorError;
use crate::origin::{Fault, OriginError};
use crate::store::StoreError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// The origin refused or failed.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Standard output cannot be written to.
    #[error("cannot print: {0}")]
    Print(std::io::Error),
    /// The service or a network call failed.
    #[error("{0}")]
    Serve(String),
    /// Some lines of an import were skipped; each was reported.
    #[error("{0} lines were not imported")]
    BadLines(u64),
    /// The file is not a CRL.
    #[error("{path}: {source}")]
    NotCrl {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: ::crl::ReadError,
    },
    /// The file is not a private key that can be used.
    #[error("{path}: {source}")]
    Key {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: KeyFileError,
    },
    /// A CRL or a certificate was refused.
    #[error("refused: {0}")]
    Refused(String),
    /// An issuer's other CA failed.
    #[error(transparent)]
    Connector(ConnectorError),
    /// The arguments are inconsistent.
    #[error("{0}")]
    Usage(String),
}

impl CliError {
    /// The stable code of the error.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Origin(error) => error.code(),
            Self::Connector(ConnectorError::Upstream { fault, .. }) => fault.code(),
            Self::Connector(_) | Self::Print(_) => "internal",
            Self::File { .. } => "file_failed",
            Self::Serve(_) => "service_failed",
            Self::BadLines(_) => "lines_left_out",
            Self::NotCrl { source, .. } => source.code(),
            Self::Key { .. } => "invalid_key",
            Self::Refused(_) => "refused",
            Self::Usage(_) => "wrong_arguments",
        }
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Origin(error) => match error.fault() {
                Fault::NotFound => ExitCode::from(3),
                Fault::Conflict => ExitCode::from(4),
                Fault::Request | Fault::Unavailable | Fault::Busy | Fault::Origin => {
                    ExitCode::FAILURE
                }
            },
            _ => ExitCode::FAILURE,
        }
    }
}

impl From<ConnectorError> for CliError {
    fn from(error: ConnectorError) -> Self {
        match error {
            ConnectorError::Origin(error) => Self::Origin(error),
            error => Self::Connector(error),
        }
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        Self::Origin(error.into())
    }
}

impl From<CertificateError> for CliError {
    fn from(error: CertificateError) -> Self {
        Self::Origin(error.into())
    }
}

impl From<KeyError> for CliError {
    fn from(error: KeyError) -> Self {
        Self::Origin(error.into())
    }
}
