"use strict";

/* Times one C model compiled to WebAssembly, in a page of its own; browser.py drives it, as remote.py drives c_runner.c.

   `start` loads model.wasm, runs it once on the numbers in `inputs` and warms it up; `turn` then answers with the nanoseconds of
   each sample. A sample is as many runs `together` as the page's clock is fine enough for: browsers make it coarse. */

const PAGE = 65536;
const WARMUP_MS = 500;
const PATIENCE = 10;
const LEAST_TICKS = 200; // of the clock, in one sample: half a percent
const MOST_TOGETHER = 1 << 20;

let run = null;
let together = 1;

const now = () => performance.now();

/** The smallest step of the page's clock, in milliseconds. */
function tick() {
  let least = Infinity;
  for (let i = 0; i < 50; i++) {
    const before = now();
    let after = before;
    while (after === before) after = now();
    least = Math.min(least, after - before);
  }
  return least;
}

/** What reading the clock takes, in milliseconds. */
function clock() {
  const reads = 20000, before = now();
  for (let i = 0; i < reads; i++) now();
  return (now() - before) / reads;
}

function sample(runs) {
  const before = now();
  for (let i = 0; i < runs; i++) run();
  return now() - before;
}

function warmUp(runs) {
  const start = now();
  for (let done = 1; runs; done++) {
    run();
    const spent = now() - start;
    if ((done >= runs && spent >= WARMUP_MS) || spent >= PATIENCE * WARMUP_MS) break;
  }
}

/** Bytes as text that travels. */
function encoded(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
  return btoa(text);
}

/** Where inputs, outputs, the lists of them and the arena lie behind what the module keeps for itself. */
function laidOut(module, prefix, inputs, outputs) {
  let end = module.__heap_base.value;
  const take = (bytes) => {
    const place = Math.ceil(end / 64) * 64;
    end = place + bytes;
    return place;
  };
  const several = inputs.length !== 1 || outputs.length !== 1;
  const places = [inputs, outputs].map((sizes) => sizes.map((floats) => take(4 * floats)));
  const lists = several ? places.map((each) => take(4 * each.length)) : places.map((each) => each[0]);
  const arena = take(module[`${prefix}_arena_bytes`]());
  const missing = end - module.memory.buffer.byteLength;
  if (missing > 0) module.memory.grow(Math.ceil(missing / PAGE));
  if (several) places.forEach((each, i) => new Uint32Array(module.memory.buffer, lists[i], each.length).set(each));
  return { inputs: places[0], outputs: places[1], call: [...lists, arena] };
}

/** Loads and warms; `prefix` is of the model's functions, `inputs` and `outputs` are the numbers of floats. */
async function start(prefix, inputs, outputs, warmup) {
  const [code, given] = await Promise.all(["model.wasm", "inputs"].map(async (name) => (await fetch(name)).arrayBuffer()));
  const began = now();
  const { instance } = await WebAssembly.instantiate(code);
  const module = instance.exports;
  module._initialize?.();
  const places = laidOut(module, prefix, inputs, outputs);
  const loaded = now();
  let read = 0;
  places.inputs.forEach((place, i) => {
    new Float32Array(module.memory.buffer, place, inputs[i]).set(new Float32Array(given, read, inputs[i]));
    read += 4 * inputs[i];
  });
  const call = module[`${prefix}_run`];
  run = () => call(...places.call);
  const first = now();
  if (run()) throw new Error("the model refuses its arguments");
  const done = now();
  const answers = places.outputs.map((place, i) => encoded(new Uint8Array(module.memory.buffer.slice(place, place + 4 * outputs[i]))));
  warmUp(warmup);
  const step = tick();
  // The fastest of three, because one that was interrupted would pass for long enough.
  const fastest = () => Math.min(sample(together), sample(together), sample(together));
  for (together = 1; together < MOST_TOGETHER && fastest() < LEAST_TICKS * step; ) together *= 2;
  return {
    load_ms: loaded - began,
    first_run_ms: done - first,
    clock_ms: clock(),
    tick_ms: step,
    together,
    memory_bytes: module.memory.buffer.byteLength,
    outputs: answers,
  };
}

/** Nanoseconds of each sample, for so many seconds, at most so many. */
function turn(seconds, most) {
  const taken = [], end = now() + 1000 * seconds;
  while (taken.length < most) {
    taken.push(Math.round(1e6 * sample(together)));
    if (now() >= end) break;
  }
  return taken;
}
