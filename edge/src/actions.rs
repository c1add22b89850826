//! Who did what: acts of operators, kept by the registry's object until D1 has them.

#![expect(
    async_fn_in_trait,
    reason = "a Durable Object has one thread: no future here needs Send"
)]
#![expect(
    clippy::missing_errors_doc,
    reason = "each port has one error type, whose doc says when"
)]

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use origin_api::{CrlName, IssuerId};
use serde::{Deserialize, Serialize};

use crate::events::EventId;
use crate::refresh::{EventLogError, StoreError};
use crate::row::row;
use crate::time::{D1_WRITE_LIMIT, Timestamp, within};

/// How many actions go to D1 in one write.
const BATCH: usize = 50;
/// How many refused sign-ins are recorded in an hour.
const MOST_REFUSED: u32 = 100;
const HOUR_MILLIS: i64 = 3_600_000;
/// How long whoever records an action waits for D1, so that it can be read at once.
const PATIENCE: Duration = Duration::from_secs(2);
/// When actions that D1 did not take are tried again.
const PAUSE: Duration = Duration::from_secs(30);

row! {
    /// One act: a row of `operator_actions`.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    #[expect(missing_docs, reason = "the migration describes the columns")]
    pub struct Action {
        pub id: EventId,
        pub at: String,
        pub action: Act,
        pub role: Option<String>,
        pub token_name: Option<String>,
        pub address: Option<String>,
        pub issuer_id: Option<IssuerId>,
        pub crl_name: Option<CrlName>,
        pub sha256: Option<String>,
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Pinned the changed certificate with this SHA-256, or tried to.
    Trust,
    /// Accepted the refused CRL with this SHA-256, or tried to.
    Accept,
    /// Refreshed an issuer.
    Refresh,
    /// Refreshed every issuer.
    RefreshAll,
    /// Removed what the origin no longer lists, or tried to.
    Retire,
    /// Let the issuers go that vanished from the registry, or tried to.
    ConfirmRegistry,
    /// Signed in to the dashboard.
    SignIn,
    /// Tried to sign in with a token that opens nothing.
    RefusedSignIn,
}

impl Act {
    /// Every one, in the order of the documentation.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 8] = [
        Self::Trust,
        Self::Accept,
        Self::Refresh,
        Self::RefreshAll,
        Self::Retire,
        Self::ConfirmRegistry,
        Self::SignIn,
        Self::RefusedSignIn,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Trust => "trust",
            Self::Accept => "accept",
            Self::Refresh => "refresh",
            Self::RefreshAll => "refresh_all",
            Self::Retire => "retire",
            Self::ConfirmRegistry => "confirm_registry",
            Self::SignIn => "sign_in",
            Self::RefusedSignIn => "refused_sign_in",
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The network of a client's address, coarse enough not to single out a person: a /24 of IPv4, a
/// /48 of IPv6.
pub(crate) fn network_of(address: &str) -> Option<String> {
    match address.trim().parse().ok()? {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            Some(format!("{a}.{b}.{c}.0/24"))
        }
        IpAddr::V6(address) => {
            let [a, b, c, ..] = address.segments();
            Some(format!("{a:x}:{b:x}:{c:x}::/48"))
        }
    }
}

/// What the registry's object is asked about actions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionRequest {
    /// Keeps an action until D1 has it. Answered by [`ActionAnswer::Recorded`] once it is durable.
    Record(Box<Action>),
}

/// What the registry's object answers about actions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionAnswer {
    /// The action is durable.
    Recorded,
    /// The object could not keep it: the cause, for the log.
    Failed(String),
}

