//! How a value of KV is read.

/// The form in which a read returns a value, and for how long this point of presence may keep it.
#[derive(Clone, Copy, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GetOptions {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_ttl: Option<u64>,
}

impl GetOptions {
    /// As a stream, kept for `cache_ttl` seconds.
    pub(crate) const fn stream(cache_ttl: u64) -> Self {
        Self {
            r#type: "stream",
            cache_ttl: Some(cache_ttl),
        }
    }

    /// As a stream, from KV itself.
    pub(crate) const fn now() -> Self {
        Self {
            r#type: "stream",
            cache_ttl: None,
        }
    }

    /// As text, kept for the shortest time that KV allows.
    pub(crate) const fn text() -> Self {
        Self {
            r#type: "text",
            cache_ttl: Some(30),
        }
    }
}
