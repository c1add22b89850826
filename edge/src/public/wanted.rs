//! What a relying party asks for.

use origin_api::{CrlName, IssuerId};

use super::representation::Encoding;
use crate::method::Method;

/// A CRL that is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// GET or HEAD.
    pub method: Method,
    /// The issuer that signed it.
    pub issuer: IssuerId,
    /// Which of the issuer's CRLs.
    pub name: CrlName,
    /// As DER or PEM.
    pub encoding: Encoding,
}
