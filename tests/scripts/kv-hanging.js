// The Worker with a KV that never answers a read. The Durable Objects' KV works.
import Worker from "../../build/index.js";

export * from "../../build/index.js";

const hanging = () => new Promise(() => {});
const CRLS = { get: hanging, getWithMetadata: hanging };

export default {
  ...Worker,
  fetch: (request, env, context) => Worker.fetch(request, { ...env, CRLS }, context),
};
