//! An issuer's configuration, and changes to it.

use std::time::Duration;

use crl::UnixTime;
use origin_api::{CrlName, IssuerId, Timestamp};
use rusqlite::Connection;

use super::lookup::{find_issuer, refuse_shards_of_index, refuse_shared_urls};
use super::{Origin, OriginError};
use crate::connector_config::ConnectorConfig;
use crate::list_config::{ListConfig, ListConfigError, Lists, NewList};
use crate::profile::Profile;
use crate::sequence;
use crate::store::issuers::{self as issuer_rows, IssuerNumber, IssuerRow};
use crate::store::{certificates, lists as list_rows, revocations};

/// An issuer's configuration.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Its stable short name.
    pub id: IssuerId,
    /// The DER of its certificate.
    pub certificate: Vec<u8>,
    /// The rules that it is held to.
    pub profile: Profile,
    /// Where its CRLs come from.
    pub connector: ConnectorConfig,
    /// From when on it keeps the entries of expired certificates; `None` if it does not.
    pub keeps_expired_since: Option<UnixTime>,
    /// The CRLs that it publishes.
    pub lists: Vec<ListConfig>,
    /// Whether the origin makes them. If not, another CA decides their times.
    pub signs_here: bool,
}

/// Changes to an issuer's configuration. What is absent stays as it is.
#[derive(Debug, Default)]
pub struct Changes {
    /// Where its CRLs come from.
    pub connector: Option<ConnectorConfig>,
    /// The rules that it is held to.
    pub profile: Option<Profile>,
    /// Its CRLs, by name; a new name adds a CRL.
    pub lists: Vec<ListChange>,
    /// Keep the entries of certificates that expire from now on, or do not.
    pub keep_expired: Option<bool>,
    /// Stop publishing its delta.
    pub no_delta: bool,
}

/// Changes to a CRL's configuration. What is absent stays as it is, or has the default if the CRL
/// is new.
#[derive(Clone, Debug)]
pub struct ListChange {
    /// Its name.
    pub name: CrlName,
    /// The http URL from which relying parties fetch it.
    pub distribution_point: Option<String>,
    /// From thisUpdate to nextUpdate.
    pub validity: Option<Duration>,
    /// How long before nextUpdate the next one is due.
    pub overlap: Option<Duration>,
}

impl Changes {
    /// Publishes a delta at this http URL from now on, or none.
    #[must_use]
    pub fn of_delta(distribution_point: Option<String>) -> Self {
        let no_delta = distribution_point.is_none();
        let delta = distribution_point.map(|url| ListChange {
            name: CrlName::Delta,
            distribution_point: Some(url),
            validity: None,
            overlap: None,
        });
        Self {
            lists: delta.into_iter().collect(),
            no_delta,
            ..Self::default()
        }
    }

    /// Whether this changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.connector.is_none()
            && self.profile.is_none()
            && self.lists.is_empty()
            && self.keep_expired.is_none()
            && !self.no_delta
    }
}

impl Origin {
    /// An issuer's configuration.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::Store`].
    pub fn setup(&self, id: &IssuerId) -> Result<Setup, OriginError> {
        self.store.read(|conn| setup(conn, &find_issuer(conn, id)?))
    }

    /// Changes an issuer's configuration. The CRLs made before are no longer current, and the edge
    /// is asked to refresh.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::ManagedElsewhere`] for what another CA
    /// decides, [`OriginError::ListConfig`], [`OriginError::Profile`], [`OriginError::Store`].
    pub fn change_issuer(
        &self,
        id: &IssuerId,
        changes: &Changes,
        now: Timestamp,
    ) -> Result<Setup, OriginError> {
        self.store.write(|tx| {
            let issuer = find_issuer(tx, id)?;
            let before = setup(tx, &issuer)?;
            if changes.is_empty() {
                return Ok(before);
            }
            if before.signs_here {
                refuse_shards_of_index(
                    &before.connector,
                    changes.lists.iter().map(|list| &list.name),
                )?;
                change_lists(tx, &issuer, &before, changes)?;
            } else {
                change_distribution_point(tx, &issuer, &before, changes)?;
            }
            if let Some(keep) = changes.keep_expired {
                let since = issuer.keeps_expired_since.unwrap_or(now.as_unix_time());
                issuer_rows::keep_expired(tx, issuer.number, keep.then_some(since))?;
            }
            let connector = changes.connector.as_ref().unwrap_or(&issuer.connector);
            let profile = changes.profile.unwrap_or(issuer.profile);
            let watermark = sequence::next_watermark(issuer.watermark);
            issuer_rows::configure(tx, issuer.number, connector, profile, watermark)?;
            setup(tx, &find_issuer(tx, id)?)
        })
    }
}

