// The wasm instance, and its replacement after a panic or a trap: a broken instance is never called
// again.
import * as wasm from "./wasm.js";

export const { Edge } = wasm;

// `worker` sets `criticalError` in its panic hook.
const state = wasm.__worker_init_state();

addEventListener("error", ({ error }) => noteTrap(error));

function noteTrap(error) {
  if (error instanceof WebAssembly.RuntimeError) {
    console.error("Critical", error);
    state.criticalError = true;
  }
}

function replaceBrokenInstance() {
  if (state.criticalError) {
    console.log("Replacing the wasm instance");
    wasm.__wbg_reset_state();
    state.criticalError = false;
    state.instanceId++;
  }
}

// A Durable Object class whose objects are made anew in each wasm instance. The platform's own
// state and bindings outlive the instance.
function durableObject(Class) {
  return class {
    #arguments;
    #object;
    #instanceId;

    constructor(...args) {
      this.#arguments = args;
      this.#renew();
    }

    fetch(request) {
      return this.#call("fetch", request);
    }

    alarm() {
      return this.#call("alarm");
    }

    #renew() {
      replaceBrokenInstance();
      if (this.#instanceId === state.instanceId) return;
      try {
        this.#object = new Class(...this.#arguments);
        this.#instanceId = state.instanceId;
      } catch (error) {
        state.criticalError = true;
        throw error;
      }
    }

    async #call(method, ...args) {
      this.#renew();
      try {
        return await this.#object[method](...args);
      } catch (error) {
        noteTrap(error);
        throw error;
      }
    }
  };
}

export const IssuerObject = durableObject(wasm.IssuerObject);
export const RegistryObject = durableObject(wasm.RegistryObject);

export default class Worker {
  #env;
  #context;

  constructor(context, env) {
    replaceBrokenInstance();
    this.#env = env;
    this.#context = context;
  }

  async scheduled(event) {
    try {
      return await wasm.scheduled(event, this.#env, this.#context);
    } catch (error) {
      noteTrap(error);
      throw error;
    }
  }
}
