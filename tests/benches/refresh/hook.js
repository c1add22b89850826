// Keeps the memory of the Worker's wasm instance, which nothing outside the module can reach.
// It must be evaluated before the Worker.
WebAssembly.Instance = new Proxy(WebAssembly.Instance, {
  construct(Instance, args) {
    const instance = new Instance(...args);
    globalThis.wasmMemory = instance.exports.memory;
    return instance;
  },
});
