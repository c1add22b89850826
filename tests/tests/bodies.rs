//! Ranges, PEM and CRLs that KV holds in parts: each byte is correct, and a missing part never
//! changes what a client receives.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use end_to_end::test_origin::sha256;
use end_to_end::{Answer, CertificateAuthority, Edge, Kv, Start, TestOrigin, World, serving_suite};
use reqwest::header::RANGE;
use reqwest::{Method, Response};
use x509_cert::der::pem;

/// Two versions of a CRL, each of which KV holds in two parts.
struct Large {
    first: Vec<u8>,
    second: Vec<u8>,
}

impl World for Large {
    async fn start() -> Self {
        // Larger than 25 MiB, KV's limit for one value.
        let crl = |number| CertificateAuthority::new("large").crl_of(number, 550_000);
        Self {
            first: crl(1),
            second: crl(2),
        }
    }

    fn log(&self) -> String {
        String::new()
    }
}

/// The size of the first part, in bytes.
const PART: usize = 20 * 1024 * 1024;

async fn a_range_returns_exactly_its_bytes(_: Arc<Large>) {
    let der = CertificateAuthority::new("ranged").crl_of(1, 3000);
    let (_origin, edge) = edge_with("ranged", &der).await;
    let encodings = [
        ("/crl/ranged.crl", der.clone()),
        ("/crl/ranged.pem", pem_of(&der)),
    ];
    for (path, whole) in encodings {
        let size = whole.len();
        assert_eq!(whole_of(edge.get(path).await).await, whole);
        // The first line, line endings, several lines, the last line.
        for (first, end) in [
            (0, 1),
            (0, 25),
            (24, 26),
            (25, 90),
            (89, 91),
            (20, 300),
            (1000, size / 2),
            (size - 24, size - 22),
            (size - 23, size),
            (size - 1, size),
            (0, size),
        ] {
            assert_range(&edge, path, &whole, first, end).await;
        }
        for suffix in [1, 23, 24, 100, size, size + 1] {
            let response = range(&edge, path, &format!("bytes=-{suffix}")).await;
            let expected = &whole[size.saturating_sub(suffix)..];
            assert!(
                body(response).await.unwrap() == expected,
                "{path}: -{suffix}"
            );
        }
    }
}

/// The fast path kept a DER of up to 128 KiB, and took the PEM made from it, which is longer, for
/// bytes when it was a stream: the second client within a second got a 500.
async fn a_body_is_the_same_however_often_it_is_asked_for(_: Arc<Large>) {
    let path = |encoding| format!("/crl/repeated.{encoding}");
    // In bytes: below, between and above what is remembered, in DER and in PEM.
    for entries in [100, 2_050, 2_600, 4_000] {
        let der = CertificateAuthority::new("repeated").crl_of(1, entries);
        let (_origin, edge) = edge_with("repeated", &der).await;
        for (path, whole) in [(path("crl"), der.clone()), (path("pem"), pem_of(&der))] {
            for _ in 0..12 {
                assert!(
                    whole_of(edge.get(&path).await).await == whole,
                    "{path} of {entries}"
                );
            }
            for _ in 0..4 {
                assert_range(&edge, &path, &whole, 10, whole.len() - 10).await;
            }
        }
    }
}

async fn a_range_of_a_crl_in_parts_reads_only_the_parts_it_needs(world: Arc<Large>) {
    let der = &world.first;
    let (origin, edge) = edge_with("large", der).await;
    drop(origin);
    let pem = pem_of(der);
    assert!(whole_of(edge.get("/crl/large.pem").await).await == pem);
    // The byte of the PEM that encodes the last byte of the first part.
    let border = 25 + PART / 48 * 65;
    for (path, whole, middle) in [
        ("/crl/large.crl", der, PART),
        ("/crl/large.pem", &pem, border),
    ] {
        assert_range(&edge, path, whole, middle - 1, middle + 1).await;
        assert_range(&edge, path, whole, middle - 100_000, middle + 100_000).await;
    }

    // Neither the first part nor the object is available.
    let start = edge.stop();
    lose_part(start.state(), 0);
    fs::remove_dir_all(start.state().join("v3/do")).unwrap();
    let edge = start.start().await;

    for (path, whole, second) in [
        ("/crl/large.crl", der, PART),
        ("/crl/large.pem", &pem, border + 65),
    ] {
        assert_range(&edge, path, whole, second, second + 100).await;
        assert_range(&edge, path, whole, second + 1000, whole.len()).await;
        assert_eq!(
            range(&edge, path, "bytes=0-9").await.status(),
            503,
            "{path}"
        );
        assert_eq!(edge.get(path).await.status(), 503, "{path}");
    }
}

