//! Retiring what the origin no longer lists: what it removes, shown before and after.

use askama::Template;
use origin_api::CrlName;

use super::super::issuers::IssuerStatus;
use super::pages::SignedIn;
use super::view::CrlView;
use crate::time::Timestamp;

/// What retiring one CRL of an issuer, or all, removes.
#[derive(Debug, Template)]
#[template(path = "retirement.html")]
pub(crate) struct RetirementPage {
    signed_in: Option<SignedIn>,
    issuer: String,
    /// `None` if it is all of the issuer's.
    name: Option<CrlName>,
    /// What would be removed; empty afterwards.
    crls: Vec<CrlView>,
    /// What was removed.
    retired: Option<Vec<CrlName>>,
}

impl RetirementPage {
    /// What would be removed; `None` if that is nothing.
    pub(crate) fn ask(
        signed_in: Option<SignedIn>,
        issuer: &IssuerStatus,
        name: Option<CrlName>,
        now: Timestamp,
    ) -> Option<Self> {
        let is_meant = |crl: CrlName| name.is_none_or(|name| name == crl);
        let crls: Vec<_> = issuer
            .crls
            .iter()
            .filter(|crl| crl.withdrawn && is_meant(crl.name))
            .map(|crl| CrlView::new(issuer, crl, now))
            .collect();
        // All of an issuer that is listed is refused, whatever it has withdrawn.
        let is_refused = name.is_none() && issuer.gone_since.is_none();
        (!crls.is_empty() && !is_refused).then(|| Self {
            signed_in,
            issuer: issuer.id.to_string(),
            name,
            crls,
            retired: None,
        })
    }

    /// What was removed.
    pub(crate) fn done(
        signed_in: Option<SignedIn>,
        issuer: String,
        name: Option<CrlName>,
        retired: Vec<CrlName>,
    ) -> Self {
        Self {
            signed_in,
            issuer,
            name,
            crls: Vec::new(),
            retired: Some(retired),
        }
    }
}
