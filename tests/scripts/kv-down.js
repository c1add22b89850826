// The Worker with a KV that fails every read and write. The Durable Objects' KV works.
import Worker from "../../build/index.js";

export * from "../../build/index.js";

const down = async () => {
  throw new Error("KV GET failed: 503 Service Unavailable");
};
const CRLS = { get: down, getWithMetadata: down, put: down, list: down, delete: down };

export default {
  fetch: (request, env, context) => Worker.fetch(request, { ...env, CRLS }, context),
  scheduled: (event, env, context) => Worker.scheduled(event, { ...env, CRLS }, context),
};
