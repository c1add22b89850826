//! Free ports on 127.0.0.1.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// The number of ports in the range that each process tries first.
const EACH: u32 = 100;

/// Each port's successor is left free, because OpenBao listens on it too.
const STEP: u32 = 2;

/// A port that was free a moment ago. It is outside the system's ephemeral range, so that no
/// outgoing connection takes it before the caller starts to listen, which may be seconds later.
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
