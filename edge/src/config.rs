//! Vars and secrets, read once into types. Nothing else reads the environment.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::fraction::Fraction;
use crate::url;

/// The shortest token that is accepted, in characters.
const SHORTEST_TOKEN: usize = 16;
/// The settings of operators' tokens, in the order of their rights.
const TOKEN_SETTINGS: [&str; 3] = ["OPERATOR_TOKEN", "VIEWER_TOKEN", "HOOK_TOKEN"];
/// The settings of Cloudflare Access.
const ACCESS_SETTINGS: [&str; 4] = [
    "ACCESS_TEAM_URL",
    "ACCESS_AUDIENCE",
    "ACCESS_OPERATORS",
    "ACCESS_VIEWERS",
];

/// The settings: what the operator has set, and the defaults of the rest.
///
/// Each line is the documentation, the name in wrangler.toml, the field, its type, the default, and
/// the values that are allowed. `docs/reference.md` has the same table for operators; a test
/// compares them.
macro_rules! settings {
    ($($(#[doc = $about:literal])+ $name:literal => $field:ident: $kind:ty = $default:expr, $values:expr;)+) => {
        /// What the operator has set, with the defaults of what is not set.
        #[derive(Clone, Debug)]
        pub struct Settings {
            $(#[doc = concat!("`", $name, "`:")] $(#[doc = $about])+ pub $field: $kind,)+
            /// The settings that are missing or have a value that is not allowed.
            pub wrong: Vec<WrongSetting>,
        }

        impl Settings {
            /// Reads the settings that `lookup` knows, by their names in wrangler.toml. If a value
            /// is not allowed, the default holds, and the setting is named in `wrong`.
            pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Self {
                let mut wrong = Vec::new();
                let mut settings = Self {
                    $($field: read_one(&lookup, $name, $default, &$values, &mut wrong),)+
                    wrong,
                };
                settings.refuse_shared_tokens();
                settings.refuse_half_of_access();
                settings
            }
        }

        #[cfg(test)]
        const NAMES: &[&str] = &[$($name),+];
    };
}

settings! {
    /// The origin's base URL; the paths of its API begin with `/v1`.
    "ORIGIN_URL" => origin_url: Option<String> = None, base_url();
    /// The bearer token that the edge shows to the origin.
    "ORIGIN_TOKEN" => origin_token: Option<Secret> = None, secret().required();
    /// The tokens that open every call of operators. If none is set, those calls answer 503.
    "OPERATOR_TOKEN" => operator_tokens: Tokens = Tokens::default(), tokens();
    /// The tokens that open every call that reads, and the dashboard without its buttons.
    "VIEWER_TOKEN" => viewer_tokens: Tokens = Tokens::default(), tokens();
    /// The tokens that open the refresh of one issuer and nothing else.
    "HOOK_TOKEN" => hook_tokens: Tokens = Tokens::default(), tokens();
    /// The team of Cloudflare Access whose identities stand in for tokens.
    "ACCESS_TEAM_URL" => access_team_url: Option<String> = None, team_url();
    /// The audience tag of the edge's application in Access.
    "ACCESS_AUDIENCE" => access_audience: Option<String> = None, audience();
    /// The identities that have the rights of `OPERATOR_TOKEN`.
    "ACCESS_OPERATORS" => access_operators: Identities = Identities::default(), identities();
    /// The identities that have the rights of `VIEWER_TOKEN`.
    "ACCESS_VIEWERS" => access_viewers: Identities = Identities::default(), identities();
    /// The longest that one exchange with the origin may take, its body included.
    "ORIGIN_TIMEOUT_MS" => origin_timeout: Duration = Duration::from_secs(30), milliseconds(100..=600_000);
    /// A larger CRL is refused.
    "MAX_CRL_BYTES" => max_crl_bytes: u64 = 128 * 1024 * 1024, number(1_024..=1_073_741_824, "bytes");
    /// The part of a CRL's validity after which it is refreshed.
    "REFRESH_AT" => refresh_at: Fraction = Fraction::from_thousandths(670), fraction(100..=950, "a part of the validity from 0.1 to 0.95");
    /// How far clocks may be apart.
    "CLOCK_SKEW_SECONDS" => clock_skew: Duration = Duration::from_mins(5), seconds(0..=86_400);
    /// The longest that a cache may keep an answer.
    "MAX_AGE_SECONDS" => max_age: Duration = Duration::from_hours(1), seconds(0..=31_536_000);
    /// How long a point of presence may answer from its copy of KV.
    "KV_CACHE_TTL_SECONDS" => kv_cache_ttl: Duration = Duration::from_mins(1), seconds(30..=86_400);
    /// How old the list of issuers may be before the origin is asked for it again.
    "REGISTRY_TTL_SECONDS" => registry_ttl: Duration = Duration::from_mins(1), seconds(1..=86_400);
    /// Whether an isolate answers repeated requests from memory, for up to three seconds.
    "FAST_PATH" => fast_path: bool = true, boolean();
    /// Whether an expired CRL is served if there is no valid one.
    "SERVE_EXPIRED" => serve_expired: bool = false, boolean();
    /// How long events are kept.
    "EVENT_RETENTION_DAYS" => event_retention: Duration = Duration::from_hours(24 * 30), days(1..=3_650);
    /// How long the actions of operators are kept.
    "ACTION_RETENTION_DAYS" => action_retention: Duration = Duration::from_hours(24 * 400), days(1..=3_650);
    /// What happens to a CRL from which many entries of the one held are missing without an
    /// explanation.
    "REMOVALS" => removals: Removals = Removals::Hold, removals();
    /// The part of the entries held that must be missing for that.
    "REMOVALS_HELD_ABOVE" => removals_held_above: Fraction = Fraction::from_thousandths(500), fraction(0..=1000, "a part of the entries from 0 to 1");
    /// How long `REMOVALS=hold` withholds such CRLs.
    "REMOVALS_HOLD_HOURS" => removals_hold: Duration = Duration::from_hours(24), hours(0..=8_760);
    /// The longest validity of the issuers' certificates: the certificate of an older entry has
    /// expired. 0 if it is not known.
    "MAX_CERTIFICATE_DAYS" => max_certificate: Duration = Duration::ZERO, days(0..=36_500);
    /// How many issuers regenerate-all refreshes at once; the platform allows six connections.
    "REGENERATE_CONCURRENCY" => regenerate_concurrency: usize = 6, count(1..=6, "issuers at once");
}

/// What happens to a CRL that the removal gate objects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removals {
    /// It is published, with a finding.
    Warn,
    /// It is withheld for a time, or until an operator accepts it.
    Hold,
    /// It is withheld until an operator accepts it.
    Refuse,
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

/// The tokens of one setting. Several let an operator rotate them without a gap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens(Vec<Token>);

/// One token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// Who holds it, as actions name the holder.
    pub(crate) name: Option<String>,
    pub(crate) secret: Secret,
}

impl Tokens {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Token> {
        self.0.iter()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let mut tokens = Self::default();
        for text in text.split_ascii_whitespace() {
            let (name, token) = match text.split_once(':') {
                Some((name, token)) => (Some(name.to_owned()), token),
                None => (None, text),
            };
            let is_name = |name: &String| {
                let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
                (1..=32).contains(&name.len()) && name.bytes().all(known)
            };
            if !name.as_ref().is_none_or(is_name) {
                return Err("has a name that is not 1 to 32 of A-Z a-z 0-9 . _ -");
            }
            if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err("has a token with characters that no header can carry");
            }
            if token.len() < SHORTEST_TOKEN {
                return Err("has a token that is shorter than 16 characters");
            }
            let secret = Secret(token.to_owned());
            if tokens.iter().any(|other| other.secret == secret) {
                return Err("has the same token twice");
            }
            tokens.0.push(Token { name, secret });
        }
        Ok(tokens)
    }

    fn shares_one_with(&self, other: &Self) -> bool {
        let mut secrets = self.iter().map(|token| &token.secret);
        secrets.any(|secret| other.iter().any(|token| token.secret == *secret))
    }
}

/// Identities of Cloudflare Access, in lower case: e-mail addresses, domains of addresses with an
/// `@` before them, and client ids of service tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identities(Vec<String>);

impl Identities {
    /// Whether a person with this e-mail address is among them, or everybody of its domain.
    pub(crate) fn have_person(&self, email: &str) -> bool {
        let email = email.to_ascii_lowercase();
        let domain = email.rfind('@').filter(|at| *at > 0);
        let domain = domain.and_then(|at| email.get(at..));
        let mut known = self.0.iter();
        domain.is_some_and(|domain| known.any(|known| *known == email || known == domain))
    }

    /// Whether the service token with this client id is among them.
    pub(crate) fn have_service(&self, client_id: &str) -> bool {
        let mut known = self.0.iter();
        // A client certificate can have an e-mail address for its name, which proves no person.
        !client_id.contains('@') && known.any(|known| known.eq_ignore_ascii_case(client_id))
    }
}

/// What proves identities of Cloudflare Access, and what they open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access<'s> {
    /// Without a slash at its end.
    pub(crate) team_url: &'s str,
    pub(crate) audience: &'s str,
    pub(crate) operators: &'s Identities,
    pub(crate) viewers: &'s Identities,
}

