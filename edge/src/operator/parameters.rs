//! Strict query strings: a parameter that is unknown, repeated or wrong is refused by name.

use std::str::FromStr;

use crate::problem::EdgeError;
use crate::refresh::Sha256;

/// The parameters of one call. An empty value counts as absent, since forms send empty fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parameters(Vec<(&'static str, String)>);

impl Parameters {
    /// Reads decoded pairs. Only the names in `known` are allowed.
    ///
    /// # Errors
    /// Names the parameter that is unknown or repeated.
    pub(crate) fn parse(
        pairs: &[(String, String)],
        known: &[&'static str],
    ) -> Result<Self, EdgeError> {
        let mut read: Vec<(&'static str, String)> = Vec::new();
        for (name, value) in pairs {
            let Some(name) = known.iter().find(|known| *known == name) else {
                return Err(EdgeError::BadParameter {
                    name: name.chars().take(64).collect::<String>().into(),
                    problem: explain(known).into(),
                });
            };
            if read.iter().any(|(seen, _)| seen == name) {
                return Err(refused(name, "is given twice"));
            }
            read.push((name, value.clone()));
        }
        read.retain(|(_, value)| !value.is_empty());
        Ok(Self(read))
    }

    /// The value of `name`, if present. `allowed` completes the sentence "the parameter NAME …".
    ///
    /// # Errors
    /// The value does not parse.
    pub(crate) fn value<T: FromStr>(
        &self,
        name: &'static str,
        allowed: &'static str,
    ) -> Result<Option<T>, EdgeError> {
        self.0
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, text)| text.parse())
            .transpose()
            .map_err(|_| refused(name, allowed))
    }

    /// The number `name`, if present, from 1 to `most`.
    ///
    /// # Errors
    /// The value is not such a number.
    pub(crate) fn count(&self, name: &'static str, most: u32) -> Result<Option<u32>, EdgeError> {
        let wrong = || EdgeError::BadParameter {
            name: name.into(),
            problem: format!("must be a number from 1 to {most}").into(),
        };
        match self.value::<u32>(name, "") {
            Ok(Some(count)) if (1..=most).contains(&count) => Ok(Some(count)),
            Ok(None) => Ok(None),
            _ => Err(wrong()),
        }
    }
}

/// Reads a SHA-256 as people copy it: in either case, with or without colons.
pub(crate) fn read_sha256(text: &str) -> Option<Sha256> {
    let digits: String = text.trim().chars().filter(|c| *c != ':').collect();
    digits.to_ascii_lowercase().parse().ok()
}

fn explain(known: &[&str]) -> String {
    if known.is_empty() {
        "is unknown: this call takes none".to_owned()
    } else {
        format!("is unknown: this call takes {}", known.join(", "))
    }
}

fn refused(name: &'static str, problem: &'static str) -> EdgeError {
    EdgeError::BadParameter {
        name: name.into(),
        problem: problem.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<Parameters, EdgeError> {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Parameters::parse(&pairs, &["issuer", "limit"])
    }

    #[test]
    fn what_is_unknown_or_given_twice_is_refused_by_name() {
        let said = |pairs| parse(pairs).unwrap_err().to_string();
        assert_eq!(
            said(&[("isuer", "a")]),
            "the parameter isuer is unknown: this call takes issuer, limit"
        );
        assert_eq!(
            said(&[("limit", "1"), ("limit", "")]),
            "the parameter limit is given twice"
        );
    }

    #[test]
    fn an_empty_value_counts_as_not_given() {
        let parameters = parse(&[("issuer", "")]).unwrap();
        assert_eq!(parameters.value::<String>("issuer", "").unwrap(), None);
    }

    #[test]
    fn a_sha256_is_read_as_openssl_prints_it() {
        let lower = "ab".repeat(32);
        let openssl = vec!["AB"; 32].join(":");
        let expected: Sha256 = lower.parse().unwrap();
        for text in [lower.as_str(), &openssl, &format!(" {lower}\n")] {
            assert_eq!(read_sha256(text), Some(expected), "{text}");
        }
        for wrong in ["", "ab", &"ag".repeat(32), &"ab".repeat(33)] {
            assert_eq!(read_sha256(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_count_has_bounds() {
        let count = |text| parse(&[("limit", text)]).unwrap().count("limit", 1000);
        assert_eq!(count("1000").unwrap(), Some(1000));
        for wrong in ["0", "1001", "-1", "1.0", "many", "99999999999"] {
            assert_eq!(
                count(wrong).unwrap_err().to_string(),
                "the parameter limit must be a number from 1 to 1000",
                "{wrong}"
            );
        }
    }
}
