// The Worker as it is, and three paths beside it for the benchmark.
import "./hook.js";
import Worker from "../../../build/index.js";

export * from "../../../build/index.js";

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
      case "/bench/hash": {
        // Fetched and hashed by the platform, and nothing else: what no refresh can be faster than.
        const answer = await fetch(url.searchParams.get("url"), {
          method: "POST",
          headers: { authorization: request.headers.get("authorization") },
        });
        const digest = new crypto.DigestStream("SHA-256");
        await answer.body.pipeTo(digest);
        return new Response(hex(await digest.digest));
      }
      case "/bench/crowd": {
        // So many requests at once, each an invocation of the Worker of its own, and how many had which answer.
        const { path, clients } = Object.fromEntries(url.searchParams);
        const counts = {};
        const client = async () => {
          const answer = await context.exports.default.fetch(new URL(path, url));
          const told = `${answer.status} ${await sha256(await answer.arrayBuffer())}`;
          counts[told] = (counts[told] ?? 0) + 1;
        };
        await Promise.all(Array.from({ length: Number(clients) }, client));
        return Response.json(counts);
      }
      default:
        return Worker.fetch(request, env, context);
    }
  },
};
