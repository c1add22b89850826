// The module that the platform loads: worker.js, which the build bundles from instance.js and the
// bindings, behind the fast path.
import Worker, { Edge } from "./worker.js";

export { IssuerObject, RegistryObject } from "./worker.js";

const fastPath = Edge.fastPath();

const state = globalThis.__worker_init_state;

export default {
  fetch: (request, env, context) =>
    fastPath(request, env, context, (key) => handle(key, request, env, context)),

  scheduled: (event, env, context) => new Worker(context, env).scheduled(event),
};

/** Answers a request; `key` is the fast path's, if it is to remember the answer. */
function handle(key, request, env, context) {
  if (state.criticalError) restart(env, context);
  try {
    return Edge.fetch(key, request, env, context);
  } catch (error) {
    restart(env, context);
    throw error;
  }
}

/** After a panic: the Worker's class replaces the broken instance of wasm. */
function restart(env, context) {
  state.criticalError = true;
  new Worker(context, env);
}