/// What the log of actions needs of the platform.
pub trait ActionPorts: 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
    /// Waits.
    async fn sleep(&self, span: Duration);
    /// Writes one JSON object to the operator's log.
    fn log(&self, line: &serde_json::Value);
    /// Has the object's alarm go off at `at` or before. Durable when it returns.
    async fn set_alarm(&self, at: Timestamp) -> Result<(), StoreError>;
    /// Keeps an action in the object's storage. Durable before an answer leaves the object.
    fn keep(&self, action: &Action) -> Result<(), StoreError>;
    /// The oldest actions that are kept.
    fn kept(&self, limit: usize) -> Result<Vec<Action>, StoreError>;
    /// Lets go of actions that D1 has.
    fn forget(&self, ids: &[EventId]) -> Result<(), StoreError>;
    /// Appends actions to D1, all or nothing. Appending one again changes nothing.
    async fn append(&self, actions: &[Action]) -> Result<(), EventLogError>;
}

/// Keeps actions until D1 has them.
#[derive(Debug)]
pub struct ActionLog<P> {
    /// The platform.
    pub ports: P,
    /// The refused sign-ins of this hour.
    pub refused: RefusedSignIns,
}

/// Limits how many refused sign-ins are recorded: strangers cause them, and each is a row in D1.
#[derive(Debug, Default)]
pub struct RefusedSignIns(Cell<(i64, u32)>);

impl RefusedSignIns {
    /// Counts one at `now`; gives how many there were in this hour, this one included.
    fn count(&self, now: Timestamp) -> u32 {
        let this_hour = now.as_millis().div_euclid(HOUR_MILLIS);
        let (hour, counted) = self.0.get();
        let counted = if hour == this_hour { counted } else { 0 };
        let counted = counted.saturating_add(1);
        self.0.set((this_hour, counted));
        counted
    }
}

impl<P: ActionPorts> ActionLog<P> {
    /// Carries out a request.
    pub async fn answer(self: &Rc<Self>, request: ActionRequest) -> ActionAnswer {
        let ActionRequest::Record(action) = request;
        match self.record(&action).await {
            Ok(()) => ActionAnswer::Recorded,
            Err(error) => ActionAnswer::Failed(error.to_string()),
        }
    }

    /// Keeps an action, and brings it to D1 if D1 answers soon. It is durable when this returns,
    /// unless it is one of too many refused sign-ins.
    ///
    /// # Errors
    /// The object's storage fails.
    pub async fn record(&self, action: &Action) -> Result<(), StoreError> {
        if action.action == Act::RefusedSignIn {
            let counted = self.refused.count(self.ports.now());
            if counted > MOST_REFUSED {
                if counted == MOST_REFUSED.saturating_add(1) {
                    self.ports.log(&serde_json::json!({
                        "level": "warning",
                        "what": "many sign-ins are refused; until the next hour no more are recorded",
                        "address": action.address,
                    }));
                }
                return Ok(());
            }
        }
        // The alarm is set first: it delivers what is kept even if the object ends right after.
        self.ports.set_alarm(self.ports.now().after(PAUSE)).await?;
        self.ports.keep(action)?;
        within(self.ports.sleep(PATIENCE), self.deliver()).await;
        Ok(())
    }

    /// Delivers what is kept, and sets the alarm again if D1 did not take it.
    ///
    /// # Errors
    /// The object's storage fails: the platform then runs the alarm again.
    pub async fn alarm(&self) -> Result<(), StoreError> {
        self.deliver().await;
        if !self.ports.kept(1)?.is_empty() {
            self.ports.set_alarm(self.ports.now().after(PAUSE)).await?;
        }
        Ok(())
    }

    async fn deliver(&self) {
        if let Err(cause) = self.deliver_all().await {
            self.ports.log(&serde_json::json!({
                "level": "warning", "what": "D1 did not take actions, they are kept and tried again",
                "cause": cause,
            }));
        }
    }

    async fn deliver_all(&self) -> Result<(), String> {
        loop {
            let actions = self.ports.kept(BATCH).map_err(|error| error.to_string())?;
            if actions.is_empty() {
                return Ok(());
            }
            let append = self.ports.append(&actions);
            let appended = within(self.ports.sleep(D1_WRITE_LIMIT), append).await;
            appended
                .ok_or("timed out")?
                .map_err(|error| error.to_string())?;
            let ids: Vec<_> = actions.iter().map(|action| action.id).collect();
            self.ports.forget(&ids).map_err(|error| error.to_string())?;
        }
    }
}
