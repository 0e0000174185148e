/** The network of the page beside the same one in onnxruntime-web and LiteRT.js, which `npm install` brings. */

const ROUNDS = 101;
const LEAST = 2; // milliseconds of one reading: many ticks of a page's clock

/** Runs a plain script; what it declares is known here afterwards. */
async function script(address) {
  const element = document.createElement("script");
  const loaded = new Promise((resolve, reject) => Object.assign(element, { onload: resolve, onerror: reject }));
  document.head.append(Object.assign(element, { src: address }));
  await loaded;
}

/**
 * Runtime: `load` gives a function that opens a model; an opened model is `answer`, from prepared numbers to scores, or the
 * promise of them.
 */
const RUNTIMES = {
  "edgeprune, C in WebAssembly": {
    suffix: "js",
    async load() {
      await script("network.js");
      return async (address) => {
        await script(address);
        const network = await Network.start(MODEL);
        return (numbers) => network.run(numbers);
      };
    },
  },
  "onnxruntime-web": {
    suffix: "onnx",
    async load() {
      const ort = await import("onnxruntime-web/wasm");
      ort.env.wasm.numThreads = 1;
      return async (address) => {
        const session = await ort.InferenceSession.create(address, { executionProviders: ["wasm"] });
        const [input] = session.inputNames, [output] = session.outputNames;
        return async (numbers) => {
          const made = await session.run({ [input]: new ort.Tensor("float32", numbers, [1, 1, 28, 28]) });
          return made[output].data;
        };
      };
    },
  },
  "LiteRT.js": {
    suffix: "tflite",
    async load() {
      const { loadLiteRt, loadAndCompile, Tensor } = await import("@litertjs/core");
      await loadLiteRt("./node_modules/@litertjs/core/wasm/");
      return async (address) => {
        const model = await loadAndCompile(address, { accelerator: "wasm" });
        const shape = Array.from(model.getInputDetails()[0].shape);
        return async (numbers) => {
          const given = new Tensor(numbers, shape);
          const [made] = await model.run(given);
          const scores = made.toTypedArray().slice();
          given.delete();
          made.delete();
          return scores;
        };
      };
    },
  },
};

/** Milliseconds of so many answers, each awaited if it is a promise. */
async function timed(answer, numbers, calls) {
  const promised = answer(numbers) instanceof Promise;
  const started = performance.now();
  if (promised) for (let i = 0; i < calls; i++) await answer(numbers);
  else for (let i = 0; i < calls; i++) answer(numbers);
  return performance.now() - started;
}

const resources = () => performance.getEntriesByType("resource");
const bytes = (entries) => entries.reduce((sum, entry) => sum + entry.decodedBodySize, 0);

/** Opens every model in every runtime, one after the other; "dense" only where the address says that those files are there. */
async function opened(numbers) {
  const networks = new URLSearchParams(location.search).has("dense") ? ["model", "dense"] : ["model"];
  const rows = [];
  for (const [runtime, { suffix, load }] of Object.entries(RUNTIMES)) {
    let open = null, engine = null;
    for (const network of networks) {
      if (network === "dense" && suffix === "js") continue;
      const address = `${network}.${suffix}`;
      const started = performance.now(), before = resources().length;
      try {
        open ??= await load();
      } catch (error) {
        problem(`${runtime} is not here (${error.message ?? "not found"}); run npm install in this folder.`);
        break;
      }
      const answer = await open(address);
      await answer(numbers);
      const firstAnswer = engine === null ? performance.now() - started : null; // the second model finds the runtime there
      const arrived = resources().slice(before);
      rows.push({ runtime, network, answer, bytes: (engine ?? 0) + bytes(arrived), firstAnswer, times: [] });
      engine ??= bytes(arrived.filter((entry) => !entry.name.endsWith(`/${address}`)));
    }
  }
  return rows;
}

function problem(text) {
  const place = document.getElementById("problem");
  place.textContent += `${text} `;
  place.hidden = false;
}

/** What every runtime answers to `samples` (arrays of prepared numbers), and how long one answer takes it in microseconds. */
async function compare(samples) {
  const rows = await opened(samples[0]);
  for (const row of rows) {
    row.scores = [];
    for (const sample of samples) row.scores.push(Array.from(await row.answer(sample)));
    row.calls = 1;
    while ((await timed(row.answer, samples[0], row.calls)) < LEAST) row.calls *= 2;
  }
  // In turns, so that what else the machine does meets all of them.
  for (let round = 0; round < ROUNDS; round++) {
    const sample = samples[round % samples.length];
    for (const row of rows) row.times.push((1000 * (await timed(row.answer, sample, row.calls))) / row.calls);
  }
  return rows.map(({ answer, calls, times, ...rest }) => {
    const sorted = times.toSorted((a, b) => a - b);
    const part = (share) => sorted[Math.round(share * (sorted.length - 1))];
    return { ...rest, median: part(0.5), low: part(0.1), high: part(0.9) };
  });
}

function show(rows) {
  for (const row of rows) {
    const cells = [
      row.runtime,
      row.network === "model" ? "compressed" : "dense",
      `${(row.bytes / 1000).toLocaleString("en", { maximumFractionDigits: 0 })} KB`,
      row.firstAnswer === null ? "" : `${row.firstAnswer.toFixed(0)} ms`,
      `${row.median.toLocaleString("en", { maximumSignificantDigits: 3 })} µs`,
    ];
    const line = document.createElement("tr");
    for (const text of cells) line.append(Object.assign(document.createElement("td"), { textContent: text }));
    document.getElementById("rows").append(line);
  }
}

globalThis.compare = compare;
if (!new URLSearchParams(location.search).has("wait")) {
  compare([new Float32Array(784)]).then(show, (error) => problem(error.message));
}
