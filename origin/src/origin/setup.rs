//! How an issuer is set up, and changes to that after it was made.

use std::time::Duration;

use origin_api::{CrlName, IssuerId};
use rusqlite::Connection;

use super::settings::{Lists, NewList, SettingsError};
use super::{Origin, OriginError, find_issuer};
use crate::clock::Moment;
use crate::connector_config::ConnectorConfig;
use crate::profile::Profile;
use crate::sequence;
use crate::store::issuers::{self as issuer_rows, IssuerRow};
use crate::store::lists::{self as list_rows, ListRow};
use crate::store::{StoreError, certificates, revocations};

/// How an issuer is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The issuer itself.
    pub issuer: IssuerRow,
    /// How its CRLs are obtained.
    pub connector: ConnectorConfig,
    /// Those that it publishes.
    pub lists: Vec<ListRow>,
    /// Whether they are made here: if not, a CA elsewhere decides on their times.
    pub signs_here: bool,
}

/// What is to be otherwise about an issuer. What is absent stays as it is.
#[derive(Debug, Default)]
pub struct Changes {
    /// How its CRLs are obtained.
    pub connector: Option<ConnectorConfig>,
    /// The rules that it is held to.
    pub profile: Option<Profile>,
    /// Its CRLs; those that it does not publish yet are added.
    pub lists: Vec<ListChange>,
    /// Its delta is no longer published.
    pub no_delta: bool,
}

/// What is to be otherwise about a CRL. What is absent stays as it is, or is as for a new issuer if the CRL is new.
#[derive(Clone, Debug)]
pub struct ListChange {
    /// Which one.
    pub name: CrlName,
    /// The http URL at which relying parties find it.
    pub distribution_point: Option<String>,
    /// From thisUpdate to nextUpdate.
    pub validity: Option<Duration>,
    /// How long before nextUpdate the next one is due.
    pub overlap: Option<Duration>,
}

impl Changes {
    /// Whether nothing is to be otherwise.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.connector.is_none()
            && self.profile.is_none()
            && self.lists.is_empty()
            && !self.no_delta
    }
}

impl Origin {
    /// How an issuer is set up.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::Store`].
    pub fn setup(&self, id: &IssuerId) -> Result<Setup, OriginError> {
        self.store.read(|c| setup(c, id))
    }

    /// Changes how an issuer is set up. The CRLs made before are current no longer, and the edge is told.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::NoKey`] for what a CA elsewhere decides, [`OriginError::Settings`],
    /// [`OriginError::Profile`], [`OriginError::Store`].
    pub fn change_issuer(
        &self,
        id: &IssuerId,
        changes: &Changes,
        now: Moment,
    ) -> Result<Setup, OriginError> {
        self.store.write(|t| {
            let before = setup(t, id)?;
            if changes.is_empty() {
                return Ok(before);
            }
            if before.signs_here {
                change_lists(t, &before, changes)?;
            } else {
                change_distribution_point(t, &before, changes)?;
            }
            let Setup { issuer, .. } = before;
            let connector = match &changes.connector {
                Some(connector) => serde_json::to_string(connector)
                    .map_err(|_| StoreError::Corrupt("connector"))?,
                None => issuer.connector,
            };
            let profile = changes.profile.unwrap_or(issuer.profile);
            let watermark = sequence::next_watermark(issuer.watermark, now);
            issuer_rows::configure(t, issuer.number, &connector, profile, watermark)?;
            setup(t, id)
        })
    }
}

fn setup(c: &Connection, id: &IssuerId) -> Result<Setup, OriginError> {
    let issuer = find_issuer(c, id)?;
    Ok(Setup {
        connector: issuer.connector_config()?,
        lists: list_rows::all(c, issuer.number)?,
        signs_here: issuer_rows::key(c, issuer.number)?.is_some(),
        issuer,
    })
}