/// Settings that are missing or wrong, each with what is allowed.
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
    /// The origin's base URL and its bearer token.
    ///
    /// # Errors
    /// Names the setting that is missing or wrong.
    pub fn origin(&self) -> Result<(&str, &Secret), SettingsError> {
        if let (Some(url), Some(token)) = (&self.origin_url, &self.origin_token) {
            return Ok((url, token));
        }
        let wrong = self.wrong.iter();
        let wrong = wrong.filter(|wrong| matches!(wrong.name, "ORIGIN_URL" | "ORIGIN_TOKEN"));
        Err(SettingsError(wrong.cloned().collect()))
    }

    /// Whether a setting of operators' tokens is wrong, so that a token may be unknown for that
    /// reason.
    pub(crate) fn wrong_tokens(&self) -> Option<SettingsError> {
        self.wrong_among(&TOKEN_SETTINGS)
    }

    /// What proves identities of Access; `None` if they open nothing.
    ///
    /// # Errors
    /// Names the settings of Access that are missing or wrong.
    pub(crate) fn access(&self) -> Result<Option<Access<'_>>, SettingsError> {
        match self.wrong_among(&ACCESS_SETTINGS) {
            Some(wrong) => Err(wrong),
            None => Ok(self
                .access_team_url
                .as_deref()
                .zip(self.access_audience.as_deref())
                .map(|(team_url, audience)| Access {
                    team_url,
                    audience,
                    operators: &self.access_operators,
                    viewers: &self.access_viewers,
                })),
        }
    }

    fn wrong_among(&self, names: &[&str]) -> Option<SettingsError> {
        let wrong = self.wrong.iter();
        let wrong = wrong.filter(|wrong| names.contains(&wrong.name));
        let wrong: Vec<_> = wrong.cloned().collect();
        (!wrong.is_empty()).then_some(SettingsError(wrong))
    }

    /// Without the audience, every application of the team would open this one; identities prove
    /// nothing without the team.
    fn refuse_half_of_access(&mut self) {
        let set = [
            self.access_team_url.is_some(),
            self.access_audience.is_some(),
            self.access_operators != Identities::default(),
            self.access_viewers != Identities::default(),
        ];
        let [has_team, has_audience, ..] = set;
        let is_used = set.contains(&true);
        for (name, is_missing) in [
            ("ACCESS_TEAM_URL", is_used && !has_team),
            ("ACCESS_AUDIENCE", is_used && !has_audience),
        ] {
            if is_missing && self.wrong_among(&[name]).is_none() {
                self.wrong.push(WrongSetting {
                    name,
                    problem: "is missing",
                    allowed: "what Cloudflare Access shows, or leave all settings of Access empty"
                        .to_owned(),
                });
            }
        }
    }

    /// A token that stands in two settings would have the rights of both: both are refused.
    fn refuse_shared_tokens(&mut self) {
        let [operator, viewer, hook] = [
            &self.operator_tokens,
            &self.viewer_tokens,
            &self.hook_tokens,
        ];
        let shared = [
            operator.shares_one_with(viewer) || operator.shares_one_with(hook),
            viewer.shares_one_with(operator) || viewer.shares_one_with(hook),
            hook.shares_one_with(operator) || hook.shares_one_with(viewer),
        ];
        let settings = [
            &mut self.operator_tokens,
            &mut self.viewer_tokens,
            &mut self.hook_tokens,
        ];
        for ((name, tokens), shared) in TOKEN_SETTINGS.into_iter().zip(settings).zip(shared) {
            if shared {
                *tokens = Tokens::default();
                self.wrong.push(WrongSetting {
                    name,
                    problem: "has a token that stands in another setting too",
                    allowed: "tokens of its own".to_owned(),
                });
            }
        }
    }
}

