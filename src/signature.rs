//! Hashes, and signatures by RSA and ECDSA, by the platform: its `BoringSSL` hashes faster than
//! wasm can, is kept up to date without us, and the mathematics in Rust would be a seventh of the
//! Worker.

use crl::{Algorithm, Digest, Hashed, SignatureKey, Unverified};
use edge::refresh::{ContentHash, Sha256, StoreError};
use worker::wasm_bindgen::prelude::*;

use crate::platform::log;

#[wasm_bindgen(inline_js = "
// Loaded once it is needed: few isolates of the Worker ever refresh a CRL.
const crypto = () => process.getBuiltinModule('node:crypto');

export const begin = (digest) => crypto().createVerify(digest);

export const beginHash = () => crypto().createHash('SHA256');

// Undefined if spki is not a usable public key.
export function verify(hashed, spki, saltLength, signature) {
    const { createPublicKey, constants } = crypto();
    const encoded = { key: spki, format: 'der', type: 'spki' };
    let key;
    try {
        key = createPublicKey(encoded);
    } catch {
        return undefined;
    }
    // workerd ignores the padding beside a key that is decoded.
    const pss = { ...encoded, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength };
    return hashed.verify(saltLength === undefined ? key : pss, signature);
}
")]
extern "C" {
    /// Node's `Verify`.
    #[derive(Debug)]
    type Verify;

    #[wasm_bindgen(catch)]
    fn begin(digest: &str) -> Result<Verify, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn update(this: &Verify, bytes: &[u8]) -> Result<JsValue, JsValue>;

    /// Node's `Hash`.
    #[derive(Debug)]
    type Hash;

    #[wasm_bindgen(catch, js_name = beginHash)]
    fn begin_hash() -> Result<Hash, JsValue>;

    #[wasm_bindgen(method, catch, js_name = update)]
    fn update_hash(this: &Hash, bytes: &[u8]) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn digest(this: &Hash) -> Result<Vec<u8>, JsValue>;

    #[wasm_bindgen(catch)]
    fn verify(
        hashed: &Verify,
        spki: &[u8],
        salt_length: Option<u8>,
        signature: &[u8],
    ) -> Result<Option<bool>, JsValue>;
}

/// What is signed, being hashed by the platform; nothing once that has failed.
#[derive(Debug)]
pub(crate) struct JsHashed(Option<Verify>);

impl Hashed for JsHashed {
    fn new(digest: Digest) -> Self {
        let digest = match digest {
            Digest::Sha256 => "SHA256",
            Digest::Sha384 => "SHA384",
            Digest::Sha512 => "SHA512",
        };
        Self(begin(digest).map_err(|error| log_unavailable(&error)).ok())
    }

    fn update(&mut self, bytes: &[u8]) {
        let updated = self.0.as_ref().map(|hashed| hashed.update(bytes));
        if let Some(Err(error)) = updated {
            log_unavailable(&error);
            self.0 = None;
        }
    }

    fn verify(
        &self,
        key: &SignatureKey,
        algorithm: Algorithm,
        signature: &[u8],
    ) -> Result<(), Unverified> {
        let hashed = self.0.as_ref().ok_or(Unverified::Failed)?;
        let salt_length = match algorithm {
            Algorithm::RsaPss { salt_length, .. } => Some(salt_length),
            _ => None,
        };
        match verify(hashed, key.spki(), salt_length, signature) {
            Ok(Some(true)) => Ok(()),
            Ok(Some(false)) => Err(Unverified::Invalid),
            Ok(None) => Err(Unverified::UnusableKey),
            Err(error) => {
                log_unavailable(&error);
                Err(Unverified::Failed)
            }
        }
    }
}

/// The SHA-256 of a CRL, being made by the platform; nothing once that has failed.
#[derive(Debug)]
pub(crate) struct JsContentHash(Option<Hash>);

impl ContentHash for JsContentHash {
    fn new() -> Self {
        Self(begin_hash().map_err(|error| log_unavailable(&error)).ok())
    }

    fn update(&mut self, bytes: &[u8]) {
        let updated = self.0.as_ref().map(|hash| hash.update_hash(bytes));
        if let Some(Err(error)) = updated {
            log_unavailable(&error);
            self.0 = None;
        }
    }

    fn finish(self) -> Result<Sha256, StoreError> {
        let digest = self.0.and_then(|hash| hash.digest().ok());
        let digest = digest.and_then(|digest| digest.try_into().ok());
        digest
            .map(Sha256)
            .ok_or_else(|| StoreError::Failed("the platform does not hash".to_owned()))
    }
}

/// Logs why no signature was checked.
fn log_unavailable(error: &JsValue) {
    log(&serde_json::json!({
        "level": "error",
        "what": "the platform checks no signatures: does the Worker have nodejs_compat, which is on from compatibility date 2026-08-04?",
        "cause": format!("{error:?}"),
    }));
}
