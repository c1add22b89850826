//! Which CRLs an issuer publishes, where, and how long they are valid. What cannot work is refused here.

use std::time::Duration;

use humantime::format_duration;
use origin_api::CrlName;

use crate::store::lists::ListRow;

/// Why settings cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The next CRL would be due before this one begins, or not before it ends.
    #[error(
        "the overlap of {name} ({}) must be more than nothing and less than its validity ({})",
        format_duration(*.overlap),
        format_duration(*.validity)
    )]
    Overlap {
        /// Which CRL.
        name: CrlName,
        /// As given.
        overlap: Duration,
        /// As given.
        validity: Duration,
    },
    /// Longer than anyone could wait for a revocation.
    #[error("the validity of {0} is over ten years")]
    TooLong(CrlName),
    /// Two CRLs of one name.
    #[error("{0} is named twice")]
    Twice(CrlName),
    /// A delta CRL without a complete one.
    #[error("a delta CRL needs a full one to start from")]
    DeltaWithoutFull,
    /// A delta that is valid for longer than what it updates.
    #[error("the delta's validity must not be longer than the full CRL's")]
    DeltaOutlivesFull,
    /// A CRL that nobody could find.
    #[error("{0} needs a distribution point: certificates and the CRL itself name it")]
    NoDistributionPoint(CrlName),
    /// A shard that certificates name cannot be elsewhere.
    #[error(
        "{0} stays where it is: certificates name its distribution point (RFC 5280, section 5.2.5); add another shard"
    )]
    ShardInUse(CrlName),
    /// A CRL must be fetched by plain http: to check https takes a CRL.
    #[error(
        "the distribution point of {name} is {url:?}; it must be an http:// URL in ASCII (RFC 5280, section 8)"
    )]
    NotHttp {
        /// Which CRL.
        name: CrlName,
        /// As given.
        url: String,
    },
}

/// A CRL that an issuer is to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewList {
    /// Which one.
    pub name: CrlName,
    /// The http URL at which relying parties find it.
    pub distribution_point: Option<String>,
    /// From thisUpdate to nextUpdate.
    pub validity: Duration,
    /// How long before nextUpdate the next one is due; half of the validity if absent.
    pub overlap: Option<Duration>,
}

/// CRLs that work together.
#[derive(Clone, Debug)]
pub struct Lists(Vec<ListRow>);

impl Lists {
    /// Checks the CRLs of one issuer.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn new(lists: Vec<NewList>) -> Result<Self, SettingsError> {
        let mut rows: Vec<ListRow> = Vec::new();
        for list in lists {
            if rows.iter().any(|row| row.name == list.name) {
                return Err(SettingsError::Twice(list.name));
            }
            rows.push(check(list)?);
        }
        let validity = |name| {
            rows.iter()
                .find(|row| row.name == name)
                .map(|row| row.validity)
        };
        match (validity(CrlName::Full), validity(CrlName::Delta)) {
            (None, Some(_)) => return Err(SettingsError::DeltaWithoutFull),
            (Some(full), Some(delta)) if delta > full => {
                return Err(SettingsError::DeltaOutlivesFull);
            }
            _ => {}
        }
        Ok(Self(rows))
    }

    /// The rows to be stored.
    #[must_use]
    pub fn rows(&self) -> &[ListRow] {
        &self.0
    }
}

fn check(list: NewList) -> Result<ListRow, SettingsError> {
    const TEN_YEARS: Duration = Duration::from_hours(10 * 366 * 24);
    let NewList {
        name,
        distribution_point,
        validity,
        ..
    } = list;
    let overlap = list.overlap.unwrap_or(validity / 2);
    if overlap.as_secs() == 0 || overlap >= validity {
        return Err(SettingsError::Overlap {
            name,
            overlap,
            validity,
        });
    }
    if validity > TEN_YEARS {
        return Err(SettingsError::TooLong(name));
    }
    match &distribution_point {
        None if name != CrlName::Full => return Err(SettingsError::NoDistributionPoint(name)),
        Some(url) if !is_http(url) => {
            return Err(SettingsError::NotHttp {
                name,
                url: url.clone(),
            });
        }
        _ => {}
    }
    Ok(ListRow {
        name,
        distribution_point,
        validity,
        overlap,
        number: None,
        this_update: None,
    })
}

fn is_http(url: &str) -> bool {
    let has_host = reqwest::Url::parse(url).is_ok_and(|url| url.has_host());
    url.starts_with("http://") && has_host && url.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn list(name: CrlName) -> NewList {
        let distribution_point = Some(format!("http://crl.example/{name}.crl"));
        NewList {
            name,
            distribution_point,
            validity: DAY,
            overlap: None,
        }
    }

    #[test]
    fn what_works_is_taken() {
        let lists = Lists::new(vec![
            list(CrlName::Full),
            list(CrlName::Delta),
            list(CrlName::Shard(0)),
        ])
        .unwrap();
        assert_eq!(lists.rows().len(), 3);
        assert_eq!(lists.rows()[0].overlap, DAY / 2);
        assert!(Lists::new(vec![]).is_ok());
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let error = |lists: Vec<NewList>| Lists::new(lists).unwrap_err();
        let full = || list(CrlName::Full);
        assert!(matches!(
            error(vec![NewList {
                overlap: Some(DAY),
                ..full()
            }]),
            SettingsError::Overlap { .. }
        ));
        assert!(matches!(
            error(vec![NewList {
                overlap: Some(Duration::ZERO),
                ..full()
            }]),
            SettingsError::Overlap { .. }
        ));
        assert_eq!(
            error(vec![NewList {
                validity: DAY * 4000,
                ..full()
            }]),
            SettingsError::TooLong(CrlName::Full)
        );
        assert_eq!(
            error(vec![full(), full()]),
            SettingsError::Twice(CrlName::Full)
        );
        assert_eq!(
            error(vec![list(CrlName::Delta)]),
            SettingsError::DeltaWithoutFull
        );
        let long_delta = NewList {
            validity: DAY * 2,
            ..list(CrlName::Delta)
        };
        assert_eq!(
            error(vec![full(), long_delta]),
            SettingsError::DeltaOutlivesFull
        );
        let nowhere = NewList {
            distribution_point: None,
            ..list(CrlName::Shard(1))
        };
        assert_eq!(
            error(vec![nowhere]),
            SettingsError::NoDistributionPoint(CrlName::Shard(1))
        );
        for url in [
            "https://crl.example/",
            "http://",
            "http://crl.example/a b",
            "http://crl.example/\u{e9}",
        ] {
            let list = NewList {
                distribution_point: Some(url.into()),
                ..full()
            };
            assert!(
                matches!(error(vec![list]), SettingsError::NotHttp { .. }),
                "{url}"
            );
        }
    }
}
