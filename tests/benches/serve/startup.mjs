// What starting the Worker costs V8: node startup.mjs MODULE.wasm
// Prints the milliseconds that compiling and instantiating the module take together. Once in a process: V8 keeps what it compiled.
import { readFileSync } from "node:fs";

const bytes = readFileSync(process.argv[2]);
const started = performance.now();
const module = new WebAssembly.Module(bytes);
const imports = {};
// Nothing is called: what is imported only has to be there.
for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
  const stub = kind === "tag" ? new WebAssembly.Tag({ parameters: ["externref"] }) : () => {};
  imports[from] ??= {};
  imports[from][name] = stub;
}
new WebAssembly.Instance(module, imports);
console.log(performance.now() - started);
