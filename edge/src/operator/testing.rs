//! What the tests here share: settings, and the platform's twin.

pub(crate) mod access;
pub(crate) mod platform;

use crate::config::Settings;

/// Settings with these and nothing else but what must be set.
pub(crate) fn settings(set: &[(&str, &str)]) -> Settings {
    crate::config::tests::parse(set).unwrap()
}
