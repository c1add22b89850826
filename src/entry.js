// The module that the platform loads: worker.js, which worker-build makes of the crate, with a shorter way to the hot path.
import Worker, { Edge } from "./worker.js";

export { IssuerObject, RegistryObject } from "./worker.js";

// What gives an answer again, by what was told of its request; the second is part of that. wasm puts it in, and takes it out where a
// CRL is replaced.
let answers = Edge.answers();

const state = globalThis.__worker_init_state;

// What the hot path needs to know: the time in seconds, the request's method, its URL without the query, and a line for each condition
// that counts (RFC 9110, sections 13.2.2 and 14.2). Asked for by calls from wasm, one by one, it would cost five times as much.
function tell(request) {
  const { headers } = request;
  const line = (name) => {
    const value = headers.get(name);
    return value === null ? "" : `\n${name}: ${value}`;
  };
  const range = line("Range");
  return (
    `${Math.trunc(Date.now() / 1000)}\n${request.method}\n${request.url.split("?", 1)[0]}` +
    (line("If-Match") || line("If-Unmodified-Since")) +
    (line("If-None-Match") || line("If-Modified-Since")) +
    (range && range + line("If-Range"))
  );
}

export default {
  fetch(request, env, context) {
    if (state.criticalError) startAnew(env, context);
    const told = tell(request);
    const again = answers.get(told);
    const ask = () => {
      try {
        return Edge.fetch(told, request, env, context);
      } catch (error) {
        startAnew(env, context);
        throw error;
      }
    };
    return again === undefined ? ask() : again(env, ask);
  },

  scheduled: (event, env, context) => new Worker(context, env).scheduled(event),
};

// After a panic, or whatever else ended wasm: worker-build's class puts a new instance in the place of the broken one, before it makes
// itself.
function startAnew(env, context) {
  state.criticalError = true;
  new Worker(context, env);
  answers = Edge.answers();
}
