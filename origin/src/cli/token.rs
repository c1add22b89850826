//! `crl-origin token`: make, list and end bearer tokens.

use std::time::Duration;

use clap::Subcommand;
use serde::Serialize;

use super::output::Output;
use super::{CliError, duration};
use crate::clock::Moment;
use crate::origin::Origin;
use crate::store::tokens::{TokenRow, TokenScope};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a token, and print it: it is kept as a hash, and cannot be shown again.
    Create {
        /// What to call it.
        name: String,
        /// What it is good for: edge reads issuers and has CRLs made, admin does everything.
        #[arg(long, value_enum, default_value = "edge")]
        scope: TokenScope,
        /// For how long it is good [default: until it is deleted]
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        expires_in: Option<Duration>,
    },
    /// List the tokens.
    List,
    /// Let a token end, now or after a while: make its successor first, and nobody is ever refused.
    Expire {
        /// Its name.
        name: String,
        /// For how long it still is good [default: no longer]
        #[arg(long = "in", value_name = "DURATION", value_parser = duration, default_value = "0s")]
        after: Duration,
    },
    /// Delete a token.
    Delete {
        /// Its name.
        name: String,
    },
}

#[derive(Debug, Serialize)]
struct View {
    name: String,
    scope: &'static str,
    created_at: String,
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl Command {
    pub(super) fn run(self, origin: &Origin, output: Output) -> Result<(), CliError> {
        let now = Moment::now();
        match self {
            Self::Create {
                name,
                scope,
                expires_in,
            } => {
                let expires_at = expires_in.map(|expires_in| now.time().saturating_add(expires_in));
                let new = origin.create_token(&name, scope, expires_at, now)?;
                let view = View {
                    token: Some(new.token.to_string()),
                    ..View::from(new.row)
                };
                output.value(&view, |view| view.token.clone().unwrap_or_default())
            }
            Self::List => {
                let tokens: Vec<View> = origin.tokens()?.into_iter().map(View::from).collect();
                output.rows(&tokens, ["NAME", "SCOPE", "CREATED", "EXPIRES"], |token| {
                    let expires = token
                        .expires_at
                        .clone()
                        .unwrap_or_else(|| "never".to_owned());
                    [
                        token.name.clone(),
                        token.scope.to_owned(),
                        token.created_at.clone(),
                        expires,
                    ]
                })
            }
            Self::Expire { name, after } => {
                Ok(origin.expire_token(&name, now.time().saturating_add(after))?)
            }
            Self::Delete { name } => Ok(origin.delete_token(&name)?),
        }
    }
}

impl From<TokenRow> for View {
    fn from(row: TokenRow) -> Self {
        Self {
            name: row.name,
            scope: row.scope.as_str(),
            created_at: row.created_at.to_string(),
            expires_at: row.expires_at.map(|time| time.to_string()),
            token: None,
        }
    }
}