type Parse<T> = dyn Fn(&str) -> Result<T, &'static str>;

/// The values of a setting that are allowed.
struct Values<T> {
    /// The end of a sentence that begins with "set it to".
    allowed: String,
    is_required: bool,
    /// The error completes a sentence that begins with the setting's name.
    parse: Box<Parse<T>>,
}

impl<T> Values<T> {
    fn new(allowed: impl Into<String>, parse: impl Fn(&str) -> Option<T> + 'static) -> Self {
        Self::explained(allowed, move |text| parse(text).ok_or("is wrong"))
    }

    /// As [`Values::new`], with an explanation of its own for each wrong value.
    fn explained(
        allowed: impl Into<String>,
        parse: impl Fn(&str) -> Result<T, &'static str> + 'static,
    ) -> Self {
        Self {
            allowed: allowed.into(),
            is_required: false,
            parse: Box::new(parse),
        }
    }

    fn required(self) -> Self {
        Self {
            is_required: true,
            ..self
        }
    }
}

/// Reads one setting. An empty value counts as not set.
fn read_one<T>(
    lookup: &impl Fn(&str) -> Option<String>,
    name: &'static str,
    default: T,
    values: &Values<T>,
    wrong: &mut Vec<WrongSetting>,
) -> T {
    let set = lookup(name).map(|text| text.trim().to_owned());
    let problem = match set.filter(|text| !text.is_empty()) {
        Some(text) => match (values.parse)(&text) {
            Ok(value) => return value,
            Err(problem) => problem,
        },
        None if values.is_required => "is missing",
        None => return default,
    };
    wrong.push(WrongSetting {
        name,
        problem,
        allowed: values.allowed.clone(),
    });
    default
}

