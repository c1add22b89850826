//! The harness of the end-to-end tests: the real Worker in workerd, the real origin, an origin that
//! misbehaves on demand, and real clients. The tests themselves are in `tests/`.
//!
//! Each test program starts one [`suite::World`], which its tests share; each test has its own
//! issuers. All processes end with the program, even if it is killed.

#![expect(
    clippy::missing_panics_doc,
    reason = "a harness panics wherever a test must fail"
)]

pub mod access;
pub mod certificate_authority;
mod client;
pub mod database;
pub mod edge;
mod http;
mod kv;
pub mod last_release;
pub mod openbao;
pub mod openssl;
pub mod origin;
mod port;
mod program;
pub mod suite;
pub mod test_origin;
pub mod workerd;

pub use certificate_authority::CertificateAuthority;
pub use client::client;
pub use database::Event;
pub use edge::{Edge, Start};
pub use kv::Kv;
pub use openbao::OpenBao;
pub use openssl::OpensslAuthority;
pub use origin::Origin;
pub use suite::{Skipped, World};
pub use test_origin::{Answer, TestOrigin};

pub use port::free as free_port;

/// The path of the xtask binary, for tests that run an operator's commands.
#[must_use]
pub fn xtask() -> std::path::PathBuf {
    program::path("xtask")
}
