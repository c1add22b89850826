//! The HTTP methods that the edge takes.

/// A method (RFC 9110, section 9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Reads the same headers without the body.
    Head,
    /// Asks which methods and headers are allowed.
    Options,
    /// Acts, or submits a form.
    Post,
    /// Removes.
    Delete,
}

impl Method {
    /// Methods are case-sensitive (RFC 9110, section 9.1).
    pub(crate) fn parse(method: &str) -> Option<Self> {
        match method {
            "GET" => Some(Self::Get),
            "HEAD" => Some(Self::Head),
            "OPTIONS" => Some(Self::Options),
            "POST" => Some(Self::Post),
            "DELETE" => Some(Self::Delete),
            _ => None,
        }
    }
}
