// Runs the reader in wasm: node wasm.mjs MODULE.wasm CRL.der CERTIFICATE.der
// Prints one line of JSON: milliseconds of CPU time, and bytes of wasm memory beyond those of the
// host's own piece.
import { readFileSync } from "node:fs";

const [module, crlFile, certificateFile] = process.argv.slice(2);
const compiled = new WebAssembly.Module(readFileSync(module));
const [crl, certificate] = [readFileSync(crlFile), readFileSync(certificateFile)];
const PIECE = 256 * 1024;
const RUNS = crl.length > 10_000_000 ? 5 : 20;

function instance() {
  const { exports } = new WebAssembly.Instance(compiled, {});
  const write = (bytes, at) => new Uint8Array(exports.memory.buffer).set(bytes, at);
  return { ...exports, write };
}

// The best of several runs of `step` over all pieces. Copying a piece into wasm memory counts, as
// it does in a Worker.
function overPieces(step, end) {
  const wasm = instance();
  const piece = wasm.allocate(PIECE);
  const issuer = wasm.allocate(certificate.length);
  wasm.write(certificate, issuer);
  const before = wasm.memory.buffer.byteLength;
  let best = Infinity;
  for (let run = 0; run < RUNS; run++) {
    const start = processorTime();
    wasm.begin();
    for (let at = 0; at < crl.length; at += PIECE) {
      const bytes = crl.subarray(at, at + PIECE);
      wasm.write(bytes, piece);
      step(wasm, piece, bytes.length);
    }
    end(wasm, issuer);
    best = Math.min(best, processorTime() - start);
  }
  return { ms: best, bytes: wasm.memory.buffer.byteLength - before };
}

// Milliseconds of CPU time.
function processorTime() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

function must(condition, what) {
  if (!condition) throw new Error(`${what} failed`);
}

const hash = overPieces(
  (wasm, at, size) => wasm.hash(at, size),
  (wasm) => wasm.finish_hash(),
);
const ours = overPieces(
  (wasm, at, size) => must(wasm.push(at, size), "push"),
  (wasm, issuer) => {
    must(wasm.finish() >= 0, "finish");
    must(wasm.verify(issuer, certificate.length), "verify");
  },
);

// x509-cert takes the whole CRL at once. At some size it runs out of memory and has no figure.
function materialised() {
  try {
    const wasm = instance();
    const whole = wasm.allocate(crl.length);
    wasm.write(crl, whole);
    const before = wasm.memory.buffer.byteLength;
    let best = Infinity;
    for (let run = 0; run < 3; run++) {
      const start = processorTime();
      must(wasm.x509_cert(whole, crl.length) >= 0, "x509-cert");
      best = Math.min(best, processorTime() - start);
    }
    return { ms: best, bytes: wasm.memory.buffer.byteLength - before };
  } catch {
    return null;
  }
}

console.log(JSON.stringify({ hash, ours, x509_cert: materialised() }));
