//! Finds issuers and lists; a missing one, or one that cannot be used, is an [`OriginError`].

use origin_api::{CrlName, IssuerId};
use rusqlite::Connection;

use super::OriginError;
use crate::ca;
use crate::connector_config::ConnectorConfig;
use crate::list_config::{ListConfig, ListConfigError};
use crate::store::issuers::{self as rows, IssuerNumber, IssuerRow, StoredKey};
use crate::store::lists::{self as list_rows, ListRow};
use crate::store::records::{self, UnknownCrl};
use crate::store::revocations::Scope;

/// Any issuer.
pub(super) fn find_issuer(conn: &Connection, id: &IssuerId) -> Result<IssuerRow, OriginError> {
    rows::find(conn, id)?.ok_or_else(|| OriginError::IssuerNotFound(id.clone()))
}

/// An issuer with a key: the origin makes its CRLs.
pub(super) fn find_signing(conn: &Connection, id: &IssuerId) -> Result<IssuerRow, OriginError> {
    let issuer = find_issuer(conn, id)?;
    match rows::key(conn, issuer.number)? {
        Some(_) => Ok(issuer),
        None => Err(OriginError::ManagedElsewhere(issuer.id)),
    }
}

/// The key of an issuer. It is opened when the snapshot is closed.
pub(super) fn stored_key(conn: &Connection, issuer: &IssuerRow) -> Result<StoredKey, OriginError> {
    rows::key(conn, issuer.number)?.ok_or_else(|| OriginError::ManagedElsewhere(issuer.id.clone()))
}

/// An issuer without another CA: certificates are issued and revoked here.
pub(super) fn find_local(conn: &Connection, id: &IssuerId) -> Result<IssuerRow, OriginError> {
    let issuer = find_issuer(conn, id)?;
    match issuer.connector {
        ConnectorConfig::Local => Ok(issuer),
        _ => Err(OriginError::ManagedElsewhere(issuer.id)),
    }
}

/// The list of that name among the issuer's.
pub(super) fn find_list<'a>(
    lists: &'a [ListRow],
    issuer: &IssuerRow,
    name: CrlName,
) -> Result<&'a ListRow, OriginError> {
    let found = lists.iter().find(|list| list.config.name == name);
    found.ok_or_else(|| OriginError::CrlNotFound(issuer.id.clone(), name))
}

/// The revocations that a list covers.
pub(super) fn scope(name: CrlName) -> Scope {
    match name {
        CrlName::Full | CrlName::Delta => Scope::All,
        CrlName::Shard(number) => Scope::Shard(number),
    }
}

/// No CRL is made of an issuer whose database was restored, until it is recovered.
pub(super) fn refuse_lost(conn: &Connection, issuer: &IssuerRow) -> Result<(), OriginError> {
    match lost(conn, issuer)? {
        None => Ok(()),
        Some(unknown) => Err(OriginError::StateLost(
            issuer.id.clone(),
            unknown.name,
            unknown.number,
        )),
    }
}

/// A CRL that keeps an issuer in `state_lost`: an edge holds it, and the database does not know
/// it. If the CA keeps an index, that says what is revoked, and is in doubt only if an edge misses
/// an entry; see [`Origin::departures`](super::Origin::departures).
pub(super) fn lost(
    conn: &Connection,
    issuer: &IssuerRow,
) -> Result<Option<UnknownCrl>, OriginError> {
    let mut unknown = records::unknown(conn, issuer.number)?.into_iter();
    let is_in_doubt = issuer.connector.follows_index();
    Ok(unknown.find(|crl| !is_in_doubt || crl.is_absurd()))
}

/// Refuses shards of an issuer that follows an `index.txt`.
pub(super) fn refuse_shards_of_index<'a>(
    connector: &ConnectorConfig,
    mut names: impl Iterator<Item = &'a CrlName>,
) -> Result<(), ListConfigError> {
    let shard = names.find(|name| matches!(name, CrlName::Shard(_)));
    match (connector, shard) {
        (ConnectorConfig::OpenSsl(_), Some(name)) => Err(ListConfigError::ShardOfIndex(*name)),
        _ => Ok(()),
    }
}

/// Refuses a URL of another CA's list: relying parties would get that CA's CRL. Issuers with the
/// same name may share a URL, as they sign for the same certificates.
pub(super) fn refuse_shared_urls(
    conn: &Connection,
    issuer: IssuerNumber,
    certificate: &[u8],
    lists: &[ListConfig],
) -> Result<(), OriginError> {
    let subject = |der: &[u8]| {
        ca::certificate_from_pem_or_der(der)
            .map(|certificate| certificate.tbs_certificate().subject().clone())
    };
    for list in lists {
        let Some(url) = &list.distribution_point else {
            continue;
        };
        for (id, other) in list_rows::others_at_url(conn, issuer, url)? {
            if subject(&other)? != subject(certificate)? {
                return Err(ListConfigError::UrlInUse(list.name, id).into());
            }
        }
    }
    Ok(())
}
