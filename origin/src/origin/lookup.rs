//! Finds issuers and lists; a missing one is an [`OriginError`].

use origin_api::{CrlName, IssuerId};
use rusqlite::Connection;

use super::OriginError;
use crate::connector_config::ConnectorConfig;
use crate::store::issuers::{self as rows, IssuerRow};
use crate::store::lists::ListRow;
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
        None => Err(OriginError::NoKey(issuer.id)),
    }
}

/// An issuer without another CA: certificates are issued and revoked here.
pub(super) fn find_local(conn: &Connection, id: &IssuerId) -> Result<IssuerRow, OriginError> {
    let issuer = find_issuer(conn, id)?;
    match issuer.connector {
        ConnectorConfig::Local => Ok(issuer),
        _ => Err(OriginError::NoKey(issuer.id)),
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
