// The Worker, with more paths for the benchmark.
import "./hook.js";
import Worker, { IssuerObject as RealObject } from "../../../build/index.js";
import { floor } from "./floor.js";

export * from "../../../build/index.js";

// The object of an issuer, which can also do the least that a refresh needs, without wasm.
export class IssuerObject extends RealObject {
  constructor(context, env) {
    super(context, env);
    this.bench = { sql: context.storage.sql, kv: env.CRLS };
  }

  async fetch(request) {
    const url = new URL(request.url);
    if (url.pathname !== "/bench/floor") return super.fetch(request);
    return floor(this.bench, url.searchParams.get("url"), request.headers.get("authorization"));
  }
}

const hex = (digest) =>
  Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
const sha256 = async (bytes) => hex(await crypto.subtle.digest("SHA-256", bytes));

export default {
  ...Worker,

  async fetch(request, env, context) {
    const url = new URL(request.url);
    switch (url.pathname) {
      case "/bench/wasm-memory":
        return new Response(String(globalThis.wasmMemory.buffer.byteLength));
      case "/bench/floor":
        // An object of its own, which is nobody's.
        return env.ISSUERS.get(env.ISSUERS.idFromName("bench/floor")).fetch(request);
      case "/bench/published": {
        // Waits until KV has a CRL.
        const { key, sha256: expected } = Object.fromEntries(url.searchParams);
        for (;;) {
          const { keys } = await env.CRLS.list({ prefix: key, limit: 1 });
          if (JSON.stringify(keys[0]?.metadata ?? null).includes(expected)) return new Response();
          await scheduler.wait(1);
        }
      }
      case "/bench/crowd": {
        // Sends many requests at once, each an invocation of the Worker, and counts equal answers.
        // A client that is turned away comes back after its Retry-After.
        const { path, clients } = Object.fromEntries(url.searchParams);
        const counts = {};
        const tries = {};
        const client = async () => {
          let answer;
          let times = 0;
          do {
            if (answer) await scheduler.wait(1000 * answer.headers.get("retry-after"));
            answer = await context.exports.default.fetch(new URL(path, url));
            times += 1;
          } while (answer.status === 503);
          tries[times] = (tries[times] ?? 0) + 1;
          const answered = `${answer.status} ${await sha256(await answer.arrayBuffer())}`;
          counts[answered] = (counts[answered] ?? 0) + 1;
        };
        await Promise.all(Array.from({ length: Number(clients) }, client));
        return Response.json({ counts, tries });
      }
      default:
        return Worker.fetch(request, env, context);
    }
  },
};
