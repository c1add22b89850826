//! Free ports on 127.0.0.1.

use std::{
    net::{Ipv4Addr, TcpListener},
    sync::atomic::{AtomicU32, Ordering},
};

/// How many ports each process begins with, before it takes those of others.
const EACH: u32 = 100;

/// The port behind each is left free: OpenBao listens there too.
const STEP: u32 = 2;

/// A port that was free a moment ago. It is none that the system gives to connections, which are many here: whoever the port is for
/// may begin to listen only seconds later.
#[must_use]
pub fn free() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(EACH);
    (0..10_000)
        .map(|_| first.wrapping_add(NEXT.fetch_add(STEP, Ordering::Relaxed)))
        .filter_map(|place| u16::try_from(10_000 + place % 20_000).ok())
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("a free port on 127.0.0.1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice_in_a_row() {
        let ports = [free(), free(), free()];
        assert!(ports[0] != ports[1] && ports[1] != ports[2] && ports[0] != ports[2]);
        assert!(ports.iter().all(|port| (10_000..30_000).contains(port)));
    }
}
