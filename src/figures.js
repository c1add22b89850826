// Figures of what relying parties get: answers by status and source, time to first byte, and reads
// of KV. An isolate counts in memory, and reports once a minute, with the first request after it: a
// line in the log, a call of the registry's object, which adds up for /metrics, and data points of
// Workers Analytics Engine if a data set is bound as SERVING. What an isolate counted since its
// last report is lost when it ends.

/** The counters of answers, by status and source. They live as long as the isolate. */
const counters = new Map();

/** How many reads of KV ended how. */
const reads = new Map();

/** The minute that is being counted, since 1970. */
let minute = 0;

/** The counter of the responses that Rust made, until they are sent. */
const sources = new WeakMap();

/** The counter of answers with this status from this source. */
export function counterOf(status, source) {
  const name = `${status} ${source}`;
  let counter = counters.get(name);
  if (counter === undefined) {
    counter = { status, source, answers: 0, milliseconds: 0, slowest: 0 };
    counters.set(name, counter);
  }
  return counter;
}

/** Notes where the answer to a request for a CRL comes from. */
export function setSource(response, source) {
  sources.set(response, counterOf(response.status, source));
}

/** Counts an answer whose headers took this long. */
export function count(counter, milliseconds) {
  counter.answers += 1;
  counter.milliseconds += milliseconds;
  if (milliseconds > counter.slowest) counter.slowest = milliseconds;
}

/** Counts a response if it answers a request for a CRL. */
export function countResponse(response, milliseconds) {
  const counter = sources.get(response);
  if (counter !== undefined) count(counter, milliseconds);
}

/** Counts a read of KV. */
export function countRead(outcome) {
  reads.set(outcome, (reads.get(outcome) ?? 0) + 1);
}

/** Adds a report to the sums of the registry's object. One that fails is in the log alone. */
async function add(env, body) {
  try {
    const registry = env.REGISTRY.get(env.REGISTRY.idFromName("registry"));
    const answer = await registry.fetch("http://object/", { method: "POST", body });
    await answer.body?.cancel();
  } catch (error) {
    console.log(
      JSON.stringify({ level: "warning", what: "figures were not added", cause: String(error) }),
    );
  }
}

/** Reports the minute before, if `second` is in another one. */
export function report(second, env, context) {
  const ended = minute;
  minute = Math.trunc(second / 60);
  if (minute === ended) return;
  const served = [...counters.values()].filter(({ answers }) => answers > 0);
  if (served.length === 0 && reads.size === 0) return;
  const kv = Object.fromEntries(reads);
  console.log(JSON.stringify({ level: "info", what: "served", minute: ended, served, kv }));
  context.waitUntil(add(env, JSON.stringify({ Served: { report: { served, kv } } })));
  for (const { status, source, answers, milliseconds, slowest } of served) {
    env.SERVING?.writeDataPoint({
      indexes: [source],
      blobs: ["answers", source, String(status)],
      doubles: [answers, milliseconds, slowest],
    });
  }
  for (const [outcome, times] of reads) {
    env.SERVING?.writeDataPoint({
      indexes: ["kv"],
      blobs: ["kv", outcome],
      doubles: [times],
    });
  }
  for (const counter of served) Object.assign(counter, { answers: 0, milliseconds: 0, slowest: 0 });
  reads.clear();
}
