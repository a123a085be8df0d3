// Runs the networks, beside the page so that it stays responsive. One message in, one answer out, in order.

const KEPT = 3; // networks in memory
const engine = new URL(location.href).searchParams.get("engine"); // "webgpu" or "wasm"
const sizes = {}; // address -> bytes, of all files that are loaded with progress
const progress = new Map(); // address -> bytes that are here
const networks = new Map(); // address -> session, the one used last at the end
let runtime = null;

onmessage = ({data}) => {
  queue = queue.then(() => answer(data));
};
let queue = Promise.resolve();

async function answer({id, kind, ...given}) {
  try {
    if (kind === "start") Object.assign(sizes, given.sizes);
    const {transfer = [], ...made} = kind === "start" ? await started(given.runtime) : await painted(given);
    postMessage({id, ...made}, transfer);
  } catch (error) {
    postMessage({id, error: String(error.message ?? error), isLoading: error instanceof Unloadable});
  }
}

class Unloadable extends Error {}

// The bytes of a file, unpacked where it is packed: some servers have unpacked it already.
async function bytesOf(address) {
  let answered;
  try {
    answered = await fetch(address);
  } catch (error) {
    throw new Unloadable(String(error));
  }
  if (!answered.ok) throw new Unloadable(`${address}: ${answered.status}`);
  const parts = [];
  try {
    for (const reader = answered.body.getReader(); ;) {
      const {done, value} = await reader.read();
      if (done) break;
      parts.push(value);
      progress.set(address, (progress.get(address) ?? 0) + value.length);
      told();
    }
  } catch (error) {
    throw new Unloadable(String(error));
  } finally {
    progress.delete(address);
  }
  const packed = parts.length && parts[0][0] === 0x1f && parts[0][1] === 0x8b;
  const stream = new Blob(parts).stream();
  const read = packed ? stream.pipeThrough(new DecompressionStream("gzip")) : stream;
  return new Uint8Array(await new Response(read).arrayBuffer());
}

function told() {
  const [done, total] = [...progress].reduce(([d, t], [name, n]) => [d + n, t + Math.max(n, sizes[name] ?? n)], [0, 0]);
  postMessage({kind: "loading", done, total});
}

async function started({script, binary}) {
  let bytes;
  try {
    [runtime, bytes] = await Promise.all([import(script), bytesOf(binary)]);
  } catch (error) {
    throw error instanceof Unloadable ? error : new Unloadable(String(error));
  }
  runtime.env.logLevel = "error";
  runtime.env.wasm.wasmBinary = bytes.buffer;
  runtime.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(8, navigator.hardwareConcurrency || 1) : 1;
  return {engine, threads: runtime.env.wasm.numThreads};
}

async function network(address) {
  const known = networks.get(address);
  networks.delete(address);
  const options = {executionProviders: [engine], logSeverityLevel: 3};
  const session = known ?? (await runtime.InferenceSession.create(await bytesOf(address), options));
  networks.set(address, session);
  if (networks.size > KEPT) {
    const [oldest] = networks.keys();
    await networks.get(oldest).release();
    networks.delete(oldest);
  }
  return session;
}

// pixels: RGBA, width * height * 4 bytes. Answers the painting's, opaque, and the statistics it was painted with.
async function painted({address, weights, pixels, width, height, statistics, corner}) {
  const session = await network(address);
  const {Tensor} = runtime;
  const count = width * height;
  const levels = new Uint8ClampedArray(pixels);
  const photo = new Float32Array(3 * count);
  for (let place = 0; place < count; place++)
    for (let color = 0; color < 3; color++) photo[color * count + place] = levels[4 * place + color] / 127.5 - 1;
  const given = {
    photo: new Tensor("float32", photo, [1, 3, height, width]),
    style_weights: new Tensor("float32", Float32Array.from(weights), [1, weights.length]),
  };
  given.statistics = new Tensor("float32", statistics, [1, 2, statistics.length / 2]);
  if (session.inputNames.includes("corner")) {
    given.corner = new Tensor("int64", BigInt64Array.from(corner, BigInt), [2]);
    given.around = new Tensor("int64", BigInt64Array.of(1n << 40n), [1]); // no panorama that goes all around
  }
  const start = performance.now();
  const made = await session.run(given);
  const milliseconds = performance.now() - start;
  const painting = made.painting.data;
  const measured = Float32Array.from(made.measured_statistics.data);
  for (let place = 0; place < count; place++) {
    for (let color = 0; color < 3; color++)
      levels[4 * place + color] = Math.round((painting[color * count + place] + 1) * 127.5); // clamped by its type
    levels[4 * place + 3] = 255;
  }
  for (const tensor of Object.values(made)) tensor.dispose();
  return {pixels: levels.buffer, statistics: measured, milliseconds, transfer: [levels.buffer, measured.buffer]};
}
