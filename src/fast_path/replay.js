// Answers repeated requests from memory, without a call of wasm: a request that equals another of
// the same second gets the same answer. `edge` decides which answers may be given again, and how.

import { count, counterOf, countRead, countResponse, report } from "../figures.js";

/** The second that all answers in memory belong to. */
let second = 0;

/** How to give each answer again, by the text of its request; the least recently used first. */
const answers = new Map();

/** What they weigh together, in bytes. */
let total = 0;

/**
 * Gives the answer to a request again, or else has `handle` make it: a function of the request's key,
 * which is undefined if the fast path is turned off.
 */
function answer(request, env, context, handle) {
  const began = Date.now();
  const second = Math.trunc(began / 1000);
  report(second, env, context);
  if (env.FAST_PATH?.trim() === "false") return counted(handle(undefined), began);
  const key = keyOf(request, second);
  const replay = find(key);
  return replay === undefined
    ? counted(handle(key), began)
    : replay(env, began, () => counted(handle(key), began));
}

async function counted(answering, began) {
  const response = await answering;
  countResponse(response, Date.now() - began);
  return response;
}

/** The function above, for src/entry.js. The module's memory outlives an instance of wasm. */
export const layer = () => answer;

/**
 * All that an answer may depend on besides what the edge knows: the time in seconds, the method, the
 * URL without its query, and the conditions that count (RFC 9110, sections 13.2.2 and 14.2).
 */
function keyOf(request, second) {
  const { headers } = request;
  const line = (name) => {
    const value = headers.get(name);
    return value === null ? "" : `\n${name}: ${value}`;
  };
  const range = line("Range");
  const text =
    `${request.method}\n${request.url.split("?", 1)[0]}` +
    (line("If-Match") || line("If-Unmodified-Since")) +
    (line("If-None-Match") || line("If-Modified-Since")) +
    (range && range + line("If-Range"));
  return { second, text };
}

function find(key) {
  if (key.second !== second) {
    forget();
    second = key.second;
  }
  const found = answers.get(key.text);
  if (found === undefined) return undefined;
  answers.delete(key.text);
  answers.set(key.text, found);
  return found.replay;
}

function remember(key, weight, capacity, replay) {
  if (key.second !== second || weight > capacity) return;
  total -= answers.get(key.text)?.weight ?? 0;
  answers.delete(key.text);
  for (const [text, oldest] of answers) {
    if (total + weight <= capacity) break;
    answers.delete(text);
    total -= oldest.weight;
  }
  answers.set(key.text, { weight, replay });
  total += weight;
}

/** Remembers an answer whose body is bytes, or null. */
export function rememberBody(key, weight, capacity, body, init) {
  const native = withNativeHeaders(init);
  const counter = counterOf(init.status, "memory");
  remember(key, weight, capacity, () => {
    count(counter, 0);
    return new Response(body, native);
  });
}

/** Remembers an answer whose body is read from KV, which must still have this metadata. */
export function rememberRead(key, weight, capacity, { kvKey, options, metadata }, init) {
  const native = withNativeHeaders(init);
  const counter = counterOf(init.status, "kv");
  remember(key, weight, capacity, async (env, began, handle) => {
    // KV has answered within this second: a time limit would cost more than all else here.
    try {
      const found = await env.CRLS.getWithMetadata(kvKey, options);
      if (JSON.stringify(found.metadata) === metadata) {
        countRead("hit");
        count(counter, Date.now() - began);
        return new Response(found.value, native);
      }
      found.value?.cancel();
    } catch {
      // The plain handler says what is wrong.
    }
    return handle();
  });
}

/** Forgets all answers: a CRL is being replaced. */
export function forget() {
  answers.clear();
  total = 0;
}

/** The platform copies such headers, and need not parse them again. */
const withNativeHeaders = ({ status, headers }) => ({ status, headers: new Headers(headers) });
