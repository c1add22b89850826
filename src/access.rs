//! What proves identities of Cloudflare Access, by the platform's `fetch` and `WebCrypto`.

use std::time::Duration;

use edge::operator::RsaKey;
use worker::js_sys::Promise;
use worker::wasm_bindgen::prelude::*;
use worker::wasm_bindgen_futures::JsFuture;

#[wasm_bindgen(module = "/src/access.js")]
extern "C" {
    #[wasm_bindgen(js_name = readText)]
    fn read_text(url: &str, limit: u32, milliseconds: u32) -> Promise;

    #[wasm_bindgen(js_name = verifyRs256)]
    fn verify(n: &str, e: &str, signed: &str, signature: &[u8]) -> Promise;
}

/// The text at a URL, of at most `limit` bytes.
///
/// # Errors
/// It cannot be read within `span`.
pub(crate) async fn read(url: &str, limit: u32, span: Duration) -> worker::Result<String> {
    let milliseconds = u32::try_from(span.as_millis()).unwrap_or(u32::MAX);
    let text = JsFuture::from(read_text(url, limit, milliseconds)).await?;
    Ok(text.as_string().unwrap_or_default())
}

/// Whether this is the signature of `signed` by RS256.
///
/// # Errors
/// The platform cannot use the key.
pub(crate) async fn verify_rs256(
    key: &RsaKey,
    signed: &str,
    signature: &[u8],
) -> worker::Result<bool> {
    let verified = verify(&key.modulus, &key.exponent, signed, signature);
    Ok(JsFuture::from(verified).await?.is_truthy())
}