async fn a_missing_part_comes_from_the_object(world: Arc<Large>) {
    for part in [0, 1] {
        let der = &world.first;
        let (origin, edge) = edge_with("large", der).await;
        drop(origin);
        let start = edge.stop();
        lose_part(start.state(), part);
        let edge = start.start().await;

        for (path, whole) in [
            ("/crl/large.crl", der.clone()),
            ("/crl/large.pem", pem_of(der)),
        ] {
            assert!(
                whole_of(edge.get(path).await).await == whole,
                "{path} without part {part}"
            );
            assert_range(&edge, path, &whole, whole.len() - 100, whole.len()).await;
        }
    }
}

async fn parts_of_two_versions_are_never_mixed(world: Arc<Large>) {
    for part in [0, 1] {
        let Large { first, second } = &*world;
        let (origin, edge) = edge_with("large", first).await;
        let start = edge.stop();
        let kv = start.state().join("v3/kv");
        let aside = start.state().join("kv-aside");
        copy(&kv, &aside);
        let edge = start.start().await;
        origin.answer("large", Answer::crl(second.clone()));
        assert_eq!(edge.refresh("large").await.status(), 200);
        drop(origin);

        // This point of presence has the first version in KV, without one of its parts.
        let start = edge.stop();
        fs::remove_dir_all(&kv).unwrap();
        fs::rename(&aside, &kv).unwrap();
        lose_part(start.state(), part);
        let edge = start.start().await;

        let response = edge.get("/crl/large.crl").await;
        assert_eq!(response.status(), 200);
        let number = response.headers()["crl-number"].clone();
        if part == 0 {
            // The object answers with the second version.
            assert_eq!(number, "2");
            assert_eq!(sha256(&body(response).await.unwrap()), sha256(second));
        } else {
            // The loss shows after the first part was sent: the body ends early, which a client
            // detects by its length.
            assert_eq!(number, "1");
            assert_eq!(response.content_length(), Some(first.len() as u64));
            assert!(body(response).await.is_err());
        }
        // A client that resumes there gets the second version from the start.
        let resumed = edge
            .request(Method::GET, "/crl/large.crl")
            .header(RANGE, format!("bytes={}-", part * PART))
            .header("If-Range", format!("\"{}\"", sha256(first)))
            .send()
            .await
            .unwrap();
        assert_eq!(sha256(&whole_of(resumed).await), sha256(second));
    }
}

/// Starts an edge and publishes this CRL.
async fn edge_with(id: &str, der: &[u8]) -> (TestOrigin, Edge) {
    let origin = TestOrigin::start().await;
    origin.add(&CertificateAuthority::new(id));
    origin.answer(id, Answer::crl(der.to_vec()));
    let edge = Start::new(&origin.url()).start().await;
    assert_eq!(edge.refresh(id).await.status(), 200);
    (origin, edge)
}

/// Encodes PEM independently of the edge.
fn pem_of(der: &[u8]) -> Vec<u8> {
    pem::encode_string("X509 CRL", pem::LineEnding::LF, der)
        .unwrap()
        .into_bytes()
}

fn lose_part(state: &Path, part: usize) {
    Kv::in_state(state).remove(&format!("crl/%/full/%/{part}"));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().unwrap().is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(from, to).unwrap();
        }
    }
}

async fn range(edge: &Edge, path: &str, value: &str) -> Response {
    let request = edge.request(Method::GET, path).header(RANGE, value);
    request.send().await.unwrap()
}

async fn assert_range(edge: &Edge, path: &str, whole: &[u8], first: usize, end: usize) {
    let last = end - 1;
    let response = range(edge, path, &format!("bytes={first}-{last}")).await;
    assert_eq!(response.status(), 206, "{path}: {first}-{last}");
    assert_eq!(
        response.headers()["content-range"],
        format!("bytes {first}-{last}/{}", whole.len())
    );
    assert_eq!(response.content_length(), Some((end - first) as u64));
    assert!(
        body(response).await.unwrap() == whole[first..end],
        "{path}: {first}-{last}"
    );
}

async fn whole_of(response: Response) -> Vec<u8> {
    assert_eq!(response.status(), 200);
    let length = response.content_length();
    let body = body(response).await.unwrap();
    assert_eq!(length, Some(body.len() as u64));
    body
}

async fn body(response: Response) -> reqwest::Result<Vec<u8>> {
    Ok(response.bytes().await?.to_vec())
}

serving_suite!(
    Large;
    a_range_returns_exactly_its_bytes,
    a_body_is_the_same_however_often_it_is_asked_for,
    a_range_of_a_crl_in_parts_reads_only_the_parts_it_needs,
    a_missing_part_comes_from_the_object,
    parts_of_two_versions_are_never_mixed,
);
