//! Vars and secrets, parsed once into types. Nothing else reads the environment; a wrong value is refused by name.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use crate::fraction::Fraction;

/// What the operator has set, with the defaults of what is not set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `ORIGIN_URL`: where the origin CA API lives; its paths begin with `/v1`.
    pub origin_url: String,
    /// `ORIGIN_TOKEN`: what the edge shows to the origin.
    pub origin_token: Secret,
    /// `OPERATOR_TOKEN`: opens the operators' calls; without it they answer 503.
    pub operator_token: Option<Secret>,
    /// `HOOK_TOKEN`: opens the refresh of one issuer and nothing else.
    pub hook_token: Option<Secret>,
    /// `ORIGIN_TIMEOUT_MS`: how long one exchange with the origin may take, its body included.
    pub origin_timeout: Duration,
    /// `MAX_CRL_BYTES`: a larger CRL is refused.
    pub max_crl_bytes: u64,
    /// `REFRESH_AT`: the part of a CRL's validity after which it is refreshed.
    pub refresh_at: Fraction,
    /// `CLOCK_SKEW_SECONDS`: how far clocks may be apart.
    pub clock_skew: Duration,
    /// `MAX_AGE_SECONDS`: the longest that a cache may keep an answer.
    pub max_age: Duration,
    /// `KV_CACHE_TTL_SECONDS`: how long a point of presence may answer from its copy of KV.
    pub kv_cache_ttl: Duration,
    /// `REGISTRY_TTL_SECONDS`: how old the list of issuers may be before it is asked for again.
    pub registry_ttl: Duration,
    /// `SERVE_EXPIRED`: whether an expired CRL is better than none.
    pub serve_expired: bool,
    /// `EVENT_RETENTION_DAYS`: how long events are kept.
    pub event_retention: Duration,
    /// `REGENERATE_CONCURRENCY`: how many issuers are refreshed at once in regenerate-all.
    pub regenerate_concurrency: usize,
}

/// Text that must not be shown: `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the one place that sends or compares it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Every wrong setting, each by its name and with what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct SettingsError(pub Vec<WrongSetting>);

/// One wrong setting. Its value is not shown: it may be a secret that was put in the wrong place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} {problem}: set it to {allowed}")]
pub struct WrongSetting {
    name: &'static str,
    problem: &'static str,
    allowed: String,
}

impl Settings {
    /// Reads the settings that `lookup` knows, by their names in wrangler.toml.
    ///
    /// # Errors
    /// Names every setting that is missing or has a value that is not allowed.
    pub fn parse(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let mut reader = Reader {
            lookup,
            wrong: Vec::new(),
        };
        let seconds = |from, to| Numbers {
            range: from..=to,
            unit: "seconds",
        };
        let origin_url = reader.origin_url();
        let origin_token = reader.secret("ORIGIN_TOKEN");
        if origin_token.is_none() {
            reader.refuse(
                "ORIGIN_TOKEN",
                "is missing",
                "the origin's bearer token, as a secret",
            );
        }
        let settings = Self {
            origin_token: origin_token.unwrap_or(Secret(String::new())),
            operator_token: reader.secret("OPERATOR_TOKEN"),
            hook_token: reader.secret("HOOK_TOKEN"),
            origin_timeout: Duration::from_millis(reader.number(
                "ORIGIN_TIMEOUT_MS",
                30_000,
                &Numbers {
                    range: 100..=600_000,
                    unit: "milliseconds",
                },
            )),
            max_crl_bytes: reader.number(
                "MAX_CRL_BYTES",
                134_217_728,
                &Numbers {
                    range: 1_024..=1_073_741_824,
                    unit: "bytes",
                },
            ),
            refresh_at: reader.fraction("REFRESH_AT", Fraction::from_thousandths(670)),
            clock_skew: reader.seconds("CLOCK_SKEW_SECONDS", 300, &seconds(0, 86_400)),
            max_age: reader.seconds("MAX_AGE_SECONDS", 3_600, &seconds(0, 31_536_000)),
            kv_cache_ttl: reader.seconds("KV_CACHE_TTL_SECONDS", 60, &seconds(30, 86_400)),
            registry_ttl: reader.seconds("REGISTRY_TTL_SECONDS", 60, &seconds(1, 86_400)),
            serve_expired: reader.boolean("SERVE_EXPIRED", false),
            event_retention: Duration::from_secs(
                reader
                    .number(
                        "EVENT_RETENTION_DAYS",
                        30,
                        &Numbers {
                            range: 1..=3_650,
                            unit: "days",
                        },
                    )
                    .saturating_mul(86_400),
            ),
            regenerate_concurrency: usize::try_from(reader.number(
                "REGENERATE_CONCURRENCY",
                6,
                &Numbers {
                    range: 1..=6,
                    unit: "issuers at once",
                },
            ))
            .unwrap_or(1),
            origin_url: match origin_url {
                Some(url) => url,
                None => return Err(SettingsError(reader.wrong)),
            },
        };
        if reader.wrong.is_empty() {
            Ok(settings)
        } else {
            Err(SettingsError(reader.wrong))
        }
    }
}

struct Numbers {
    range: RangeInclusive<u64>,
    unit: &'static str,
}

struct Reader<L> {
    lookup: L,
    wrong: Vec<WrongSetting>,
}

