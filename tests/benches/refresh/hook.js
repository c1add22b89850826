// Remembers the memory of the Worker's wasm instance, which nothing outside can reach. Evaluated before the Worker.
const { Instance } = WebAssembly;

WebAssembly.Instance = function (module, imports) {
  const instance = new Instance(module, imports);
  globalThis.wasmMemory = instance.exports.memory;
  return instance;
};
