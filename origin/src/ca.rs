//! The keys and certificates of issuers with a local key. No database and no network; a key in a
//! PKCS#11 token signs in the token.

mod builder;
mod certificate;
mod key;
mod key_file;
mod key_kind;
mod pkcs11;
mod request;
mod serial;
mod signature;

pub use certificate::{
    CertificateError, Certified, authority_key_id, certificate_from_pem_or_der,
    certificates_from_pem_or_der, check_verifier, distribution_points, is_issued_by, issue,
    not_after, parse_subject, self_sign, sign_authority,
};
pub use key::{KeyError, PrivateKey};
pub use key_file::KeyFileError;
pub use key_kind::{KeyKind, KeyKindError};
pub use pkcs11::{Pkcs11Error, Pkcs11Key, Pkcs11Uri};
pub use request::Request;
pub use serial::{Serial, SerialError};