fn number(range: RangeInclusive<u64>, unit: &str) -> Values<u64> {
    let allowed = format!("{} to {} {unit}", range.start(), range.end());
    Values::new(allowed, move |text| {
        text.parse().ok().filter(|number| range.contains(number))
    })
}

fn count(range: RangeInclusive<u64>, unit: &str) -> Values<usize> {
    let Values { allowed, parse, .. } = number(range, unit);
    Values::new(allowed, move |text| parse(text).ok()?.try_into().ok())
}

fn span(range: RangeInclusive<u64>, unit: &str, millis: u64) -> Values<Duration> {
    let Values { allowed, parse, .. } = number(range, unit);
    Values::new(allowed, move |text| {
        let number = parse(text).ok()?;
        Some(Duration::from_millis(number.saturating_mul(millis)))
    })
}

fn milliseconds(range: RangeInclusive<u64>) -> Values<Duration> {
    span(range, "milliseconds", 1)
}

fn seconds(range: RangeInclusive<u64>) -> Values<Duration> {
    span(range, "seconds", 1_000)
}

fn hours(range: RangeInclusive<u64>) -> Values<Duration> {
    span(range, "hours", 3_600_000)
}

fn days(range: RangeInclusive<u64>) -> Values<Duration> {
    span(range, "days", 86_400_000)
}

