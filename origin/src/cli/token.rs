//! `crl-origin token`: creates, lists and ends bearer tokens.

use std::time::Duration;

use clap::Subcommand;
use serde::Serialize;

use super::common::{Session, duration, token_scope};
use super::error::CliError;
use crate::bearer_token::{BearerToken, TokenScope};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a token and print it, once: only its hash is stored
    Create {
        /// A name for it
        name: String,
        /// What it permits: edge reads issuers and fetches CRLs, admin does everything
        #[arg(long, value_parser = token_scope(), default_value = "edge")]
        scope: TokenScope,
        /// How long it is valid [default: until it is deleted]
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        expires_in: Option<Duration>,
    },
    /// List the tokens
    List,
    /// Let a token expire, now or later; create its successor first, so that no call is refused
    Expire {
        /// Its name
        name: String,
        /// How long it stays valid [default: it expires now]
        #[arg(long = "in", value_name = "DURATION", value_parser = duration, default_value = "0s")]
        after: Duration,
    },
    /// Delete a token
    Delete {
        /// Its name
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
    pub(super) fn run(self, session: &Session) -> Result<(), CliError> {
        let (origin, output, now) = (&session.origin, session.output, session.clock.now());
        match self {
            Self::Create {
                name,
                scope,
                expires_in,
            } => {
                let expires_at =
                    expires_in.map(|expires_in| now.as_unix_time().saturating_add(expires_in));
                let new = origin.create_token(&name, scope, expires_at, now)?;
                let view = View {
                    token: Some(new.token.to_string()),
                    ..View::from(new.stored)
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
                Ok(origin.expire_token(&name, now.as_unix_time().saturating_add(after))?)
            }
            Self::Delete { name } => Ok(origin.delete_token(&name)?),
        }
    }
}

impl From<BearerToken> for View {
    fn from(token: BearerToken) -> Self {
        Self {
            name: token.name,
            scope: token.scope.as_str(),
            created_at: token.created_at.to_string(),
            expires_at: token.expires_at.map(|time| time.to_string()),
            token: None,
        }
    }
}
