//! The benchmark's calls in wasm. Each works on bytes that the host has written to memory from
//! [`allocate`].

use std::cell::RefCell;

use crl::{CrlKind, Examination, Examined, Issuer, Limits, Requirements, RustCrypto, Verification};
use der::Decode;
use sha2::{Digest, Sha256};

thread_local! {
    static EXAMINATION: RefCell<Option<Examination<RustCrypto>>> = const { RefCell::new(None) };
    static EXAMINED: RefCell<Option<Examined<RustCrypto>>> = const { RefCell::new(None) };
    static HASH: RefCell<Sha256> = RefCell::new(Sha256::new());
}

/// Memory for the host to write to; never freed.
#[unsafe(no_mangle)]
pub extern "C" fn allocate(size: usize) -> *mut u8 {
    Box::leak(vec![0; size].into_boxed_slice()).as_mut_ptr()
}

/// # Safety
/// `bytes` must be from [`allocate`], and `size` no larger than it was there.
unsafe fn slice<'a>(bytes: *const u8, size: usize) -> &'a [u8] {
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts(bytes, size) }
}

/// Begins to read and to hash.
#[unsafe(no_mangle)]
pub extern "C" fn begin() {
    let limits = Limits {
        max_bytes: 1 << 30,
        ..Limits::default()
    };
    EXAMINATION.set(Some(Examination::<RustCrypto>::new(limits)));
    HASH.set(Sha256::new());
}

/// Reads and hashes a piece.
///
/// # Safety
/// As `slice`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn push(bytes: *const u8, size: usize) -> bool {
    // SAFETY: as above.
    let bytes = unsafe { slice(bytes, size) };
    EXAMINATION.with_borrow_mut(|examination| {
        examination
            .as_mut()
            .is_some_and(|examination| examination.push(bytes).is_ok())
    })
}

/// Hashes a piece, and no more.
///
/// # Safety
/// As `slice`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hash(bytes: *const u8, size: usize) -> u8 {
    // SAFETY: as above.
    let bytes = unsafe { slice(bytes, size) };
    HASH.with_borrow_mut(|hash| hash.update(bytes));
    0
}

/// Ends the hash.
#[unsafe(no_mangle)]
pub extern "C" fn finish_hash() -> u8 {
    HASH.take().finalize()[0]
}

/// Ends the reading; gives the number of entries, or -1.
#[unsafe(no_mangle)]
pub extern "C" fn finish() -> f64 {
    match EXAMINATION.take().map(Examination::finish) {
        Some(Ok(examined)) => {
            let count = examined.crl().entry_count;
            EXAMINED.set(Some(examined));
            #[expect(clippy::cast_precision_loss, reason = "under 2^53")]
            return count as f64;
        }
        _ => -1.0,
    }
}

/// Checks all rules and the signature of what was read.
///
/// # Safety
/// As `slice`, for the issuer's certificate.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn verify(certificate: *const u8, size: usize) -> bool {
    // SAFETY: as above.
    let certificate = unsafe { slice(certificate, size) };
    let Some(examined) = EXAMINED.take() else {
        return false;
    };
    let Ok(issuer) = Issuer::from_der(certificate) else {
        return false;
    };
    let now = examined.crl().header.this_update;
    let requirements = Requirements::new(&issuer, CrlKind::Full, now);
    let verification = crl::verify(&examined, &requirements);
    matches!(verification, Ok(Verification::Verified(_)))
}

/// Reads with x509-cert; gives the number of entries, or -1.
///
/// # Safety
/// As `slice`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn x509_cert(bytes: *const u8, size: usize) -> f64 {
    // SAFETY: as above.
    let bytes = unsafe { slice(bytes, size) };
    let list = x509_cert::crl::CertificateList::<x509_cert::certificate::Rfc5280>::from_der(bytes);
    #[expect(clippy::cast_precision_loss, reason = "under 2^53")]
    list.map_or(-1.0, |list| {
        list.tbs_cert_list
            .revoked_certificates
            .map_or(0, |list| list.len()) as f64
    })
}