fn removals() -> Values<Removals> {
    Values::new("warn, hold or refuse", |text| match text {
        "warn" => Some(Removals::Warn),
        "hold" => Some(Removals::Hold),
        "refuse" => Some(Removals::Refuse),
        _ => None,
    })
}

fn boolean() -> Values<bool> {
    Values::new("true or false", |text| text.parse().ok())
}

/// A decimal number, from and to so many thousandths.
fn fraction(thousandths: RangeInclusive<u32>, allowed: &str) -> Values<Fraction> {
    let [from, to] = [*thousandths.start(), *thousandths.end()].map(Fraction::from_thousandths);
    Values::new(allowed, move |text| {
        text.parse().ok().filter(|part| (from..=to).contains(part))
    })
}

fn secret() -> Values<Option<Secret>> {
    let allowed = "a bearer token of visible ASCII characters, as a secret";
    Values::new(allowed, |text| {
        let fits_a_header = text.bytes().all(|byte| byte.is_ascii_graphic());
        fits_a_header.then(|| Some(Secret(text.to_owned())))
    })
}

fn tokens() -> Values<Tokens> {
    let allowed = format!(
        "tokens of {SHORTEST_TOKEN} visible ASCII characters or more, separated by spaces, each TOKEN or NAME:TOKEN"
    );
    Values::explained(allowed, Tokens::parse)
}

fn team_url() -> Values<Option<String>> {
    let allowed = "the team's URL, such as https://TEAM.cloudflareaccess.com";
    let parse = |text: &str| {
        // Keys that cross a network in the clear would prove nothing.
        let is_safe = is_base_url(text) && url::is_confidential(text);
        is_safe.then(|| text.trim_end_matches('/').to_owned())
    };
    Values::new(allowed, move |text| parse(text).map(Some))
}

fn audience() -> Values<Option<String>> {
    let allowed = "the application's audience (AUD) tag: 16 to 128 letters and digits";
    Values::new(allowed, |text| {
        let is_tag = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (is_tag && (16..=128).contains(&text.len())).then(|| Some(text.to_owned()))
    })
}

fn identities() -> Values<Identities> {
    let allowed = "e-mail addresses, @DOMAIN for all addresses of a domain, or client ids of service tokens, separated by spaces";
    Values::new(allowed, |text| {
        let known = text.split_ascii_whitespace().map(str::to_ascii_lowercase);
        let known: Vec<_> = known.collect();
        let is_identity = |known: &String| {
            let (name, domain) = known.rsplit_once('@').unwrap_or((known, "a service"));
            !domain.is_empty() && !name.contains('@') && !known.contains(['*', ',', ';', ':'])
        };
        known.iter().all(is_identity).then_some(Identities(known))
    })
}

fn base_url() -> Values<Option<String>> {
    let allowed =
        "the origin's base URL, such as https://ca.example.com, without a query or user name";
    let parse = |text: &str| is_base_url(text).then(|| text.trim_end_matches('/').to_owned());
    Values::new(allowed, move |text| parse(text).map(Some)).required()
}

