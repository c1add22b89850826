// Measures how long V8 takes to start the Worker: node startup.mjs MODULE.wasm
// Prints the milliseconds that it takes to compile and instantiate the module. V8 caches compiled
// code, so each process measures once.
import { readFileSync } from "node:fs";

const bytes = readFileSync(process.argv[2]);
const started = performance.now();
const module = new WebAssembly.Module(bytes);
const imports = {};
// Nothing is called, so the imports only have to exist.
for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
  const stub = kind === "tag" ? new WebAssembly.Tag({ parameters: ["externref"] }) : () => {};
  imports[from] ??= {};
  imports[from][name] = stub;
}
new WebAssembly.Instance(module, imports);
console.log(performance.now() - started);
