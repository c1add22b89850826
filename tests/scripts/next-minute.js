// The Worker with a clock that a request for /next-minute sets a minute ahead, and with a data set
// of Workers Analytics Engine that logs its data points.
import Worker from "../../build/index.js";

export * from "../../build/index.js";

let ahead = 0;
const now = Date.now;
Date.now = () => now() + ahead;

const SERVING = {
  writeDataPoint: (point) => console.log(JSON.stringify({ what: "data point", ...point })),
};

export default {
  ...Worker,

  fetch(request, env, context) {
    if (new URL(request.url).pathname === "/next-minute") {
      ahead += 60_000;
      return new Response();
    }
    return Worker.fetch(request, { ...env, SERVING }, context);
  },
};
