//! What an operator's request is answered with: an answer in memory, or a stream of text.

use std::borrow::Cow;

use futures_util::stream::LocalBoxStream;
use serde::Serialize;

use crate::http::{Answer, Body, Headers};
use crate::public::Wanted;

/// An answer that is yet to be sent.
pub enum Reply {
    /// All of it is in memory.
    Answer(Answer),
    /// 200 with a body that is read as it is sent.
    Stream {
        /// The headers.
        headers: Headers,
        /// The body. An error breaks the connection, and is text for the log.
        chunks: LocalBoxStream<'static, Result<String, String>>,
    },
    /// What `Serving::held` answers.
    Held(Wanted),
}

impl Reply {
    /// 200 with this text.
    pub(crate) fn text(media_type: &'static str, text: String) -> Self {
        Self::Answer(Answer {
            status: 200,
            headers: headers(media_type),
            body: Body::Text(text),
        })
    }

    /// `value` in JSON.
    ///
    /// # Errors
    /// If `value` has no JSON, which no value here lacks.
    pub(crate) fn json(status: u16, value: &impl Serialize) -> Result<Self, serde_json::Error> {
        Ok(Self::Answer(Answer {
            status,
            headers: headers("application/json"),
            body: Body::Text(serde_json::to_string(value)?),
        }))
    }

    /// 200 with a body in pieces.
    pub(crate) fn stream(
        media_type: &'static str,
        chunks: LocalBoxStream<'static, Result<String, String>>,
    ) -> Self {
        Self::Stream {
            headers: headers(media_type),
            chunks,
        }
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: Cow<'static, str>) -> Self {
        if let Self::Answer(Answer { headers, .. }) | Self::Stream { headers, .. } = &mut self {
            headers.push((name, value));
        }
        self
    }

    /// The answer to HEAD. A stream is dropped unread.
    pub(crate) fn without_body(self) -> Self {
        Self::Answer(match self {
            Self::Answer(answer) => answer.without_body(),
            Self::Stream { headers, .. } => Answer {
                status: 200,
                headers,
                body: Body::None,
            },
            // It has the method.
            Self::Held(wanted) => return Self::Held(wanted),
        })
    }
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}

fn headers(media_type: &'static str) -> Headers {
    vec![
        ("Content-Type", media_type.into()),
        ("Cache-Control", "no-store".into()),
        ("X-Content-Type-Options", "nosniff".into()),
    ]
}
