//! Free ports on 127.0.0.1.

use std::fs::{self, File, TryLockError};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

/// Outside the system's ephemeral range, so that no outgoing connection takes a port before the
/// caller starts to listen, which may be seconds later.
const PORTS: std::ops::Range<u16> = 10_000..30_000;

/// Each port's successor is left free, because OpenBao listens on it too.
const STEP: usize = 2;

/// A port that is free, and that no other test gets until this program ends.
#[must_use]
pub fn free() -> u16 {
    /// The locks on the ports that this program got.
    static LOCKS: Mutex<Vec<File>> = Mutex::new(Vec::new());

    let mut locks = LOCKS.lock().unwrap_or_else(PoisonError::into_inner);
    let (port, lock) = PORTS
        .step_by(STEP)
        .find_map(|port| Some((port, lock(port)?)))
        .expect("a free port on 127.0.0.1");
    locks.push(lock);
    port
}

/// Locks a port against the other test programs on this machine. The lock ends with its file, and
/// so with the program, however that ends.
fn lock(port: u16) -> Option<File> {
    let user = std::env::var("USER").unwrap_or_default();
    let folder = std::env::temp_dir().join(format!("crl-edge-test-ports-{user}"));
    fs::create_dir_all(&folder).expect("a folder for the locks");
    let file = File::create(folder.join(port.to_string())).expect("a lock file");
    match file.try_lock() {
        Ok(()) => TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .is_ok()
            .then_some(file),
        Err(TryLockError::WouldBlock) => None,
        Err(TryLockError::Error(error)) => panic!("port {port} cannot be locked: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice() {
        let ports = [free(), free(), free()];
        assert!(ports[0] != ports[1] && ports[1] != ports[2] && ports[0] != ports[2]);
        assert!(ports.iter().all(|port| PORTS.contains(port)));
    }

    #[test]
    fn a_port_that_is_locked_or_taken_is_not_given() {
        assert!(lock(free()).is_none());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(lock(listener.local_addr().unwrap().port()).is_none());
    }
}
