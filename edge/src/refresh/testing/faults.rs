//! Failures on demand: at a call, at every call, or by chance; and in the worst way, where what
//! failed was kept.

use std::cell::{Cell, RefCell};

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nothing was kept.
    Before,
    /// It says that it failed, but what was to be written was kept.
    Kept,
    /// It did well, and then the object ended: nothing that it calls later does anything, until it
    /// is started again.
    End,
    /// The object ended before it.
    EndBefore,
}

impl Failure {
    pub(crate) const ALL: [Self; 4] = [Self::Before, Self::Kept, Self::End, Self::EndBefore];
}

/// Which calls fail. Every twin of a stage counts here.
#[derive(Default)]
pub(crate) struct Faults {
    calls: Cell<u64>,
    plan: RefCell<Plan>,
    ended: Cell<bool>,
}

#[derive(Default)]
enum Plan {
    #[default]
    None,
    /// One call fails.
    At(u64, Failure),
    /// Of the calls whose name begins so, one fails, after so many others.
    Nth(&'static str, u64, Failure),
    /// Calls whose name begins so fail.
    All(&'static str, Failure),
    /// Of 100 calls so many fail, either way; the state of a generator.
    Chance(u64, u64),
}

impl Faults {
    /// How many calls there were.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.get()
    }

    /// The call number `at`, the first being 0, fails.
    pub(crate) fn at(&self, at: u64, failure: Failure) {
        *self.plan.borrow_mut() = Plan::At(at, failure);
    }

    /// Of the calls whose name begins with `what`, the number `nth` from now fails, the first being
    /// 0.
    pub(crate) fn nth(&self, what: &'static str, nth: u64, failure: Failure) {
        *self.plan.borrow_mut() = Plan::Nth(what, nth, failure);
    }

    /// Every call whose name begins with `what` fails.
    pub(crate) fn all(&self, what: &'static str, failure: Failure) {
        *self.plan.borrow_mut() = Plan::All(what, failure);
    }

    /// `percent` of all calls fail, half of them though what they wrote was kept.
    pub(crate) fn by_chance(&self, percent: u64, seed: u64) {
        *self.plan.borrow_mut() = Plan::Chance(percent, seed.wrapping_mul(2).wrapping_add(1));
    }

    /// All is well from now on.
    pub(crate) fn none(&self) {
        *self.plan.borrow_mut() = Plan::None;
        self.ended.set(false);
    }

    /// Whether the object ended.
    pub(crate) fn ended(&self) -> bool {
        self.ended.get()
    }

    /// Does `what`, or fails.
    pub(crate) fn run<T, E>(
        &self,
        what: &str,
        act: impl FnOnce() -> Result<T, E>,
        error: impl FnOnce(String) -> E,
    ) -> Result<T, E> {
        match self.next(what) {
            None => act(),
            Some(Failure::Before) => Err(error(format!("{what}: injected"))),
            Some(Failure::Kept) => {
                act()?;
                Err(error(format!("{what}: injected, but kept")))
            }
            Some(Failure::End) => {
                act()?;
                self.ended.set(true);
                Err(error(format!("{what}: the object ended after it")))
            }
            Some(Failure::EndBefore) => {
                self.ended.set(true);
                Err(error(format!("{what}: the object ended before it")))
            }
        }
    }

    fn next(&self, what: &str) -> Option<Failure> {
        if self.ended.get() {
            return Some(Failure::Before);
        }
        let call = self.calls.replace(self.calls.get() + 1);
        match &mut *self.plan.borrow_mut() {
            Plan::At(at, failure) if *at == call => Some(*failure),
            Plan::Nth(name, before, failure) if what.starts_with(*name) => {
                let now = *before == 0;
                *before = before.wrapping_sub(1);
                now.then_some(*failure)
            }
            Plan::All(name, failure) if what.starts_with(*name) => Some(*failure),
            Plan::Chance(percent, state) => {
                // Xorshift: the same seed, the same failures.
                *state ^= *state << 13;
                *state ^= *state >> 7;
                *state ^= *state << 17;
                let fails = (*state >> 8) % 100 < *percent;
                fails.then_some(if *state & 1 == 0 {
                    Failure::Before
                } else {
                    Failure::Kept
                })
            }
            _ => None,
        }
    }
}
