//! Futures that answer a request, run from promise to promise. wasm-bindgen's own executor begins each, and goes on with each, in a
//! microtask of its own, which costs the hot path more than all that it computes.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::future::LocalBoxFuture;
use worker::js_sys::{Function, Promise};
use worker::wasm_bindgen::JsValue;

/// What answers a request.
pub(super) type Answering = LocalBoxFuture<'static, Result<JsValue, JsValue>>;

thread_local! {
    /// The futures that wait for something, by their ids.
    static WAITING: RefCell<HashMap<u64, Task>> = RefCell::default();
    static NEXT_ID: Cell<u64> = const { Cell::new(0) };
}

/// Runs a future: what it comes to if it need not wait, and else a promise of that.
pub(super) fn run(mut future: Answering) -> JsValue {
    let id = NEXT_ID.get();
    NEXT_ID.set(id.wrapping_add(1));
    let waking = Arc::new(Waking {
        id,
        again: AtomicBool::new(false),
    });
    match waking.poll(&mut future) {
        Poll::Ready(Ok(value)) => value,
        Poll::Ready(Err(error)) => Promise::reject(&error).into(),
        Poll::Pending => {
            let mut future = Some(future);
            Promise::new(&mut |resolve, reject| {
                if let Some(future) = future.take() {
                    let task = Task {
                        future,
                        resolve,
                        reject,
                    };
                    WAITING.with_borrow_mut(|waiting| waiting.insert(id, task));
                }
            })
            .into()
        }
    }
}

/// A future that waits, and the functions that settle the promise of it.
struct Task {
    future: Answering,
    resolve: Function,
    reject: Function,
}

/// Goes on with a future at once.
struct Waking {
    id: u64,
    /// Whether it was called while the future ran.
    again: AtomicBool,
}

impl Waking {
    fn poll(self: &Arc<Self>, future: &mut Answering) -> Poll<Result<JsValue, JsValue>> {
        let waker = Waker::from(Arc::clone(self));
        loop {
            let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
            if polled.is_ready() || !self.again.swap(false, Ordering::Relaxed) {
                return polled;
            }
        }
    }
}

impl Wake for Waking {
    fn wake(self: Arc<Self>) {
        let waiting = WAITING.with_borrow_mut(|waiting| waiting.remove(&self.id));
        let Some(mut task) = waiting else {
            self.again.store(true, Ordering::Relaxed);
            return;
        };
        let (settle, value) = match self.poll(&mut task.future) {
            Poll::Ready(Ok(value)) => (&task.resolve, value),
            Poll::Ready(Err(error)) => (&task.reject, error),
            Poll::Pending => {
                WAITING.with_borrow_mut(|waiting| waiting.insert(self.id, task));
                return;
            }
        };
        // The functions that settle a promise do not throw.
        let _ = settle.call1(&JsValue::UNDEFINED, &value);
    }
}
