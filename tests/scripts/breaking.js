// The Worker, with a wasm instance that a request for /break breaks: an uncaught error unwinds its
// frames. A request for /freeze stops the clock, so that the fast path forgets nothing by itself.
import "./instances.js";
import Worker from "../../build/index.js";

export * from "../../build/index.js";

const now = Date.now;
let frozen;
Date.now = () => frozen ?? now();

export default {
  ...Worker,

  fetch(request, env, context) {
    const url = new URL(request.url);
    switch (url.pathname) {
      case "/break": {
        const broken = {
          ...env,
          get CRLS() {
            throw new Error("on purpose");
          },
        };
        return Worker.fetch(new Request(new URL("/crl/any.crl", url)), broken, context);
      }
      case "/counts":
        return Response.json(globalThis.counts);
      case "/freeze":
        frozen = now();
        return new Response();
      default:
        return Worker.fetch(request, env, context);
    }
  },
};
