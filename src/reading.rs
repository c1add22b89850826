//! The hot path's read of KV. By the platform's bindings it would be two closures that the garbage collector has to watch, and six
//! calls from wasm.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use rustc_hash::FxHashMap;
use worker::js_sys::JsString;
use worker::wasm_bindgen::prelude::*;

use crate::kv::{KvNamespace, LIMIT_MILLIS};
use crate::task;

#[wasm_bindgen(inline_js = "
export function read(kv, key, options, limit, id, done) {
    let late = false;
    const timer = setTimeout(() => { late = true; done(id, undefined, 'timed out'); }, limit);
    const settle = (value, text) => {
        if (late) return value?.cancel();
        clearTimeout(timer);
        done(id, value, text);
    };
    kv.getWithMetadata(key, options).then(
        ({ value, metadata }) => settle(value, JSON.stringify(metadata)),
        (error) => settle(undefined, String(error)),
    );
}
")]
extern "C" {
    #[wasm_bindgen(catch)]
    fn read(
        kv: &KvNamespace,
        key: &str,
        options: &JsValue,
        limit: u32,
        id: u32,
        done: &Closure<Done>,
    ) -> Result<(), JsValue>;
}

/// Is told which read was done, the stream, and its metadata in JSON. In the place of the stream is null where there is nothing, and
/// undefined where the read failed: then the text says why.
type Done = dyn Fn(u32, JsValue, JsString);

thread_local! {
    /// The reads under way, by their ids.
    static PENDING: RefCell<FxHashMap<u32, Pending>> = RefCell::default();
    static NEXT_ID: Cell<u32> = const { Cell::new(0) };
    /// What every read calls.
    static DONE: Closure<Done> = Closure::new(done);
}

/// A value and its metadata in JSON, if there is one.
type Entry = Option<(web_sys::ReadableStream, String)>;

#[derive(Default)]
struct Pending {
    waker: Option<Waker>,
    result: Option<worker::Result<Entry>>,
}

fn done(id: u32, value: JsValue, text: JsString) {
    let waker = PENDING.with_borrow_mut(|pending| {
        let pending = pending.get_mut(&id)?;
        pending.result = Some(if value.is_undefined() {
            Err(String::from(text).into())
        } else if value.is_null() {
            Ok(None)
        } else {
            Ok(Some((value.unchecked_into(), text.into())))
        });
        pending.waker.take()
    });
    if let Some(waker) = waker {
        task::wake_at_once(waker);
    }
}

/// A read under way.
pub(crate) struct Reading(u32);

impl Reading {
    /// Begins to read the value of `key` as a stream. It fails where that does not begin to come in time.
    ///
    /// # Errors
    /// Where the platform takes no such key or options.
    pub(crate) fn of(kv: &KvNamespace, key: &str, options: &JsValue) -> Result<Self, JsValue> {
        let id = NEXT_ID.get();
        NEXT_ID.set(id.wrapping_add(1));
        DONE.with(|done| read(kv, key, options, LIMIT_MILLIS, id, done))?;
        PENDING.with_borrow_mut(|pending| pending.insert(id, Pending::default()));
        Ok(Self(id))
    }
}

impl Future for Reading {
    type Output = worker::Result<Entry>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        PENDING.with_borrow_mut(|pending| {
            let pending = pending.entry(self.0).or_default();
            if let Some(result) = pending.result.take() {
                return Poll::Ready(result);
            }
            pending.waker = Some(context.waker().clone());
            Poll::Pending
        })
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        PENDING.with_borrow_mut(|pending| pending.remove(&self.0));
    }
}
