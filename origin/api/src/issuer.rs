//! The registry's view of an issuer.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{CrlName, IssuerId};

/// One page of `GET /v1/issuers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IssuersPage {
    /// The issuers, in the order of their ids.
    pub issuers: Vec<Issuer>,
    /// Asks for the page that follows; absent on the last one.
    pub next_cursor: Option<String>,
}

/// An issuer: who it is, what verifies its CRLs, and which there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Issuer {
    /// The stable short name.
    pub id: IssuerId,
    /// The certificate whose key verifies the CRLs.
    pub certificate: Der,
    /// The CRLs to be published; none where this issuer publishes elsewhere.
    pub crls: Vec<Crl>,
}

/// One CRL that an issuer publishes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Crl {
    /// Which one.
    pub name: CrlName,
    /// The URL in the certificates' CRL distribution points, and in the list's issuing distribution
    /// point if it has one.
    pub distribution_point: Option<String>,
}

/// DER bytes; base64 with padding (RFC 4648, section 4) in JSON.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Der(pub Vec<u8>);

impl fmt::Debug for Der {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Der({} bytes)", self.0.len())
    }
}

impl Serialize for Der {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Der {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Byte for byte what the contract shows.
    const PAGE: &str = r#"{"issuers":[{"id":"demo-p256","certificate":"MIIB","crls":[{"name":"full","distribution_point":"http://127.0.0.1:8787/crl/demo-p256.crl"},{"name":"shard-1","distribution_point":null}]}],"next_cursor":null}"#;

    #[test]
    fn the_wire_format_is_the_contracts() {
        let page: IssuersPage = serde_json::from_str(PAGE).unwrap();
        assert_eq!(page.issuers[0].certificate, Der(vec![0x30, 0x82, 0x01]));
        assert_eq!(page.issuers[0].crls[1].name, CrlName::Shard(1));
        assert_eq!(serde_json::to_string(&page).unwrap(), PAGE);
    }

    #[test]
    fn later_additions_do_not_break_a_reader() {
        let issuer =
            r#"{"id":"a","certificate":"","crls":[{"name":"full","since":3}],"colour":"red"}"#;
        assert_eq!(
            serde_json::from_str::<Issuer>(issuer).unwrap().crls[0].distribution_point,
            None
        );
    }
}
