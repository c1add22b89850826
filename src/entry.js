// The module that the platform loads: worker.js, which worker-build makes of the crate, with a shorter way to the hot path.
import Worker, { Edge } from "./worker.js";

export { IssuerObject, RegistryObject } from "./worker.js";

const conditions = Edge.conditions();
const state = globalThis.__worker_init_state;

// What the hot path needs of a request: its method, its URL, and a line for each condition. Asked for by calls from wasm, one by one,
// it would cost five times as much.
function tell(request) {
  let told = `${request.method}\n${request.url}`;
  const { headers } = request;
  for (const name of conditions) {
    const value = headers.get(name);
    if (value !== null) told += `\n${name}: ${value}`;
  }
  return told;
}

export default {
  fetch(request, env, context) {
    if (state.criticalError) startAnew(env, context);
    try {
      return Edge.fetch(tell(request), request, env, context);
    } catch (error) {
      startAnew(env, context);
      throw error;
    }
  },

  scheduled: (event, env, context) => new Worker(context, env).scheduled(event),
};

// After a panic, or whatever else ended wasm: worker-build's class puts a new instance in the place of the broken one, before it makes
// itself.
function startAnew(env, context) {
  state.criticalError = true;
  new Worker(context, env);
}
