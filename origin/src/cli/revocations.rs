//! `crl-origin revocations`: lists what an issuer has revoked.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use origin_api::IssuerId;

use super::common::Session;
use super::error::CliError;
use crate::revocation::State;
use crate::store::revocations::Filter;
use crate::wire::{ReasonName, RevocationView};

#[derive(Debug, Args)]
pub(super) struct Revocations {
    /// The issuer's id
    issuer: IssuerId,
    /// Only those in this state
    #[arg(long, value_parser = state())]
    state: Option<State>,
    /// Only those with this reason
    #[arg(long)]
    reason: Option<ReasonName>,
    /// Only those of this shard
    #[arg(long, value_name = "NUMBER")]
    shard: Option<u32>,
}

fn state() -> impl TypedValueParser<Value = State> {
    PossibleValuesParser::new(State::ALL.map(State::as_str))
        .try_map(|name| State::from_name(&name).ok_or("not a state"))
}

impl Revocations {
    pub(super) fn run(self, session: &Session) -> Result<(), CliError> {
        let filter = Filter {
            state: self.state,
            reason: self.reason.map(|reason| reason.0),
            shard: self.shard,
        };
        let mut views: Vec<RevocationView> = Vec::new();
        let mut cursor = None;
        loop {
            let page = session
                .origin
                .revocations(&self.issuer, filter, cursor, 1000)?;
            views.extend(page.0.into_iter().map(RevocationView::from));
            cursor = page.1;
            if cursor.is_none() {
                break;
            }
        }
        let heads = ["SERIAL", "STATE", "REVOKED", "REASON", "EXPIRES", "SHARD"];
        session.output.rows(&views, heads, |view| {
            let expires = view.not_after.map(String::from).unwrap_or_default();
            let shard = view.shard.map(|shard| shard.to_string());
            [
                String::from(view.serial.clone()),
                view.state.to_owned(),
                String::from(view.revoked_at),
                String::from(view.reason),
                expires,
                shard.unwrap_or_default(),
            ]
        })
    }
}
