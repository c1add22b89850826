//! Free ports on 127.0.0.1.

use std::net::{Ipv4Addr, TcpListener};

/// A port that was free a moment ago.
#[must_use]
pub fn free() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .expect("a free port on 127.0.0.1")
        .port()
}
