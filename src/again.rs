//! Answers that are given again: whoever asks the same in the same second gets the same, without a call of wasm.

use worker::js_sys::{Function, JsString, Map};
use worker::wasm_bindgen::prelude::*;

#[wasm_bindgen(inline_js = "
export const same = (response) => () => response;

export function anew(body, init) {
    const native = withNativeHeaders(init);
    return () => new Response(body, native);
}

// KV has answered within this second: no time limit, whose timer would cost more than all else here.
export function read(key, options, known, init) {
    const native = withNativeHeaders(init);
    return async (env, ask) => {
        try {
            const { value, metadata } = await env.CRLS.getWithMetadata(key, options);
            if (JSON.stringify(metadata) === known) return new Response(value, native);
            value?.cancel();
        } catch {}
        return ask();
    };
}

// The platform copies such headers, and need not read them again.
const withNativeHeaders = ({ status, headers }) => ({ status, headers: new Headers(headers) });
")]
extern "C" {
    fn same(response: &web_sys::Response) -> Function;

    fn anew(body: &JsValue, init: &JsValue) -> Function;

    fn read(key: &str, options: &JsValue, known: &str, init: &JsValue) -> Function;
}

/// How many are kept at once. Their bodies are some 17 MiB at the most, where all are of the largest size that is kept, in PEM.
const MOST: u32 = 100;

thread_local! {
    static ANSWERS: Map<JsString, Function> = Map::new_typed();
}

/// What gives each answer again, by what src/entry.js told of its request: a function of the bindings and of one that asks anew.
pub(crate) fn answers() -> Map<JsString, Function> {
    ANSWERS.with(Map::clone)
}

/// Forgets all answers: a CRL was replaced.
pub(crate) fn forget() {
    ANSWERS.with(Map::clear);
}

/// How an answer comes to its body again.
#[derive(Debug)]
pub(crate) enum Again {
    /// It has none, or the same.
    Same,
    /// KV is read, which must have what it had: this metadata, in JSON.
    Read {
        key: String,
        options: JsValue,
        metadata: String,
    },
    /// It does not.
    Never,
}

impl Again {
    /// Keeps the response, which was made from `body` and `init`, for those of whom the same is told.
    pub(crate) fn keep(
        &self,
        told: &JsString,
        response: &web_sys::Response,
        (body, init): (&JsValue, &JsValue),
    ) {
        let again = match self {
            // It has nothing that belongs to one request.
            Self::Same if body.is_null() => same(response),
            Self::Same => anew(body, init),
            Self::Read {
                key,
                options,
                metadata,
            } => read(key, options, metadata, init),
            Self::Never => return,
        };
        ANSWERS.with(|answers| {
            if answers.size() >= MOST {
                answers.clear();
            }
            answers.set(told, &again);
        });
    }
}
