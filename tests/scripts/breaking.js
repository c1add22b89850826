// The Worker, with a wasm instance that a request for /break breaks: an uncaught error unwinds its
// frames.
import Worker from "../../build/index.js";

export * from "../../build/index.js";

export default {
  ...Worker,

  fetch(request, env, context) {
    const url = new URL(request.url);
    if (url.pathname !== "/break") return Worker.fetch(request, env, context);
    const broken = {
      ...env,
      get CRLS() {
        throw new Error("on purpose");
      },
    };
    return Worker.fetch(new Request(new URL("/crl/any.crl", url)), broken, context);
  },
};
