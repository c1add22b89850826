//! The keys and certificates of local issuers. No storage, no network.

mod builder;
mod certificate;
mod key;
mod request;
mod serial;
mod token;

pub use certificate::{
    CertificateError, Leaf, authority_key_id, certificate_from_pem_or_der, check_verifier, issue,
    parse_subject, self_sign, sign_authority,
};
pub use key::{KeyError, KeyKind, PrivateKey};
pub use request::Request;
pub use serial::{Serial, SerialError};
pub use token::{TokenKey, TokenKeyError, TokenUri};
