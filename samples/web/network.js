"use strict";

/** A model compiled to WebAssembly, answering one sample a call. */
class Network {
  /** `model` is what build.py wrote. Rejects where the browser cannot run WebAssembly with SIMD. */
  static async start(model) {
    const bytes = Uint8Array.from(atob(model.wasm), (letter) => letter.charCodeAt(0));
    const { instance } = await WebAssembly.instantiate(bytes);
    return new Network(instance.exports, model, bytes.length);
  }

  constructor(module, model, bytes) {
    module._initialize?.();
    const base = module.__heap_base.value;
    this.places = [base, base + 4 * model.inputs, base + 4 * (model.inputs + model.outputs)];
    const end = this.places[2] + module.model_arena_bytes();
    const missing = end - module.memory.buffer.byteLength;
    if (missing > 0) module.memory.grow(Math.ceil(missing / 65536));
    this.call = module.model_run;
    this.model = model;
    this.bytes = bytes;
    this.memoryBytes = end - base;
    // After growing: it takes the memory away from views that were there before.
    this.input = new Float32Array(module.memory.buffer, this.places[0], model.inputs);
    this.output = new Float32Array(module.memory.buffer, this.places[1], model.outputs);
  }

  /** Pixels from 0 to 255 as the network wants them. */
  prepared(pixels) {
    const { scale, mean, std } = this.model;
    return Float32Array.from(pixels, (pixel) => (pixel * scale - mean) / std);
  }

  /** The scores of a prepared picture. The next call overwrites them. */
  run(prepared) {
    this.input.set(prepared);
    if (this.call(...this.places)) throw new Error("the network was given no memory");
    return this.output;
  }

  /** The probability of every class for pixels from 0 to 255. */
  probabilities(pixels) {
    const scores = this.run(this.prepared(pixels));
    const largest = Math.max(...scores);
    const powers = Array.from(scores, (score) => Math.exp(score - largest));
    const sum = powers.reduce((a, b) => a + b);
    return powers.map((power) => power / sum);
  }
}

/**
 * The median time of one call in microseconds. A page's clock is coarse, so each of `rounds` readings is of as many calls as
 * take `least` milliseconds.
 */
function microseconds(call, rounds = 9, least = 2) {
  const timed = (calls) => {
    const started = performance.now();
    for (let i = 0; i < calls; i++) call();
    return performance.now() - started;
  };
  let calls = 1;
  while (timed(calls) < least) calls *= 2;
  const readings = Array.from({ length: rounds }, () => (1000 * timed(calls)) / calls);
  return readings.sort((a, b) => a - b)[rounds >> 1];
}
