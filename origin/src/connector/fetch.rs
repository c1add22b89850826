//! Fetches a CRL from the CA behind an issuer, and lets it pass only if the issuer's certificate verifies it.
//!
//! The edge judges again, and with what it holds; here a CRL of someone else, a broken or an expired one is told apart from
//! a CA that cannot be reached.

use bytes::Bytes;
use crl::{
    CrlKind, Examination, IssuerError, Limits, ReadError, Refusal, Requirements, RustCrypto,
    UnixTime, Verification, Verified,
};
use futures_util::StreamExt;
use origin_api::CrlName;
use reqwest::header::{self, HeaderMap};
use reqwest::{RequestBuilder, StatusCode};
use sha2::{Digest, Sha256};

use super::{Answer, Body, CrlRequest};

/// What is wrong with the CA behind an issuer, or with what it sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// It cannot be reached, or the connection broke.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// It answered with an error.
    #[error("answered {0} to {1}")]
    Status(StatusCode, String),
    /// It answered with something that cannot be read.
    #[error("{0}")]
    Answer(String),
    /// It did not send a CRL.
    #[error("what it sent is no CRL: {0}")]
    Malformed(#[from] ReadError),
    /// The issuer's certificate cannot verify CRLs.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// It sent a CRL that must not be passed on.
    #[error("its CRL is refused: {0}")]
    Refused(#[from] Refusal),
    /// A secret cannot be read.
    #[error("cannot read {path}: {source}")]
    Secret {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of the CA cannot be read.
    #[error("cannot read {path}: {fault}")]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        fault: String,
    },
}

impl Fault {
    /// The stable name of the error, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "upstream_unreachable",
            Self::Status(..) | Self::Answer(_) => "upstream_failed",
            Self::Malformed(_) | Self::Refused(_) | Self::Issuer(_) => "upstream_crl_refused",
            Self::Secret { .. } | Self::File { .. } => "upstream_file_unreadable",
        }
    }

    /// Whether it may be over soon.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Status(status, _) => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            _ => false,
        }
    }
}

impl From<reqwest::Error> for Fault {
    fn from(error: reqwest::Error) -> Self {
        use std::error::Error;
        let cause = error
            .source()
            .map(|source| format!(": {source}"))
            .unwrap_or_default();
        Self::Unreachable(format!("{}{cause}", error.without_url()))
    }
}

/// A CRL that was verified.
#[derive(Debug)]
pub(super) struct Fetched {
    body: Body,
    verified: Verified,
    /// What its server can tell it from others by.
    validators: HeaderMap,
}

impl Fetched {
    pub(super) fn sha256(&self) -> [u8; 32] {
        self.body.sha256
    }

    /// The headers that ask for it only if it was changed (RFC 9110, section 13.1).
    pub(super) fn conditions(&self) -> HeaderMap {
        let pairs = [
            (header::ETAG, header::IF_NONE_MATCH),
            (header::LAST_MODIFIED, header::IF_MODIFIED_SINCE),
        ];
        pairs
            .into_iter()
            .filter_map(|(validator, condition)| {
                Some((condition, self.validators.get(validator)?.clone()))
            })
            .collect()
    }

    /// When it was made, and when it ends.
    pub(super) fn validity(&self) -> (UnixTime, UnixTime) {
        (self.verified.this_update(), self.verified.next_update())
    }

    /// Whether it is the one that the asker holds.
    pub(super) fn is_held(&self, ask: &CrlRequest) -> bool {
        ask.held == Some(self.body.sha256)
    }

    pub(super) fn answer(self, ask: &CrlRequest) -> Answer {
        if self.is_held(ask) {
            Answer::Unchanged
        } else {
            Answer::Crl(self.body)
        }
    }
}

/// Fetches a CRL and verifies it, as it arrives.
pub(super) async fn crl(request: RequestBuilder, ask: &CrlRequest) -> Result<Fetched, Fault> {
    let issuer = crl::Issuer::from_der(&ask.issuer.certificate.0)?;
    let response = request.send().await?;
    if response.status() != StatusCode::OK {
        return Err(Fault::Status(
            response.status(),
            response.url().path().to_owned(),
        ));
    }
    let validators = response.headers().clone();
    let mut examination = Examination::<RustCrypto>::new(Limits::default());
    let mut hash = Sha256::new();
    let mut parts: Vec<Bytes> = Vec::new();
    let mut stream = response.bytes_stream();
    while let Some(part) = stream.next().await {
        let part = part?;
        examination.push(&part)?;
        hash.update(&part);
        parts.push(part);
    }
    let examined = examination.finish()?;
    let sha256: [u8; 32] = hash.finalize().into();
    let kind = match ask.name {
        CrlName::Full => CrlKind::Full,
        CrlName::Delta => CrlKind::Delta,
        CrlName::Shard(_) => CrlKind::Shard,
    };
    // Where its clients look for it is for the edge to judge.
    let requirements = Requirements::new(&issuer, kind, ask.now.as_unix_time());
    let verified = match crl::verify(&examined, &requirements)? {
        Verification::Verified(verified) => verified,
        Verification::NeedsSecondPass(mut pass) => {
            for part in &parts {
                pass.push(part);
            }
            pass.finish()?
        }
    };
    let size = examined.crl().size;
    Ok(Fetched {
        body: Body {
            parts,
            size,
            sha256,
            watermark: None,
        },
        verified,
        validators,
    })
}
