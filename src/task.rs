//! Futures that answer a request. wasm-bindgen's own executor begins each, and goes on with each, in a microtask of its own, which
//! costs the hot path more than all that it computes. Here a future begins at once, and goes on at once where that is safe.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::future::LocalBoxFuture;
use rustc_hash::FxHashMap;
use worker::js_sys::{Function, Promise};
use worker::wasm_bindgen::JsValue;
use worker::wasm_bindgen_futures::spawn_local;

/// What answers a request.
pub(crate) type Answering = LocalBoxFuture<'static, Result<JsValue, JsValue>>;

thread_local! {
    /// The futures that wait for something, by their ids.
    static WAITING: RefCell<FxHashMap<u64, Task>> = RefCell::default();
    static NEXT_ID: Cell<u64> = const { Cell::new(0) };
    /// Whether the next future that is woken goes on at once.
    static AT_ONCE: Cell<bool> = const { Cell::new(false) };
}

/// Wakes a future, which goes on before this returns if it was begun by [`run`]: to be called where nothing is borrowed, and all that
/// the future looks at is there. Others that wake one may not have come so far yet; then it goes on in a microtask.
pub(crate) fn wake_at_once(waker: Waker) {
    AT_ONCE.set(true);
    waker.wake();
    AT_ONCE.set(false);
}

/// Runs a future: what it comes to if it need not wait, and else a promise of that.
pub(crate) fn run(mut future: Answering) -> JsValue {
    let id = NEXT_ID.get();
    NEXT_ID.set(id.wrapping_add(1));
    let waking = Arc::new(Waking {
        id,
        queued: AtomicBool::new(false),
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

/// Goes on with a future.
struct Waking {
    id: u64,
    /// Whether a microtask will.
    queued: AtomicBool,
}

impl Waking {
    fn poll(self: &Arc<Self>, future: &mut Answering) -> Poll<Result<JsValue, JsValue>> {
        let waker = Waker::from(Arc::clone(self));
        future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    fn go_on(self: Arc<Self>) {
        let waiting = WAITING.with_borrow_mut(|waiting| waiting.remove(&self.id));
        // Who was woken once more than it needed has come to its end.
        let Some(mut task) = waiting else {
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

impl Wake for Waking {
    fn wake(self: Arc<Self>) {
        if AT_ONCE.replace(false) {
            self.go_on();
        } else if !self.queued.swap(true, Ordering::Relaxed) {
            spawn_local(async move {
                self.queued.store(false, Ordering::Relaxed);
                self.go_on();
            });
        }
    }
}
