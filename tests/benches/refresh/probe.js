// The Worker, with three more paths for the benchmark.
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
        // The platform fetches and hashes the body: the lower bound of a refresh.
        const answer = await fetch(url.searchParams.get("url"), {
          method: "POST",
          headers: { authorization: request.headers.get("authorization") },
        });
        const digest = new crypto.DigestStream("SHA-256");
        await answer.body.pipeTo(digest);
        return new Response(hex(await digest.digest));
      }
      case "/bench/crowd": {
        // Sends many requests at once, each an invocation of the Worker, and counts equal answers.
        // A client that is turned away comes back after its Retry-After.
        const { path, clients } = Object.fromEntries(url.searchParams);
        const counts = {};
        let tries = 0;
        const client = async () => {
          let answer;
          do {
            if (answer) await scheduler.wait(1000 * answer.headers.get("retry-after"));
            answer = await context.exports.default.fetch(new URL(path, url));
            tries += 1;
          } while (answer.status === 503);
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
