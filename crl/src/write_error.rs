//! Why a CRL cannot be written.

use crate::time::{OutOfRange, UnixTime};

/// Why a CRL cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// A time that no CRL can state.
    #[error(transparent)]
    Time(#[from] OutOfRange),
    /// nextUpdate is not after thisUpdate.
    #[error("nextUpdate {next_update} is not after thisUpdate {this_update}")]
    Validity {
        /// The template's thisUpdate.
        this_update: UnixTime,
        /// The template's nextUpdate.
        next_update: UnixTime,
    },
    /// A delta CRL must not point to a delta CRL (RFC 5280, section 5.2.6).
    #[error("a delta CRL must not have a freshest CRL (RFC 5280, section 5.2.6)")]
    FreshestInDelta,
    /// A delta CRL starts from a CRL with a smaller or the same number
    /// (RFC 5280, section 5.2.4).
    #[error("the base number of a delta CRL is above its own number (RFC 5280, section 5.2.4)")]
    BaseAboveNumber,
    /// RFC 5280, section 5.2.5, forbids both an issuing distribution point that limits nothing,
    /// and one that is only for user certificates and also only for CA certificates.
    #[error("the issuing distribution point {0} (RFC 5280, section 5.2.5)")]
    DistributionPoint(&'static str),
    /// The same extension twice (RFC 5280, section 4.2).
    #[error("the CRL has the extension {0} twice (RFC 5280, section 4.2)")]
    ExtensionTwice(der::asn1::ObjectIdentifier),
    /// This writer writes DER lengths of up to 4 GiB.
    #[error("the CRL is over 4 GiB")]
    TooLarge,
    /// A URL is not an `IA5String`, or has no octets.
    #[error("a URL is empty or not ASCII")]
    Url,
    /// `der` could not encode a part.
    #[error("cannot be encoded: {0}")]
    Encoding(der::Error),
}

impl From<der::Error> for WriteError {
    fn from(error: der::Error) -> Self {
        Self::Encoding(error)
    }
}
