//! A CRL of some size and its CA. Entries have 49 octets: a serial number of 16 octets and a
//! reason.

use crl::{Algorithm, CrlNumber, Digest, Issuer, Reason, Revocation, Serial, Template, UnixTime};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose, SigningKey,
};

pub(crate) struct Input {
    pub(crate) count: usize,
    pub(crate) key: KeyPair,
    pub(crate) params: CertificateParams,
    pub(crate) certificate: Vec<u8>,
    pub(crate) issuer: Issuer,
    pub(crate) template: Template,
    pub(crate) serials: Vec<[u8; 16]>,
    pub(crate) crl: Vec<u8>,
}

pub(crate) const DATE: UnixTime = UnixTime(1_790_000_000);
pub(crate) const NOW: UnixTime = UnixTime(1_795_000_000);

impl Input {
    pub(crate) fn new(count: usize) -> Self {
        let key = KeyPair::generate().expect("a P-256 key");
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "Benchmark CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params
            .self_signed(&key)
            .expect("a certificate")
            .der()
            .to_vec();
        let issuer = Issuer::from_der(&certificate).expect("an issuer");
        let algorithm = Algorithm::Ecdsa(Digest::Sha256).identifier();
        let template = Template {
            authority_key_id: issuer.subject_key_id().map(<[u8]>::to_vec),
            ..Template::new(
                issuer.subject().clone(),
                algorithm.expect("an algorithm"),
                CrlNumber::from(1),
                NOW..UnixTime(NOW.0 + 86_400),
            )
        };
        let serials = serials(count, 42);
        let crl = template
            .sign(serials.iter().map(revocation), |tbs| key.sign(tbs))
            .expect("a CRL");
        Self {
            count,
            key,
            params,
            certificate,
            issuer,
            template,
            serials,
            crl,
        }
    }
}

pub(crate) fn revocation(serial: &[u8; 16]) -> Revocation<'_> {
    let [.., last] = *serial;
    Revocation {
        serial: Serial::from_be_bytes(serial),
        date: UnixTime(DATE.0 + i64::from(last) * 12_345),
        reason: Reason::ALL[1 + usize::from(last) % 5],
        invalidity_date: None,
    }
}

/// Positive serial numbers of 16 octets, distributed as random ones are (splitmix64).
pub(crate) fn serials(count: usize, seed: u64) -> Vec<[u8; 16]> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    (0..count)
        .map(|_| {
            let mut serial = [0; 16];
            serial[..8].copy_from_slice(&next().to_be_bytes());
            serial[8..].copy_from_slice(&next().to_be_bytes());
            serial[0] = serial[0] & 0x7f | 0x40;
            serial
        })
        .collect()
}