/// An http or https URL that paths can be appended to.
fn is_base_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else {
        return false;
    };
    let host = rest.split('/').next().unwrap_or_default();
    let port_is_number = match host.rsplit_once(':') {
        // An IPv6 address is in brackets.
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
        let settings = Settings::read(|name| {
            set.iter()
                .chain(&minimal)
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        });
        if settings.wrong.is_empty() {
            Ok(settings)
        } else {
            Err(SettingsError(settings.wrong))
        }
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
        let tokens = [
            &settings.operator_tokens,
            &settings.viewer_tokens,
            &settings.hook_tokens,
        ];
        assert!(tokens.into_iter().all(Tokens::is_empty));
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
        let error = Settings::read(|_| None).origin().unwrap_err().to_string();
        assert!(error.contains("ORIGIN_URL is missing"), "{error}");
        assert!(error.contains("ORIGIN_TOKEN is missing"), "{error}");
    }

    #[test]
    fn the_reference_has_every_setting_with_its_default() {
        let reference = include_str!("../../docs/reference.md");
        let settings = reference.split("\n## Settings\n").nth(1).unwrap();
        let rows: Vec<(&str, &str)> = settings
            .split("\n## ")
            .next()
            .unwrap()
            .lines()
            .filter_map(|line| {
                let mut cells = line.split('|').skip(1).map(str::trim);
                let name = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
                Some((name, cells.next()?))
            })
            .collect();
        let names: Vec<_> = rows.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, NAMES);
        let defaults = Settings::read(|_| None);
        let documented = Settings::read(|name| {
            let row = rows.iter().find(|(known, _)| *known == name);
            row.map(|(_, default)| (*default).to_owned())
        });
        assert_eq!(format!("{documented:?}"), format!("{defaults:?}"));
    }

    #[test]
    fn a_wrong_value_leaves_the_default() {
        let settings = Settings::read(|name| (name == "MAX_AGE_SECONDS").then(|| "-1".to_owned()));
        assert_eq!(settings.max_age, Duration::from_hours(1));
        let wrong: Vec<_> = settings.wrong.iter().map(|wrong| wrong.name).collect();
        assert_eq!(wrong, ["ORIGIN_URL", "ORIGIN_TOKEN", "MAX_AGE_SECONDS"]);
    }

    #[test]
    fn a_secret_does_not_show_itself() {
        let settings = parse(&[("OPERATOR_TOKEN", "hush-hush-hush-hush")]).unwrap();
        assert!(!format!("{settings:?}").contains("hush"));
        let token = settings.operator_tokens.iter().next().unwrap();
        assert_eq!(token.secret.reveal(), "hush-hush-hush-hush");
    }

    fn named(settings: &Settings) -> Vec<(Option<&str>, &str)> {
        let tokens = settings.operator_tokens.iter();
        tokens
            .map(|token| (token.name.as_deref(), token.secret.reveal()))
            .collect()
    }

    #[test]
    fn a_setting_holds_several_tokens_with_or_without_a_name() {
        let text = " ann:0123456789abcdef\n0123456789abcdeg  b.o-b_2:0123456789abcdeh";
        let settings = parse(&[("OPERATOR_TOKEN", text)]).unwrap();
        assert_eq!(
            named(&settings),
            [
                (Some("ann"), "0123456789abcdef"),
                (None, "0123456789abcdeg"),
                (Some("b.o-b_2"), "0123456789abcdeh"),
            ]
        );
    }

    #[test]
    fn a_token_that_must_not_be_used_closes_its_setting_and_is_not_shown() {
        const GOOD: &str = "0123456789abcdef";
        for (text, problem) in [
            ("0123456789abcde", "shorter than 16 characters"),
            ("ann:0123456789abcde", "shorter than 16 characters"),
            ("0123456789abcdef ann:short", "shorter than 16 characters"),
            ("ann:", "shorter than 16 characters"),
            (":0123456789abcdef", "a name that is not"),
            ("a/b:0123456789abcdef", "a name that is not"),
            ("0123456789abcd\u{e9}f", "no header can carry"),
            ("a:0123456789abcdef b:0123456789abcdef", "twice"),
        ] {
            let settings = Settings::read(|name| match name {
                "OPERATOR_TOKEN" => Some(text.to_owned()),
                "HOOK_TOKEN" => Some(format!("{GOOD}-hook")),
                _ => None,
            });
            assert!(settings.operator_tokens.is_empty(), "{text}");
            assert!(!settings.hook_tokens.is_empty(), "{text}");
            let error = settings.wrong_tokens().unwrap().to_string();
            assert!(
                error.starts_with("OPERATOR_TOKEN has a token")
                    || error.starts_with("OPERATOR_TOKEN has "),
                "{error}"
            );
            assert!(error.contains(problem), "{error}");
            assert!(!error.contains("0123456789abcd"), "{error}");
        }
    }

    #[test]
    fn access_needs_its_team_and_its_audience() {
        let team = ("ACCESS_TEAM_URL", "https://team.cloudflareaccess.com/");
        let audience = ("ACCESS_AUDIENCE", "0123456789abcdef");
        let people = ("ACCESS_VIEWERS", "ann@example.com");
        let settings = parse(&[team, audience]).unwrap();
        let access = settings.access().unwrap().unwrap();
        assert_eq!(access.team_url, "https://team.cloudflareaccess.com");
        assert_eq!(access.audience, "0123456789abcdef");
        assert!(parse(&[]).unwrap().access().unwrap().is_none());
        for (set, named) in [
            (vec![team], "ACCESS_AUDIENCE is missing"),
            (vec![audience], "ACCESS_TEAM_URL is missing"),
            (vec![people], "ACCESS_TEAM_URL is missing"),
            (
                vec![("ACCESS_TEAM_URL", "http://team.example"), audience],
                "ACCESS_TEAM_URL is wrong",
            ),
            (
                vec![team, ("ACCESS_AUDIENCE", "short")],
                "ACCESS_AUDIENCE is wrong",
            ),
            (
                vec![
                    team,
                    ("ACCESS_AUDIENCE", "0123456789abcdef 0123456789abcdef"),
                ],
                "ACCESS_AUDIENCE is wrong",
            ),
            (
                vec![team, audience, ("ACCESS_VIEWERS", "*")],
                "ACCESS_VIEWERS is wrong",
            ),
            (
                vec![team, audience, ("ACCESS_OPERATORS", "ann@")],
                "ACCESS_OPERATORS is wrong",
            ),
            (
                vec![
                    team,
                    audience,
                    ("ACCESS_OPERATORS", "a@b.example,c@b.example"),
                ],
                "ACCESS_OPERATORS is wrong",
            ),
        ] {
            let settings = Settings::read(|name| {
                let mut set = set.iter();
                set.find_map(|(key, value)| (*key == name).then(|| (*value).to_owned()))
            });
            let error = settings.access().unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn identities_are_people_domains_and_services_and_none_passes_for_another() {
        let team = ("ACCESS_TEAM_URL", "https://team.cloudflareaccess.com");
        let audience = ("ACCESS_AUDIENCE", "0123456789abcdef");
        let known = (
            "ACCESS_OPERATORS",
            "Ann@Example.com @ops.example 7C9a.access",
        );
        let settings = parse(&[team, audience, known]).unwrap();
        let operators = settings.access().unwrap().unwrap().operators;
        for person in ["ann@example.com", "ANN@example.com", "b@ops.example"] {
            assert!(operators.have_person(person), "{person}");
            assert!(!operators.have_service(person), "{person}");
        }
        for stranger in [
            "",
            "@",
            "bob@example.com",
            "@example.com",
            "@ops.example",
            "ops.example",
            "ann@example.com@evil.example",
            "a@sub.ops.example",
            "a@notops.example",
            "7c9a.access",
        ] {
            assert!(!operators.have_person(stranger), "{stranger}");
        }
        assert!(operators.have_service("7c9a.access"));
        for stranger in [
            "",
            "7c9a",
            "7c9a.access.evil",
            "@ops.example",
            "ops.example",
        ] {
            assert!(!operators.have_service(stranger), "{stranger}");
        }
    }

    #[test]
    fn a_token_in_two_settings_closes_both_and_no_third() {
        let settings = Settings::read(|name| match name {
            "OPERATOR_TOKEN" => Some("0123456789abcdef ann:0123456789abcdeg".to_owned()),
            "VIEWER_TOKEN" => Some("0123456789abcdeh".to_owned()),
            "HOOK_TOKEN" => Some("ca:0123456789abcdeg".to_owned()),
            _ => None,
        });
        assert!(settings.operator_tokens.is_empty() && settings.hook_tokens.is_empty());
        assert!(!settings.viewer_tokens.is_empty());
        let SettingsError(wrong) = settings.wrong_tokens().unwrap();
        let names: Vec<_> = wrong.iter().map(|wrong| wrong.name).collect();
        assert_eq!(names, ["OPERATOR_TOKEN", "HOOK_TOKEN"]);
    }
}
