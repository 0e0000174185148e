"use strict";

const BRUSH = 26; // of 280: about what a pen's width is to MNIST's digits

const element = (id) => document.getElementById(id);
const paper = element("paper");
const pen = paper.getContext("2d", { willReadFrequently: true });
let network = null;
const strokes = new Map(); // pointer: where its stroke ends so far

/** The ink of the whole drawing, 0 to 255 a place. */
function ink() {
  const { data } = pen.getImageData(0, 0, paper.width, paper.height);
  return Uint8Array.from({ length: data.length / 4 }, (_, i) => data[4 * i + 3]);
}

/** What the network makes of the drawing as it is now; null when there is none. */
function look() {
  const picture = centred(ink(), paper.width, paper.height);
  const probabilities = picture && network.probabilities(picture);
  show(picture, probabilities);
  return picture && { picture: Array.from(picture), probabilities, digit: first(probabilities) };
}

const first = (values) => values.indexOf(Math.max(...values));
const percent = (share) => `${(100 * share).toFixed(1)} %`;

function show(picture, probabilities) {
  const image = new ImageData(SIDE, SIDE);
  picture?.forEach((amount, i) => (image.data[4 * i + 3] = amount));
  element("seen").getContext("2d").putImageData(image, 0, 0);
  element("hint").hidden = picture !== null;
  element("clear").disabled = !picture;
  const best = picture ? first(probabilities) : -1;
  element("digit").textContent = picture ? network.model.classes[best] : "–";
  element("sure").textContent = picture ? `${percent(probabilities[best])} sure` : "nothing drawn yet";
  [...element("bars").children].forEach((row, i) => {
    const share = picture ? probabilities[i] : 0;
    row.className = i === best ? "first" : "";
    row.querySelector("b").style.width = `${100 * share}%`;
    row.querySelector("span").textContent = picture ? percent(share) : "";
  });
}

function measure() {
  const prepared = network.prepared(new Uint8Array(network.model.inputs));
  const time = microseconds(() => network.run(prepared));
  element("latency").textContent = `${time < 10 ? time.toFixed(2) : time.toFixed(0)} µs`;
}

function at(event) {
  const frame = paper.getBoundingClientRect();
  return [
    ((event.clientX - frame.left) * paper.width) / frame.width,
    ((event.clientY - frame.top) * paper.height) / frame.height,
  ];
}

function begin(event) {
  if (event.button) return;
  paper.setPointerCapture(event.pointerId);
  strokes.set(event.pointerId, at(event));
  extend(event);
}

function extend(event) {
  if (!strokes.has(event.pointerId)) return;
  const passed = event.getCoalescedEvents?.() ?? [];
  pen.beginPath();
  pen.moveTo(...strokes.get(event.pointerId));
  for (const one of passed.length ? passed : [event]) pen.lineTo(...at(one));
  pen.stroke();
  strokes.set(event.pointerId, at(event));
  look();
}

function end(event) {
  if (strokes.delete(event.pointerId)) measure();
}

function clear() {
  pen.clearRect(0, 0, paper.width, paper.height);
  look();
}

function describe() {
  const { weights, dense, ratio, images, accuracy, classes } = network.model;
  const facts = {
    weights: weights.toLocaleString("en"),
    dense: dense.toLocaleString("en"),
    ratio: `${ratio.toLocaleString("en")}x`,
    images: images.toLocaleString("en"),
    accuracy: percent(accuracy),
  };
  document.title = `${facts.weights} weights read a digit`;
  for (const place of document.querySelectorAll("[data-fact]")) place.textContent = facts[place.dataset.fact];
  element("size").textContent = `${(network.bytes / 1000).toFixed(1)} KB`;
  element("memory").textContent = `${(network.memoryBytes / 1000).toFixed(1)} KB`;
  for (const name of classes) {
    const row = document.createElement("li");
    row.innerHTML = "<em></em><i><b></b></i><span></span>";
    row.querySelector("em").textContent = name;
    element("bars").append(row);
  }
}

/** Settles when the page answers. */
const ready = (async () => {
  try {
    network = await Network.start(MODEL);
  } catch (error) {
    element("problem").textContent = `This browser could not start the network: ${error.message}`;
    element("problem").hidden = false;
    return;
  }
  pen.lineWidth = BRUSH;
  pen.lineCap = pen.lineJoin = "round";
  describe();
  show(null, null);
  measure();
  paper.addEventListener("pointerdown", begin);
  paper.addEventListener("pointermove", extend);
  paper.addEventListener("pointerup", end);
  paper.addEventListener("pointercancel", end);
  element("clear").addEventListener("click", clear);
  paper.addEventListener("keydown", (event) => {
    if (["Escape", "Delete", "Backspace"].includes(event.key)) clear();
  });
})();
