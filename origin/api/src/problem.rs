//! Errors on the wire: problem details (RFC 9457).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// A problem: a stable code for programs, and one helpful line for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// A URI for the kind of problem; `about:blank` where `title` is the status's own phrase.
    #[serde(rename = "type", default = "about_blank")]
    pub kind: Cow<'static, str>,
    /// What kind of problem, in few words: the same for every occurrence.
    #[serde(default)]
    pub title: Cow<'static, str>,
    /// The HTTP status, repeated.
    #[serde(default)]
    pub status: u16,
    /// What happened this time, and what to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The stable name of the error, for programs: `issuer_not_found`.
    #[serde(default)]
    pub code: Cow<'static, str>,
}

fn about_blank() -> Cow<'static, str> {
    Cow::Borrowed("about:blank")
}

impl Problem {
    /// The media type that a problem is sent with.
    pub const MEDIA_TYPE: &'static str = "application/problem+json";

    /// A problem without a detail.
    #[must_use]
    pub fn new(status: u16, code: &'static str, title: &'static str) -> Self {
        Self {
            kind: about_blank(),
            title: title.into(),
            status,
            detail: None,
            code: code.into(),
        }
    }

    /// The same problem, with what happened this time.
    #[must_use]
    pub fn with_detail(self, detail: impl Into<String>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_format_is_problem_details() {
        let problem = Problem::new(404, "issuer_not_found", "Not Found")
            .with_detail("no issuer is named \"x\"");
        let json = r#"{"type":"about:blank","title":"Not Found","status":404,"detail":"no issuer is named \"x\"","code":"issuer_not_found"}"#;
        assert_eq!(serde_json::to_string(&problem).unwrap(), json);
        assert_eq!(serde_json::from_str::<Problem>(json).unwrap(), problem);
    }

    #[test]
    fn anothers_problem_may_say_less() {
        assert_eq!(
            serde_json::from_str::<Problem>(r#"{"title":"Teapot"}"#)
                .unwrap()
                .kind,
            "about:blank"
        );
    }
}
