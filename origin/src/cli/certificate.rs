//! `crl-origin cert`: issues, lists and shows certificates.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use der::EncodePem;
use der::pem::LineEnding;
use origin_api::IssuerId;
use serde::Serialize;

use super::common::{Session, duration, key_kind, read};
use super::error::CliError;
use super::output;
use crate::ca::{self, CertificateError, KeyKind, Request, Serial};
use crate::origin::{NewCertificate, Subject};
use crate::wire::IssuedCertificateView;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Issue a certificate; it names the issuer's CRL distribution point
    Issue(Issue),
    /// List the certificates that an issuer issued here
    List {
        /// The issuer's id
        issuer: IssuerId,
    },
    /// Print a certificate that an issuer issued here, in PEM
    Show {
        /// The issuer's id
        issuer: IssuerId,
        /// Its serial number, in hexadecimal
        serial: Serial,
    },
}

#[derive(Debug, Args)]
pub(super) struct Issue {
    /// The issuer's id
    issuer: IssuerId,
    /// The distinguished name, such as CN=www.example.com
    #[arg(long, value_name = "NAME", conflicts_with = "csr")]
    subject: Option<String>,
    /// A DNS name; may be repeated
    #[arg(long = "dns", value_name = "NAME", conflicts_with = "csr")]
    dns_names: Vec<String>,
    /// The kind of key to generate
    #[arg(long, value_parser = key_kind(), default_value = "p256", conflicts_with = "csr")]
    key: KeyKind,
    /// Certify the name and key of this request (PKCS#10, PEM or DER) instead of generating a key
    #[arg(long, value_name = "FILE")]
    csr: Option<PathBuf>,
    /// Its validity, from now
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "90d")]
    validity: Duration,
    /// The shard whose CRL it names [default: the full CRL]
    #[arg(long, value_name = "NUMBER")]
    shard: Option<u32>,
    /// Write the certificate here, in PEM [default: print it]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write the new key here, in PEM, mode 0600 [default: print it]
    #[arg(long, value_name = "FILE")]
    key_out: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct View {
    serial: String,
    certificate: String,
    private_key: Option<String>,
}

impl Command {
    pub(super) fn run(self, session: &Session) -> Result<(), CliError> {
        match self {
            Self::Issue(issue) => issue.run(session),
            Self::List { issuer } => list(&issuer, session),
            Self::Show { issuer, serial } => {
                let row = session.origin.certificate(&issuer, &serial)?;
                let certificate = ca::certificate_from_pem_or_der(&row.der)?;
                let pem = certificate.to_pem(LineEnding::LF);
                output::print(pem.map_err(CertificateError::from)?.trim_end())
            }
        }
    }
}

fn list(issuer: &IssuerId, session: &Session) -> Result<(), CliError> {
    let mut views: Vec<IssuedCertificateView> = Vec::new();
    let mut cursor = None;
    loop {
        let page = session.origin.certificates(issuer, cursor.as_ref(), 1000)?;
        views.extend(page.0.into_iter().map(IssuedCertificateView::from));
        cursor = page.1;
        if cursor.is_none() {
            break;
        }
    }
    let heads = ["SERIAL", "SUBJECT", "EXPIRES", "SHARD"];
    session.output.rows(&views, heads, |view| {
        [
            String::from(view.serial.clone()),
            view.subject.clone(),
            String::from(view.not_after),
            view.shard
                .map(|shard| shard.to_string())
                .unwrap_or_default(),
        ]
    })
}

impl Issue {
    fn run(self, session: &Session) -> Result<(), CliError> {
        let issue = self;
        let subject = match &issue.csr {
            Some(path) => Subject::Request(Request::from_pem_or_der(&read(path)?)?),
            None => Subject::New {
                name: ca::parse_subject(&issue.subject()?)?,
                dns_names: issue.dns_names,
                key: issue.key,
            },
        };
        let new = NewCertificate {
            subject,
            validity: issue.validity,
            shard: issue.shard,
        };
        let issued = session
            .origin
            .issue_certificate(&issue.issuer, new, session.clock.now())?;
        let mut view = View {
            serial: issued.serial.to_string(),
            certificate: issued
                .certificate
                .to_pem(LineEnding::LF)
                .map_err(CertificateError::from)?,
            private_key: issued
                .key
                .map(|key| key.to_pem())
                .transpose()?
                .map(|pem| pem.to_string()),
        };
        if let (Some(path), Some(key)) = (&issue.key_out, view.private_key.take()) {
            output::write_secret(path, key.as_bytes())?;
        }
        if let Some(path) = &issue.out {
            output::write(path, view.certificate.as_bytes())?;
        }
        let is_written = issue.out.is_some();
        session.output.value(&view, |view| {
            let mut text = format!("serial   {}\n", view.serial);
            if !is_written {
                text.push_str(&view.certificate);
            }
            text.push_str(view.private_key.as_deref().unwrap_or_default());
            text.trim_end().to_owned()
        })
    }
}

impl Issue {
    fn subject(&self) -> Result<String, CliError> {
        match (&self.subject, self.dns_names.first()) {
            (Some(subject), _) => Ok(subject.clone()),
            (None, Some(dns_name)) => Ok(format!("CN={dns_name}")),
            (None, None) => Err(CliError::Usage("give --subject, --dns or --csr".to_owned())),
        }
    }
}