/// Changes the CRLs that are made here.
fn change_lists(c: &Connection, before: &Setup, changes: &Changes) -> Result<(), OriginError> {
    let Setup { issuer, lists, .. } = before;
    let delta = lists.iter().find(|list| list.name == CrlName::Delta);
    let removed = delta.filter(|_| changes.no_delta);
    let mut wanted: Vec<NewList> = lists
        .iter()
        .filter(|list| removed.is_none_or(|removed| removed.name != list.name))
        .map(NewList::from)
        .collect();
    for change in &changes.lists {
        match wanted.iter_mut().find(|list| list.name == change.name) {
            Some(list) => change.apply(list),
            None => wanted.push(NewList::from(change)),
        }
    }
    let wanted = Lists::new(wanted)?;
    let profile = changes.profile.unwrap_or(issuer.profile);
    if let Some(kind) = issuer_rows::key_kind(c, issuer.number)? {
        let kind = kind
            .parse()
            .map_err(|_| StoreError::Corrupt("key's kind"))?;
        profile.check_key(kind)?;
    }
    for list in wanted.rows() {
        profile.check_validity(list.name, list.validity)?;
        refuse_to_move(c, before, list)?;
    }
    for reason in revocations::listed_reasons(c, issuer.number)? {
        profile.check_reason(reason)?;
    }
    if let Some(delta) = removed {
        // Its last number stays used: full CRLs and deltas share one sequence.
        if let Some(number) = delta.number {
            list_rows::raise_numbers(c, issuer.number, number)?;
        }
        list_rows::remove(c, issuer.number, delta.name)?;
    }
    for list in wanted.rows() {
        list_rows::configure(c, issuer.number, list)?;
    }
    Ok(())
}

/// A shard says where it is, and so do its certificates: they must say the same (RFC 5280, section 5.2.5).
fn refuse_to_move(c: &Connection, before: &Setup, list: &ListRow) -> Result<(), OriginError> {
    let (CrlName::Shard(shard), issuer) = (list.name, before.issuer.number) else {
        return Ok(());
    };
    let known = before.lists.iter().find(|known| known.name == list.name);
    let moves = known.is_some_and(|known| known.distribution_point != list.distribution_point);
    if moves
        && (certificates::any_of_shard(c, issuer, shard)?
            || revocations::any_of_shard(c, issuer, shard)?)
    {
        return Err(SettingsError::ShardInUse(list.name).into());
    }
    Ok(())
}

/// Of a CRL that is made elsewhere, only where the edge serves it is decided here.
fn change_distribution_point(
    c: &Connection,
    before: &Setup,
    changes: &Changes,
) -> Result<(), OriginError> {
    let elsewhere = || OriginError::NoKey(before.issuer.id.clone());
    if changes.profile.is_some() || changes.no_delta {
        return Err(elsewhere());
    }
    for change in &changes.lists {
        let known = before.lists.iter().find(|list| list.name == change.name);
        let mut list = NewList::from(known.ok_or_else(elsewhere)?);
        if change.validity.is_some() || change.overlap.is_some() {
            return Err(elsewhere());
        }
        change.apply(&mut list);
        for list in Lists::new(vec![list])?.rows() {
            list_rows::configure(c, before.issuer.number, list)?;
        }
    }
    Ok(())
}

impl ListChange {
    fn apply(&self, list: &mut NewList) {
        if self.distribution_point.is_some() {
            list.distribution_point.clone_from(&self.distribution_point);
        }
        list.validity = self.validity.unwrap_or(list.validity);
        list.overlap = self.overlap.or(list.overlap);
    }
}

impl From<&ListChange> for NewList {
    /// A CRL that is not published yet.
    fn from(change: &ListChange) -> Self {
        let default = crate::defaults::crl_validity(change.name);
        Self {
            name: change.name,
            distribution_point: change.distribution_point.clone(),
            validity: change.validity.unwrap_or(default),
            overlap: change.overlap,
        }
    }
}

impl From<&ListRow> for NewList {
    fn from(row: &ListRow) -> Self {
        // An overlap that was half of the validity is half of the next validity, too.
        let is_half = row.overlap.as_secs() == row.validity.as_secs() / 2;
        Self {
            name: row.name,
            distribution_point: row.distribution_point.clone(),
            validity: row.validity,
            overlap: (!is_half).then_some(row.overlap),
        }
    }
}
