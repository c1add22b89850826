//! Which CRLs an issuer publishes, at which URLs, and how long they are valid. Configurations that
//! cannot work are refused here.

use std::time::Duration;

use humantime::format_duration;
use origin_api::CrlName;

/// Why a configuration cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListConfigError {
    /// The next CRL would be due before this one starts, or only when it has ended.
    #[error(
        "the overlap of {name} ({}) must be more than nothing and less than its validity ({})",
        format_duration(*.overlap),
        format_duration(*.validity)
    )]
    Overlap {
        /// The CRL's name.
        name: CrlName,
        /// The value given.
        overlap: Duration,
        /// The value given.
        validity: Duration,
    },
    /// A validity longer than anyone could wait for a revocation.
    #[error("the validity of {0} is over ten years")]
    TooLong(CrlName),
    /// Two CRLs of one name.
    #[error("{0} is named twice")]
    Twice(CrlName),
    /// Two CRLs at one URL: relying parties would get one of them for both.
    #[error("{0} and {1} have the same distribution point; each CRL needs its own")]
    SharedUrl(CrlName, CrlName),
    /// Another CA's CRL is at the URL.
    #[error("the distribution point of {0} is that of a CRL of issuer {1}; each CRL needs its own")]
    UrlInUse(CrlName, String),
    /// A delta CRL without a complete one.
    #[error("a delta CRL needs a full one to start from")]
    DeltaWithoutFull,
    /// A delta that would outlive its base.
    #[error("the delta's validity must not be longer than the full CRL's")]
    DeltaOutlivesFull,
    /// Relying parties could not find the CRL.
    #[error("{0} needs a distribution point: certificates and the CRL itself name it")]
    NoDistributionPoint(CrlName),
    /// A shard of an issuer that follows an `index.txt`: nothing says which certificates name it.
    #[error(
        "{0}: the index.txt of `openssl ca` does not say which certificates name a shard, so none of its revocations could \
         be listed: publish the full CRL, and a delta if it is large"
    )]
    ShardOfIndex(CrlName),
    /// Certificates name the shard's URL, so it cannot move.
    #[error(
        "{0} stays where it is: certificates name its distribution point (RFC 5280, section 5.2.5); add another shard"
    )]
    ShardInUse(CrlName),
    /// A CRL must be available over plain http: checking the https server's certificate would take
    /// another CRL.
    #[error(
        "the distribution point of {name} is {url:?}; it must be an http:// URL in ASCII (RFC 5280, section 8)"
    )]
    NotHttp {
        /// The CRL's name.
        name: CrlName,
        /// The value given.
        url: String,
    },
}

/// A CRL for an issuer to publish, not yet checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewList {
    /// Its name.
    pub name: CrlName,
    /// The http URL from which relying parties fetch it.
    pub distribution_point: Option<String>,
    /// From thisUpdate to nextUpdate.
    pub validity: Duration,
    /// How long before nextUpdate the next one is due; half of the validity if absent.
    pub overlap: Option<Duration>,
}

/// How one CRL of an issuer is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListConfig {
    /// Its name.
    pub name: CrlName,
    /// The http URL from which relying parties fetch it.
    pub distribution_point: Option<String>,
    /// From thisUpdate to nextUpdate.
    pub validity: Duration,
    /// How long before nextUpdate the next one is due.
    pub overlap: Duration,
}

/// The CRLs of one issuer, checked to work together.
#[derive(Clone, Debug)]
pub struct Lists(Vec<ListConfig>);

impl Lists {
    /// Checks the CRLs of one issuer.
    ///
    /// # Errors
    /// [`ListConfigError`].
    pub fn new(lists: Vec<NewList>) -> Result<Self, ListConfigError> {
        let mut configs: Vec<ListConfig> = Vec::new();
        for list in lists {
            if configs.iter().any(|config| config.name == list.name) {
                return Err(ListConfigError::Twice(list.name));
            }
            let at_url = |config: &&ListConfig| {
                list.distribution_point.is_some()
                    && config.distribution_point == list.distribution_point
            };
            if let Some(other) = configs.iter().find(at_url) {
                return Err(ListConfigError::SharedUrl(list.name, other.name));
            }
            configs.push(check(list)?);
        }
        let validity = |name| {
            configs
                .iter()
                .find(|config| config.name == name)
                .map(|config| config.validity)
        };
        match (validity(CrlName::Full), validity(CrlName::Delta)) {
            (None, Some(_)) => return Err(ListConfigError::DeltaWithoutFull),
            (Some(full), Some(delta)) if delta > full => {
                return Err(ListConfigError::DeltaOutlivesFull);
            }
            _ => {}
        }
        Ok(Self(configs))
    }

    /// The configurations, in the order given.
    #[must_use]
    pub fn configs(&self) -> &[ListConfig] {
        &self.0
    }
}

fn check(list: NewList) -> Result<ListConfig, ListConfigError> {
    const TEN_YEARS: Duration = Duration::from_hours(10 * 366 * 24);
    let NewList {
        name,
        distribution_point,
        validity,
        ..
    } = list;
    let overlap = list.overlap.unwrap_or(validity / 2);
    if overlap.as_secs() == 0 || overlap >= validity {
        return Err(ListConfigError::Overlap {
            name,
            overlap,
            validity,
        });
    }
    if validity > TEN_YEARS {
        return Err(ListConfigError::TooLong(name));
    }
    match &distribution_point {
        None if name != CrlName::Full => return Err(ListConfigError::NoDistributionPoint(name)),
        Some(url) if !is_http(url) => {
            return Err(ListConfigError::NotHttp {
                name,
                url: url.clone(),
            });
        }
        _ => {}
    }
    Ok(ListConfig {
        name,
        distribution_point,
        validity,
        overlap,
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
        assert_eq!(lists.configs().len(), 3);
        assert_eq!(lists.configs()[0].overlap, DAY / 2);
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
            ListConfigError::Overlap { .. }
        ));
        assert!(matches!(
            error(vec![NewList {
                overlap: Some(Duration::ZERO),
                ..full()
            }]),
            ListConfigError::Overlap { .. }
        ));
        assert_eq!(
            error(vec![NewList {
                validity: DAY * 4000,
                ..full()
            }]),
            ListConfigError::TooLong(CrlName::Full)
        );
        assert_eq!(
            error(vec![full(), full()]),
            ListConfigError::Twice(CrlName::Full)
        );
        assert_eq!(
            error(vec![list(CrlName::Delta)]),
            ListConfigError::DeltaWithoutFull
        );
        let long_delta = NewList {
            validity: DAY * 2,
            ..list(CrlName::Delta)
        };
        assert_eq!(
            error(vec![full(), long_delta]),
            ListConfigError::DeltaOutlivesFull
        );
        let nowhere = NewList {
            distribution_point: None,
            ..list(CrlName::Shard(1))
        };
        assert_eq!(
            error(vec![nowhere]),
            ListConfigError::NoDistributionPoint(CrlName::Shard(1))
        );
        let elsewhere = list(CrlName::Shard(0));
        let same = NewList {
            name: CrlName::Shard(1),
            ..list(CrlName::Shard(0))
        };
        assert_eq!(
            error(vec![elsewhere, same]),
            ListConfigError::SharedUrl(CrlName::Shard(1), CrlName::Shard(0))
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
                matches!(error(vec![list]), ListConfigError::NotHttp { .. }),
                "{url}"
            );
        }
    }
}
