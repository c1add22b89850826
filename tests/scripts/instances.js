// Counts the instances of wasm, and the requests that they handle. It must be evaluated before the
// Worker.
const counts = { instances: 0, handled: 0 };
globalThis.counts = counts;

WebAssembly.Instance = new Proxy(WebAssembly.Instance, {
  construct(Instance, args) {
    counts.instances += 1;
    const { exports } = new Instance(...args);
    const edge_fetch = (...values) => {
      counts.handled += 1;
      return exports.edge_fetch(...values);
    };
    return { exports: { ...exports, edge_fetch } };
  },
});
