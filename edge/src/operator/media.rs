//! Content negotiation by `Accept` (RFC 9110, section 12.5.1).

use crate::fraction::Fraction;
use crate::problem::EdgeError;

/// The representation of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventFormat {
    /// One JSON document, with a cursor for the next page.
    Json,
    /// One JSON object a line, streamed.
    Ndjson,
    /// Comma-separated values with a header line (RFC 4180), streamed.
    Csv,
}

impl EventFormat {
    /// If several are equally acceptable, the first is chosen.
    const OFFERED: [(&'static str, Self); 5] = [
        ("application/json", Self::Json),
        ("application/x-ndjson", Self::Ndjson),
        ("application/ndjson", Self::Ndjson),
        ("application/jsonl", Self::Ndjson),
        ("text/csv", Self::Csv),
    ];

    /// The format that `accept` prefers; JSON if it is absent.
    ///
    /// # Errors
    /// `accept` allows none of them.
    pub(crate) fn negotiate(accept: Option<&str>) -> Result<Self, EdgeError> {
        let offered = Self::OFFERED.map(|(name, _)| name);
        let best = best(accept, &offered).and_then(|index| Self::OFFERED.get(index));
        best.map(|(_, format)| *format)
            .ok_or(EdgeError::NotAcceptable {
                offered: "application/json, application/x-ndjson, text/csv",
            })
    }

    #[must_use]
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
        }
    }
}

/// Whether the client prefers a page, as browsers do, to JSON.
#[must_use]
pub(crate) fn wants_page(accept: Option<&str>) -> bool {
    let offered = ["application/problem+json", "application/json", "text/html"];
    best(accept, &offered) == Some(2)
}

/// The index of the media type that `accept` prefers; of equally acceptable ones, the first.
pub(crate) fn best(accept: Option<&str>, offered: &[&str]) -> Option<usize> {
    let Some(accept) = accept.filter(|accept| !accept.trim().is_empty()) else {
        return (!offered.is_empty()).then_some(0);
    };
    let liked = offered
        .iter()
        .enumerate()
        .map(|(index, media_type)| (index, quality(accept, media_type)))
        .filter(|(_, quality)| *quality > Fraction::NOTHING);
    // `max_by_key` returns the last of equal elements.
    liked
        .rev()
        .max_by_key(|(_, quality)| *quality)
        .map(|(index, _)| index)
}

/// The weight that `accept` gives a media type: that of the most specific range that matches.
fn quality(accept: &str, media_type: &str) -> Fraction {
    let group = media_type.split('/').next().unwrap_or_default();
    accept
        .split(',')
        .filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let range = parts.next()?.to_ascii_lowercase();
            let specificity = if range == media_type {
                3
            } else if range.strip_suffix("/*") == Some(group) {
                2
            } else if range == "*/*" {
                1
            } else {
                return None;
            };
            let weight = parts.find_map(|part| {
                let (name, value) = part.split_once('=')?;
                let is_weight = name.eq_ignore_ascii_case("q");
                // A malformed weight counts as 0.
                is_weight.then(|| value.trim().parse().unwrap_or(Fraction::NOTHING))
            });
            Some((specificity, weight.unwrap_or(Fraction::WHOLE)))
        })
        .max_by_key(|(specificity, _)| *specificity)
        .map_or(Fraction::NOTHING, |(_, weight)| weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_the_one_that_the_caller_likes_best() {
        use EventFormat::{Csv, Json, Ndjson};
        for (accept, format) in [
            (None, Json),
            (Some(""), Json),
            (Some("*/*"), Json),
            (Some("application/*"), Json),
            (Some("text/csv"), Csv),
            (Some("Text/CSV; header=present"), Csv),
            (Some("text/*"), Csv),
            (Some("application/x-ndjson"), Ndjson),
            (Some("application/ndjson, */*;q=0.1"), Ndjson),
            (Some("application/json;q=0.5, text/csv;q=0.8"), Csv),
            (Some("application/json;q=0, */*"), Ndjson),
            (Some("text/html, */*;q=0.8"), Json),
        ] {
            assert_eq!(EventFormat::negotiate(accept), Ok(format), "{accept:?}");
        }
    }

    #[test]
    fn a_caller_that_wants_none_of_them_is_told_what_there_is() {
        for accept in ["text/html", "application/json;q=0", "nonsense"] {
            let error = EventFormat::negotiate(Some(accept)).unwrap_err();
            assert_eq!(error.status_and_code(), (406, "not_acceptable"), "{accept}");
        }
    }

    #[test]
    fn only_browsers_want_a_page() {
        assert!(wants_page(Some(
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
        )));
        for program in [None, Some("*/*"), Some("application/json")] {
            assert!(!wants_page(program), "{program:?}");
        }
    }
}
