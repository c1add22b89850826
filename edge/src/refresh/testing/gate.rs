//! Keeps calls waiting for as long as a test wants.

use std::cell::RefCell;

use futures_channel::oneshot;

/// Open, unless a test closed it.
#[derive(Default)]
pub(crate) struct Gate(RefCell<Option<Vec<oneshot::Sender<()>>>>);

impl Gate {
    /// Who comes waits from now on.
    pub(crate) fn close(&self) {
        *self.0.borrow_mut() = Some(Vec::new());
    }

    /// Lets everybody through.
    pub(crate) fn open(&self) {
        self.0.take();
    }

    /// Waits while the gate is closed.
    pub(crate) async fn pass(&self) {
        let opened = self.0.borrow_mut().as_mut().map(|waiting| {
            let (open, opened) = oneshot::channel();
            waiting.push(open);
            opened
        });
        if let Some(opened) = opened {
            // Opening drops the sender.
            let _ = opened.await;
        }
    }
}
