//! Whether a refresh must bring a new CRL: all who wait for it decide together.

use std::cell::Cell;

/// What the waiters of one refresh demand.
#[derive(Debug, Default)]
pub(crate) struct Demand {
    new_crl: Cell<bool>,
    is_frozen: Cell<bool>,
}

impl Demand {
    /// A demand for a new CRL, or for whatever is current.
    pub(crate) fn new(new_crl: bool) -> Self {
        Self {
            new_crl: Cell::new(new_crl),
            is_frozen: Cell::new(false),
        }
    }

    /// Demands a new CRL, unless the origin was asked already. Returns whether it was in time.
    pub(crate) fn raise(&self) -> bool {
        let in_time = !self.is_frozen.get();
        if in_time {
            self.new_crl.set(true);
        }
        in_time
    }

    /// Fixes the demand, because the origin is asked now. Returns whether a new CRL is demanded.
    pub(crate) fn freeze(&self) -> bool {
        self.is_frozen.set(true);
        self.new_crl.get()
    }
}
