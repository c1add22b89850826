// Runs Workers in one workerd, each on its own port, without the proxies of wrangler and miniflare:
// node workerd.mjs '{"miniflare": PATH, "build": DIR, "state": DIR, "vars": {…},
//   "workers": [{"kind": …, "key": …, "port": N}, …]}'
// Prints `ready`, and ends when its standard input is closed.
import { readFileSync } from "node:fs";

const settings = JSON.parse(process.argv[2]);
const { Miniflare, convertV4MiniflareOptions } = await import(settings.miniflare);

const module = (type, path, contents) => ({ type, path, contents });

// Baselines: Workers that do the minimum.
const scripts = {
  hello: () => `export default { fetch: () => new Response("hello") }`,
  wait: (milliseconds) => `export default {
    async fetch(request, env) {
      if (request.url.endsWith("/healthz")) return new Response("ok");
      return env.WAITERS.get(env.WAITERS.idFromName("slow")).fetch(request);
    },
  };
  export class Waiter {
    async fetch() {
      await scheduler.wait(${milliseconds});
      return new Response(null, { status: 500 });
    }
  }`,
  stream: (key) => `export default {
    async fetch(request, env) {
      const { value } = await env.CRLS.getWithMetadata(${JSON.stringify(key)}, { type: "stream" });
      return new Response(value, { headers: {
        "content-type": "application/pkix-crl", "cache-control": "public, max-age=3600", etag: '"fixed"',
        expires: "Thu, 01 Jan 2099 00:00:00 GMT", "last-modified": "Thu, 01 Jan 2026 00:00:00 GMT",
        "accept-ranges": "bytes", "access-control-allow-origin": "*", "x-content-type-options": "nosniff" } });
    },
  }`,
};

const waiting = { WAITERS: { className: "Waiter", useSQLite: true } };

const edge = {
  modules: () => [
    module("ESModule", "index.js", readFileSync(`${settings.build}/index.js`, "utf8")),
    module("ESModule", "worker.js", readFileSync(`${settings.build}/worker.js`, "utf8")),
    module("CompiledWasm", "wasm_bg.wasm", readFileSync(`${settings.build}/wasm_bg.wasm`)),
  ],
  durableObjects: {
    ISSUERS: { className: "IssuerObject", useSQLite: true },
    REGISTRY: { className: "RegistryObject", useSQLite: true },
  },
  d1Databases: { DB: "crl-edge" },
};

const worker = ({ kind, key, port }, index) => ({
  name: `${kind}-${index}`,
  compatibilityDate: "2026-10-01",
  compatibilityFlags: ["enable_request_signal"],
  modules: kind === "edge" ? edge.modules() : [module("ESModule", "index.js", scripts[kind](key))],
  kvNamespaces: { CRLS: "crls" },
  bindings: settings.vars,
  unsafeDirectSockets: [{ host: "127.0.0.1", port }],
  ...(kind === "edge" && { durableObjects: edge.durableObjects, d1Databases: edge.d1Databases }),
  ...(kind === "wait" && { durableObjects: waiting }),
});
// These are the documented options; this release of miniflare converts them.
const options = { host: "127.0.0.1", port: 0, cf: false, workers: settings.workers.map(worker) };
const miniflare = new Miniflare({
  ...convertV4MiniflareOptions(options),
  resourcePersistencePath: settings.state,
});
await miniflare.ready;
console.log("ready");
process.stdin.resume();
process.stdin.on("end", async () => {
  await miniflare.dispose();
  process.exit(0);
});