fn setup(conn: &Connection, issuer: &IssuerRow) -> Result<Setup, OriginError> {
    let lists = list_rows::all(conn, issuer.number)?;
    Ok(Setup {
        id: issuer.id.clone(),
        certificate: issuer.certificate.clone(),
        profile: issuer.profile,
        connector: issuer.connector.clone(),
        keeps_expired_since: issuer.keeps_expired_since,
        lists: lists.into_iter().map(|list| list.config).collect(),
        signs_here: issuer_rows::key(conn, issuer.number)?.is_some(),
    })
}

/// Changes the CRLs that the origin makes.
fn change_lists(
    conn: &Connection,
    issuer: &IssuerRow,
    before: &Setup,
    changes: &Changes,
) -> Result<(), OriginError> {
    let mut wanted: Vec<NewList> = before
        .lists
        .iter()
        .filter(|list| !(changes.no_delta && list.name == CrlName::Delta))
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
    if let Some(kind) = issuer_rows::key_kind(conn, issuer.number)? {
        profile.check_key(kind)?;
    }
    for list in wanted.configs() {
        profile.check_validity(list.name, list.validity)?;
        refuse_to_move(conn, issuer.number, before, list)?;
    }
    for reason in revocations::listed_reasons(conn, issuer.number)? {
        profile.check_reason(reason)?;
    }
    if changes.no_delta {
        remove_delta(conn, issuer.number)?;
    }
    refuse_shared_urls(conn, issuer.number, &issuer.certificate, wanted.configs())?;
    for list in wanted.configs() {
        list_rows::configure(conn, issuer.number, list)?;
    }
    Ok(())
}

/// The delta's last number stays used: full CRLs and deltas share one sequence.
fn remove_delta(conn: &Connection, issuer: IssuerNumber) -> Result<(), OriginError> {
    let lists = list_rows::all(conn, issuer)?;
    let delta = lists.iter().find(|list| list.config.name == CrlName::Delta);
    if let Some(number) = delta.and_then(|delta| delta.number) {
        list_rows::raise_numbers(conn, issuer, number)?;
    }
    Ok(list_rows::remove(conn, issuer, CrlName::Delta)?)
}

/// A shard's CRL and its certificates must name the same URL (RFC 5280, section 5.2.5).
fn refuse_to_move(
    conn: &Connection,
    issuer: IssuerNumber,
    before: &Setup,
    list: &ListConfig,
) -> Result<(), OriginError> {
    let CrlName::Shard(shard) = list.name else {
        return Ok(());
    };
    let known = before.lists.iter().find(|known| known.name == list.name);
    let moves = known.is_some_and(|known| known.distribution_point != list.distribution_point);
    if moves
        && (certificates::any_of_shard(conn, issuer, shard)?
            || revocations::any_of_shard(conn, issuer, shard)?)
    {
        return Err(ListConfigError::ShardInUse(list.name).into());
    }
    Ok(())
}

/// Of a CRL that another CA makes, only the URL at the edge is configured here.
fn change_distribution_point(
    conn: &Connection,
    issuer: &IssuerRow,
    before: &Setup,
    changes: &Changes,
) -> Result<(), OriginError> {
    let elsewhere = || OriginError::ManagedElsewhere(issuer.id.clone());
    if changes.profile.is_some() || changes.no_delta || changes.keep_expired.is_some() {
        return Err(elsewhere());
    }
    for change in &changes.lists {
        let known = before.lists.iter().find(|list| list.name == change.name);
        let mut list = NewList::from(known.ok_or_else(elsewhere)?);
        if change.validity.is_some() || change.overlap.is_some() {
            return Err(elsewhere());
        }
        change.apply(&mut list);
        let lists = Lists::new(vec![list])?;
        refuse_shared_urls(conn, issuer.number, &issuer.certificate, lists.configs())?;
        for list in lists.configs() {
            list_rows::configure(conn, issuer.number, list)?;
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
    /// A CRL that the issuer does not publish yet.
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

impl From<&ListConfig> for NewList {
    fn from(config: &ListConfig) -> Self {
        // An overlap of half the validity stays at half of a changed validity.
        let is_half = config.overlap.as_secs() == config.validity.as_secs() / 2;
        Self {
            name: config.name,
            distribution_point: config.distribution_point.clone(),
            validity: config.validity,
            overlap: (!is_half).then_some(config.overlap),
        }
    }
}