impl<L: Fn(&str) -> Option<String>> Reader<L> {
    /// The value without white space around it; an empty one counts as not set.
    fn text(&self, name: &str) -> Option<String> {
        (self.lookup)(name)
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty())
    }

    fn refuse(&mut self, name: &'static str, problem: &'static str, allowed: impl Into<String>) {
        self.wrong.push(WrongSetting {
            name,
            problem,
            allowed: allowed.into(),
        });
    }

    fn parsed<T: FromStr>(
        &mut self,
        name: &'static str,
        default: T,
        allowed: &str,
        holds: impl Fn(&T) -> bool,
    ) -> T {
        match self.text(name).map(|text| text.parse::<T>()) {
            None => default,
            Some(Ok(value)) if holds(&value) => value,
            Some(_) => {
                self.refuse(name, "is wrong", allowed);
                default
            }
        }
    }

    fn number(&mut self, name: &'static str, default: u64, numbers: &Numbers) -> u64 {
        let Numbers { range, unit } = numbers;
        let allowed = format!("{} to {} {unit}", range.start(), range.end());
        self.parsed(name, default, &allowed, |value| range.contains(value))
    }

    fn seconds(&mut self, name: &'static str, default: u64, numbers: &Numbers) -> Duration {
        Duration::from_secs(self.number(name, default, numbers))
    }

    fn boolean(&mut self, name: &'static str, default: bool) -> bool {
        self.parsed(name, default, "true or false", |_| true)
    }

    fn fraction(&mut self, name: &'static str, default: Fraction) -> Fraction {
        let allowed = Fraction::from_thousandths(100)..=Fraction::from_thousandths(950);
        self.parsed(
            name,
            default,
            "a part of the validity from 0.1 to 0.95",
            |part| allowed.contains(part),
        )
    }

    fn secret(&self, name: &str) -> Option<Secret> {
        self.text(name).map(Secret)
    }

    fn origin_url(&mut self) -> Option<String> {
        const NAME: &str = "ORIGIN_URL";
        const ALLOWED: &str =
            "the origin's base URL, such as https://ca.example.com, without a query or user name";
        let Some(text) = self.text(NAME) else {
            self.refuse(NAME, "is missing", ALLOWED);
            return None;
        };
        let url = is_base_url(&text).then(|| text.trim_end_matches('/').to_owned());
        if url.is_none() {
            self.refuse(NAME, "is wrong", ALLOWED);
        }
        url
    }
}

/// An http or https URL that paths can be appended to.
fn is_base_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else {
        return false;
    };
    let host = rest.split('/').next().unwrap_or_default();
    let port_is_number = match host.rsplit_once(':') {
        // What stands in brackets is an IPv6 address.
        Some((name, port)) if !port.ends_with(']') => {
            !name.is_empty() && port.parse::<u16>().is_ok()
        }
        _ => !host.is_empty(),
    };
    matches!(scheme, "http" | "https")
        && port_is_number
        && !rest.contains(['?', '#', '@', '\\'])
        && rest.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Settings with these and nothing else but what must be set.
    pub(crate) fn parse(set: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let minimal = [
            ("ORIGIN_URL", "http://127.0.0.1:8788"),
            ("ORIGIN_TOKEN", "t"),
        ];
        Settings::parse(|name| {
            set.iter()
                .chain(&minimal)
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn what_is_not_set_has_the_documented_default() {
        let settings = parse(&[]).unwrap();
        assert_eq!(settings.origin_timeout, Duration::from_secs(30));
        assert_eq!(settings.max_crl_bytes, 128 * 1024 * 1024);
        assert_eq!(
            settings.refresh_at.of(Duration::from_secs(1000)),
            Duration::from_secs(670)
        );
        assert_eq!(settings.clock_skew, Duration::from_mins(5));
        assert_eq!(settings.max_age, Duration::from_hours(1));
        assert_eq!(settings.kv_cache_ttl, Duration::from_mins(1));
        assert_eq!(settings.registry_ttl, Duration::from_mins(1));
        assert!(!settings.serve_expired);
        assert_eq!(settings.event_retention, Duration::from_hours(30 * 24));
        assert_eq!(settings.regenerate_concurrency, 6);
        assert!(settings.operator_token.is_none() && settings.hook_token.is_none());
    }

    #[test]
    fn every_wrong_value_is_named_with_what_is_allowed() {
        let error = parse(&[
            ("ORIGIN_URL", "ftp://x"),
            ("REFRESH_AT", "1.5"),
            ("KV_CACHE_TTL_SECONDS", "5"),
            ("SERVE_EXPIRED", "yes"),
            ("ORIGIN_TIMEOUT_MS", "soon"),
        ])
        .unwrap_err()
        .to_string();
        for part in [
            "ORIGIN_URL is wrong",
            "REFRESH_AT is wrong: set it to a part of the validity from 0.1 to 0.95",
            "KV_CACHE_TTL_SECONDS is wrong: set it to 30 to 86400 seconds",
            "SERVE_EXPIRED is wrong: set it to true or false",
            "ORIGIN_TIMEOUT_MS",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = Settings::parse(|_| None).unwrap_err().to_string();
        assert!(error.contains("ORIGIN_URL is missing"), "{error}");
        assert!(error.contains("ORIGIN_TOKEN is missing"), "{error}");
    }

    #[test]
    fn a_secret_does_not_show_itself() {
        let settings = parse(&[("OPERATOR_TOKEN", "hush")]).unwrap();
        assert!(!format!("{settings:?}").contains("hush"));
        assert_eq!(settings.operator_token.unwrap().reveal(), "hush");
    }
}
