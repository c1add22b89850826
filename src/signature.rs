//! Signatures by RSA and ECDSA, checked by the platform: its `BoringSSL` hashes faster than wasm
//! can, is kept up to date without us, and the mathematics in Rust would be a seventh of the
//! Worker.

use crl::{Algorithm, Digest, Hashed, Unverified};
use worker::wasm_bindgen::prelude::*;

use crate::log::log;

#[wasm_bindgen(inline_js = "
// Loaded once it is needed: few isolates of the Worker ever refresh a CRL.
const crypto = () => process.getBuiltinModule('node:crypto');

export const begin = (digest) => crypto().createVerify(digest);

// Undefined where the key is none.
export function verify(hashed, spki, saltLength, signature) {
    const { createPublicKey, constants } = crypto();
    const key = { key: spki, format: 'der', type: 'spki' };
    try {
        createPublicKey(key);
    } catch {
        return undefined;
    }
    const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength };
    return hashed.verify(saltLength === undefined ? key : { ...key, ...pss }, signature);
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
        Self(begin(digest).map_err(|error| tell(&error)).ok())
    }

    fn update(&mut self, bytes: &[u8]) {
        let updated = self.0.as_ref().map(|hashed| hashed.update(bytes));
        if let Some(Err(error)) = updated {
            tell(&error);
            self.0 = None;
        }
    }

    fn verify(&self, key: &[u8], algorithm: Algorithm, signature: &[u8]) -> Result<(), Unverified> {
        let hashed = self.0.as_ref().ok_or(Unverified::Failed)?;
        let salt_length = match algorithm {
            Algorithm::RsaPss { salt_length, .. } => Some(salt_length),
            _ => None,
        };
        match verify(hashed, key, salt_length, signature) {
            Ok(Some(true)) => Ok(()),
            Ok(Some(false)) => Err(Unverified::Invalid),
            Ok(None) => Err(Unverified::UnusableKey),
            Err(error) => {
                tell(&error);
                Err(Unverified::Failed)
            }
        }
    }
}

/// Tells the operator's log why no signature was checked.
fn tell(error: &JsValue) {
    log(&serde_json::json!({
        "level": "error",
        "what": "the platform checks no signatures: does the Worker have nodejs_compat, which is on from compatibility date 2026-08-04?",
        "cause": format!("{error:?}"),
    }));
}
