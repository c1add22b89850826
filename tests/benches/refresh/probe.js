// The Worker as it is, and two paths beside it for the benchmark.
import "./hook.js";
import Worker from "../../../build/index.js";

export * from "../../../build/index.js";

export default class extends Worker {
  async fetch(request) {
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
        const hex = Array.from(new Uint8Array(await digest.digest), (byte) => byte.toString(16).padStart(2, "0"));
        return new Response(hex.join(""));
      }
      default:
        return super.fetch(request);
    }
  }
}
